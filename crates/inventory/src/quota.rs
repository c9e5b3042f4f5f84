//! Tenants' quotas beside what is reserved of them: set and shown by operators, enforced by `reserve`.

use domain::{Error, Kind, Result, TenantId, TenantRecord};

use crate::{Inventory, failure, sql::tenant_columns, tenant::TenantRow};

/// More than any data centre has, and far from where sums of it overflow.
const MEMORY_MAX_BYTES: i64 = 1 << 60;
const CPU_MAX_MILLIS: i64 = 1_000_000_000;
const CONTAINERS_MAX: i64 = 1_000_000_000;

/// What is to become of a quota; the default changes nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Limit {
    #[default]
    Keep,
    /// Without a limit of the tenant's own.
    Remove,
    /// Bytes, thousandths of a CPU or containers.
    Set(i64),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QuotaChange {
    pub memory_bytes: Limit,
    pub cpu_millis: Limit,
    pub containers: Limit,
}

/// A tenant with what it has reserved: the numbers that the next create is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantQuota {
    pub tenant: TenantRecord,
    pub memory_used_bytes: i64,
    pub cpu_used_millis: i64,
    pub containers_used: i64,
}

#[derive(sqlx::FromRow)]
struct QuotaRow {
    #[sqlx(flatten)]
    tenant: TenantRow,
    memory_used_bytes: i64,
    cpu_used_millis: i64,
    containers_used: i64,
}

impl From<QuotaRow> for TenantQuota {
    fn from(row: QuotaRow) -> Self {
        Self {
            tenant: row.tenant.into(),
            memory_used_bytes: row.memory_used_bytes,
            cpu_used_millis: row.cpu_used_millis,
            containers_used: row.containers_used,
        }
    }
}

impl TenantQuota {
    /// Names of the quotas that are below what is reserved.
    pub fn exceeded(&self) -> Vec<&'static str> {
        let t = &self.tenant;
        [
            ("memory", self.memory_used_bytes, t.memory_quota_bytes),
            ("cpus", self.cpu_used_millis, t.cpu_quota_millis),
            ("containers", self.containers_used, t.container_quota),
        ]
        .into_iter()
        .filter(|(_, used, quota)| quota.is_some_and(|quota| *used > quota))
        .map(|(name, ..)| name)
        .collect()
    }
}

const ALL: &str = concat!(
    "SELECT memory_used_bytes, cpu_used_millis, containers_used, ",
    tenant_columns!(),
    " FROM tenants ORDER BY name"
);
const ONE: &str = concat!(
    "SELECT memory_used_bytes, cpu_used_millis, containers_used, ",
    tenant_columns!(),
    " FROM tenants WHERE id = $1"
);
/// One statement, so that two operators who change two quotas at once do not undo each other.
const CHANGE: &str = concat!(
    "UPDATE tenants SET
        memory_quota_bytes = CASE WHEN $2 THEN $3 ELSE memory_quota_bytes END,
        cpu_quota_millis = CASE WHEN $4 THEN $5 ELSE cpu_quota_millis END,
        container_quota = CASE WHEN $6 THEN $7 ELSE container_quota END,
        revision = revision + 1
    WHERE id = $1 RETURNING memory_used_bytes, cpu_used_millis, containers_used, ",
    tenant_columns!()
);

impl Limit {
    /// Whether it changes, and into what.
    fn change(self) -> (bool, Option<i64>) {
        match self {
            Self::Keep => (false, None),
            Self::Remove => (true, None),
            Self::Set(value) => (true, Some(value)),
        }
    }

    fn check(self, name: &str, max: i64) -> Result<()> {
        match self {
            Self::Set(value) if !(0..=max).contains(&value) => {
                Err(Error::invalid(format!("invalid quota of {name}: {value} is not within 0 and {max}")))
            }
            _ => Ok(()),
        }
    }
}

impl Inventory {
    /// By name.
    pub async fn quotas(&self) -> Result<Vec<TenantQuota>> {
        let rows: Vec<QuotaRow> =
            failure::retrying("list quotas", || sqlx::query_as(ALL).fetch_all(&self.pool)).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    pub async fn quota(&self, id: TenantId) -> Result<TenantQuota> {
        let row: Option<QuotaRow> =
            failure::retrying("read a quota", || sqlx::query_as(ONE).bind(id.0).fetch_optional(&self.pool)).await?;
        row.map(Into::into).ok_or_else(|| Error::not_found(Kind::Tenant, id.to_string()))
    }

    /// Less than what is reserved may be set too: nothing that is there is touched, and whatever would need more is refused.
    pub async fn change_quota(&self, id: TenantId, change: QuotaChange) -> Result<TenantQuota> {
        change.memory_bytes.check("memory (bytes)", MEMORY_MAX_BYTES)?;
        change.cpu_millis.check("cpus (thousandths)", CPU_MAX_MILLIS)?;
        change.containers.check("containers", CONTAINERS_MAX)?;
        let (memory, cpu, count) =
            (change.memory_bytes.change(), change.cpu_millis.change(), change.containers.change());
        let query = || {
            sqlx::query_as(CHANGE)
                .bind(id.0)
                .bind(memory.0)
                .bind(memory.1)
                .bind(cpu.0)
                .bind(cpu.1)
                .bind(count.0)
                .bind(count.1)
                .fetch_optional(&self.pool)
        };
        let row: Option<QuotaRow> = failure::retrying("change a quota", query).await?;
        row.map(Into::into).ok_or_else(|| Error::not_found(Kind::Tenant, id.to_string()))
    }
}
