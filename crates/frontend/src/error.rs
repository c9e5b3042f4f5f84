//! `domain::Error` to HTTP: the one table of statuses. The body is always `{"message": "..."}`.
//!
//! What an operator needs travels beside the response as [`Cause`] and is logged once, by `serve`, under the request id.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use domain::Error;
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};

/// What a handler fails with.
#[derive(Debug)]
pub(crate) enum ApiError {
    Domain(Error),
    /// HTTP's own refusals (413, 415), which no other layer knows.
    Http(StatusCode, String),
}

/// A handler's outcome.
pub(crate) type Answer<T = Response> = Result<T, ApiError>;

/// The operator's text of a failed request, in the response's extensions.
#[derive(Clone, Debug)]
pub(crate) struct Cause(pub(crate) String);

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self::Domain(error)
    }
}

impl From<tonic::Status> for ApiError {
    fn from(status: tonic::Status) -> Self {
        Self::Domain(rpc::status::from_status(status))
    }
}

/// The table. Exhaustive, so that a new variant does not compile until it has a status.
pub(crate) fn status_of(error: &Error) -> StatusCode {
    match error {
        Error::Invalid(_) => StatusCode::BAD_REQUEST,
        Error::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
        Error::Forbidden(_) => StatusCode::FORBIDDEN,
        Error::NotFound { .. } | Error::Missing(_) => StatusCode::NOT_FOUND,
        Error::Conflict(_) => StatusCode::CONFLICT,
        Error::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
        Error::NoCapacity(_) | Error::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Error::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl ApiError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Domain(error) => status_of(error),
            Self::Http(status, _) => *status,
        }
    }

    /// What the tenant reads.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Domain(error @ Error::Internal { .. }) => format!("{error} (request {})", rpc::request_id::current()),
            Self::Domain(error) => error.to_string(),
            Self::Http(_, message) => message.clone(),
        }
    }

    fn cause(&self) -> String {
        match self {
            Self::Domain(error) => error.operator_text(),
            Self::Http(_, message) => message.clone(),
        }
    }
}

/// `{"message": text}` as dockerd writes it, with its final newline.
pub(crate) fn message_body(text: &str) -> Vec<u8> {
    let mut body = br#"{"message":"#.to_vec();
    body.extend_from_slice(&rpc::to_json(&text));
    body.extend_from_slice(b"}\n");
    body
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(message_body(&self.message())));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(Cause(self.cause()));
        response
    }
}

#[cfg(test)]
mod tests {
    use domain::Kind;

    use super::*;

    #[test]
    fn each_variant_has_the_status_of_the_style_guide() {
        for (error, status) in [
            (Error::invalid("x"), 400),
            (Error::Unauthenticated("x".into()), 401),
            (Error::forbidden("x"), 403),
            (Error::not_found(Kind::Container, "x"), 404),
            (Error::Missing("x".into()), 404),
            (Error::conflict("x"), 409),
            (Error::unsupported("x"), 501),
            (Error::NoCapacity("x".into()), 503),
            (Error::unavailable("x"), 503),
            (Error::internal("x"), 500),
        ] {
            assert_eq!(status_of(&error).as_u16(), status, "{error:?}");
        }
    }

    #[test]
    fn a_defect_shows_nothing_of_its_cause() {
        let error = ApiError::from(Error::because("reading secret_table", std::io::Error::other("host h7")));
        assert!(error.message().starts_with("internal error (request "));
        assert!(!error.message().contains("secret_table") && !error.message().contains("h7"));
        let response = error.into_response();
        assert_eq!(response.extensions().get::<Cause>().expect("cause").0, "reading secret_table: host h7");
    }

    #[test]
    fn messages_are_escaped() {
        assert_eq!(message_body("a \"b\"\n"), b"{\"message\":\"a \\\"b\\\"\\n\"}\n");
    }
}
