//! What became of a container: the observation that everybody sees, and what only its agent must remember.

use chrono::{DateTime, Utc};
use domain::{
    ContainerId, ContainerSpec, Endpoint, Happening, HostPort, Observation, PlacedVolume, Resources, Status, TenantId,
    spec::RestartPolicy,
};
use serde::{Deserialize, Serialize};

/// What was asked for; kept in the container's record and never changed (an update is in [`State::limits`]).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    pub tenant: TenantId,
    pub id: ContainerId,
    /// Docker name at creation; a rename is the inventory's business.
    pub name: String,
    /// First host uid of the tenant's range.
    pub uid_base: u32,
    pub spec: ContainerSpec,
    pub endpoints: Vec<Endpoint>,
    /// Those that the spec mounts.
    #[serde(default)]
    pub volumes: Vec<PlacedVolume>,
}

/// Kept in the container's record, rewritten at each change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    pub observation: Observation,
    /// It was started, and nobody has stopped it since: restart policies apply.
    pub wanted: bool,
    /// The newest exit, kept while a later run goes on: who waits for the next exit must not miss it.
    pub last_exit: Option<Observation>,
    /// Its networks, once a connect or disconnect has changed them.
    #[serde(default)]
    pub endpoints: Option<Vec<Endpoint>>,
    /// Of the host, that lead to it in this run, and in those that its restart policy begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<HostPort>,
    /// What an update has set instead of what was accepted.
    #[serde(default)]
    pub limits: Option<Limits>,
}

/// What `docker update` changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub resources: Resources,
    pub restart: RestartPolicy,
}

impl State {
    pub fn created(accepted: &Accepted) -> Self {
        let observation = Observation {
            tenant: accepted.tenant,
            container: accepted.id.clone(),
            generation: next_generation(0),
            status: Status::Created,
            removed: false,
            pid: 0,
            exit_code: 0,
            oom_killed: false,
            error: String::new(),
            started_at: None,
            finished_at: None,
            restart_count: 0,
            health: None,
            size_rw_bytes: None,
            happenings: Vec::new(),
        };
        let mut state =
            Self { observation, wanted: false, last_exit: None, endpoints: None, ports: Vec::new(), limits: None };
        state.happened(Utc::now(), "create", []);
        state
    }

    /// Notes what becomes an event, in a change of this state (it belongs to the change's generation).
    pub fn happened<const N: usize>(&mut self, at: DateTime<Utc>, action: &str, attributes: [(&str, String); N]) {
        let attributes = attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let generation = self.observation.generation;
        let happenings = &mut self.observation.happenings;
        if happenings.len() >= Happening::KEPT {
            happenings.remove(0);
        }
        happenings.push(Happening { generation, at, action: action.to_owned(), attributes });
    }

    pub fn status(&self) -> Status {
        self.observation.status
    }

    /// The exit that came after `generation`, if there was one.
    pub fn exit_after(&self, generation: u64) -> Option<&Observation> {
        self.last_exit.as_ref().filter(|exit| exit.generation > generation)
    }
}

/// Grows over restarts of the agent too, even where the newest state was not yet stored: hence the clock.
pub(crate) fn next_generation(previous: u64) -> u64 {
    let now = u64::try_from(Utc::now().timestamp_micros()).unwrap_or_default();
    now.max(previous + 1)
}
