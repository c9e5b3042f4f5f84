//! `GET /system/df`: what the tenant's images and containers take. O(tenant), out of the inventory: no host is asked.
//!
//! Layers count once, however many of the tenant's images have them; what other tenants have counts for nothing.

use axum::extract::State;
use chrono::Utc;
use docker_api::time::rfc3339nano;
use domain::{Digest, Error, Result};
use inventory::{BuildStep, Volume};
use serde::Serialize;
use serde_json::Value;

use crate::{
    error::Answer,
    extract::Caller,
    handlers::{
        containers::list::{Line, image_sizes},
        images::list::disk_usage,
        volumes::shown::Shown,
    },
    json,
    query::Params,
    state::App,
};

/// What was not asked for is `null`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DiskUsage<'a> {
    layers_size: u64,
    images: Option<Vec<Value>>,
    containers: Option<Vec<Line<'a>>>,
    volumes: Option<Vec<VolumeLine<'a>>>,
    build_cache: Option<Vec<BuildLine>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct VolumeLine<'a> {
    #[serde(flatten)]
    volume: Shown<'a>,
    usage_data: UsageData,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct UsageData {
    ref_count: usize,
    /// Docker's "not available": volumes are not measured.
    size: i64,
}

impl<'a> VolumeLine<'a> {
    fn of(volume: &'a Volume) -> Self {
        Self { usage_data: UsageData { ref_count: volume.users.len(), size: -1 }, volume: Shown::of(volume) }
    }
}

/// A step that the builder remembers.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BuildLine {
    #[serde(rename = "ID")]
    id: Digest,
    #[serde(rename = "Type")]
    kind: &'static str,
    description: String,
    in_use: bool,
    shared: bool,
    size: u64,
    created_at: String,
    last_used_at: Option<String>,
    usage_count: u64,
}

impl BuildLine {
    fn of(step: BuildStep) -> Self {
        Self {
            id: step.key,
            kind: "regular",
            description: step.description,
            in_use: false,
            shared: false,
            size: step.size_bytes,
            created_at: rfc3339nano(step.created_at),
            last_used_at: step.used_at.map(rfc3339nano),
            usage_count: step.uses,
        }
    }
}

/// Which of them are asked for.
struct Types {
    containers: bool,
    images: bool,
    volumes: bool,
    build_cache: bool,
}

impl Types {
    /// All where none is named.
    fn read(params: &Params) -> Result<Self> {
        let named: Vec<&str> = params.all("type").collect();
        let has = |name| named.is_empty() || named.contains(&name);
        let types = Self {
            containers: has("container"),
            images: has("image"),
            volumes: has("volume"),
            build_cache: has("build-cache"),
        };
        let known = ["container", "image", "volume", "build-cache"];
        match named.iter().find(|name| !known.contains(name)) {
            Some(unknown) => Err(Error::invalid(format!("unknown object type: {unknown}"))),
            None => Ok(types),
        }
    }
}

pub(crate) async fn df(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    params.only(&["type"])?;
    let types = Types::read(&params)?;
    let rows = app.rows(&caller.tenant);
    let (layers_size, images) = match types.images {
        true => Some(disk_usage(&rows, caller.version).await?).unzip(),
        false => (None, None),
    };
    // The containers' sizes stand on their images.
    let (containers, sizes) = match types.containers {
        true => (rows.containers().await?, image_sizes(&rows.images().await?)),
        false => Default::default(),
    };
    let volumes = if types.volumes { rows.volumes().await? } else { Vec::new() };
    let steps = if types.build_cache { rows.build_steps().await? } else { Vec::new() };

    let now = Utc::now();
    let lines = || containers.iter().map(|c| Line::of(c, now, Some(&sizes))).collect();
    let usage = DiskUsage {
        layers_size: layers_size.unwrap_or(0),
        images,
        containers: types.containers.then(lines),
        volumes: types.volumes.then(|| volumes.iter().map(VolumeLine::of).collect()),
        build_cache: types.build_cache.then(|| steps.into_iter().map(BuildLine::of).collect()),
    };
    Ok(json::ok(&usage))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(query: &str) -> Result<Types> {
        Types::read(&Params::of(&format!("/df?{query}").parse().expect("uri")).expect("query"))
    }

    #[test]
    fn types_are_dockers_and_all_by_default() {
        let all = types("").expect("all");
        assert!(all.containers && all.images && all.volumes && all.build_cache);
        let two = types("type=image&type=volume").expect("two");
        assert!(two.images && two.volumes && !two.containers && !two.build_cache);
        let error = types("type=image&type=foo").err().expect("refused");
        assert_eq!(error.to_string(), "unknown object type: foo");
    }
}
