//! A container becomes an image: its host makes the layer, the store keeps it, the catalogue gets the row.
//!
//! For `POST /commit` and for the builder's steps. The container goes on as soon as its host has read it.

use std::time::Duration;

use domain::{Digest, Error, Result};
use futures::{Stream, StreamExt as _, stream};
use images::{NewChild, StoredLayer};
use inventory::{Container, TenantView};
use rpc::v1::{LayerPart, MakeLayerRequest, layer_part::Part};
use tonic::Streaming;

use crate::state::App;

/// From one part of a layer to the next: the host may wait for a disk, or for a container to stand still.
const IDLE: Duration = Duration::from_secs(120);

/// What a host did.
pub(crate) struct Made {
    /// None where nothing has changed since the container was created.
    pub(crate) layer: Option<StoredLayer>,
    paused: bool,
}

/// The image that was made.
pub(crate) struct Committed {
    pub(crate) id: Digest,
    /// The container ran, and stood still for a moment.
    pub(crate) paused: bool,
}

/// `child` without `parent` and `layers`, which are the container's. `pause`: a running container stands still meanwhile.
pub(crate) async fn commit(
    app: &App,
    rows: &TenantView,
    container: &Container,
    child: NewChild,
    pause: bool,
) -> Result<Committed> {
    let (made, parent) = tokio::try_join!(make_layer(app, rows, container, pause), parent(rows, container))?;
    let layers = container.spec.image.layers.clone();
    let id = app.images.commit(rows, made.layer, NewChild { parent, layers, ..child }).await?;
    Ok(Committed { id, paused: made.paused })
}

/// An image that was removed by force has left its layers with its containers.
async fn parent(rows: &TenantView, container: &Container) -> Result<Vec<u8>> {
    match rows.image(container.image_id.as_str()).await {
        Ok(image) => Ok(image.config),
        Err(Error::NotFound { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Only the layer: a build step's.
pub(crate) async fn make_layer(app: &App, rows: &TenantView, container: &Container, pause: bool) -> Result<Made> {
    match ask(app, rows, container, pause, false).await? {
        Some(made) => Ok(made),
        // The host remembers a layer that the tenant does not have any more.
        None => {
            let made = ask(app, rows, container, pause, true).await?;
            made.ok_or_else(|| Error::internal("a host answered with a layer that it was not asked for"))
        }
    }
}

async fn ask(app: &App, rows: &TenantView, container: &Container, pause: bool, anew: bool) -> Result<Option<Made>> {
    let key = rpc::container_key(rows.id(), &container.id);
    let request = MakeLayerRequest { container: Some(key), pause, anew };
    let mut parts = app.layers(container)?.make(request).await.map_err(rpc::status::from_status)?.into_inner();
    let first = next(&mut parts).await?;
    let (layer, end) = match first {
        Some(Part::Known(digest)) => {
            let known = app.images.known_layer(rows, &digest.parse()?).await?;
            let end = next(&mut parts).await?;
            match known {
                Some(layer) => (Some(layer), end),
                None => return Ok(None),
            }
        }
        Some(Part::Data(data)) => {
            let mut end = None;
            let layer = app.images.receive_layer(data_of(data, &mut parts, &mut end)).await?;
            (Some(layer), end)
        }
        end => (None, end),
    };
    match end {
        Some(Part::End(end)) => Ok(Some(Made { layer: layer.filter(|_| !end.empty), paused: end.paused })),
        _ => Err(Error::unavailable("the container's host broke off, try again")),
    }
}

async fn next(parts: &mut Streaming<LayerPart>) -> Result<Option<Part>> {
    let part = tokio::time::timeout(IDLE, parts.message()).await;
    let part = part.map_err(|_| Error::unavailable("the container's host does not answer"))?;
    Ok(part.map_err(rpc::status::from_status)?.and_then(|p| p.part))
}

/// The bytes, and the part that ends them. Bytes that nothing ends are an error: the layer must not be stored.
fn data_of<'a>(
    first: bytes::Bytes,
    parts: &'a mut Streaming<LayerPart>,
    end: &'a mut Option<Part>,
) -> impl Stream<Item = Result<bytes::Bytes>> + Send + 'a {
    let rest = stream::try_unfold((parts, end), |(parts, end)| async move {
        match next(parts).await? {
            Some(Part::Data(data)) => Ok(Some((data, (parts, end)))),
            Some(part @ Part::End(_)) => {
                *end = Some(part);
                Ok(None)
            }
            _ => Err(Error::unavailable("the container's host broke off, try again")),
        }
    });
    stream::iter([Ok(first)]).chain(rest)
}
