//! `docker cp` both ways, `diff` and `export`: a helper process does each inside the container's root (see crate `enter`);
//! here is which root that is, and the pipe to it.
//!
//! A container that runs is entered. The root of one that does not is mounted for the call alone, in the helper's own mount
//! namespace: read-only for readers, who then need not wait for anybody; for a writer in its turn, so that no run begins on a
//! root that two mounts write to. Whoever hangs up takes the helper along, and with it its mounts.

mod helper;
mod place;

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use domain::{ContainerId, Error, Result, Status, TenantId};
use futures::{Stream, StreamExt, stream};
use rpc::v1;

use self::{
    helper::{Begun, Helper},
    place::Access,
};
use super::{Container, Engine};

/// A run ended or began while its namespaces were looked for.
const TRIES: usize = 10;
const RETRY: Duration = Duration::from_millis(30);
/// Changes in one message.
const BATCH: usize = 1000;
/// Names are at most 4 KiB; a record is no larger than two of them.
const RECORD_MAX_BYTES: usize = 16 << 10;

pub type FileStream<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;

impl Engine {
    /// # Errors
    /// `Missing` when there is no such path.
    pub async fn stat_path(&self, tenant: TenantId, id: &ContainerId, path: &[u8]) -> Result<v1::PathStat> {
        let container = self.find(tenant, id)?;
        let mut helper = self.read_with(&container, &[b"stat", path]).await?;
        let stat = record(&mut helper).await?;
        helper.finish().await?;
        Ok(stat)
    }

    /// `stat`, then the archive.
    pub async fn get_archive(
        &self,
        tenant: TenantId,
        id: &ContainerId,
        path: &[u8],
    ) -> Result<FileStream<v1::FilesOutput>> {
        let container = self.find(tenant, id)?;
        let mut helper = self.read_with(&container, &[b"get", path]).await?;
        let stat = v1::files_output::Output::Stat(record(&mut helper).await?);
        let first = stream::iter([Ok(v1::FilesOutput { output: Some(stat) })]);
        Ok(Box::pin(first.chain(archive(helper))))
    }

    /// The root file system, without what is mounted in it.
    pub async fn export(&self, tenant: TenantId, id: &ContainerId) -> Result<FileStream<v1::FilesOutput>> {
        let container = self.find(tenant, id)?;
        let helper = self.read_with(&container, &[b"export"]).await?;
        Ok(Box::pin(archive(helper)))
    }

    /// What the container's own layer adds to its image.
    pub async fn changes(&self, tenant: TenantId, id: &ContainerId) -> Result<FileStream<v1::ChangesOutput>> {
        let container = self.find(tenant, id)?;
        let place = self.layers(&container).await?;
        let mut helper = Helper::spawn(&self.config, &container, &place.args, &[b"changes"]).await?;
        // Nothing may have changed: then there is no first byte.
        let first = batch(&mut helper).await?;
        let rest = stream::try_unfold(helper, |mut helper| async move {
            let changes = batch(&mut helper).await?;
            Ok((!changes.is_empty()).then(|| (v1::ChangesOutput { changes }, helper)))
        });
        Ok(Box::pin(stream::iter([Ok(v1::ChangesOutput { changes: first })]).chain(rest)))
    }

    /// Unpacks `archive`, whose error means that it is cut: what came so far stays, as with dockerd.
    pub async fn put_archive(
        self: &Arc<Self>,
        tenant: TenantId,
        id: &ContainerId,
        start: &v1::PutStart,
        archive: impl Stream<Item = Result<Bytes>> + Send,
    ) -> Result<()> {
        let container = self.find(tenant, id)?;
        let owner = match start.container_owner {
            true => self.owner(&container).await?.unwrap_or_default(),
            false => String::new(),
        };
        let no_overwrite: &[u8] = if start.no_overwrite_dir_non_dir { b"1" } else { b"0" };
        let verb: [&[u8]; 4] = [b"put", &start.path, no_overwrite, owner.as_bytes()];
        for _ in 0..TRIES {
            // A run goes on beside us; none begins.
            let turn = if runs(&container) { None } else { Some(container.turn.lock().await) };
            if turn.is_some() && runs(&container) {
                continue;
            }
            let place = self.place(&container, Access::Write).await?;
            match Helper::begin(&self.config, &container, &place.args, &verb).await? {
                Begun::Yes(mut helper) => return feed(&mut helper, archive).await,
                Begun::Gone => drop(turn),
            }
            tokio::time::sleep(RETRY).await;
        }
        Err(changing())
    }

    async fn read_with(&self, container: &Arc<Container>, verb: &[&[u8]]) -> Result<Helper> {
        for _ in 0..TRIES {
            let place = self.place(container, Access::Read).await?;
            match Helper::begin(&self.config, container, &place.args, verb).await? {
                Begun::Yes(helper) => return Ok(helper),
                Begun::Gone => tokio::time::sleep(RETRY).await,
            }
        }
        Err(changing())
    }
}

/// It has a process whose namespaces can be entered.
fn runs(container: &Container) -> bool {
    let seen = container.observation();
    matches!(seen.status, Status::Running | Status::Paused) && seen.pid != 0
}

fn changing() -> Error {
    Error::unavailable("the container is starting or stopping, try again")
}

async fn feed(helper: &mut Helper, archive: impl Stream<Item = Result<Bytes>> + Send) -> Result<()> {
    let mut archive = std::pin::pin!(archive);
    while let Some(chunk) = archive.next().await {
        match chunk {
            Ok(chunk) => {
                // It has given up on the archive, and its exit says why.
                if !helper.write(&chunk).await? {
                    break;
                }
            }
            Err(error) => {
                helper.kill().await;
                return Err(error);
            }
        }
    }
    helper.finish().await
}

/// The record at the beginning of `stat` and `get`.
async fn record(helper: &mut Helper) -> Result<v1::PathStat> {
    let bad = || Error::internal("the helper's record");
    let length = helper.exactly(4).await?.get_u32_le() as usize;
    if length > RECORD_MAX_BYTES {
        return Err(bad());
    }
    let record = helper.exactly(length).await?;
    let end = record.iter().position(|b| *b == b'\n').ok_or_else(bad)?;
    let line = std::str::from_utf8(&record[..end]).map_err(|_| bad())?;
    let numbers: Vec<i64> = line.split(' ').filter_map(|n| n.parse().ok()).collect();
    let [size, mode, mtime_s, mtime_ns] = numbers[..] else { return Err(bad()) };
    Ok(v1::PathStat {
        size,
        mode: u32::try_from(mode).map_err(|_| bad())?,
        mtime_s,
        mtime_ns: u32::try_from(mtime_ns).map_err(|_| bad())?,
        link_target: record.slice(end + 1..),
    })
}

fn archive(helper: Helper) -> impl Stream<Item = Result<v1::FilesOutput>> + Send {
    stream::try_unfold(helper, |mut helper| async move {
        let Some(data) = helper.read().await? else {
            helper.finish().await?;
            return Ok(None);
        };
        Ok(Some((v1::FilesOutput { output: Some(v1::files_output::Output::Data(data)) }, helper)))
    })
}

/// Empty at the end.
async fn batch(helper: &mut Helper) -> Result<Vec<v1::Change>> {
    let mut changes = Vec::new();
    while changes.len() < BATCH {
        let Some(change) = helper.until_nul().await? else {
            helper.finish().await?;
            break;
        };
        let kind = match change.first() {
            Some(b'C') => v1::ChangeKind::Modified,
            Some(b'A') => v1::ChangeKind::Added,
            Some(b'D') => v1::ChangeKind::Deleted,
            _ => return Err(Error::internal("the helper's change")),
        };
        changes.push(v1::Change { kind: kind.into(), path: change.slice(1..) });
    }
    Ok(changes)
}
