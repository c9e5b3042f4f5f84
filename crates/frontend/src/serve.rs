//! What happens around every request: its id and span, who asks, the API version, the common headers, one log line.
//!
//! The certificate was verified by TLS; here its credential is looked up again for each request (the gate's answer is at
//! most a second old), so that a revocation bites on connections that are open already.

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Response},
};
use domain::Error;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header::SERVER};
use hyper::body::Incoming;
use rpc::request_id::REQUEST_ID;
use tower::ServiceExt;
use tracing::{Instrument, field::Empty};

use crate::{
    error::{ApiError, Cause},
    extract::Caller,
    server::Connection,
    state::App,
    version,
};

/// The newest API version, as every answer says.
const API_VERSION: HeaderValue = HeaderValue::from_static("1.51");
const SERVER_VALUE: HeaderValue =
    HeaderValue::from_static(concat!("Wharfinger/", env!("CARGO_PKG_VERSION"), " (linux)"));

/// Everything that a request needs; one for the whole listener.
pub(crate) struct Door {
    pub(crate) app: App,
    pub(crate) router: Router,
}

/// Answers one request of `connection`.
pub(crate) async fn answer(door: Arc<Door>, connection: Arc<Connection>, request: Request<Incoming>) -> Response {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let span = tracing::info_span!("request", "request.id" = %id, "tenant.id" = Empty);
    let work = async {
        let began = Instant::now();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let mut response = match admitted(&door, &connection, request.map(Body::new)).await {
            Ok(response) => response,
            Err(error) => error.into_response(),
        };
        common_headers(response.headers_mut(), &id);
        log(&method, &path, &response, began);
        response
    };
    REQUEST_ID.scope(id.clone(), work.instrument(span)).await
}

async fn admitted(door: &Door, connection: &Arc<Connection>, mut request: Request<Body>) -> Result<Response, ApiError> {
    let tenant = door.app.gate.admit(&connection.chain).await?;
    tracing::Span::current().record("tenant.id", tracing::field::display(tenant.id()));
    if request.uri().scheme().is_some() {
        return Err(Error::invalid("the request's target must be a path: this is no proxy").into());
    }
    let (version, path) = version::split(request.uri().path())?;
    if let Some(uri) = version::routed(request.method(), request.uri(), path) {
        *request.uri_mut() = uri;
    }
    request.extensions_mut().insert(Caller { tenant, version });
    request.extensions_mut().insert(connection.clone());
    match door.router.clone().oneshot(request).await {
        Ok(response) => Ok(response),
        Err(never) => match never {},
    }
}

fn common_headers(headers: &mut HeaderMap, id: &str) {
    headers.insert(HeaderName::from_static("api-version"), API_VERSION);
    headers.insert(HeaderName::from_static("docker-experimental"), HeaderValue::from_static("false"));
    headers.insert(HeaderName::from_static("ostype"), HeaderValue::from_static("linux"));
    headers.insert(SERVER, SERVER_VALUE);
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(HeaderName::from_static(rpc::request_id::HEADER), id);
    }
}

/// One line for each request, at its end; of a stream, when its headers are sent.
fn log(method: &http::Method, path: &str, response: &Response, began: Instant) {
    let (status, elapsed_us) = (response.status().as_u16(), began.elapsed().as_micros() as u64);
    let cause = response.extensions().get::<Cause>().map_or("", |c| c.0.as_str());
    match response.status() {
        StatusCode::INTERNAL_SERVER_ERROR => tracing::error!(%method, path, status, elapsed_us, cause, "request"),
        s if s.is_server_error() => tracing::info!(%method, path, status, elapsed_us, cause, "request"),
        _ => tracing::debug!(%method, path, status, elapsed_us, cause, "request"),
    }
}

/// Every path and method that the table does not have.
pub(crate) async fn page_not_found() -> ApiError {
    Error::not_found(domain::Kind::Page, "").into()
}
