//! `DELETE /images/{name}`: names go first, and the image with the last of them.
//!
//! dockerd's rules: a name that others share is only taken off; the last name, or an id, also deletes, unless containers
//! use the image. Stopped containers can be overruled by `force`, running ones cannot: then an image keeps living without
//! a name.

use axum::extract::State;
use domain::{Digest, Error, ImageRef, ImageRootfs, Result};
use inventory::{Image, TenantView};
use serde_json::{Value, json};

use crate::{
    error::Answer,
    extract::{Caller, Reference},
    json,
    query::Params,
    state::App,
};

pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Reference(name): Reference,
    params: Params,
) -> Answer {
    // There are no untagged parents here that `noprune` could keep.
    params.only(&["force", "noprune", "platforms"])?;
    if params.filled("platforms").is_some() {
        return Err(Error::unsupported("platforms: an image here is of one platform, and is removed as a whole").into());
    }
    let rows = app.rows(&caller.tenant);
    let image = rows.image(&name).await?;
    let mut removal = Removal { rows: &rows, image, force: params.flag("force"), done: Vec::new(), freed_bytes: 0 };
    removal.run(&name).await?;
    Ok(json::ok(&removal.done))
}

/// One image on its way out, and what was done so far.
pub(super) struct Removal<'a> {
    rows: &'a TenantView,
    image: Image,
    force: bool,
    done: Vec<Value>,
    freed_bytes: u64,
}

impl<'a> Removal<'a> {
    /// For `prune`: everything of an image that nothing uses, and the bytes that this frees.
    pub(super) async fn whole(rows: &'a TenantView, image: Image) -> Result<(Vec<Value>, u64)> {
        let mut removal = Self { rows, image, force: false, done: Vec::new(), freed_bytes: 0 };
        removal.delete().await?;
        Ok((removal.done, removal.freed_bytes))
    }

    async fn run(&mut self, name: &str) -> Result<()> {
        if self.is_id(name) {
            if !self.in_one_repository() && !self.force {
                let text = "image is referenced in multiple repositories";
                return Err(self.conflict("must be forced", text));
            }
            self.check_users().await?;
            return self.delete().await;
        }
        let reference = name.parse::<ImageRef>()?.with_default_tag();
        if !self.force && self.in_one_repository() && self.image.tags.len() <= 1 {
            self.refuse_last_name_in_use(name).await?;
        }
        self.take_name(&reference).await?;
        if !self.image.tags.is_empty() || !self.image.digests.is_empty() {
            return Ok(());
        }
        match self.check_users().await {
            Ok(()) => self.delete().await,
            // The name is gone, as was asked; the image stays for its containers.
            Err(_) => Ok(()),
        }
    }

    fn is_id(&self, name: &str) -> bool {
        let named = name.parse::<ImageRef>().map(ImageRef::with_default_tag);
        let is_name = named.is_ok_and(|r| self.has_name(&r));
        !is_name && (self.image.id.as_str().starts_with(name) || self.image.id.hex().starts_with(name))
    }

    fn has_name(&self, r: &ImageRef) -> bool {
        let repository = r.familiar_name();
        match r.digest() {
            Some(digest) => self.image.digests.iter().any(|(repo, d)| *repo == repository && d == digest),
            None => self.image.tags.iter().any(|(repo, t)| *repo == repository && Some(t.as_str()) == r.tag()),
        }
    }

    /// At most one tag, and digests of the same repository only.
    fn in_one_repository(&self) -> bool {
        let first = self.image.tags.first().map(|(r, _)| r).or(self.image.digests.first().map(|(r, _)| r));
        self.image.tags.len() <= 1 && self.image.digests.iter().all(|(r, _)| Some(r) == first)
    }

    async fn refuse_last_name_in_use(&self, name: &str) -> Result<()> {
        match self.rows.image_users(&self.image.id).await?.first() {
            Some((container, _)) => Err(Error::conflict(format!(
                "conflict: unable to remove repository reference {name:?} (must force) - container {} is using its referenced \
                 image {}",
                container.short(),
                self.short()
            ))),
            None => Ok(()),
        }
    }

    async fn take_name(&mut self, reference: &ImageRef) -> Result<()> {
        let repository = reference.familiar_name();
        match (reference.digest(), reference.tag()) {
            (Some(digest), _) => self.undigest(&repository, &digest.clone()).await?,
            (None, tag) => self.untag(&repository, tag.unwrap_or("latest")).await?,
        }
        // Digests are not kept of a repository that has no tag any more.
        let tagged = self.image.tags.iter().any(|(r, _)| *r == repository);
        if reference.digest().is_none() && !tagged {
            for (_, digest) in self.image.digests.clone().iter().filter(|(r, _)| *r == repository) {
                self.undigest(&repository, digest).await?;
            }
        }
        Ok(())
    }

    async fn untag(&mut self, repository: &str, tag: &str) -> Result<()> {
        if self.rows.untag(repository, tag).await? {
            self.done.push(json!({ "Untagged": format!("{repository}:{tag}") }));
        }
        self.image.tags.retain(|(r, t)| r != repository || t != tag);
        Ok(())
    }

    async fn undigest(&mut self, repository: &str, digest: &Digest) -> Result<()> {
        if self.rows.undigest(repository, digest).await? {
            self.done.push(json!({ "Untagged": format!("{repository}@{digest}") }));
        }
        self.image.digests.retain(|(r, d)| r != repository || d != digest);
        Ok(())
    }

    async fn check_users(&self) -> Result<()> {
        let users = self.rows.image_users(&self.image.id).await?;
        if let Some((container, _)) = users.iter().find(|(_, status)| status.is_running()) {
            let text = format!("image is being used by running container {}", container.short());
            return Err(self.conflict("cannot be forced", &text));
        }
        match users.first() {
            Some((container, _)) if !self.force => {
                let text = format!("image is being used by stopped container {}", container.short());
                Err(self.conflict("must be forced", &text))
            }
            _ => Ok(()),
        }
    }

    /// The row and all names that it still has.
    async fn delete(&mut self) -> Result<()> {
        for (repository, tag) in &self.image.tags {
            self.done.push(json!({ "Untagged": format!("{repository}:{tag}") }));
        }
        for (repository, digest) in &self.image.digests {
            self.done.push(json!({ "Untagged": format!("{repository}@{digest}") }));
        }
        if let Some(removed) = self.rows.remove_image(&self.image.id).await? {
            self.freed_bytes += removed.freed_bytes;
            self.done.push(json!({ "Deleted": self.image.id }));
            self.tell_layers(&removed.pinned).await?;
        }
        Ok(())
    }

    /// Chains that no other image of the tenant has, from the top down; what containers keep is not deleted.
    async fn tell_layers(&mut self, pinned: &[Digest]) -> Result<()> {
        let chains =
            |image: &Image| ImageRootfs { image_id: image.id.clone(), layers: image.layers.clone() }.chain_ids();
        let kept: Vec<Digest> = self.rows.images().await?.iter().flat_map(chains).collect();
        for (chain, layer) in chains(&self.image).iter().zip(&self.image.layers).rev() {
            if !kept.contains(chain) && !pinned.contains(&layer.digest) {
                self.done.push(json!({ "Deleted": chain }));
            }
        }
        Ok(())
    }

    fn conflict(&self, can: &str, why: &str) -> Error {
        Error::conflict(format!("conflict: unable to delete {} ({can}) - {why}", self.short()))
    }

    fn short(&self) -> &str {
        &self.image.id.hex()[..12]
    }
}
