//! `/plugins`: there are none, and none can be installed (policy U01), since they would run on the hosts.

use axum::response::Response;
use domain::Error;

use crate::{
    error::ApiError,
    extract::{Caller, Reference},
    json,
};

pub(crate) async fn list() -> Response {
    json::ok(&[(); 0])
}

/// Every verb on one plugin.
pub(crate) async fn not_found(_: Caller, Reference(name): Reference) -> ApiError {
    Error::Missing(format!("plugin {name:?} not found")).into()
}

/// What would bring one in.
pub(crate) async fn not_installable() -> ApiError {
    Error::unsupported("plugins cannot be installed on this endpoint (policy U01)").into()
}
