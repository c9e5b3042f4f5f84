//! Checkpoints: an experiment of dockerd's, off here as it is there (policy E05), whichever container is named.

use domain::Error;

use crate::error::ApiError;

/// dockerd's words.
pub(crate) const DISABLED: &str = "This experimental feature is disabled by default. Start the Docker daemon in experimental \
                                   mode in order to enable it.";

pub(crate) async fn disabled() -> ApiError {
    Error::unsupported(DISABLED).into()
}
