//! What happened to an object of a tenant, in Docker's words: one line of `docker events`.
//!
//! [`Event`] is complete. A host knows less (no name, no labels): it tells [`Happening`]s with its observations, and the
//! inventory makes events of them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Docker's `Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventType {
    Builder,
    Container,
    Image,
    Network,
    Volume,
}

impl EventType {
    pub const ALL: [Self; 5] = [Self::Builder, Self::Container, Self::Image, Self::Network, Self::Volume];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Builder => "builder",
            Self::Container => "container",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub kind: EventType,
    /// `start`, `exec_create: ls -l`, `health_status: healthy`.
    pub action: String,
    /// Docker's `Actor.ID`.
    pub actor: String,
    pub attributes: BTreeMap<String, String>,
    /// To the nanosecond.
    pub at: DateTime<Utc>,
}

impl Event {
    /// Of now, without attributes.
    pub fn new(kind: EventType, action: impl Into<String>, actor: impl Into<String>) -> Self {
        Self { kind, action: action.into(), actor: actor.into(), attributes: BTreeMap::new(), at: Utc::now() }
    }

    /// Overwrites: give an object's labels first.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl ToString) -> Self {
        self.attributes.insert(key.into(), value.to_string());
        self
    }

    #[must_use]
    pub fn with_labels(mut self, labels: &BTreeMap<String, String>) -> Self {
        self.attributes.extend(labels.iter().map(|(k, v)| (k.clone(), v.clone())));
        self
    }
}

/// What a host did to a container, or saw of it. The inventory tells those that are newer than what it has of the
/// container, so that each is told once, whichever way and however often it comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Happening {
    /// Of the observation that it came with.
    pub generation: u64,
    pub at: DateTime<Utc>,
    /// A container's action in Docker's words; [`Happening::CONNECT`] and [`Happening::DISCONNECT`] are events of each of
    /// its networks.
    pub action: String,
    pub attributes: BTreeMap<String, String>,
}

impl Happening {
    pub const CONNECT: &str = "connect";
    pub const DISCONNECT: &str = "disconnect";
    /// How many an observation carries: more than a host can see between two reports.
    pub const KEPT: usize = 24;
}
