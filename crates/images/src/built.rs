//! What a build needs of images: its context, root file systems, new layers, and the finished image's row.

use domain::{Digest, Error, ImageRef, Layer, Result};
use inventory::TenantView;
use tokio::io::AsyncRead;

use crate::{
    Images, archive,
    config::Config,
    tree::{LayerWriter, Rootfs, Scratch, Tree, write},
};

impl Images {
    /// The tar of a build's context.
    pub async fn context(&self, from: impl AsyncRead + Send + Unpin, max_bytes: u64) -> Result<Tree> {
        Tree::fill(self.store.spool(), from, max_bytes).await
    }

    pub fn empty_tree(&self) -> Result<Tree> {
        Tree::empty(self.store.spool())
    }

    pub fn scratch(&self) -> Scratch {
        Scratch(self.store.spool().to_owned())
    }

    /// Whoever calls has made sure that the tenant has a right to the layers.
    pub async fn rootfs(&self, layers: &[Layer]) -> Result<Rootfs> {
        self.indexes.rootfs(&self.store, layers).await
    }

    /// See [`Rootfs::excerpt`].
    pub async fn excerpt(&self, rootfs: &Rootfs, paths: &[String]) -> Result<Tree> {
        rootfs.excerpt(&self.store, paths).await
    }

    /// A layer of what `produce` writes, on a blocking thread, and the bytes of its plain tar.
    pub async fn write_layer<P>(&self, produce: P) -> Result<(Layer, u64)>
    where
        P: FnOnce(&mut LayerWriter) -> Result<()> + Send + 'static,
    {
        write::write(&self.store, produce).await
    }

    /// An image out of a config that was written here, under these names. Its id.
    pub async fn put_built(
        &self,
        tenant: &TenantView,
        config: Vec<u8>,
        layers: &[Layer],
        names: &[ImageRef],
    ) -> Result<Digest> {
        let parsed = Config::parse(&config)?;
        if !self.secure(layers).await? {
            return Err(Error::unavailable("layers of the image were removed while it was built, try again"));
        }
        let sizes = self.layer_sizes(layers).await?;
        let layers = layers.iter().cloned().zip(sizes).collect();
        let image = archive::new_image(config, &parsed, layers, names);
        tenant.put_image(&image).await?;
        Ok(image.id)
    }
}
