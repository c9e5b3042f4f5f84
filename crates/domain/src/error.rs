//! The one error type that crosses crate lines: one variant for each thing that a caller can do about it.
//!
//! `Display` is fit for a tenant and in Docker's wording. What an operator needs (SQL, gRPC detail, host names) is the
//! `source`, never part of `Display`; it is logged once, under the request id, where the error stops travelling.

use std::{error::Error as StdError, fmt};

/// `std::result::Result` with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Cause = Box<dyn StdError + Send + Sync + 'static>;

/// What a look-up was for; it selects Docker's wording of "not found".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Container,
    Exec,
    Image,
    Network,
    Volume,
    Tenant,
    Credential,
    Host,
    Blob,
    Page,
}

/// See the module's text. The tables HTTP <-> variant and gRPC <-> variant stand in `frontend::error` and `rpc::status`.
#[derive(Debug)]
pub enum Error {
    /// The request is malformed: 400.
    Invalid(String),
    /// No or no valid credential: 401.
    Unauthenticated(String),
    /// Policy or quota says no: 403. The message names the field and the rule.
    Forbidden(String),
    /// It does not exist for this tenant: 404.
    NotFound { kind: Kind, reference: String },
    /// As `NotFound`, where Docker's text is of another form (`pull access denied for X, ...`): 404.
    Missing(String),
    /// Name taken, wrong state, in use: 409.
    Conflict(String),
    /// Known to Docker and not offered here: 501.
    Unsupported(String),
    /// No host has room: 503, names what lacks.
    NoCapacity(String),
    /// A host or a service cannot be reached now: 503, worth a retry.
    Unavailable { message: String, source: Option<Cause> },
    /// A defect of ours: 500, shown as "internal error" with the request id.
    Internal { context: String, source: Option<Cause> },
}

impl Error {
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::Forbidden(message.into())
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::Conflict(message.into())
    }

    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::Unsupported(message.into())
    }

    pub fn not_found(kind: Kind, reference: impl Into<String>) -> Self {
        Self::NotFound { kind, reference: reference.into() }
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable { message: message.into(), source: None }
    }

    pub fn unavailable_because(message: impl Into<String>, cause: impl Into<Cause>) -> Self {
        Self::Unavailable { message: message.into(), source: Some(cause.into()) }
    }

    /// A defect without a cause of its own; `context` is for operators.
    pub fn internal(context: impl Into<String>) -> Self {
        Self::Internal { context: context.into(), source: None }
    }

    /// A defect with its cause; `context` says what was being done, for operators.
    pub fn because(context: impl Into<String>, cause: impl Into<Cause>) -> Self {
        Self::Internal { context: context.into(), source: Some(cause.into()) }
    }

    /// The whole chain, for the log.
    pub fn operator_text(&self) -> String {
        let mut text = match self {
            Self::Internal { context, .. } => context.clone(),
            other => other.to_string(),
        };
        let mut cause = self.source();
        while let Some(c) = cause {
            text.push_str(": ");
            text.push_str(&c.to_string());
            cause = c.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(m) | Self::Unauthenticated(m) | Self::Forbidden(m) | Self::Missing(m) => f.write_str(m),
            Self::Conflict(m) | Self::Unsupported(m) | Self::NoCapacity(m) => f.write_str(m),
            Self::NotFound { kind, reference } => match kind {
                Kind::Container => write!(f, "No such container: {reference}"),
                Kind::Exec => write!(f, "No such exec instance: {reference}"),
                Kind::Image => write!(f, "No such image: {reference}"),
                Kind::Network => write!(f, "network {reference} not found"),
                Kind::Volume => write!(f, "get {reference}: no such volume"),
                Kind::Tenant => write!(f, "no such tenant: {reference}"),
                Kind::Credential => write!(f, "no such credential: {reference}"),
                Kind::Host => write!(f, "no such host: {reference}"),
                Kind::Blob => write!(f, "no such blob: {reference}"),
                Kind::Page => f.write_str("page not found"),
            },
            Self::Unavailable { message, .. } => f.write_str(message),
            Self::Internal { .. } => f.write_str("internal error"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Unavailable { source, .. } | Self::Internal { source, .. } => {
                source.as_ref().map(|s| s.as_ref() as &(dyn StdError + 'static))
            }
            _ => None,
        }
    }
}
