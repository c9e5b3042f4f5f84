//! dockerd's event filters: which keys there are, and how each of them matches.
//!
//! Names are compared with the actor's id and its `name`, from their beginning; `event` exactly, unless one of the actions
//! with a colon in them is asked for; images with and without their tag.

use docker_api::filters::{FilterError, Filters};
use domain::{Error, Event, EventType, Result};

const KNOWN: [&str; 14] = [
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];
/// Types of objects, whose filters are all alike.
const NAMED: [&str; 9] = ["config", "container", "daemon", "network", "node", "plugin", "secret", "service", "volume"];
/// Their actions go on behind a colon.
const LONG_ACTIONS: [&str; 3] = ["exec_create", "exec_start", "health_status"];
/// Of everything that happens here; Docker's other one is `swarm`.
pub(crate) const SCOPE: &str = "local";

#[derive(Debug, Default)]
pub(crate) struct Filter(Filters);

impl Filter {
    /// `filters` of the query.
    pub(crate) fn parse(json: &str) -> Result<Self> {
        let invalid = |e: FilterError| Error::invalid(e.to_string());
        let filters = Filters::parse(json).map_err(invalid)?;
        filters.check(&KNOWN).map_err(invalid)?;
        Ok(Self(filters))
    }

    pub(crate) fn wants(&self, event: &Event) -> bool {
        let name = event.attributes.get("name").map_or("", String::as_str);
        self.exactly("type", event.kind.as_str())
            && self.exactly("scope", SCOPE)
            && self.action(&event.action)
            && NAMED.iter().all(|key| self.begins(key, &event.actor) || self.begins(key, name))
            && self.image(event)
            && self.0.labels_match("label", &event.attributes)
    }

    fn action(&self, action: &str) -> bool {
        match self.0.get("event").iter().any(|wish| LONG_ACTIONS.contains(&wish.as_str())) {
            true => self.begins("event", action),
            false => self.exactly("event", action),
        }
    }

    fn image(&self, event: &Event) -> bool {
        let attribute = if event.kind == EventType::Image { "name" } else { "image" };
        let name = event.attributes.get(attribute).map_or("", String::as_str);
        [&event.actor, name, without_tag(&event.actor), without_tag(name)].iter().any(|n| self.exactly("image", n))
    }

    fn exactly(&self, key: &str, value: &str) -> bool {
        let wishes = self.0.get(key);
        wishes.is_empty() || wishes.iter().any(|wish| wish == value)
    }

    fn begins(&self, key: &str, value: &str) -> bool {
        let wishes = self.0.get(key);
        wishes.is_empty() || wishes.iter().any(|wish| value.starts_with(wish.as_str()))
    }
}

/// `repository:tag` without its tag; what has none stays, and so does the port of a registry.
fn without_tag(reference: &str) -> &str {
    let bare = reference.split_once('@').map_or(reference, |(name, _)| name);
    match bare.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => bare,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started() -> Event {
        Event::new(EventType::Container, "start", "abcdef0123")
            .with("role", "web")
            .with("image", "127.0.0.1:5000/app:v1")
            .with("name", "front")
    }

    fn wants(json: &str, event: &Event) -> bool {
        Filter::parse(json).expect(json).wants(event)
    }

    #[test]
    fn keys_restrict_and_values_are_alternatives() {
        let event = started();
        for json in [
            "",
            r#"{"type":["container"]}"#,
            r#"{"container":["front"]}"#,
            r#"{"container":["abc"]}"#,
            r#"{"container":["other","fro"],"event":["die","start"]}"#,
            r#"{"image":["127.0.0.1:5000/app:v1"]}"#,
            r#"{"image":["127.0.0.1:5000/app"]}"#,
            r#"{"label":["role"]}"#,
            r#"{"label":["role=web"]}"#,
            r#"{"scope":["local"]}"#,
            r#"{"event":{"start":true}}"#,
        ] {
            assert!(wants(json, &event), "{json}");
        }
        for json in [
            r#"{"type":["image"]}"#,
            r#"{"container":["ront"]}"#,
            r#"{"event":["star"]}"#,
            r#"{"image":["app"]}"#,
            r#"{"label":["role=web","other"]}"#,
            r#"{"scope":["swarm"]}"#,
            r#"{"volume":["x"]}"#,
            r#"{"daemon":["x"]}"#,
        ] {
            assert!(!wants(json, &event), "{json}");
        }
    }

    #[test]
    fn actions_with_a_colon_match_from_their_beginning() {
        let event = |action: &str| Event::new(EventType::Container, action, "a");
        assert!(wants(r#"{"event":["health_status"]}"#, &event("health_status: healthy")));
        assert!(wants(r#"{"event":["health_status: healthy"]}"#, &event("health_status: healthy")));
        assert!(wants(r#"{"event":["exec_create"]}"#, &event("exec_create: sh -c true")));
        assert!(!wants(r#"{"event":["exec_die"]}"#, &event("exec_create: sh -c true")));
    }

    #[test]
    fn an_image_is_known_by_its_name_and_by_its_id() {
        let pulled = Event::new(EventType::Image, "pull", "busybox:1.36").with("name", "busybox");
        assert!(wants(r#"{"image":["busybox"]}"#, &pulled) && wants(r#"{"image":["busybox:1.36"]}"#, &pulled));
        assert!(!wants(r#"{"image":["busybox:1"]}"#, &pulled));
    }

    #[test]
    fn what_dockerd_does_not_know_is_refused() {
        assert_eq!(Filter::parse(r#"{"foo":["x"]}"#).expect_err("refused").to_string(), "invalid filter 'foo'");
        assert!(Filter::parse("[]").is_err() && Filter::parse(r#"{"type":{"image":false}}"#).is_err());
    }
}
