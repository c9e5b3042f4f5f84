//! `docker import`: the tar of a root filesystem becomes an image of one layer.

use chrono::{SecondsFormat, Utc};
use domain::{Digest, Error, ImageRef, Result};
use futures::{StreamExt as _, TryStreamExt as _};
use inventory::TenantView;
use serde_json::{Value, json};
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use crate::{
    Images, archive,
    config::Config,
    layer::{self, plain},
    platform::Platform,
};

const CHUNK_BYTES: usize = 128 << 10;
/// dockerd's comment where the client gives none.
const DEFAULT_MESSAGE: &str = "Imported from -";

impl Images {
    /// The image's id. `config`: the image's `Config`, changes applied. `message` empty: dockerd's own.
    pub async fn import(
        &self,
        tenant: &TenantView,
        from: impl AsyncRead + Send + Unpin + 'static,
        reference: Option<ImageRef>,
        config: Value,
        message: &str,
        platform: Option<&str>,
    ) -> Result<Digest> {
        let platform = Platform::parse(platform.unwrap_or_default())?;
        let reference = reference.map(ImageRef::with_default_tag);
        if reference.as_ref().is_some_and(|r| r.digest().is_some()) {
            return Err(Error::invalid("cannot import digest reference"));
        }
        let cut = |e: std::io::Error| Error::invalid(format!("reading the archive failed: {e}"));
        let root = ReaderStream::with_capacity(from, CHUNK_BYTES).map_err(cut).boxed();
        let received = layer::receive(&self.store, plain(root).await?, None).await?;
        let diff_bytes = received.inspection.diff_bytes;
        if diff_bytes == 0 {
            return Err(Error::invalid("unexpected EOF"));
        }
        let layer = archive::stored_layer(received)?;
        let message = if message.is_empty() { DEFAULT_MESSAGE } else { message };
        let bytes = document(config, message, &platform, &layer.diff_id)?;
        let names: Vec<ImageRef> = reference.into_iter().collect();
        let image = archive::new_image(bytes.clone(), &Config::parse(&bytes)?, vec![(layer, diff_bytes)], &names);
        tenant.put_image(&image).await?;
        Ok(image.id)
    }
}

/// The image's config, in the shape that dockerd writes.
fn document(config: Value, message: &str, platform: &Platform, diff_id: &Digest) -> Result<Vec<u8>> {
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Nanos, true);
    let mut document = json!({
        "architecture": platform.architecture,
        "comment": message,
        "config": config,
        "created": now,
        "history": [{ "created": now, "comment": message }],
        "os": platform.os,
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
    });
    if !platform.variant.is_empty() {
        document["variant"] = platform.variant.clone().into();
    }
    serde_json::to_vec(&document).map_err(|e| Error::because("encoding an image config", e))
}
