//! Which containers a create request mentions. The caller looks them up first, in the tenant's own space, so that another
//! tenant's container and a missing one give the same 404, whatever the rule on the field is.

use docker_api::types::ContainerCreateBody;

/// Names or ids as written, each once, in the order of appearance.
pub fn referenced_containers(body: &ContainerCreateBody) -> Vec<String> {
    let Some(host) = &body.host_config else { return Vec::new() };
    let modes = [&host.pid_mode, &host.ipc_mode, &host.network_mode];
    let shared = modes.into_iter().flatten().filter_map(|m| m.strip_prefix("container:"));
    let first_part = |list: &Option<Vec<String>>| -> Vec<String> {
        let parts = list.iter().flatten().map(|e| e.split_once(':').map_or(e.as_str(), |(name, _)| name).to_owned());
        parts.collect()
    };
    let mut all: Vec<String> = shared.map(str::to_owned).collect();
    all.extend(first_part(&host.volumes_from));
    all.extend(first_part(&host.links));
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|name| !name.is_empty() && seen.insert(name.clone()));
    all
}
