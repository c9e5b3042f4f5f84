//! The names of roles in certificates, as `rpc` expects them from its peers.

use domain::HostId;

/// Whom a role's certificate names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleIdentity {
    Frontend,
    Scheduler,
    Edge,
    Agent(HostId),
}

impl RoleIdentity {
    /// The URI that a server reads: who is calling.
    pub fn uri(&self) -> String {
        match self {
            Self::Frontend => "wharfinger://role/frontend".into(),
            Self::Scheduler => "wharfinger://role/scheduler".into(),
            Self::Edge => "wharfinger://role/edge".into(),
            Self::Agent(host) => format!("wharfinger://host/{host}"),
        }
    }

    /// The DNS name that a client verifies: whom it has reached. Addresses may change, these do not.
    pub fn dns_name(&self) -> String {
        match self {
            Self::Frontend => "frontend.wharfinger".into(),
            Self::Scheduler => "scheduler.wharfinger".into(),
            Self::Edge => "edge.wharfinger".into(),
            Self::Agent(host) => format!("{host}.host.wharfinger"),
        }
    }
}
