//! [`::build::Hands`]: the tenant's own images, cache and containers.

use std::collections::BTreeMap;

use async_trait::async_trait;
use docker_api::types::HostConfig;
use domain::{ContainerId, Digest, Error, Layer, Result};
use images::{Images, RegistryAuth};
use inventory::{CachedStep, NewStep, TenantView};
use uuid::Uuid;

use super::{live::Live, output::Output, parameters::Asked, pulling, step};
use crate::{commit, extract::Caller, state::App};

pub(super) struct Hand {
    pub(super) app: App,
    pub(super) caller: Caller,
    pub(super) rows: TenantView,
    pub(super) build: Uuid,
    pub(super) host_config: HostConfig,
    pub(super) credentials: BTreeMap<String, RegistryAuth>,
    output: Output,
    live: Live,
    /// `rm=0`: containers of steps stay, unless the build is cut off.
    keeps: bool,
}

impl Hand {
    pub(super) fn new(
        app: App,
        caller: Caller,
        rows: TenantView,
        build: Uuid,
        asked: &Asked,
        credentials: BTreeMap<String, RegistryAuth>,
        output: Output,
    ) -> Self {
        let live = Live::new(app.clone(), caller.clone(), build);
        let (host_config, keeps) = (asked.host_config.clone(), !asked.request.remove);
        Self { app, caller, rows, build, host_config, credentials, output, live, keeps }
    }

    pub(super) fn output(&self) -> &Output {
        &self.output
    }

    /// The build has come to its end, whichever: nothing of it stays but what was asked for.
    pub(super) async fn finish(&self) {
        self.live.finish(self.keeps).await;
    }
}

#[async_trait]
impl ::build::Hands for Hand {
    fn images(&self) -> &Images {
        &self.app.images
    }

    async fn say(&self, said: ::build::Said) {
        self.output.say(said).await;
    }

    async fn image(&self, reference: &str, platform: &str, pull: bool) -> Result<::build::Base> {
        pulling::image(self, reference, platform, pull).await
    }

    async fn present(&self, reference: &str) -> Result<::build::Base> {
        self.rows.image(reference).await.map(pulling::base)
    }

    async fn cached(&self, parent: Option<&Digest>, key: &Digest) -> Result<Option<::build::Base>> {
        let Some(step) = self.rows.cached_step(parent, key).await? else { return Ok(None) };
        Ok(Some(::build::Base { id: step.image_id, config: step.config, layers: step.layers }))
    }

    async fn remember(
        &self,
        parent: Option<&Digest>,
        key: &Digest,
        step: &::build::Base,
        created_by: &str,
    ) -> Result<()> {
        let result = CachedStep { image_id: step.id.clone(), config: step.config.clone(), layers: step.layers.clone() };
        let size_bytes = if added_nothing(&step.config) { 0 } else { step.layers.last().map_or(0, |l| l.size_bytes) };
        self.rows.put_step(&NewStep { parent, key, result, description: created_by, size_bytes }).await
    }

    async fn create(&self, step: &::build::Step) -> Result<ContainerId> {
        let id = ContainerId::random();
        self.live.add(&id);
        step::create(self, &id, step).await?;
        Ok(id)
    }

    async fn run(&self, container: &ContainerId) -> Result<i32> {
        step::run(self, container).await
    }

    async fn commit(&self, container: &ContainerId) -> Result<Option<Layer>> {
        let container = self.rows.container(container.as_str()).await?;
        let made = commit::make_layer(&self.app, &self.rows, &container, false).await?;
        Ok(made.layer.map(|stored| stored.layer))
    }

    async fn remove(&self, container: &ContainerId) -> Result<()> {
        match self.live.remove(container).await {
            Err(Error::NotFound { .. }) => Ok(()),
            outcome => outcome,
        }
    }
}

/// The last step of the config's history has no layer.
fn added_nothing(config: &[u8]) -> bool {
    let config: serde_json::Value = serde_json::from_slice(config).unwrap_or_default();
    let last = config["history"].as_array().and_then(|history| history.last());
    last.is_some_and(|step| step["empty_layer"] == true)
}
