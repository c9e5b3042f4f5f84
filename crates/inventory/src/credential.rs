//! Client certificates, by the SHA-256 of their DER form.

use chrono::{DateTime, Utc};
use domain::{CredentialId, Error, Kind, Result, Role, TenantId};
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

/// A credential with its tenant's name, for lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedCredential {
    pub tenant_name: String,
    pub record: CredentialRecord,
}

#[derive(sqlx::FromRow)]
struct NamedRow {
    tenant_name: String,
    #[sqlx(flatten)]
    credential: CredentialRow,
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
const BY_ID: &str = "SELECT id, tenant_id, user_name, role, fingerprint, not_after, revoked_at
    FROM credentials WHERE id = $1";
const LIST: &str = "SELECT t.name AS tenant_name,
        c.id, c.tenant_id, c.user_name, c.role, c.fingerprint, c.not_after, c.revoked_at
    FROM credentials c JOIN tenants t ON t.id = c.tenant_id
    WHERE $1::uuid IS NULL OR c.tenant_id = $1
    ORDER BY t.name, c.user_name, c.created_at, c.id";
/// Gives whether it was valid until now; no row: there is none. The lock makes the second of two at once see the first.
const REVOKE: &str = "WITH old AS (SELECT id, revoked_at FROM credentials WHERE id = $1 FOR UPDATE),
    done AS (UPDATE credentials c SET revoked_at = now() FROM old WHERE c.id = old.id AND old.revoked_at IS NULL)
    SELECT revoked_at IS NULL FROM old";

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

    /// Revoked and expired ones too.
    pub async fn credential_by_id(&self, id: CredentialId) -> Result<CredentialRecord> {
        let row: Option<CredentialRow> = failure::retrying("find a credential by its id", || {
            sqlx::query_as(BY_ID).bind(id.0).fetch_optional(&self.pool)
        })
        .await?;
        row.ok_or_else(|| Error::not_found(Kind::Credential, id.to_string()))?.try_into()
    }

    /// Of one tenant or of all, revoked and expired ones too; by tenant, user and age.
    pub async fn credentials(&self, tenant: Option<TenantId>) -> Result<Vec<NamedCredential>> {
        let query = || sqlx::query_as(LIST).bind(tenant.map(|t| t.0)).fetch_all(&self.pool);
        let rows: Vec<NamedRow> = failure::retrying("list credentials", query).await?;
        let named =
            |row: NamedRow| Ok(NamedCredential { tenant_name: row.tenant_name, record: row.credential.try_into()? });
        rows.into_iter().map(named).collect()
    }

    /// True if it was not revoked before. Frontends notice within a second (`identity::Gate`).
    pub async fn revoke_credential(&self, id: CredentialId) -> Result<bool> {
        let query = || sqlx::query_scalar(REVOKE).bind(id.0).fetch_optional(&self.pool);
        let fresh: Option<bool> = failure::retrying("revoke a credential", query).await?;
        fresh.ok_or_else(|| Error::not_found(Kind::Credential, id.to_string()))
    }
}
