//! Every path of Swarm: 503 in dockerd's words, which clients look for.

use domain::Error;

use crate::error::ApiError;

pub(crate) async fn not_a_manager() -> ApiError {
    let text = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node \
                to swarm and try again.";
    Error::unavailable(text).into()
}
