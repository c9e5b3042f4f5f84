//! Exec instances: one row each, which names the host through its container, so that any frontend serves it.

use chrono::{DateTime, Utc};
use domain::{ContainerId, Error, ExecId, ExecObservation, ExecRecord, ExecSpec, HostId, Kind, Result, TenantId};
use sqlx::{PgExecutor, types::Json};
use uuid::Uuid;

use crate::{
    TenantView, event, failure,
    sql::{container_attributes, now_ns},
};

/// Created or running ones of one container.
const LIVE_MAX: i64 = 50;

#[derive(sqlx::FromRow)]
struct ExecRow {
    id: String,
    container_id: String,
    host_id: Uuid,
    spec: Json<ExecSpec>,
    started: bool,
    running: bool,
    pid: i64,
    exit_code: Option<i32>,
    created_at: DateTime<Utc>,
}

impl TryFrom<ExecRow> for ExecRecord {
    type Error = Error;
    fn try_from(row: ExecRow) -> Result<Self> {
        Ok(Self {
            id: row.id.parse()?,
            container: row.container_id.parse()?,
            host: HostId(row.host_id),
            spec: row.spec.0,
            started: row.started,
            running: row.running,
            pid: u32::try_from(row.pid).unwrap_or(0),
            exit_code: row.exit_code,
            created_at: row.created_at,
        })
    }
}

/// Ended ones stay for ten minutes as dockerd's do, and those that nobody started for an hour; the next create sweeps.
const ADD: &str = concat!(
    "WITH swept AS (
        DELETE FROM execs e WHERE e.tenant_id = $1 AND e.container_id = $3
            AND (e.ended_at < now() - interval '10 minutes'
                 OR (NOT e.started AND e.created_at < now() - interval '1 hour'))
    ), verdict AS MATERIALIZED (
        SELECT EXISTS (SELECT FROM containers WHERE tenant_id = $1 AND id = $3) AS found,
            (SELECT count(*) FROM execs e WHERE e.tenant_id = $1 AND e.container_id = $3 AND e.exit_code IS NULL
                AND (e.started OR e.created_at >= now() - interval '1 hour')) < $5 AS room
    ), added AS (
        INSERT INTO execs (tenant_id, id, container_id, spec)
        SELECT $1, $2, $3, $4::json FROM verdict WHERE found AND room
        ON CONFLICT ON CONSTRAINT execs_pkey DO NOTHING RETURNING id
    ), told AS (
        INSERT INTO events (tenant_id, at_ns, type, action, actor, attributes)
        SELECT $1, ",
    now_ns!(),
    ", 'container', $6, c.id, ",
    container_attributes!(),
    " || jsonb_build_object('execID', added.id)
        FROM added JOIN containers c ON c.tenant_id = $1 AND c.id = $3
    )
    SELECT found, room FROM verdict"
);
/// Before `ADD` takes its snapshot, so that its count is exact.
const LOCK: &str = "UPDATE tenants SET revision = revision + 1 WHERE id = $1";
const ONE: &str =
    "SELECT e.id, e.container_id, c.host_id, e.spec, e.started, e.running, e.pid, e.exit_code, e.created_at
    FROM execs e JOIN containers c ON c.tenant_id = e.tenant_id AND c.id = e.container_id
    WHERE e.tenant_id = $1 AND e.id = $2";
/// dockerd tells of the start before it tries.
const CLAIM: &str = concat!(
    "WITH claimed AS (
        UPDATE execs e SET started = true FROM containers c
        WHERE e.tenant_id = $1 AND e.id = $2 AND NOT e.started AND c.tenant_id = e.tenant_id AND c.id = e.container_id
        RETURNING e.id, e.container_id, c.host_id, e.spec, e.started, e.running, e.pid, e.exit_code, e.created_at
    ), told AS (
        INSERT INTO events (tenant_id, at_ns, type, action, actor, attributes)
        SELECT $1, ",
    now_ns!(),
    ", 'container', left('exec_start: ' || (claimed.spec->'args'->>0) || ' ' || coalesce((
                SELECT string_agg(a.arg, ' ' ORDER BY a.place)
                FROM json_array_elements_text(claimed.spec->'args') WITH ORDINALITY AS a (arg, place) WHERE a.place > 1
            ), ''), 8192), c.id, ",
    container_attributes!(),
    " || jsonb_build_object('execID', claimed.id)
        FROM claimed JOIN containers c ON c.tenant_id = $1 AND c.id = claimed.container_id
    )
    SELECT * FROM claimed"
);
const UNCLAIM: &str = "UPDATE execs SET started = false
    WHERE tenant_id = $1 AND id = $2 AND NOT running AND exit_code IS NULL AND pid = 0";
/// An end is final: a late `running` does not undo it.
/// One whose command could not be executed has no pid, and dockerd tells no end of it.
const OBSERVE: &str = concat!(
    "WITH t AS (
        UPDATE tenants SET revision = revision + 1
        WHERE id = $1 AND EXISTS (SELECT FROM execs WHERE tenant_id = $1 AND id = $2 AND exit_code IS NULL)
        RETURNING id
    ), seen AS (
        UPDATE execs e SET started = true, running = $4, pid = CASE WHEN $5 = 0 THEN e.pid ELSE $5 END,
            exit_code = CASE WHEN $4 THEN NULL ELSE $6 END, ended_at = CASE WHEN $4 THEN NULL ELSE now() END
        FROM t WHERE e.tenant_id = t.id AND e.id = $2 AND e.container_id = $3 AND e.exit_code IS NULL
        RETURNING e.id, e.pid, e.exit_code
    )
    INSERT INTO events (tenant_id, at_ns, type, action, actor, attributes)
    SELECT $1, ",
    now_ns!(),
    ", 'container', 'exec_die', c.id, ",
    container_attributes!(),
    " || jsonb_build_object('execID', seen.id, 'exitCode', seen.exit_code::text)
    FROM seen JOIN containers c ON c.tenant_id = $1 AND c.id = $3 WHERE seen.exit_code IS NOT NULL AND seen.pid <> 0"
);
const LIVE: &str = "SELECT id FROM execs WHERE tenant_id = $1 AND container_id = $2 AND exit_code IS NULL
    ORDER BY created_at, id";

impl TenantView {
    /// At most 50 created or running ones for a container, else `Conflict`.
    pub async fn add_exec(&self, container: &ContainerId, id: &ExecId, spec: &ExecSpec) -> Result<()> {
        let told = event::action(&told(spec));
        let spec = serde_json::to_string(spec).map_err(|e| Error::because("write an exec's spec", e))?;
        match failure::retrying("add an exec", || self.try_add_exec(container, id, &spec, &told)).await? {
            (true, true) => {
                self.bell.ring();
                Ok(())
            }
            (true, false) => {
                Err(Error::conflict(format!("Container {container} has {LIVE_MAX} exec instances already")))
            }
            (false, _) => Err(Error::not_found(Kind::Container, container.as_str())),
        }
    }

    /// Is there such a container, and was there room?
    async fn try_add_exec(
        &self,
        container: &ContainerId,
        id: &ExecId,
        spec: &str,
        told: &str,
    ) -> sqlx::Result<(bool, bool)> {
        let mut tx = self.pool.begin().await?;
        sqlx::query(LOCK).bind(self.id.0).execute(&mut *tx).await?;
        let verdict = sqlx::query_as(ADD)
            .bind(self.id.0)
            .bind(id.as_str())
            .bind(container.as_str())
            .bind(spec)
            .bind(LIVE_MAX)
            .bind(told)
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(verdict)
    }

    pub async fn exec(&self, id: &ExecId) -> Result<ExecRecord> {
        let query = || sqlx::query_as(ONE).bind(self.id.0).bind(id.as_str()).fetch_optional(&self.pool);
        match failure::retrying("find an exec", query).await? {
            Some(row) => ExecRow::try_into(row),
            None => Err(Error::not_found(Kind::Exec, id.as_str())),
        }
    }

    /// Only one caller gets to start it; the others get dockerd's `Conflict`.
    pub async fn claim_exec(&self, id: &ExecId) -> Result<ExecRecord> {
        // Not tried again: the first try may have won.
        let row: Option<ExecRow> = sqlx::query_as(CLAIM)
            .bind(self.id.0)
            .bind(id.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(|e| failure::translate("claim an exec", e))?;
        if let Some(row) = row {
            self.bell.ring();
            return row.try_into();
        }
        Err(match self.exec(id).await?.running {
            true => Error::conflict(format!("Error: Exec command {id} is already running")),
            false => Error::conflict(format!("Error: Exec command {id} has already run")),
        })
    }

    /// Gives a claim back where the start never reached the host.
    pub async fn unclaim_exec(&self, id: &ExecId) -> Result<()> {
        let query = || sqlx::query(UNCLAIM).bind(self.id.0).bind(id.as_str()).execute(&self.pool);
        failure::retrying("give an exec back", query).await.map(|_| ())
    }

    pub async fn observe_exec(&self, observation: &ExecObservation) -> Result<()> {
        failure::retrying("store an exec's state", || observe_exec(&self.pool, self.id, observation)).await?;
        self.bell.ring();
        Ok(())
    }

    /// Created or running, oldest first.
    pub async fn live_execs(&self, container: &ContainerId) -> Result<Vec<ExecId>> {
        let query = || sqlx::query_scalar(LIVE).bind(self.id.0).bind(container.as_str()).fetch_all(&self.pool);
        let ids: Vec<String> = failure::retrying("list execs", query).await?;
        ids.into_iter().map(|id| id.parse()).collect()
    }
}

pub(crate) async fn observe_exec(db: impl PgExecutor<'_>, tenant: TenantId, o: &ExecObservation) -> sqlx::Result<()> {
    sqlx::query(OBSERVE)
        .bind(tenant.0)
        .bind(o.exec.as_str())
        .bind(o.container.as_str())
        .bind(o.running)
        .bind(i64::from(o.pid))
        .bind(o.exit_code)
        .execute(db)
        .await
        .map(|_| ())
}

/// dockerd's words, with its space behind a command without arguments.
fn told(spec: &ExecSpec) -> String {
    let (command, arguments) = spec.args.split_first().map_or(("", &[][..]), |(c, a)| (c.as_str(), a));
    format!("exec_create: {command} {}", arguments.join(" "))
}
