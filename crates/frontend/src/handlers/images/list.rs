//! `GET /images/json`: one query for all of the tenant's images; filters work on its result.

use std::collections::HashMap;

use axum::extract::State;
use chrono::{DateTime, Utc};
use docker_api::{filters::Filters, time::parse_timestamp};
use domain::{Digest, Error, Result};
use inventory::{Image, TenantView};
use serde_json::{Value, json};

use super::{
    config::Shown,
    inspect::{minor, names},
    pattern::Pattern,
};
use crate::{error::Answer, extract::Caller, json, query::Params, state::App};

const FILTERS: [&str; 6] = ["before", "dangling", "label", "reference", "since", "until"];

pub(crate) async fn list(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    // Every image is a final one and always has its digests, so `all` and `digests` say nothing.
    params.only(&["all", "digests", "filters", "manifests", "shared-size"])?;
    let rows = app.rows(&caller.tenant);
    let filter = Filter::read(&params, &rows).await?;
    let images = rows.images().await?;
    let uses = params.flag("shared-size").then(|| layer_uses(&images));
    let old_names = caller.version < minor(43);
    let mut lines = Vec::new();
    for image in &images {
        let shown = Shown::of(image)?;
        let Some((tags, digests)) = filter.keep(image, &shown)? else { continue };
        let mut line = line(image, &shown, tags, digests, old_names);
        line["SharedSize"] = uses.as_ref().map_or(json!(-1), |uses| json!(shared_bytes(image, uses)));
        if caller.version < minor(44) {
            line["VirtualSize"] = json!(image.size_bytes);
        }
        lines.push(line);
    }
    Ok(json::ok(&lines))
}

fn line(image: &Image, shown: &Shown, mut tags: Vec<String>, mut digests: Vec<String>, old_names: bool) -> Value {
    if old_names && tags.is_empty() && digests.is_empty() {
        (tags, digests) = (vec!["<none>:<none>".to_owned()], vec!["<none>@<none>".to_owned()]);
    }
    let labels = shown.labels();
    json!({
        "Containers": -1,
        "Created": image.created_at.map_or(0, |at| at.timestamp()),
        "Id": image.id,
        "Labels": if labels.is_empty() { Value::Null } else { json!(labels) },
        "ParentId": "",
        "RepoDigests": digests,
        "RepoTags": tags,
        "Size": image.size_bytes,
    })
}

/// In how many of the tenant's images each layer is; other tenants' do not count.
fn layer_uses(images: &[Image]) -> HashMap<Digest, u32> {
    let mut uses = HashMap::new();
    for layer in images.iter().flat_map(|i| &i.layers) {
        *uses.entry(layer.digest.clone()).or_default() += 1;
    }
    uses
}

fn shared_bytes(image: &Image, uses: &HashMap<Digest, u32>) -> u64 {
    image.layers.iter().filter(|l| uses.get(&l.digest).is_some_and(|n| *n > 1)).map(|l| l.size_bytes).sum()
}

struct Filter {
    filters: Filters,
    dangling: bool,
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
            let at = parse_timestamp(text, Utc::now()).map_err(|e| Error::invalid(e.to_string()))?;
            before = Some(before.map_or(at, |b| b.min(at)));
        }
        Ok(Self {
            dangling: filters.flag("dangling").map_err(invalid)?.unwrap_or(false),
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
        let is_dangling = image.tags.is_empty();
        if !in_time || (self.dangling && !is_dangling) || !self.filters.labels_match("label", &shown.labels()) {
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
