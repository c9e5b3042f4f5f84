//! `POST /session` and `POST /grpc`, BuildKit's ways into a client: not offered, and the connection is never handed over
//! (policy U03). Build with the classic builder.

use domain::Error;

use crate::error::ApiError;

pub(crate) async fn not_offered() -> ApiError {
    Error::unsupported(
        "BuildKit sessions are not available on this endpoint: build with DOCKER_BUILDKIT=0 (policy U03)",
    )
    .into()
}
