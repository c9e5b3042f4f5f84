//! Values whose one definition is the `domain` type: they travel as JSON inside a proto.

use domain::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};

/// Parses `bytes`; the error names the proto field.
pub fn json<T: DeserializeOwned>(bytes: &[u8], field: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::because(format!("field {field} of an internal message"), e))
}

/// `domain` types always serialise: their maps have string keys.
pub fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
