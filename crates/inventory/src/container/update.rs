//! `docker update`: the reservation of a container changes, in two transactions around the call to its host.
//!
//! The first takes from host and quota what the container is to get more, and nobody else may update it meanwhile. The
//! second stores the new spec and gives back what it now has less, or (the host failed) all that the first took. So the
//! second one only gives back and cannot be refused, and at no moment is less reserved than the host allows the container.
//! Whoever dies in between leaves a claim that runs out, and a container that holds too much until its next update.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    ContainerId, ContainerSpec, Error, Kind, Resources, Result,
    amount::{bytes, cpus},
};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{TenantView, failure};

/// What a container is to become.
#[derive(Debug, Clone)]
pub struct Update {
    pub spec: ContainerSpec,
    pub docker_host_config: Box<RawValue>,
}

/// The right to update a container, and the room for it. Ends with [`TenantView::finish_update`].
#[derive(Debug)]
pub struct Claim {
    container: ContainerId,
    token: Uuid,
}

/// Longer than the host's call may take.
const CLAIM: TimeDelta = TimeDelta::seconds(90);

/// Judged in the newest version of the rows, which are locked in the crate's order.
const BEGIN: &str = "WITH t AS MATERIALIZED (
        SELECT * FROM tenants WHERE id = $1 FOR NO KEY UPDATE
    ), h AS MATERIALIZED (
        SELECT h.* FROM t JOIN containers c ON c.tenant_id = t.id AND c.id = $2 JOIN hosts h ON h.id = c.host_id
        FOR NO KEY UPDATE OF h
    ), c AS MATERIALIZED (
        SELECT c.* FROM h JOIN containers c ON c.tenant_id = $1 AND c.id = $2 FOR NO KEY UPDATE OF c
    ), more AS MATERIALIZED (
        SELECT greatest($5 - c.cpu_millis, 0) AS cpu, greatest($6 - c.memory_bytes, 0) AS memory FROM c
    ), verdict AS MATERIALIZED (
        SELECT c.docker_host_config::text = $4 AND coalesce(c.update_until < now(), true) AS free,
            more.memory = 0 OR h.memory_bytes_free >= more.memory AS host_memory_ok,
            more.cpu = 0 OR h.cpu_millis_free >= more.cpu AS host_cpu_ok,
            more.memory = 0 OR coalesce(t.memory_used_bytes + more.memory <= t.memory_quota_bytes, true) AS memory_ok,
            more.cpu = 0 OR coalesce(t.cpu_used_millis + more.cpu <= t.cpu_quota_millis, true) AS cpu_ok,
            more.cpu AS cpu_more, more.memory AS memory_more, t.memory_quota_bytes, t.cpu_quota_millis,
            t.memory_used_bytes, t.cpu_used_millis
        FROM t, h, c, more
    ), ok AS MATERIALIZED (
        SELECT * FROM verdict WHERE free AND host_memory_ok AND host_cpu_ok AND memory_ok AND cpu_ok
    ), tenant_has AS (
        UPDATE tenants t SET memory_used_bytes = t.memory_used_bytes + ok.memory_more,
            cpu_used_millis = t.cpu_used_millis + ok.cpu_more
        FROM ok WHERE t.id = $1
    ), host_has AS (
        UPDATE hosts h SET cpu_millis_free = h.cpu_millis_free - ok.cpu_more,
            memory_bytes_free = h.memory_bytes_free - ok.memory_more
        FROM ok WHERE h.id = (SELECT id FROM h)
    ), claimed AS (
        UPDATE containers c SET cpu_millis = c.cpu_millis + ok.cpu_more, memory_bytes = c.memory_bytes + ok.memory_more,
            update_token = $3, update_until = $7
        FROM ok WHERE c.tenant_id = $1 AND c.id = $2
    )
    SELECT * FROM verdict";

const FINISH: &str = "WITH t AS MATERIALIZED (
        SELECT id FROM tenants WHERE id = $1 FOR NO KEY UPDATE
    ), h AS MATERIALIZED (
        SELECT h.id FROM t JOIN containers c ON c.tenant_id = t.id AND c.id = $2 JOIN hosts h ON h.id = c.host_id
        FOR NO KEY UPDATE OF h
    ), old AS MATERIALIZED (
        SELECT c.cpu_millis, c.memory_bytes FROM h JOIN containers c ON c.tenant_id = $1 AND c.id = $2
        WHERE c.update_token = $3 FOR NO KEY UPDATE OF c
    ), done AS (
        UPDATE containers c SET spec = coalesce($6::json, c.spec),
            docker_host_config = coalesce($7::json, c.docker_host_config), cpu_millis = $4, memory_bytes = $5,
            update_token = NULL, update_until = NULL
        FROM old WHERE c.tenant_id = $1 AND c.id = $2
    ), tenant_has AS (
        UPDATE tenants t SET memory_used_bytes = t.memory_used_bytes - old.memory_bytes + $5,
            cpu_used_millis = t.cpu_used_millis - old.cpu_millis + $4, revision = t.revision + 1
        FROM old WHERE t.id = $1
    ), host_has AS (
        UPDATE hosts h SET cpu_millis_free = h.cpu_millis_free + old.cpu_millis - $4,
            memory_bytes_free = h.memory_bytes_free + old.memory_bytes - $5
        FROM old WHERE h.id = (SELECT id FROM h)
    )
    SELECT count(*) > 0 FROM old";

#[derive(sqlx::FromRow)]
struct Verdict {
    free: bool,
    host_memory_ok: bool,
    host_cpu_ok: bool,
    memory_ok: bool,
    cpu_ok: bool,
    cpu_more: i64,
    memory_more: i64,
    memory_quota_bytes: Option<i64>,
    cpu_quota_millis: Option<i64>,
    memory_used_bytes: i64,
    cpu_used_millis: i64,
}

impl TenantView {
    /// Takes what `wanted` is more than the container has. `was` is its `HostConfig` as it was read. None: it has changed
    /// since, or another update is under way; read it again. `Forbidden` over quota, `NoCapacity` where its host is full.
    pub async fn begin_update(&self, id: &ContainerId, was: &RawValue, wanted: &Resources) -> Result<Option<Claim>> {
        let token = Uuid::new_v4();
        let until: DateTime<Utc> = Utc::now() + CLAIM;
        let query = || {
            sqlx::query_as(BEGIN)
                .bind(self.id.0)
                .bind(id.as_str())
                .bind(token)
                .bind(was.get())
                .bind(wanted.cpu_millis)
                .bind(wanted.memory_bytes)
                .bind(until)
                .fetch_optional(&self.pool)
        };
        // Not tried again: a claim whose answer was lost runs out by itself, and the next update finds its room in the row.
        let verdict: Option<Verdict> = query().await.map_err(|e| failure::translate("reserve an update", e))?;
        let verdict = verdict.ok_or_else(|| Error::not_found(Kind::Container, id.as_str()))?;
        match verdict.refusal(wanted) {
            _ if !verdict.free => Ok(None),
            Some(error) => Err(error),
            None => Ok(Some(Claim { container: id.clone(), token })),
        }
    }

    /// Stores what the container has become; without `update` it is as it was, with `resources`. What it has less goes
    /// back. `NotFound` where it was removed meanwhile, or the claim had run out.
    pub async fn finish_update(&self, claim: &Claim, resources: &Resources, update: Option<&Update>) -> Result<()> {
        let spec = update.map(|u| serde_json::to_string(&u.spec)).transpose();
        let spec = spec.map_err(|e| Error::because("write a container's row", e))?;
        let query = || {
            sqlx::query_scalar(FINISH)
                .bind(self.id.0)
                .bind(claim.container.as_str())
                .bind(claim.token)
                .bind(resources.cpu_millis)
                .bind(resources.memory_bytes)
                .bind(&spec)
                .bind(update.map(|u| u.docker_host_config.get()))
                .fetch_one(&self.pool)
        };
        match failure::retrying("store an update", query).await? {
            true => Ok(()),
            false => Err(Error::not_found(Kind::Container, claim.container.as_str())),
        }
    }
}

impl Verdict {
    fn refusal(&self, wanted: &Resources) -> Option<Error> {
        if !self.memory_ok {
            let quota = self.memory_quota_bytes.unwrap_or(0);
            let left = (quota - self.memory_used_bytes).max(0);
            return Some(over("memory", bytes(self.memory_more), bytes(left), bytes(quota)));
        }
        if !self.cpu_ok {
            let quota = self.cpu_quota_millis.unwrap_or(0);
            let left = (quota - self.cpu_used_millis).max(0);
            return Some(over("cpu", cpus(self.cpu_more), cpus(left), cpus(quota)));
        }
        if !self.host_memory_ok {
            return Some(full(&format!("{} of memory", bytes(wanted.memory_bytes))));
        }
        (!self.host_cpu_ok).then(|| full(&cpus(wanted.cpu_millis)))
    }
}

fn over(what: &str, more: String, left: String, quota: String) -> Error {
    Error::forbidden(format!("quota exceeded: {what}: {more} more asked for, {left} of {quota} left (quota)"))
}

fn full(what: &str) -> Error {
    Error::NoCapacity(format!("the container's host has not the room for {what}"))
}
