//! The containers of a build that must not outlive it.
//!
//! They go at the build's end, whatever it was; when the build's task is cut off (its client has gone) a task of its own
//! removes them. What neither does, because the frontend has died, `abandoned` finds by the label.

use std::sync::{Mutex, PoisonError};

use domain::{ContainerId, Error, Result};
use uuid::Uuid;

use crate::{extract::Caller, handlers::containers::remove, state::App};

pub(super) struct Live {
    app: App,
    caller: Caller,
    build: Uuid,
    containers: Mutex<Vec<ContainerId>>,
    ended: Mutex<bool>,
}

impl Live {
    pub(super) fn new(app: App, caller: Caller, build: Uuid) -> Self {
        Self { app, caller, build, containers: Mutex::new(Vec::new()), ended: Mutex::new(false) }
    }

    pub(super) fn add(&self, container: &ContainerId) {
        self.lock().push(container.clone());
    }

    pub(super) async fn remove(&self, container: &ContainerId) -> Result<()> {
        remove::by_force(&self.app, &self.caller.tenant, container).await?;
        self.lock().retain(|live| live != container);
        Ok(())
    }

    /// `keep`: they are the tenant's from now on.
    pub(super) async fn finish(&self, keep: bool) {
        let containers = std::mem::take(&mut *self.lock());
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        end(&self.app, &self.caller, self.build, containers, keep).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<ContainerId>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if *self.ended.lock().unwrap_or_else(PoisonError::into_inner) {
            return;
        }
        let containers = std::mem::take(&mut *self.lock());
        let (app, caller, build) = (self.app.clone(), self.caller.clone(), self.build);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { end(&app, &caller, build, containers, false).await });
        }
    }
}

async fn end(app: &App, caller: &Caller, build: Uuid, containers: Vec<ContainerId>, keep: bool) {
    for container in &containers {
        let outcome = match keep {
            true => app.rows(&caller.tenant).disown_step(container).await,
            false => remove::by_force(app, &caller.tenant, container).await,
        };
        match outcome {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => {
                tracing::warn!(container.id = %container, cause = error.operator_text(), "a build step is left to be found");
            }
        }
    }
    // From now on, whatever is left of it belongs to nobody.
    if let Err(error) = app.inventory.end_build(build).await {
        tracing::warn!(build = %build, cause = error.operator_text(), "a build that ended is left to be found");
    }
}
