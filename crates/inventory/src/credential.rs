//! Client certificates, by the SHA-256 of their DER form.

use chrono::{DateTime, Utc};
use domain::{CredentialId, Error, Result, Role, TenantId};
use uuid::Uuid;

use crate::{Inventory, failure};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialRecord {
    pub id: CredentialId,
    pub tenant: TenantId,
    pub user: String,
    pub role: Role,
    /// SHA-256 of the certificate's DER form.
    pub fingerprint: Vec<u8>,
    pub not_after: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct CredentialRow {
    id: Uuid,
    tenant_id: Uuid,
    user_name: String,
    role: String,
    fingerprint: Vec<u8>,
    not_after: DateTime<Utc>,
    revoked_at: Option<DateTime<Utc>>,
}

impl TryFrom<CredentialRow> for CredentialRecord {
    type Error = Error;
    fn try_from(row: CredentialRow) -> Result<Self> {
        Ok(Self {
            id: CredentialId(row.id),
            tenant: TenantId(row.tenant_id),
            user: row.user_name,
            role: row.role.parse()?,
            fingerprint: row.fingerprint,
            not_after: row.not_after,
            revoked_at: row.revoked_at,
        })
    }
}

const INSERT: &str = "INSERT INTO credentials (id, tenant_id, user_name, role, fingerprint, not_after, revoked_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING";
const FIND: &str = "SELECT id, tenant_id, user_name, role, fingerprint, not_after, revoked_at
    FROM credentials WHERE fingerprint = $1";
const REVOKE: &str = "UPDATE credentials SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL";

impl Inventory {
    /// Idempotent by id.
    pub async fn add_credential(&self, record: &CredentialRecord) -> Result<()> {
        let query = || {
            sqlx::query(INSERT)
                .bind(record.id.0)
                .bind(record.tenant.0)
                .bind(&record.user)
                .bind(record.role.as_str())
                .bind(&record.fingerprint)
                .bind(record.not_after)
                .bind(record.revoked_at)
                .execute(&self.pool)
        };
        failure::retrying("add a credential", query).await.map(|_| ())
    }

    /// Revoked and expired ones too: the caller judges.
    pub async fn credential(&self, fingerprint: &[u8]) -> Result<Option<CredentialRecord>> {
        let row: Option<CredentialRow> = failure::retrying("find a credential", || {
            sqlx::query_as(FIND).bind(fingerprint).fetch_optional(&self.pool)
        })
        .await?;
        row.map(TryInto::try_into).transpose()
    }

    /// True if it was valid until now.
    pub async fn revoke_credential(&self, id: CredentialId) -> Result<bool> {
        let done = failure::retrying("revoke a credential", || sqlx::query(REVOKE).bind(id.0).execute(&self.pool));
        Ok(done.await?.rows_affected() > 0)
    }
}
