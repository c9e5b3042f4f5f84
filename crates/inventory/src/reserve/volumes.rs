//! A reservation with volumes: the same statement, in a transaction that holds the tenant's row.
//!
//! With that lock nobody else changes the tenant's volumes: the missing ones are made, those that are on a host already
//! must be on this one, the others are from now on. All of it goes back if the reservation itself is refused.

use chrono::{DateTime, Utc};
use domain::{Error, HostId, NewVolume, PlacedVolume, VolumeDriver, VolumeId};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{LOCK_TENANT, Prepared, ReserveError, Reserved, Verdict};
use crate::{
    Inventory, event,
    volume::{self, apart},
};

/// What came of one try; the caller commits it only if it is [`made`](Self::is_made).
#[allow(clippy::large_enum_variant, reason = "one at a time, taken apart by its caller at once")]
pub(super) enum Attempt {
    Judged { verdict: Option<Verdict>, volumes: Vec<PlacedVolume> },
    Refused(ReserveError),
}

impl Attempt {
    pub(super) fn is_made(&self) -> bool {
        matches!(self, Self::Judged { verdict: Some(v), .. } if v.ok)
    }
}

#[derive(sqlx::FromRow)]
struct Claimed {
    id: Uuid,
    name: String,
    driver: String,
    size_bytes: Option<i64>,
    host_id: Option<Uuid>,
}

const MAKE: &str = "INSERT INTO volumes (tenant_id, id, name, driver, labels, options, size_bytes, created_at)
    SELECT $1, w.id, w.name, coalesce(w.driver, 'local'), w.labels, w.options, w.size_bytes, $8
    FROM unnest($2::uuid[], $3::text[], $4::text[], $5::jsonb[], $6::jsonb[], $7::bigint[])
        AS w (id, name, driver, labels, options, size_bytes)
    ON CONFLICT ON CONSTRAINT volumes_pkey DO NOTHING RETURNING name, driver";
const CLAIM: &str = "SELECT id, name, driver, size_bytes, host_id FROM volumes
    WHERE tenant_id = $1 AND name = ANY ($2) ORDER BY name";
const MOUNT: &str = "WITH pinned AS (
        UPDATE volumes SET host_id = $2 WHERE tenant_id = $1 AND name = ANY ($4) AND driver = 'local' AND host_id IS NULL
    )
    INSERT INTO volume_mounts (tenant_id, container_id, target, volume_id, writable, mode, own, goes_with)
    SELECT $1, $3, w.target, v.id, w.writable, w.mode, w.own, w.own AND $9
    FROM unnest($4::text[], $5::text[], $6::bool[], $7::text[], $8::bool[]) AS w (name, target, writable, mode, own)
    JOIN volumes v ON v.tenant_id = $1 AND v.name = w.name";

impl Inventory {
    /// As [`Inventory::reserve`], for a container with volumes.
    pub(super) async fn reserve_with_volumes(
        &self,
        prepared: &Prepared<'_>,
        host: HostId,
    ) -> Result<Reserved, ReserveError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_with_volumes(prepared, host).await {
                Ok(attempt) => return prepared.settle(attempt, self).await,
                Err(cause) if tries <= super::FREE_TRIES && prepared.may_retry(&cause) => continue,
                Err(cause) => return Err(prepared.failed(cause, self).await),
            }
        }
    }

    async fn try_with_volumes(&self, prepared: &Prepared<'_>, host: HostId) -> sqlx::Result<Attempt> {
        let mut tx = self.pool.begin().await?;
        let attempt = prepared.attempt(&mut tx, host).await?;
        match attempt.is_made() {
            true => tx.commit().await?,
            false => tx.rollback().await?,
        }
        Ok(attempt)
    }
}

impl Prepared<'_> {
    /// In a transaction of the caller's.
    pub(super) async fn attempt(&self, db: &mut PgConnection, host: HostId) -> sqlx::Result<Attempt> {
        if self.new.volumes.is_empty() {
            return Ok(Attempt::Judged { verdict: self.run(db, host).await?, volumes: Vec::new() });
        }
        sqlx::query(LOCK_TENANT).bind(self.new.tenant.0).execute(&mut *db).await?;
        let claimed = self.claim(db).await?;
        if let Some(refusal) = refusal(&claimed, &self.new.volumes, host) {
            return Ok(Attempt::Refused(refusal));
        }
        let verdict = self.run(db, host).await?;
        if verdict.as_ref().is_some_and(|v| v.ok) {
            self.mount(db, host).await?;
        }
        Ok(Attempt::Judged { verdict, volumes: claimed.into_iter().filter_map(Claimed::placed).collect() })
    }

    pub(super) async fn settle(&self, attempt: Attempt, inventory: &Inventory) -> Result<Reserved, ReserveError> {
        match attempt {
            Attempt::Refused(refusal) => Err(refusal),
            Attempt::Judged { verdict, volumes } => {
                let reserved = self.judge(verdict, inventory).await?;
                Ok(Reserved { volumes, ..reserved })
            }
        }
    }

    /// Every volume of the request, made where it is missing.
    async fn claim(&self, db: &mut PgConnection) -> sqlx::Result<Vec<Claimed>> {
        let wanted = &self.new.volumes;
        let names: Vec<&str> = wanted.iter().map(|v| v.name.as_str()).collect();
        let created_at: DateTime<Utc> = self.new.created_at;
        let made: Vec<(String, String)> = sqlx::query_as(MAKE)
            .bind(self.new.tenant.0)
            .bind(wanted.iter().map(|_| Uuid::new_v4()).collect::<Vec<_>>())
            .bind(&names)
            .bind(wanted.iter().map(|v| v.driver.map(VolumeDriver::as_str)).collect::<Vec<_>>())
            .bind(wanted.iter().map(|v| Json(&v.labels)).collect::<Vec<_>>())
            .bind(wanted.iter().map(|v| Json(&v.options)).collect::<Vec<_>>())
            .bind(wanted.iter().map(|v| v.size_bytes).collect::<Vec<_>>())
            .bind(created_at)
            .fetch_all(&mut *db)
            .await?;
        let events: Vec<_> = made.iter().map(|(name, driver)| volume::event("create", name, driver)).collect();
        event::put(&mut *db, self.new.tenant, &events).await?;
        sqlx::query_as(CLAIM).bind(self.new.tenant.0).bind(&names).fetch_all(db).await
    }

    async fn mount(&self, db: &mut PgConnection, host: HostId) -> sqlx::Result<()> {
        let mounts = &self.new.spec.volumes;
        sqlx::query(MOUNT)
            .bind(self.new.tenant.0)
            .bind(host.0)
            .bind(self.new.id.as_str())
            .bind(mounts.iter().map(|m| m.name.as_str()).collect::<Vec<_>>())
            .bind(mounts.iter().map(|m| m.target.as_str()).collect::<Vec<_>>())
            .bind(mounts.iter().map(|m| !m.readonly).collect::<Vec<_>>())
            .bind(mounts.iter().map(|m| m.mode.as_str()).collect::<Vec<_>>())
            .bind(mounts.iter().map(|m| m.anonymous).collect::<Vec<_>>())
            .bind(self.new.spec.auto_remove)
            .execute(db)
            .await
            .map(|_| ())
    }
}

impl Claimed {
    fn placed(self) -> Option<PlacedVolume> {
        // The column has no other value than these two.
        let driver = self.driver.parse().ok()?;
        Some(PlacedVolume { id: VolumeId(self.id), name: self.name, driver, size_bytes: self.size_bytes })
    }
}

/// What this host cannot help.
fn refusal(claimed: &[Claimed], wanted: &[NewVolume], host: HostId) -> Option<ReserveError> {
    let other_driver = claimed.iter().find(|c| {
        let new = wanted.iter().find(|w| w.name == c.name);
        new.and_then(|w| w.driver).is_some_and(|driver| driver.as_str() != c.driver)
    });
    if let Some(c) = other_driver {
        let text = format!("create {}: conflict: volume name must be unique", c.name);
        return Some(Error::conflict(text).into());
    }
    let mut pinned = claimed.iter().filter_map(|c| Some((c.name.as_str(), HostId(c.host_id?))));
    let (first, at) = pinned.next()?;
    match pinned.find(|(_, other)| *other != at) {
        Some((other, _)) => Some(apart(first, other).into()),
        None if at != host => Some(ReserveError::Pinned { volume: first.to_owned(), host: at }),
        None => None,
    }
}
