//! `create`: layers, a writable snapshot, the record, and the files for `/etc`. No process yet.

use std::sync::Arc;

use domain::{Error, Kind, Result};

use super::{Accepted, Container, Done, Engine, container::Turn, state::State};
use crate::{
    containerd::{Mount, NewRecord},
    spec::files,
};

impl Engine {
    /// Idempotent by id.
    pub async fn create(self: &Arc<Self>, accepted: Accepted) -> Result<Done> {
        if !*self.adopted.borrow() {
            return Err(Error::unavailable("the host is starting, try again"));
        }
        loop {
            let container = self.insert(self.new_container(&accepted));
            if container.accepted.tenant != accepted.tenant {
                return Err(Error::not_found(Kind::Container, accepted.id.as_str()));
            }
            // A second call of the same create waits here for the first one.
            let mut turn = container.turn.lock().await;
            if container.is_made() {
                return Ok(Done::already(container.observation()));
            }
            // The first one has failed, and took its container away: begin anew.
            if self.get(&accepted.id).is_none_or(|current| !Arc::ptr_eq(&current, &container)) {
                continue;
            }
            if let Err(error) = self.make(&container, &mut turn).await {
                self.unmake(&container).await;
                return Err(error);
            }
            container.set_made();
            let observation = container.observation();
            self.reports.container(observation.clone());
            return Ok(Done::now(observation));
        }
    }

    fn new_container(&self, accepted: &Accepted) -> Container {
        let id = accepted.id.as_str();
        let (dir, run_dir) = (self.config.container_dir(id), self.config.container_run_dir(id));
        Container::new(accepted.clone(), State::created(accepted), dir, run_dir)
    }

    async fn make(&self, container: &Container, turn: &mut Turn) -> Result<()> {
        let accepted = &container.accepted;
        let state = container.state();
        let spec = self.spec_ahead(container)?;
        turn.declared = spec.is_some();
        let record = NewRecord {
            id: container.id(),
            labels: [("tenant".to_owned(), accepted.tenant.to_string()), ("name".to_owned(), accepted.name.clone())]
                .into(),
            spec,
            accepted: rpc::to_json(accepted),
            state: rpc::to_json(&state),
        };
        // The record first or beside the rest: a snapshot or directory without a record is an orphan that adoption
        // removes, a record without them fails to start and can be removed by its id.
        let (mounts, recorded, written) =
            tokio::join!(self.prepare(container), self.containerd.create_record(record), write_files(container));
        turn.mounts = mounts?;
        recorded?;
        self.make_volumes(container, &turn.mounts).await?;
        *container.stored.lock().await = state.observation.generation;
        written?;
        container.renew_stdin()
    }

    /// Its writable snapshot on the image's layers.
    async fn prepare(&self, container: &Container) -> Result<Vec<Mount>> {
        let Accepted { tenant, id, spec, .. } = &container.accepted;
        // Until the snapshot stands on them.
        let _held = self.images.hold(&spec.image);
        for _ in 0..2 {
            let top = self.images.ensure(*tenant, id, &spec.image).await?;
            if let Some(mounts) = self.containerd.prepare(id.as_str(), &top).await? {
                return Ok(mounts);
            }
            self.images.forget(&spec.image);
        }
        Err(Error::internal(format!("the layers of {} vanish", spec.image.image_id)))
    }

    /// After a failed create: nothing half-made stays.
    async fn unmake(&self, container: &Container) {
        self.take_away(container);
        let results = [
            self.containerd.delete_record(container.id()).await,
            self.containerd.remove_snapshot(container.id()).await,
        ];
        for error in results.into_iter().filter_map(Result::err) {
            tracing::warn!(container = container.id(), error = error.operator_text(), "left for adoption to clean up");
        }
        let _ = tokio::fs::remove_dir_all(&container.dir).await;
    }
}

async fn write_files(container: &Container) -> Result<()> {
    let accepted = container.accepted.clone();
    let (dir, run_dir) = (container.dir.clone(), container.run_dir.clone());
    let written = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(run_dir)?;
        files::write(&dir, &accepted.spec, &accepted.endpoints, accepted.uid_base)
    });
    let written = written.await.map_err(|e| Error::because("container's files", e))?;
    written.map_err(|e| Error::because("container's files", e))
}
