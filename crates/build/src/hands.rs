//! What a build does to the world, as the frontend does it for its tenant.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::{ContainerId, Digest, Error, Layer, Result};
use serde_json::{Map, Value};

use crate::image::Base;

/// One line, or a part of one, for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Out(String),
    /// Shown in red.
    Err(String),
    /// The id of an image.
    Id(Digest),
}

/// A `RUN`.
#[derive(Debug, Clone)]
pub struct Step {
    /// The image to start from.
    pub base: Option<Base>,
    /// Docker's `Config` of the image.
    pub config: Map<String, Value>,
    pub args: Vec<String>,
    /// `K=V`, with the build arguments.
    pub env: Vec<String>,
    /// Of `RUN --network`.
    pub network: Option<String>,
}

#[async_trait]
pub trait Hands: Send + Sync {
    fn images(&self) -> &images::Images;

    async fn say(&self, said: Said);

    /// An image of the tenant, pulled where it is missing or `pull` asks for it. `platform` may be empty.
    async fn image(&self, reference: &str, platform: &str, pull: bool) -> Result<Base>;

    /// An image of the tenant as it is; never pulled.
    async fn present(&self, reference: &str) -> Result<Base>;

    /// What an equal step on the same parent gave before. `parent` None: `scratch`.
    async fn cached(&self, parent: Option<&Digest>, key: &Digest) -> Result<Option<Base>>;

    /// Also gives the tenant its right to the step's layers.
    async fn remember(&self, parent: Option<&Digest>, key: &Digest, step: &Base, created_by: &str) -> Result<()>;

    /// Makes the container of a step; from here on it is removed whatever happens.
    async fn create(&self, step: &Step) -> Result<ContainerId>;

    /// Starts it, says what it says, and gives its exit code.
    async fn run(&self, container: &ContainerId) -> Result<i32>;

    /// What it changed, as a layer of the store; None where that is nothing.
    async fn commit(&self, container: &ContainerId) -> Result<Option<Layer>>;

    async fn remove(&self, container: &ContainerId) -> Result<()>;
}

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Path of the Dockerfile in the context; empty means `Dockerfile`.
    pub dockerfile: String,
    /// Empty: the last stage.
    pub target: String,
    pub arguments: BTreeMap<String, Option<String>>,
    pub labels: BTreeMap<String, String>,
    pub no_cache: bool,
    pub pull: bool,
    /// Images whose steps may be taken over; empty: the tenant's own cache.
    pub cache_from: Vec<String>,
    /// Step containers go as soon as their step is done.
    pub remove: bool,
    pub platform: String,
}

/// Why a build ended.
#[derive(Debug)]
pub enum Failure {
    Error(Error),
    /// A step's program failed.
    Exit {
        code: i32,
        message: String,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}
