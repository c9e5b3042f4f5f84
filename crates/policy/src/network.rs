//! P10, N06-N10, N15: which networks a container joins, and how.

mod dns;
mod endpoint;

use std::collections::BTreeMap;

use docker_api::types::{EndpointSettings, NetworkingConfig};
use domain::{
    Error, Kind, Result,
    spec::{NetworkMode, NetworkWish},
};

pub(crate) use dns::{extra_hosts, settings as dns_settings};

use crate::{
    isolation::shared_namespace,
    names::is_object_name,
    refuse::{forbidden, malformed, unsupported},
};

const FIELD: &str = "HostConfig.NetworkMode";
/// The tenant's default network.
const DEFAULT: &str = "bridge";

pub(crate) struct Wanted {
    pub mode: Option<String>,
    pub disabled: bool,
    pub networking: Option<NetworkingConfig>,
    /// The top-level one of old clients.
    pub mac_address: Option<String>,
}

pub(crate) struct Joined {
    pub mode: NetworkMode,
    /// As `inspect` shows it.
    pub shown: String,
    /// That came with endpoints.
    pub sysctls: BTreeMap<String, String>,
}

pub(crate) fn resolve(wanted: Wanted) -> Result<Joined> {
    let Wanted { mode, disabled, networking, mac_address } = wanted;
    let NetworkingConfig { endpoints_config } = networking.unwrap_or_default();
    let mut endpoints: BTreeMap<String, EndpointSettings> = BTreeMap::new();
    for (name, settings) in endpoints_config.unwrap_or_default() {
        check_name("NetworkingConfig.EndpointsConfig", &name)?;
        if endpoints.insert(canonical(&name).to_owned(), settings).is_some() {
            return Err(malformed("NetworkingConfig.EndpointsConfig", name, "the same network twice", "N06"));
        }
    }
    let shown = mode_name(mode.as_deref().unwrap_or_default(), disabled)?;
    if shown == "none" {
        return none(&endpoints);
    }
    let names = order(&shown, &endpoints);
    if let Some(mac) = mac_address.filter(|m| !m.is_empty()) {
        set_mac(&mut endpoints, &names, mac)?;
    }
    let mut sysctls = BTreeMap::new();
    let mut wishes: Vec<NetworkWish> = Vec::new();
    for name in names {
        wishes.push(endpoint::resolve(&name, endpoints.remove(&name).unwrap_or_default(), &mut sysctls)?);
    }
    Ok(Joined { mode: NetworkMode::Tenant(wishes), shown, sysctls })
}

/// `bridge` for Docker's several spellings of it.
fn canonical(name: &str) -> &str {
    if matches!(name, "" | "default") { DEFAULT } else { name }
}

fn mode_name(given: &str, disabled: bool) -> Result<String> {
    if disabled {
        return Ok("none".to_owned());
    }
    if let Some(refusal) = shared_namespace(FIELD, given) {
        return Err(refusal);
    }
    check_name(FIELD, given)?;
    Ok(canonical(given).to_owned())
}

fn check_name(field: &str, name: &str) -> Result<()> {
    match name {
        "host" => Err(forbidden(field, name, "P10")),
        "" => Ok(()),
        // No network can have such a name, so there is none: the same answer as for any that is missing.
        other if !is_object_name(other) => Err(Error::not_found(Kind::Network, other.escape_debug().to_string())),
        _ => Ok(()),
    }
}

fn none(endpoints: &BTreeMap<String, EndpointSettings>) -> Result<Joined> {
    if let Some(other) = endpoints.keys().find(|name| *name != "none") {
        return Err(malformed("NetworkingConfig.EndpointsConfig", other, "conflicts with network mode none", "N06"));
    }
    Ok(Joined { mode: NetworkMode::None, shown: "none".to_owned(), sysctls: BTreeMap::new() })
}

/// The network of the mode first, then by priority, then by name. Without endpoints, the mode's alone; with endpoints,
/// the default network only if it is among them, as dockerd does.
fn order(mode: &str, endpoints: &BTreeMap<String, EndpointSettings>) -> Vec<String> {
    let mut names: Vec<String> = endpoints.keys().cloned().collect();
    if !endpoints.contains_key(mode) && (endpoints.is_empty() || mode != DEFAULT) {
        names.push(mode.to_owned());
    }
    let priority = |name: &String| endpoints.get(name).and_then(|e| e.gw_priority).unwrap_or(0);
    names.sort_by_key(|name| (name != mode, std::cmp::Reverse(priority(name)), name.clone()));
    names
}

fn set_mac(endpoints: &mut BTreeMap<String, EndpointSettings>, names: &[String], mac: String) -> Result<()> {
    let Some(first) = names.first() else { return Ok(()) };
    let settings = endpoints.entry(first.clone()).or_default();
    match &settings.mac_address {
        Some(other) if !other.is_empty() && *other != mac => {
            Err(malformed("MacAddress", mac, "differs from the endpoint's", "N07"))
        }
        _ => {
            settings.mac_address = Some(mac);
            Ok(())
        }
    }
}

/// `POST /networks/{id}/connect`: the same rules, for a container that exists.
pub fn connect(network: &str, settings: EndpointSettings) -> Result<NetworkWish> {
    let mut sysctls = BTreeMap::new();
    let wish = endpoint::resolve(network, settings, &mut sysctls)?;
    match sysctls.into_keys().next() {
        Some(key) => Err(unsupported("EndpointConfig.DriverOpts", format!("{key} of a container that exists"))),
        None => Ok(wish),
    }
}

#[cfg(test)]
mod tests;
