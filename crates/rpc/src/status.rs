//! `domain::Error` over gRPC: the code for machines and middleboxes, and our own variant in metadata, since gRPC has fewer
//! codes than we have answers. A status without that metadata did not come from our code: it is a broken connection.

use domain::{Error, error::Kind};
use tonic::{Code, Status, metadata::MetadataValue};

const VARIANT: &str = "wharfinger-error";
const KIND: &str = "wharfinger-kind";
const REFERENCE: &str = "wharfinger-reference-bin";

/// The gRPC code of each variant; the HTTP twin of this table is in the frontend.
pub fn code(error: &Error) -> Code {
    match error {
        Error::Invalid(_) => Code::InvalidArgument,
        Error::Unauthenticated(_) => Code::Unauthenticated,
        Error::Forbidden(_) => Code::PermissionDenied,
        Error::NotFound { .. } | Error::Missing(_) => Code::NotFound,
        Error::Conflict(_) => Code::FailedPrecondition,
        Error::Unsupported(_) => Code::Unimplemented,
        Error::NoCapacity(_) => Code::ResourceExhausted,
        Error::Unavailable { .. } => Code::Unavailable,
        Error::Internal { .. } => Code::Internal,
    }
}

fn variant(error: &Error) -> &'static str {
    match error {
        Error::Invalid(_) => "invalid",
        Error::Unauthenticated(_) => "unauthenticated",
        Error::Forbidden(_) => "forbidden",
        Error::NotFound { .. } => "not-found",
        Error::Missing(_) => "missing",
        Error::Conflict(_) => "conflict",
        Error::Unsupported(_) => "unsupported",
        Error::NoCapacity(_) => "no-capacity",
        Error::Unavailable { .. } => "unavailable",
        Error::Internal { .. } => "internal",
    }
}

const KINDS: [(Kind, &str); 10] = [
    (Kind::Container, "container"),
    (Kind::Exec, "exec"),
    (Kind::Image, "image"),
    (Kind::Network, "network"),
    (Kind::Volume, "volume"),
    (Kind::Tenant, "tenant"),
    (Kind::Credential, "credential"),
    (Kind::Host, "host"),
    (Kind::Blob, "blob"),
    (Kind::Page, "page"),
];

/// For a server's answer. An internal error keeps its text: both ends are ours, and the frontend hides it from tenants.
pub fn to_status(error: Error) -> Status {
    let text = match &error {
        Error::Internal { .. } => error.operator_text(),
        other => other.to_string(),
    };
    let mut status = Status::new(code(&error), text);
    let metadata = status.metadata_mut();
    metadata.insert(VARIANT, MetadataValue::from_static(variant(&error)));
    if let Error::NotFound { kind, reference } = &error {
        if let Some((_, name)) = KINDS.iter().find(|(k, _)| k == kind) {
            metadata.insert(KIND, MetadataValue::from_static(name));
        }
        metadata.insert_bin(REFERENCE, MetadataValue::from_bytes(reference.as_bytes()));
    }
    status
}

/// For a client. The peer's own words where our code wrote them; otherwise the peer is unreachable.
pub fn from_status(status: Status) -> Error {
    let text = status.message().to_owned();
    match status.metadata().get(VARIANT).and_then(|v| v.to_str().ok()) {
        Some("invalid") => Error::Invalid(text),
        Some("unauthenticated") => Error::Unauthenticated(text),
        Some("forbidden") => Error::Forbidden(text),
        Some("not-found") => not_found(&status, text),
        Some("missing") => Error::Missing(text),
        Some("conflict") => Error::Conflict(text),
        Some("unsupported") => Error::Unsupported(text),
        Some("no-capacity") => Error::NoCapacity(text),
        Some("unavailable") => Error::unavailable(text),
        Some(_) => Error::because("a peer failed", text),
        None => Error::unavailable_because("the host cannot be reached at the moment, try again later", status),
    }
}

/// No peer of ours wrote this: the connection to it broke, or it was never there.
pub fn is_broken_connection(status: &Status) -> bool {
    !status.metadata().contains_key(VARIANT)
}

fn not_found(status: &Status, text: String) -> Error {
    let kind = status.metadata().get(KIND).and_then(|v| v.to_str().ok());
    let reference = status.metadata().get_bin(REFERENCE).and_then(|v| v.to_bytes().ok());
    match (KINDS.iter().find(|(_, name)| Some(*name) == kind), reference) {
        (Some((kind, _)), Some(bytes)) => Error::not_found(*kind, String::from_utf8_lossy(&bytes)),
        _ => Error::Missing(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_survives_the_wire_with_its_words() {
        for error in [
            Error::invalid("a"),
            Error::Unauthenticated("b".into()),
            Error::forbidden("c"),
            Error::not_found(Kind::Image, "busybox:latest"),
            Error::Missing("d".into()),
            Error::conflict("e"),
            Error::unsupported("f"),
            Error::NoCapacity("g".into()),
            Error::unavailable("h"),
        ] {
            let back = from_status(to_status(match &error {
                Error::NotFound { kind, reference } => Error::not_found(*kind, reference.clone()),
                other => from_status(Status::new(code(other), other.to_string()).tap(other)),
            }));
            assert_eq!(variant(&back), variant(&error));
            assert_eq!(back.to_string(), error.to_string());
        }
    }

    trait Tap {
        fn tap(self, error: &Error) -> Status;
    }

    impl Tap for Status {
        fn tap(mut self, error: &Error) -> Status {
            self.metadata_mut().insert(VARIANT, MetadataValue::from_static(variant(error)));
            self
        }
    }

    #[test]
    fn a_strange_status_means_unreachable() {
        let error = from_status(Status::unknown("transport error"));
        assert!(matches!(error, Error::Unavailable { .. }));
        assert!(!error.to_string().contains("transport"));
    }

    #[test]
    fn internal_text_stays_behind_the_display() {
        let error = from_status(to_status(Error::internal("SELECT failed")));
        assert_eq!(error.to_string(), "internal error");
        assert!(error.operator_text().contains("SELECT failed"));
    }
}
