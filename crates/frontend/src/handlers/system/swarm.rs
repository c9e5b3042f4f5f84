//! Every path of Swarm: 503 in dockerd's words, which clients look for (policy U02). Only what would turn Swarm on is told
//! otherwise: dockerd's words would send the user back to the command that was just given.

use domain::Error;

use crate::error::ApiError;

pub(crate) async fn not_a_manager() -> ApiError {
    let text = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node \
                to swarm and try again.";
    Error::unavailable(text).into()
}

pub(crate) async fn not_part_of_a_swarm() -> ApiError {
    Error::unavailable("This node is not part of a swarm").into()
}

pub(crate) async fn not_offered() -> ApiError {
    let text = "Swarm mode is not available on this endpoint, which spreads containers over many hosts without it (policy U02)";
    Error::unsupported(text).into()
}
