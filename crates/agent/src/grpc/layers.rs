//! The `Layers` service: layers of containers, for commit and build.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt};
use rpc::v1::{self, layer_part::Part, layers_server::Layers};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, async_trait};

use super::{admit, refuse};
use crate::{layer::Shape, lifecycle::Engine};

/// Serves frontends.
#[derive(Clone)]
pub(crate) struct LayerService {
    engine: Arc<Engine>,
}

impl LayerService {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

#[async_trait]
impl Layers for LayerService {
    type MakeStream = Pin<Box<dyn Stream<Item = Result<v1::LayerPart, Status>> + Send>>;

    async fn make(&self, request: Request<v1::MakeLayerRequest>) -> Result<Response<Self::MakeStream>, Status> {
        admit(&request)?;
        let m = request.into_inner();
        let (tenant, id) = rpc::tenant_and_container(m.container).map_err(refuse)?;
        let shapes = self.engine.make_layer(tenant, &id, m.pause, m.anew).map_err(refuse)?;
        let parts = ReceiverStream::new(shapes).map(|shape| shape.map(part).map_err(refuse));
        Ok(Response::new(Box::pin(parts)))
    }
}

fn part(shape: Shape) -> v1::LayerPart {
    let part = match shape {
        Shape::Data(data) => Part::Data(data),
        Shape::Known(digest) => Part::Known(digest.to_string()),
        Shape::End { empty, paused } => Part::End(v1::LayerEnd { empty, paused }),
    };
    v1::LayerPart { part: Some(part) }
}
