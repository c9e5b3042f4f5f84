//! What frontends tell: applied before they are answered.

use std::sync::Arc;

use domain::Error;
use rpc::{Peer, v1};
use tonic::{Request, Response, Status, async_trait};

use crate::table::Table;

pub(crate) struct Grpc {
    table: Arc<Table>,
}

impl Grpc {
    pub(crate) fn new(table: Arc<Table>) -> Self {
        Self { table }
    }
}

#[async_trait]
impl v1::edge_server::Edge for Grpc {
    /// Frontends only.
    async fn announce(&self, request: Request<v1::PublishedAddresses>) -> Result<Response<v1::Empty>, Status> {
        match Peer::of(&request).map_err(rpc::status::to_status)? {
            Peer::Frontend => {}
            _ => return Err(rpc::status::to_status(Error::forbidden("only frontends tell of ports"))),
        }
        let request_id = rpc::request_id::of(&request);
        for address in request.into_inner().addresses {
            if let Err(error) = self.table.apply(&address) {
                tracing::warn!(request_id, address = address.address, error = error.operator_text(), "ports");
                return Err(rpc::status::to_status(error));
            }
        }
        Ok(Response::new(v1::Empty {}))
    }
}
