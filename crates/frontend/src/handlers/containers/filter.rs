//! `filters`, `limit` and `all` of `GET /containers/json`, by dockerd's rules.
//!
//! What a reader would get wrong: values of one key are alternatives, except labels, which must all hold; `name` is a regular
//! expression that need not match the whole name; `before` and `since` mean the order of creation; `limit` counts stopped
//! containers too; a status filter looks at stopped containers even without `all`.

use std::collections::BTreeSet;

use docker_api::filters::Filters;
use domain::{ContainerId, Digest, Error, PublishedPort, Result, Status};
use inventory::{ContainerSummary, TenantView};
use regex::Regex;

use crate::query::Params;

const KNOWN: [&str; 15] = [
    "ancestor",
    "before",
    "expose",
    "exited",
    "health",
    "id",
    "isolation",
    "is-task",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];

#[derive(Default)]
pub(super) struct Filter {
    filters: Filters,
    all: bool,
    /// 0 = none.
    limit: usize,
    names: Vec<Name>,
    exited: Vec<i32>,
    /// Images that `ancestor` means; None if it was not given.
    ancestors: Option<BTreeSet<Digest>>,
    before: Option<ContainerId>,
    since: Option<ContainerId>,
}

/// A value of `name`: matches exactly, or as a regular expression (linear in time) if it is one.
struct Name {
    text: String,
    pattern: Option<Regex>,
}

impl Filter {
    /// 400 for an unknown filter or value; 404 for `before` and `since` of a container that is not the tenant's.
    pub(super) async fn read(params: &Params, rows: &TenantView) -> Result<Self> {
        let limit = params.number("limit", i64::from(i32::MIN)..=i64::from(i32::MAX))?.unwrap_or(0);
        let mut filter = Self::parse(params.get("filters").unwrap_or_default(), params.flag("all"))?;
        filter.limit = usize::try_from(limit).unwrap_or(0);
        filter.before = position(rows, filter.filters.get("before")).await?;
        filter.since = position(rows, filter.filters.get("since")).await?;
        if filter.filters.has("ancestor") {
            filter.ancestors = Some(images(rows, filter.filters.get("ancestor")).await?);
        }
        Ok(filter)
    }

    /// All that needs no look-up.
    fn parse(json: &str, all: bool) -> Result<Self> {
        let invalid = |e: docker_api::filters::FilterError| Error::invalid(e.to_string());
        let filters = Filters::parse(json).map_err(invalid)?;
        filters.check(&KNOWN).map_err(invalid)?;
        for value in filters.get("status") {
            value.parse::<Status>().map_err(|_| bad("status", value))?;
        }
        for value in filters.get("health") {
            if !["starting", "healthy", "unhealthy", "none"].contains(&value.as_str()) {
                return Err(bad("health", value));
            }
        }
        filters.flag("is-task").map_err(invalid)?;
        let exited = filters.get("exited").iter().map(|v| v.parse().map_err(|_| bad("exited", v)));
        Ok(Self {
            all: all || filters.has("status"),
            exited: exited.collect::<Result<_>>()?,
            names: filters.get("name").iter().map(|name| Name::of(name)).collect(),
            filters,
            ..Self::default()
        })
    }

    /// The lines to show, in the order of `all` (newest first).
    pub(super) fn keep<'a>(&self, all: &'a [ContainerSummary]) -> Vec<&'a ContainerSummary> {
        let mut kept: Vec<&ContainerSummary> = self.between(all).iter().filter(|c| self.matches(c)).collect();
        if self.limit > 0 {
            kept.truncate(self.limit);
        }
        kept
    }

    /// Older than `before`, newer than `since`.
    fn between<'a>(&self, all: &'a [ContainerSummary]) -> &'a [ContainerSummary] {
        let at = |id: &Option<ContainerId>| id.as_ref().and_then(|id| all.iter().position(|c| c.id == *id));
        let from = at(&self.before).map_or(0, |i| i + 1);
        let to = at(&self.since).unwrap_or(all.len());
        all.get(from..to).unwrap_or_default()
    }

    fn matches(&self, c: &ContainerSummary) -> bool {
        (self.all || self.limit > 0 || c.observation.status.is_running())
            && self.matches_identity(c)
            && self.matches_state(c)
            && self.filters.labels_match("label", &c.labels)
            && self.ancestors.as_ref().is_none_or(|images| images.contains(&c.image_id))
            && self.any("network", |wish| on_network(c, wish))
            && self.any("expose", |wish| c.exposed_ports.iter().any(|port| port_matches(wish, port)))
            && self.any("publish", |wish| c.ports.iter().any(|port| port_matches(wish, &published(port))))
            // No container here is a Swarm task, or has an isolation to choose.
            && self.filters.flag("is-task") != Ok(Some(true))
            && self.any("isolation", |wish| wish == "default" || wish.is_empty())
            && self.any("volume", |wish| c.volumes.iter().any(|v| v.name == wish || v.target == wish))
    }

    fn matches_identity(&self, c: &ContainerSummary) -> bool {
        self.any("id", |wish| c.id.as_str().starts_with(wish))
            && (self.names.is_empty() || self.names.iter().any(|n| n.matches(c.name.as_str())))
    }

    fn matches_state(&self, c: &ContainerSummary) -> bool {
        let seen = &c.observation;
        let health = seen.health.as_ref().map_or("none", |h| h.status.as_str());
        // A container that was never started has not exited.
        let has_exited = !seen.status.is_running() && seen.finished_at.is_some();
        self.any("status", |wish| wish == seen.status.as_str())
            && self.any("health", |wish| wish == health)
            && (self.exited.is_empty() || (has_exited && self.exited.contains(&seen.exit_code)))
    }

    fn any(&self, key: &str, holds: impl Fn(&str) -> bool) -> bool {
        let values = self.filters.get(key);
        values.is_empty() || values.iter().any(|value| holds(value))
    }
}

impl Name {
    fn of(value: &str) -> Self {
        Self { text: value.to_owned(), pattern: Regex::new(value).ok() }
    }

    /// With and without the slash that Docker's names have.
    fn matches(&self, name: &str) -> bool {
        let slashed = format!("/{name}");
        [name, slashed.as_str()]
            .iter()
            .any(|name| self.text == *name || self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(name)))
    }
}

fn on_network(c: &ContainerSummary, wish: &str) -> bool {
    match c.endpoints.is_empty() {
        true => wish == "none",
        false => c.endpoints.iter().any(|e| e.network_name == wish || e.network.as_str() == wish),
    }
}

fn published(port: &PublishedPort) -> String {
    format!("{}/{}", port.port, port.protocol.as_str())
}

/// `80`, `80/tcp`, `80-90`, `80-90/udp` against `80/tcp`.
fn port_matches(wish: &str, port: &str) -> bool {
    let split = |text: &str| {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        (number.to_owned(), protocol.to_ascii_lowercase())
    };
    let ((wished, protocol), (number, actual)) = (split(wish), split(port));
    let (first, last) = wished.split_once('-').unwrap_or((&wished, &wished));
    let within = |number: u16| Some((first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?).contains(&number));
    protocol == actual && number.parse().ok().and_then(within).unwrap_or(false)
}

fn bad(key: &str, value: &str) -> Error {
    Error::invalid(format!("invalid filter '{key}={value}'"))
}

async fn position(rows: &TenantView, references: &[String]) -> Result<Option<ContainerId>> {
    match references.last() {
        Some(reference) => Ok(Some(rows.container(reference).await?.id)),
        None => Ok(None),
    }
}

/// An image that is not there is the ancestor of nothing.
async fn images(rows: &TenantView, references: &[String]) -> Result<BTreeSet<Digest>> {
    let mut ids = BTreeSet::new();
    for reference in references {
        match rows.image(reference).await {
            Ok(image) => {
                ids.insert(image.id);
            }
            Err(Error::NotFound { .. } | Error::Invalid(_) | Error::Missing(_)) => (),
            Err(error) => return Err(error),
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests;
