//! P26: the `platform` query parameter.

use domain::{Error, Result};

/// `linux/amd64` and `linux/arm64` (with or without a variant) as `(os, architecture)`; None for an empty one.
pub fn platform(given: &str) -> Result<Option<(&str, &str)>> {
    let mut parts = given.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(""), None, None) => Ok(None),
        (Some("linux"), Some(arch @ ("amd64" | "arm64")), None | Some("v8" | "v1")) => Ok(Some(("linux", arch))),
        _ => Err(Error::invalid(format!("platform {given:?} is not available on this endpoint (policy P26)"))),
    }
}
