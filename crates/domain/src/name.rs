//! A container's name, by Docker's rule.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, without the leading slash that Docker's JSON shows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerName(String);

impl ContainerName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContainerName {
    type Err = Error;
    /// Accepts one leading slash, as dockerd does. The error is dockerd's.
    fn from_str(given: &str) -> Result<Self> {
        let s = given.strip_prefix('/').unwrap_or(given);
        let mut bytes = s.bytes();
        let first_ok = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
        let rest_ok = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        // 255: no dockerd limit, but file names and DNS are bounded.
        if first_ok && rest_ok && (2..=255).contains(&s.len()) {
            return Ok(Self(s.to_owned()));
        }
        Err(Error::invalid(format!("Invalid container name ({given}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")))
    }
}

impl TryFrom<String> for ContainerName {
    type Error = Error;
    fn try_from(s: String) -> Result<Self> {
        s.parse()
    }
}

impl From<ContainerName> for String {
    fn from(n: ContainerName) -> String {
        n.0
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
