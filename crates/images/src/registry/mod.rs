//! Registries: a client of our own on reqwest, since every address must be judged at connect and pinned (policy I01).
//!
//! Ready-made OCI clients take an HTTP client's resolver, its redirects and its proxies as they are; here a name is
//! resolved by [`resolver`], every URL (redirects and token realms too) passes [`reach`], and [`door`] is the only place
//! that sends anything.

mod address;
mod blob;
mod challenge;
mod door;
mod login;
mod reach;
mod repository;
mod resolver;
mod search;
mod trouble;
mod upload;

use std::sync::Arc;

use domain::{ImageRef, Result};
use reqwest::Url;

pub(crate) use blob::fetch;
pub(crate) use door::Ask;
pub use login::login;
pub use reach::RegistrySettings;
pub(crate) use repository::Repository;
pub use search::Found;
pub(crate) use trouble::Trouble;
pub(crate) use upload::{Mounted, Session};

use crate::auth::RegistryAuth;

const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_REGISTRY: &str = "registry-1.docker.io";

/// See [`crate::foreign`].
pub(crate) fn challenges(header: &str) -> usize {
    challenge::parse(header).len()
}

/// All that may be asked for images. Cheap to clone.
#[derive(Clone)]
pub struct Registries {
    door: Arc<door::Door>,
}

impl Registries {
    /// Fails on settings that are malformed.
    pub fn new(settings: RegistrySettings) -> Result<Self> {
        Ok(Self { door: Arc::new(door::Door::new(&settings)?) })
    }

    /// The only way out, for what is fetched without being an image.
    pub(crate) fn door(&self) -> &door::Door {
        &self.door
    }

    /// Where `reference` may be, in the order in which to ask; never empty.
    pub(crate) async fn endpoints(&self, reference: &ImageRef, auth: Option<&RegistryAuth>) -> Result<Vec<Repository>> {
        if let Some(auth) = auth {
            auth.check_for(reference.domain())?;
        }
        let mut endpoints = Vec::new();
        let mirrors = if reference.domain() == DOCKER_HUB { self.door.rules.mirrors.as_slice() } else { &[] };
        endpoints.extend(mirrors.iter().map(|m| self.repository(m.clone(), reference.path(), None, true)));
        for base in self.bases(reference.domain()).await? {
            endpoints.push(self.repository(base, reference.path(), auth.cloned(), false));
        }
        Ok(endpoints)
    }

    /// Where `reference` is written: at its registry, never at a mirror. `neighbours`: paths of the same registry whose
    /// blobs may be mounted.
    pub(crate) async fn writable(
        &self,
        reference: &ImageRef,
        auth: Option<&RegistryAuth>,
        neighbours: &[String],
    ) -> Result<Vec<Repository>> {
        if let Some(auth) = auth {
            auth.check_for(reference.domain())?;
        }
        let bases = self.bases(reference.domain()).await?.into_iter();
        Ok(bases
            .map(|base| self.repository(base, reference.path(), auth.cloned(), false).writable(neighbours.to_vec()))
            .collect())
    }

    /// https, and where the operator allows it http.
    async fn bases(&self, domain: &str) -> Result<Vec<Url>> {
        let host = if domain == DOCKER_HUB { DOCKER_HUB_REGISTRY } else { domain };
        let url = |scheme: &str| {
            format!("{scheme}://{host}/").parse::<Url>().map_err(|_| domain::Error::invalid("invalid reference format"))
        };
        let (https, http) = (url("https")?, url("http")?);
        let insecure = self.door.rules.reach(&https, false).await? != reach::Reach::Public;
        Ok(if insecure { vec![https, http] } else { vec![https] })
    }

    fn repository(&self, base: Url, path: &str, auth: Option<RegistryAuth>, as_mirror: bool) -> Repository {
        Repository::new(Arc::clone(&self.door), base, path, auth, as_mirror)
    }
}
