//! Tenants: made by operators, with a default network each.

use chrono::{DateTime, Utc};
use domain::{Error, Kind, NetworkId, Result, TenantId, TenantRecord};
use ipnet::{IpNet, Ipv4Net};
use uuid::Uuid;

use crate::{Inventory, Limit, QuotaChange, TenantView, failure, network, sql::tenant_columns};

#[derive(sqlx::FromRow)]
pub(crate) struct TenantRow {
    id: Uuid,
    name: String,
    ordinal: i32,
    memory_quota_bytes: Option<i64>,
    cpu_quota_millis: Option<i64>,
    container_quota: Option<i64>,
    created_at: DateTime<Utc>,
}

impl From<TenantRow> for TenantRecord {
    fn from(row: TenantRow) -> Self {
        Self {
            id: TenantId(row.id),
            name: row.name,
            // The column counts up from 0.
            ordinal: row.ordinal.unsigned_abs(),
            memory_quota_bytes: row.memory_quota_bytes,
            cpu_quota_millis: row.cpu_quota_millis,
            container_quota: row.container_quota,
            created_at: row.created_at,
        }
    }
}

const BY_NAME: &str = concat!("SELECT ", tenant_columns!(), " FROM tenants WHERE name = $1");
const BY_ID: &str = concat!("SELECT ", tenant_columns!(), " FROM tenants WHERE id = $1");
const ALL: &str = concat!("SELECT ", tenant_columns!(), " FROM tenants ORDER BY name");
const INSERT: &str = concat!("INSERT INTO tenants (id, name) VALUES ($1, $2) RETURNING ", tenant_columns!());
const INSERT_NETWORK: &str = "INSERT INTO networks (tenant_id, id, name, subnet, gateway)
    VALUES ($1, $2, 'bridge', $3, host($3)::inet + 1)";

impl Inventory {
    /// A tenant and its default network `bridge`, out of `pool`. `Invalid` for a bad name, `Conflict` for a taken one.
    pub async fn create_tenant(&self, name: &str, pool: Ipv4Net) -> Result<TenantRecord> {
        check_name(name)?;
        let context = "create a tenant";
        let mut tx = self.pool.begin().await.map_err(|e| failure::translate(context, e))?;
        let row: TenantRow = sqlx::query_as(INSERT)
            .bind(Uuid::new_v4())
            .bind(name)
            .fetch_one(&mut *tx)
            .await
            .map_err(|e| taken_or(context, name, e))?;
        let record = TenantRecord::from(row);
        sqlx::query(INSERT_NETWORK)
            .bind(record.id.0)
            .bind(NetworkId::random().as_str())
            .bind(IpNet::V4(network::default_subnet(pool, record.ordinal)))
            .execute(&mut *tx)
            .await
            .map_err(|e| failure::translate(context, e))?;
        tx.commit().await.map_err(|e| failure::translate(context, e))?;
        Ok(record)
    }

    pub async fn tenant_by_name(&self, name: &str) -> Result<TenantRecord> {
        failure::retrying("find a tenant", || sqlx::query_as(BY_NAME).bind(name).fetch_optional(&self.pool))
            .await?
            .map(|row: TenantRow| row.into())
            .ok_or_else(|| Error::not_found(Kind::Tenant, name))
    }

    pub async fn tenant_by_id(&self, id: TenantId) -> Result<TenantRecord> {
        self.tenant(id).record().await
    }

    /// By name.
    pub async fn tenants(&self) -> Result<Vec<TenantRecord>> {
        let rows: Vec<TenantRow> =
            failure::retrying("list tenants", || sqlx::query_as(ALL).fetch_all(&self.pool)).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// All three at once: bytes, thousandths of a CPU and containers; None = without limit. What runs is not touched.
    pub async fn set_quota(
        &self,
        id: TenantId,
        memory_bytes: Option<i64>,
        cpu_millis: Option<i64>,
        containers: Option<i64>,
    ) -> Result<()> {
        let limit = |value: Option<i64>| value.map_or(Limit::Remove, Limit::Set);
        let (memory_bytes, cpu_millis, containers) = (limit(memory_bytes), limit(cpu_millis), limit(containers));
        self.change_quota(id, QuotaChange { memory_bytes, cpu_millis, containers }).await.map(|_| ())
    }
}

impl TenantView {
    pub async fn record(&self) -> Result<TenantRecord> {
        failure::retrying("find a tenant", || sqlx::query_as(BY_ID).bind(self.id.0).fetch_optional(&self.pool))
            .await?
            .map(|row: TenantRow| row.into())
            .ok_or_else(|| Error::not_found(Kind::Tenant, self.id.to_string()))
    }

    /// Counts up in every transaction that changes what the tenant can see.
    pub async fn revision(&self) -> Result<i64> {
        let query = || {
            sqlx::query_scalar("SELECT revision FROM tenants WHERE id = $1").bind(self.id.0).fetch_optional(&self.pool)
        };
        failure::retrying("read a revision", query)
            .await?
            .ok_or_else(|| Error::not_found(Kind::Tenant, self.id.to_string()))
    }
}

fn taken_or(context: &'static str, name: &str, cause: sqlx::Error) -> Error {
    match failure::violated(&cause) {
        Some("tenants_name_unique") => Error::conflict(format!("tenant {name:?} already exists")),
        _ => failure::translate(context, cause),
    }
}

/// The name goes into certificates, file names and DNS labels.
fn check_name(name: &str) -> Result<()> {
    let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    let ends = bytes.first().is_some_and(|b| ok(*b)) && bytes.last().is_some_and(|b| ok(*b));
    if ends && bytes.len() <= 63 && bytes.iter().all(|b| ok(*b) || *b == b'-') {
        Ok(())
    } else {
        Err(Error::invalid(format!("invalid tenant name ({name}): lower-case letters, digits and '-', at most 63")))
    }
}
