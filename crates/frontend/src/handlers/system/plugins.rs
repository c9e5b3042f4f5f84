//! `GET /plugins`: there are none.

use axum::response::Response;

use crate::json;

pub(crate) async fn list() -> Response {
    json::ok(&[(); 0])
}
