//! `GET /images/json`: one query for all of the tenant's images; filters work on its result.

use std::collections::BTreeMap;

use axum::extract::State;
use chrono::{DateTime, Utc};
use docker_api::{
    filters::{Filters, has_label},
    time::parse_timestamp,
    version::ApiVersion,
};
use domain::{Error, Result};
use inventory::{Image, TenantView};
use serde_json::{Value, json};

use super::{
    config::Shown,
    inspect::{minor, names},
    manifests,
    pattern::Pattern,
};
use crate::{error::Answer, extract::Caller, json, query::Params, state::App};

const FILTERS: [&str; 7] = ["before", "dangling", "label", "label!", "reference", "since", "until"];

pub(crate) async fn list(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    // Every image is a final one and always has its digests, so `all` and `digests` say nothing.
    params.only(&["all", "digests", "filters", "manifests", "shared-size"])?;
    let rows = app.rows(&caller.tenant);
    let filter = Filter::read(&params, &rows).await?;
    let images = rows.images().await?;
    let sizes = if params.flag("shared-size") { Some(rows.layer_sizes().await?) } else { None };
    let uses = sizes.as_ref().map(|sizes| sizes.uses(&images));
    let users = match params.flag("manifests") && caller.version >= minor(47) {
        true => Some(manifests::users(&rows).await?),
        false => None,
    };
    let mut lines = Vec::new();
    for image in &images {
        let shown = Shown::of(image)?;
        let Some((tags, digests)) = filter.keep(image, &shown)? else { continue };
        let mut line = line(image, &shown, tags, digests, caller.version);
        if let Some(uses) = &uses {
            line["SharedSize"] = json!(uses.shared_bytes(image));
        }
        if let Some(users) = &users {
            line["Manifests"] = manifests::of(image, users)?;
        }
        lines.push(line);
    }
    Ok(json::ok(&lines))
}

/// The images' part of `system df`: `LayersSize`, and every image with its shared size and its number of containers.
pub(crate) async fn disk_usage(rows: &TenantView, version: ApiVersion) -> Result<(u64, Vec<Value>)> {
    let (images, sizes) = (rows.images().await?, rows.layer_sizes().await?);
    let uses = sizes.uses(&images);
    let mut lines = Vec::new();
    for image in &images {
        let (tags, digests) = (names(&image.tags, ":"), names(&image.digests, "@"));
        let mut line = line(image, &Shown::of(image)?, tags, digests, version);
        line["SharedSize"] = json!(uses.shared_bytes(image));
        line["Containers"] = json!(image.containers);
        lines.push(line);
    }
    Ok((uses.total_bytes(), lines))
}

/// -1: not computed, as dockerd answers a list.
fn line(image: &Image, shown: &Shown, mut tags: Vec<String>, mut digests: Vec<String>, version: ApiVersion) -> Value {
    if version < minor(43) && tags.is_empty() && digests.is_empty() {
        (tags, digests) = (vec!["<none>:<none>".to_owned()], vec!["<none>@<none>".to_owned()]);
    }
    let labels = shown.labels();
    let mut line = json!({
        "Containers": -1,
        "Created": image.created_at.map_or(0, |at| at.timestamp()),
        "Id": image.id,
        "Labels": if labels.is_empty() { Value::Null } else { json!(labels) },
        "ParentId": "",
        "RepoDigests": digests,
        "RepoTags": tags,
        "SharedSize": -1,
        "Size": image.size_bytes,
    });
    if version < minor(44) {
        line["VirtualSize"] = json!(image.size_bytes);
    }
    line
}

struct Filter {
    filters: Filters,
    dangling: Option<bool>,
    patterns: Vec<Pattern>,
    before: Option<DateTime<Utc>>,
    since: Option<DateTime<Utc>>,
}

impl Filter {
    async fn read(params: &Params, rows: &TenantView) -> Result<Self> {
        let invalid = |e: docker_api::filters::FilterError| Error::invalid(e.to_string());
        let filters = Filters::parse(params.get("filters").unwrap_or_default()).map_err(invalid)?;
        filters.check(&FILTERS).map_err(invalid)?;
        let mut before = created(rows, filters.get("before")).await?;
        for text in filters.get("until") {
            let at = moment(text)?;
            before = Some(before.map_or(at, |b| b.min(at)));
        }
        Ok(Self {
            dangling: filters.flag("dangling").map_err(invalid)?,
            patterns: filters.get("reference").iter().map(|p| Pattern::parse(p)).collect::<Result<_>>()?,
            since: created(rows, filters.get("since")).await?,
            before,
            filters,
        })
    }

    /// The names under which the image is shown; None if it is not.
    fn keep(&self, image: &Image, shown: &Shown) -> Result<Option<(Vec<String>, Vec<String>)>> {
        let at = image.created_at.unwrap_or_default();
        let in_time = self.before.is_none_or(|b| at < b) && self.since.is_none_or(|s| at > s);
        // As dockerd: `dangling=true` shows what has no tag, `dangling=false` hides what has no name at all.
        let unnamed = image.tags.is_empty() && image.digests.is_empty();
        let by_names = match self.dangling {
            Some(true) => image.tags.is_empty(),
            Some(false) => !unnamed,
            None => true,
        };
        if !in_time || !by_names || !self.labels_fit(&shown.labels()) {
            return Ok(None);
        }
        let (mut tags, mut digests) = (names(&image.tags, ":"), names(&image.digests, "@"));
        if !self.patterns.is_empty() {
            tags.retain(|name| self.shows(name, ':'));
            digests.retain(|name| self.shows(name, '@'));
            if tags.is_empty() && digests.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some((tags, digests)))
    }

    fn labels_fit(&self, labels: &BTreeMap<String, String>) -> bool {
        let unwanted = |wish: &String| has_label(wish, labels);
        self.filters.labels_match("label", labels) && !self.filters.get("label!").iter().any(unwanted)
    }

    /// The whole name, or the repository alone.
    fn shows(&self, name: &str, between: char) -> bool {
        // From the end for a tag (the host may have a port), from the start for a digest (it has a colon of its own).
        let cut = if between == '@' { name.split_once('@') } else { name.rsplit_once(':') };
        let repository = cut.map_or(name, |(repository, _)| repository);
        self.patterns.iter().any(|p| p.matches(name) || p.matches(repository))
    }
}

/// The oldest of the images that are named.
async fn created(rows: &TenantView, references: &[String]) -> Result<Option<DateTime<Utc>>> {
    let mut oldest = None;
    for reference in references {
        let at = rows.image(reference).await?.created_at.unwrap_or_default();
        oldest = Some(oldest.map_or(at, |o: DateTime<Utc>| o.min(at)));
    }
    Ok(oldest)
}

/// dockerd's words for what is neither a time nor a duration.
pub(super) fn moment(text: &str) -> Result<DateTime<Utc>> {
    let bad = |_| Error::invalid(format!("failed to parse value as time or duration: {text:?}"));
    parse_timestamp(text, Utc::now()).map_err(bad)
}
