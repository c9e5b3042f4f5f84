//! What can go wrong between us and a registry, and how dockerd says it.

use std::{error::Error as StdError, time::Duration};

use domain::{Error, ImageRef};
use reqwest::Url;
use serde::Deserialize;

use super::resolver::{AddressRefused, LookupFailed};

/// Of one request, all in all.
pub(crate) const TRIES: u32 = 5;
/// 0.25 + 0.5 + 1 + 2 s.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// A registry that wants to be asked later than this is told of instead: the client waits.
const PAUSE_MOST: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) enum Trouble {
    /// Nobody answers: another endpoint may. The text is Go's.
    Unreachable(String),
    /// Ours to say: policy, malformed answers, defects.
    Ours(Error),
    /// The registry said no.
    Answer(Answer),
}

/// A registry's error body, by the distribution specification; the first entry counts.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `MANIFEST_UNKNOWN`, ...; made up from the status where there is no body.
    pub(crate) code: String,
    pub(crate) message: String,
    /// `Retry-After`, of an answer that may pass.
    pub(crate) retry_after: Option<Duration>,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl Trouble {
    /// Before the next try, after `failed` ones: doubles with each, and is not shorter than the registry asks for.
    pub(crate) fn pause(&self, failed: u32) -> Duration {
        let asked = match self {
            Self::Answer(answer) => answer.retry_after.unwrap_or_default().min(PAUSE_MOST),
            _ => Duration::ZERO,
        };
        asked.max(FIRST_PAUSE * 2u32.pow(failed.saturating_sub(1).min(10)))
    }

    /// Worth another try at the same place.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Answer(a) => a.status >= 500 || a.status == 429,
            Self::Ours(_) => false,
        }
    }

    /// The registry was reached and does not have it, or does not show it.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Answer(a) if matches!(a.status, 401 | 403 | 404))
    }

    /// The credential is not good (any more).
    pub(crate) fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Answer(a) if a.status == 401)
    }

    /// The error for the tenant, in a push: `denied: requested access to the resource is denied`.
    pub(crate) fn about_push(self) -> Error {
        match self {
            Self::Ours(error) => error,
            Self::Unreachable(text) => Error::unavailable(text),
            // Not `Unauthenticated`: 401 makes the docker CLI ask for a login to *us*.
            Self::Answer(answer) if matches!(answer.status, 401 | 403) => Error::forbidden(answer.text()),
            Self::Answer(answer) if (400..500).contains(&answer.status) => Error::invalid(answer.text()),
            Self::Answer(answer) => Error::unavailable(answer.text()),
        }
    }

    /// The error for the tenant, in the registry's own words: `manifest unknown: manifest unknown`.
    pub(crate) fn about_distribution(self) -> Error {
        match self {
            Self::Answer(answer) if answer.status == 404 => Error::Missing(answer.text()),
            Self::Answer(answer) if answer.status == 401 => Error::Unauthenticated(answer.text()),
            other => other.about_push(),
        }
    }

    /// The error for the tenant, about `reference`.
    pub(crate) fn about(self, reference: &ImageRef) -> Error {
        match self {
            Self::Ours(error) => error,
            Self::Unreachable(text) => Error::unavailable(text),
            Self::Answer(answer) => answer.about(reference),
        }
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    errors: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Answer {
    /// `insufficient`: the challenge says that the credential is good and not enough.
    pub(crate) fn new(status: u16, body: &[u8], insufficient: bool) -> Self {
        let entry = serde_json::from_slice::<Body>(body).ok().and_then(|b| b.errors.into_iter().next());
        let (code, message) = entry.map(|e| (e.code, e.message)).unwrap_or_default();
        let (code, message) = match (status, code.as_str()) {
            (401 | 403, _) if insufficient => ("DENIED".to_owned(), String::new()),
            (401, "") => ("UNAUTHORIZED".to_owned(), message),
            (403, "") => ("DENIED".to_owned(), message),
            (404, "") => ("MANIFEST_UNKNOWN".to_owned(), message),
            (429, "") => ("TOOMANYREQUESTS".to_owned(), message),
            _ => (code, message),
        };
        let message = if message.is_empty() { default_message(&code).to_owned() } else { message };
        Self {
            status,
            code,
            message: message.chars().filter(|c| !c.is_control()).take(500).collect(),
            retry_after: None,
        }
    }

    /// `denied: requested access to the resource is denied`
    fn text(&self) -> String {
        if self.code.is_empty() {
            return format!("received unexpected HTTP status: {}", self.status);
        }
        format!("{}: {}", self.code.to_ascii_lowercase().replace('_', " "), self.message)
    }

    fn about(self, reference: &ImageRef) -> Error {
        let name = reference.familiar_name();
        let denied = |text: String| {
            Error::Missing(format!(
                "pull access denied for {name}, repository does not exist or may require 'docker login': {text}"
            ))
        };
        // docker.io answers 401 for what does not exist, so that nobody learns what exists; dockerd says "denied".
        if reference.domain() == "docker.io" && matches!(self.status, 401 | 403) {
            return denied("denied: requested access to the resource is denied".to_owned());
        }
        match (self.status, self.code.as_str()) {
            (_, "DENIED") => denied(self.text()),
            (_, "MANIFEST_UNKNOWN") => Error::Missing(format!("manifest for {reference} not found: {}", self.text())),
            (_, "NAME_UNKNOWN") => Error::Missing(format!("repository {name} not found: {}", self.text())),
            // Not `Unauthenticated`: 401 makes the docker CLI ask for a login to *us*.
            (401 | 403, _) => Error::forbidden(self.text()),
            (404, _) => Error::Missing(self.text()),
            _ => Error::unavailable(self.text()),
        }
    }
}

fn default_message(code: &str) -> &'static str {
    match code {
        "DENIED" => "requested access to the resource is denied",
        "UNAUTHORIZED" => "authentication required",
        "MANIFEST_UNKNOWN" => "manifest unknown",
        "NAME_UNKNOWN" => "repository name not known to registry",
        "BLOB_UNKNOWN" => "blob unknown to registry",
        "TOOMANYREQUESTS" => "too many requests",
        _ => "unknown error",
    }
}

/// A failed exchange: policy's refusal, or `Get "https://host/v2/": dial tcp ...`.
pub(crate) fn of_exchange(error: &reqwest::Error, url: &Url) -> Trouble {
    let mut reason = None;
    let mut at: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = at {
        if let Some(refused) = found::<AddressRefused>(cause) {
            return Trouble::Ours(Error::forbidden(refused.to_string()));
        }
        reason = reason.or_else(|| words(cause, url));
        at = cause.source();
    }
    let reason = reason.unwrap_or_else(|| {
        if error.is_timeout() { format!("dial tcp {}: i/o timeout", authority(url)) } else { "EOF".to_owned() }
    });
    Trouble::Unreachable(format!("Get \"{}://{}/v2/\": {reason}", url.scheme(), shown_authority(url)))
}

/// `T` itself, or inside an `io::Error`, whose `source()` skips what it holds.
fn found<'a, T: StdError + 'static>(cause: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let inner =
        || cause.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref()).and_then(|e| e.downcast_ref::<T>());
    cause.downcast_ref::<T>().or_else(inner)
}

fn words(cause: &(dyn StdError + 'static), url: &Url) -> Option<String> {
    if let Some(failed) = found::<LookupFailed>(cause) {
        return Some(format!("dial tcp: {failed}"));
    }
    if let Some(tls) = found::<rustls::Error>(cause) {
        return Some(match tls {
            rustls::Error::InvalidMessage(_) => "http: server gave HTTP response to HTTPS client".to_owned(),
            rustls::Error::InvalidCertificate(e) => format!("tls: failed to verify certificate: {e:?}"),
            _ => "remote error: tls: handshake failure".to_owned(),
        });
    }
    let io = cause.downcast_ref::<std::io::Error>()?;
    let said = match io.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused",
        std::io::ErrorKind::NetworkUnreachable => "connect: network is unreachable",
        std::io::ErrorKind::HostUnreachable => "connect: no route to host",
        std::io::ErrorKind::TimedOut => "i/o timeout",
        std::io::ErrorKind::ConnectionReset => return Some("read: connection reset by peer".to_owned()),
        _ => return None,
    };
    Some(format!("dial tcp {}: {said}", authority(url)))
}

/// Always with the port, as Go's dial errors.
fn authority(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

fn shown_authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registrys_no_is_said_as_dockerd_says_it() {
        let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"v1"}}]}"#;
        let here: ImageRef = "127.0.0.1:5000/x:v1".parse().expect("reference");
        let hub: ImageRef = "nosuch".parse().expect("reference");
        assert_eq!(
            Answer::new(404, body, false).about(&here).to_string(),
            "manifest for 127.0.0.1:5000/x:v1 not found: manifest unknown: manifest unknown"
        );
        assert_eq!(
            Answer::new(401, b"", false).about(&hub).to_string(),
            "pull access denied for nosuch, repository does not exist or may require 'docker login': denied: requested \
             access to the resource is denied"
        );
        assert_eq!(Answer::new(401, b"", false).about(&here).to_string(), "unauthorized: authentication required");
    }
}
