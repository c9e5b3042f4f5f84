//! API versions: `/v1.24` to `/v1.51`, and what a client outside of that is told.

use std::{fmt, str::FromStr};

/// `major.minor`; the derived order is the order of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    pub major: u16,
    pub minor: u16,
}

impl ApiVersion {
    pub const MIN: Self = Self::new(1, 24);
    pub const MAX: Self = Self::new(1, 51);

    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// Itself, if it is served.
    pub fn served(self) -> Result<Self, VersionError> {
        match self {
            v if v > Self::MAX => Err(VersionError::TooNew(v)),
            v if v < Self::MIN => Err(VersionError::TooOld(v)),
            v => Ok(v),
        }
    }
}

/// Always 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    #[error("client version {0} is too new. Maximum supported API version is {max}", max = ApiVersion::MAX)]
    TooNew(ApiVersion),
    #[error(
        "client version {0} is too old. Minimum supported API version is {min}, please upgrade your client to a newer version",
        min = ApiVersion::MIN
    )]
    TooOld(ApiVersion),
    #[error("invalid API version: {0:?}")]
    Malformed(String),
}

impl FromStr for ApiVersion {
    type Err = VersionError;

    /// `1.51` or, as in paths, `v1.51`. Does not ask whether it is served.
    fn from_str(given: &str) -> Result<Self, VersionError> {
        let number = |s: &str| {
            let digits = !s.is_empty() && s.len() <= 4 && s.bytes().all(|b| b.is_ascii_digit());
            // One spelling for each version: what compares paths must see the one that we see.
            let plain = digits && (s == "0" || !s.starts_with('0'));
            plain.then(|| s.parse().ok()).flatten()
        };
        let parsed = given.strip_prefix('v').unwrap_or(given).split_once('.');
        parsed
            .and_then(|(major, minor)| Some(Self { major: number(major)?, minor: number(minor)? }))
            .ok_or_else(|| VersionError::Malformed(given.to_owned()))
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(v: &str) -> String {
        v.parse::<ApiVersion>().and_then(ApiVersion::served).expect_err(v).to_string()
    }

    #[test]
    fn the_served_range_and_its_refusals() {
        assert_eq!("v1.40".parse::<ApiVersion>().and_then(ApiVersion::served), Ok(ApiVersion::new(1, 40)));
        assert_eq!(refusal("1.99"), "client version 1.99 is too new. Maximum supported API version is 1.51");
        assert!(refusal("1.9").starts_with("client version 1.9 is too old. Minimum supported API version is 1.24"));
        assert!(refusal("1.").starts_with("invalid API version"));
        assert!(refusal("01.44").starts_with("invalid API version"));
        assert!(refusal("1.+5").starts_with("invalid API version"));
    }
}
