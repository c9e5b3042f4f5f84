//! The request id: made by the frontend for each call, carried by gRPC metadata to every role that the call reaches, and
//! logged there, so that one search finds the whole story.

use tonic::{Request, Status, metadata::MetadataValue, service::Interceptor};

/// Metadata key and HTTP header.
pub const HEADER: &str = "x-request-id";

tokio::task_local! {
    /// Set around a request's future (`REQUEST_ID.scope(id, future)`).
    pub static REQUEST_ID: String;
}

/// The current task's request id, empty outside a request.
pub fn current() -> String {
    REQUEST_ID.try_with(Clone::clone).unwrap_or_default()
}

/// What the caller of this rpc sent, empty without one.
pub fn of<T>(request: &Request<T>) -> String {
    request.metadata().get(HEADER).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
}

/// Client interceptor that sends [`current`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Carry;

impl Interceptor for Carry {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Ok(value) = MetadataValue::try_from(current())
            && !value.is_empty()
        {
            request.metadata_mut().insert(HEADER, value);
        }
        Ok(request)
    }
}
