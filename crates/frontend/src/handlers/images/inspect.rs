//! `GET /images/{name}/json`.

use axum::extract::State;
use docker_api::time::rfc3339nano_or_zero;
use domain::Result;
use inventory::Image;
use serde_json::{Value, json};

use super::{config::Shown, manifests, platform};
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    json,
    query::Params,
    state::App,
};

pub(crate) async fn inspect(
    State(app): State<App>,
    caller: Caller,
    Reference(name): Reference,
    params: Params,
) -> Answer {
    params.only(&["manifests", "platform"])?;
    let wanted = platform::wanted(&params)?;
    let rows = app.rows(&caller.tenant);
    let image = rows.image(&name).await?;
    platform::check(&image, wanted.as_ref(), &name)?;
    let mut document = document(&image, caller.version)?;
    if params.flag("manifests") && caller.version >= minor(48) {
        document["Manifests"] = manifests::of(&image, &manifests::users(&rows).await?)?;
    }
    Ok(json::ok(&document))
}

fn document(image: &Image, version: docker_api::version::ApiVersion) -> Result<Value> {
    let shown = Shown::of(image)?;
    let mut document = json!({
        "Id": image.id,
        "RepoTags": names(&image.tags, ":"),
        "RepoDigests": names(&image.digests, "@"),
        "Parent": "",
        "Comment": shown.comment,
        "Created": rfc3339nano_or_zero(image.created_at),
        "DockerVersion": shown.docker_version,
        "Author": shown.author,
        "Config": shown.docker_config(version < minor(50)),
        "Architecture": image.architecture,
        "Os": image.os,
        "Size": image.size_bytes,
        // Where a host keeps it is nobody's business.
        "GraphDriver": { "Data": null, "Name": "overlayfs" },
        "RootFS": { "Type": "layers", "Layers": shown.rootfs.diff_ids },
        "Metadata": { "LastTagTime": rfc3339nano_or_zero(image.tagged_at) },
    });
    if !shown.variant.is_empty() {
        document["Variant"] = shown.variant.into();
    }
    if version < minor(44) {
        document["VirtualSize"] = image.size_bytes.into();
    }
    Ok(document)
}

/// `repository:tag` or `repository@digest`.
pub(super) fn names<T: ToString>(pairs: &[(String, T)], between: &str) -> Vec<String> {
    pairs.iter().map(|(repository, name)| format!("{repository}{between}{}", name.to_string())).collect()
}

pub(super) fn minor(minor: u16) -> docker_api::version::ApiVersion {
    docker_api::version::ApiVersion::new(1, minor)
}
