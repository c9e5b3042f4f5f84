//! `GET` and `HEAD /_ping`: the versions in headers, which clients negotiate by.

use axum::response::Response;
use http::{
    HeaderMap, HeaderValue, Method,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, PRAGMA},
};

pub(crate) async fn ping(method: Method) -> Response {
    let mut response = Response::new("OK".into());
    headers(response.headers_mut());
    if method == Method::HEAD {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    response
}

fn headers(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    // The classic builder; there is no BuildKit session here.
    headers.insert("builder-version", HeaderValue::from_static("1"));
    headers.insert("swarm", HeaderValue::from_static("inactive"));
}
