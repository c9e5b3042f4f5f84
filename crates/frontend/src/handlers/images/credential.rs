//! `X-Registry-Auth`. Never logged.

use domain::{Error, Result};
use http::HeaderMap;
use images::RegistryAuth;

/// None where there is no header, or nothing in it.
pub(crate) fn credential(headers: &HeaderMap) -> Result<Option<RegistryAuth>> {
    let Some(value) = headers.get("x-registry-auth") else { return Ok(None) };
    let text = value.to_str().map_err(|_| Error::invalid("invalid X-Registry-Auth header"))?;
    RegistryAuth::from_header(text)
}
