//! Image references by the grammar of the distribution project: `[domain/]path[:tag][@digest]`.
//!
//! Two spellings of one thing: *familiar* (`busybox:latest`), which Docker shows and which our inventory keys on, and
//! *canonical* (`docker.io/library/busybox`), which says where a registry is.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Digest, Error, Result};

const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DOMAIN: &str = "index.docker.io";
const OFFICIAL_PREFIX: &str = "library/";
/// The distribution grammar's limit on a repository name.
const NAME_MAX: usize = 255;
/// The distribution grammar's limit on a tag.
const TAG_MAX: usize = 128;

/// A parsed, normalised reference. `tag` and `digest` are as given: no `latest` is added by parsing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl ImageRef {
    /// `docker.io`, `127.0.0.1:5000`, ...
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Without the domain, with `library/` for official images: what a registry's URL holds.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The repository as Docker shows it: `busybox`, `127.0.0.1:5000/app`.
    pub fn familiar_name(&self) -> String {
        if self.domain == DEFAULT_DOMAIN {
            self.path.strip_prefix(OFFICIAL_PREFIX).unwrap_or(&self.path).to_owned()
        } else {
            format!("{}/{}", self.domain, self.path)
        }
    }

    /// `docker.io/library/busybox`.
    pub fn canonical_name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The same with `latest` where there is neither tag nor digest.
    pub fn with_default_tag(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".to_owned());
        }
        self
    }

    pub fn with_tag(mut self, tag: &str) -> Result<Self> {
        check_tag(tag)?;
        self.tag = Some(tag.to_owned());
        Ok(self)
    }

    pub fn with_digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }
}

fn check_tag(tag: &str) -> Result<()> {
    let mut bytes = tag.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    let rest = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if first && rest && tag.len() <= TAG_MAX { Ok(()) } else { Err(invalid_format()) }
}

fn invalid_format() -> Error {
    Error::invalid("invalid reference format")
}

/// One path component: `[a-z0-9]+` joined by `.`, `_`, `__` or any number of `-`.
fn component_ok(part: &str) -> bool {
    let bytes = part.as_bytes();
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if bytes.is_empty() || !alnum(bytes[0]) || !alnum(bytes[bytes.len() - 1]) {
        return false;
    }
    part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|sep| matches!(sep, "" | "." | "_" | "__") || sep.bytes().all(|b| b == b'-'))
}

fn domain_ok(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        Some((h, p)) if !h.ends_with(':') && (!h.contains(':') || h.starts_with('[')) => (h, Some(p)),
        _ => (domain, None),
    };
    let port_ok =
        port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()) && p.parse::<u16>().is_ok());
    let host_ok = if let Some(v6) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        v6.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        !host.is_empty()
            && host.split('.').all(|label| {
                !label.is_empty()
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            })
    };
    port_ok && host_ok
}

impl FromStr for ImageRef {
    type Err = Error;
    /// The error is dockerd's: `invalid reference format`.
    fn from_str(given: &str) -> Result<Self> {
        let (rest, digest) = match given.split_once('@') {
            Some((r, d)) => (r, Some(d.parse::<Digest>().map_err(|_| invalid_format())?)),
            None => (given, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((n, t)) if !t.contains('/') => (n, Some(t)),
            _ => (rest, None),
        };
        if let Some(tag) = tag {
            check_tag(tag)?;
        }
        if name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Error::invalid(format!(
                "invalid repository name ({name}), cannot specify 64-byte hexadecimal strings"
            )));
        }
        let (mut domain, path) = match name.split_once('/') {
            Some((d, p)) if d.contains(['.', ':']) || d == "localhost" || d.bytes().any(|b| b.is_ascii_uppercase()) => {
                (d.to_owned(), p.to_owned())
            }
            _ => (DEFAULT_DOMAIN.to_owned(), name.to_owned()),
        };
        if domain == LEGACY_DOMAIN {
            domain = DEFAULT_DOMAIN.to_owned();
        }
        let path =
            if domain == DEFAULT_DOMAIN && !path.contains('/') { format!("{OFFICIAL_PREFIX}{path}") } else { path };
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(Error::invalid("invalid reference format: repository name must be lowercase"));
        }
        if !domain_ok(&domain) || !path.split('/').all(component_ok) || domain.len() + path.len() >= NAME_MAX {
            return Err(invalid_format());
        }
        Ok(Self { domain, path, tag: tag.map(str::to_owned), digest })
    }
}

impl TryFrom<String> for ImageRef {
    type Error = Error;
    fn try_from(s: String) -> Result<Self> {
        s.parse()
    }
}

impl From<ImageRef> for String {
    fn from(r: ImageRef) -> String {
        r.to_string()
    }
}

/// The familiar form, with tag and digest where they are.
impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.familiar_name())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn familiar_and_canonical_forms() {
        for (given, canonical, familiar) in [
            ("busybox", "docker.io/library/busybox", "busybox"),
            ("index.docker.io/library/busybox:1", "docker.io/library/busybox", "busybox:1"),
            ("grafana/loki", "docker.io/grafana/loki", "grafana/loki"),
            ("127.0.0.1:5000/app:v1", "127.0.0.1:5000/app", "127.0.0.1:5000/app:v1"),
            ("localhost/app", "localhost/app", "localhost/app"),
            ("quay.example/a/b__c-d", "quay.example/a/b__c-d", "quay.example/a/b__c-d"),
        ] {
            let r: ImageRef = given.parse().expect(given);
            assert_eq!((r.canonical_name().as_str(), r.to_string().as_str()), (canonical, familiar));
        }
    }

    #[test]
    fn bad_references_are_refused_in_dockerds_words() {
        for given in ["", ":x", "a:b c", "-a", "a//b", "a@sha256:00", "a_-b", "UP.example/UP"] {
            let text = given.parse::<ImageRef>().expect_err(given).to_string();
            assert!(text.starts_with("invalid reference format"), "{given}: {text}");
        }
        let upper = "CGIMG:x".parse::<ImageRef>().expect_err("upper").to_string();
        assert_eq!(upper, "invalid reference format: repository name must be lowercase");
    }
}
