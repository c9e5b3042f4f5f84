//! What handlers take out of a request: who asks, and a strictly parsed JSON body.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Path, Request},
};
use bytes::BytesMut;
use docker_api::{strict, version::ApiVersion};
use domain::{Error, Result};
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
    request::Parts,
};
use http_body_util::BodyExt;
use identity::Tenant;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// Docker's JSON bodies are small; 4 MiB is far above any real one.
pub(crate) const JSON_MAX_BYTES: usize = 4 << 20;
/// How much of a body that is too large is read before the answer.
const DRAIN_MAX_BYTES: usize = 64 << 20;
/// A body that stands still for this long is given up.
const BODY_IDLE: Duration = Duration::from_secs(30);

/// Who asks, and in which version of the API. Put into the request by `serve`, which has checked the certificate.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) tenant: Tenant,
    pub(crate) version: ApiVersion,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Error::internal("a request without its caller").into())
    }
}

/// `{id}` or `{name}` of the path, as the tenant wrote it.
pub(crate) struct Reference(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Reference {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            // Postgres has no text with NUL, and Docker no name.
            Ok(Path(text)) if !text.contains('\0') => Ok(Self(text)),
            _ => Err(Error::invalid("invalid reference in the path").into()),
        }
    }
}

/// A JSON body. Unknown fields, duplicate keys and trailing content are refused.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let JsonBytes(bytes) = JsonBytes::from_request(request, state).await?;
        Ok(Self(parse(&bytes)?))
    }
}

/// A JSON body that may be absent.
pub(crate) struct OptionalJson<T>(pub(crate) Option<T>);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = read(request).await?;
        Ok(Self(if bytes.is_empty() { None } else { Some(parse(&bytes)?) }))
    }
}

/// A JSON body that the handler parses itself.
pub(crate) struct JsonBytes(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBytes {
    type Rejection = ApiError;
    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        match read(request).await? {
            bytes if bytes.is_empty() => Err(Error::invalid("invalid JSON: got EOF while reading request body").into()),
            bytes => Ok(Self(bytes)),
        }
    }
}

async fn read(request: Request) -> Result<Bytes, ApiError> {
    let (parts, body) = request.into_parts();
    let bytes = collect(body, JSON_MAX_BYTES).await?;
    check_content_type(&parts.headers, !bytes.is_empty())?;
    Ok(bytes)
}

/// Strict parse; the errors are dockerd's, and `unsupported field "HostConfig.X"` for what we do not know.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    strict::parse(bytes).map_err(|e| Error::invalid(e.to_string()))
}

/// The whole body, at most `max_bytes`.
pub(crate) async fn collect(body: Body, max_bytes: usize) -> Result<Bytes, ApiError> {
    tokio::time::timeout(BODY_IDLE, gather(body, max_bytes))
        .await
        .map_err(|_| ApiError::Http(StatusCode::REQUEST_TIMEOUT, "timeout while reading request body".to_owned()))?
}

/// What is over the limit is read and dropped, up to a second limit: a client that still writes would see a broken pipe
/// in place of the answer.
async fn gather(mut body: Body, max_bytes: usize) -> Result<Bytes, ApiError> {
    let (mut kept, mut total) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::invalid("invalid JSON: unexpected EOF"))?;
        let Ok(data) = frame.into_data() else { continue };
        total += data.len();
        match total {
            n if n <= max_bytes => kept.extend_from_slice(&data),
            n if n <= DRAIN_MAX_BYTES => kept.clear(),
            _ => break,
        }
    }
    match total <= max_bytes {
        true => Ok(kept.freeze()),
        false => Err(ApiError::Http(StatusCode::PAYLOAD_TOO_LARGE, "request body too large".to_owned())),
    }
}

/// dockerd's rule: JSON, or no header at all where there is no body.
fn check_content_type(headers: &HeaderMap, has_body: bool) -> Result<(), ApiError> {
    if headers.get(CONTENT_ENCODING).is_some_and(|v| v != "identity") {
        return Err(ApiError::Http(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported Content-Encoding header".to_owned(),
        ));
    }
    let given = headers.get(CONTENT_TYPE).map(|v| v.to_str().unwrap_or("")).unwrap_or("");
    let kind = given.split(';').next().unwrap_or("").trim();
    if kind.eq_ignore_ascii_case("application/json") || (given.is_empty() && !has_body) {
        return Ok(());
    }
    if kind.is_empty() {
        return Err(Error::invalid("malformed Content-Type header (): mime: no media type").into());
    }
    // SDKs label empty bodies as text or forms; there is nothing in them to misread.
    if !has_body {
        return Ok(());
    }
    Err(Error::invalid(format!("unsupported Content-Type header ({given}): must be 'application/json'")).into())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(kind: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))])
    }

    #[test]
    fn a_body_must_be_labelled_as_json() {
        assert!(check_content_type(&headers("application/json; charset=utf-8"), true).is_ok());
        assert!(check_content_type(&HeaderMap::new(), false).is_ok());
        let error = check_content_type(&headers("text/plain"), true).expect_err("refused");
        assert_eq!(error.message(), "unsupported Content-Type header (text/plain): must be 'application/json'");
        assert!(check_content_type(&HeaderMap::new(), true).is_err());
    }

    #[tokio::test]
    async fn a_body_over_the_cap_is_413() {
        let error = collect(Body::from(vec![b' '; 65]), 64).await.expect_err("too large");
        assert_eq!(error.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
