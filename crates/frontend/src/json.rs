//! JSON answers, serialised straight to bytes, with the newline that Go's encoder writes.

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde::Serialize;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(crate) fn bytes<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = rpc::to_json(&value);
    bytes.push(b'\n');
    bytes
}

/// 200 with `value`.
pub(crate) fn ok<T: Serialize + ?Sized>(value: &T) -> Response {
    with(StatusCode::OK, bytes(value))
}

/// 201 with `value`.
pub(crate) fn created<T: Serialize + ?Sized>(value: &T) -> Response {
    with(StatusCode::CREATED, bytes(value))
}

/// `body` is JSON already.
pub(crate) fn with(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// 204 and the like: no body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
