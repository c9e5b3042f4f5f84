//! One role in this process, configured by a TOML file: how a real data centre runs, and how `up` runs its children.

use std::{future::Future, path::Path};

use bootstrap::{config, shutdown, telemetry};
use domain::{Error, Result};
use inventory::Inventory;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

pub(crate) fn frontend(path: &Path) -> Result<()> {
    serve("frontend", path, frontend::run)
}

pub(crate) fn scheduler(path: &Path) -> Result<()> {
    serve("scheduler", path, scheduler::run)
}

pub(crate) fn edge(path: &Path) -> Result<()> {
    serve("edge", path, edge::run)
}

pub(crate) fn agent(path: &Path) -> Result<()> {
    serve("agent", path, agent::run)
}

pub(crate) fn migrate(database_url: &str) -> Result<()> {
    runtime()?.block_on(async { Inventory::connect(database_url, 1).await?.migrate().await })
}

/// The configuration is parsed before anything else happens.
fn serve<C, F>(name: &'static str, path: &Path, run: impl FnOnce(C, CancellationToken) -> F) -> Result<()>
where
    C: DeserializeOwned,
    F: Future<Output = Result<()>>,
{
    let config: C = config::section(path, name).map_err(|e| Error::because("configuration", e))?;
    telemetry::init(name);
    runtime()?.block_on(async {
        let stop = shutdown::token().map_err(|e| Error::because("signal handlers", e))?;
        run(config, stop).await
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|e| Error::because("starting the runtime", e))
}
