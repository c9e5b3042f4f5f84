//! Who is who: the certificate authority, client certificates, and the [`Tenant`] that a request acts for.
//!
//! Two intermediates hang below one root, and nobody is ever asked to trust that root for *callers*: role listeners trust
//! the `infra` intermediate alone, the Docker endpoint the `tenants` intermediate alone. So a tenant's certificate opens
//! no internal door, although both chains end at the same root.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod authority;
mod bundle;
mod credential;
mod endpoint;
mod gate;
mod issuer;
mod leaf;
mod name;
mod request;
mod role;
mod tenant;
#[cfg(test)]
mod tests;

pub use authority::Authority;
pub use bundle::Bundle;
pub use credential::{CREDENTIAL_DAYS, Grant, Papers};
pub use endpoint::endpoint_server_config;
pub use gate::Gate;
pub use issuer::EndpointIssuer;
pub use name::ClientName;
pub use request::SigningRequest;
pub use role::RoleIdentity;
pub use tenant::Tenant;
