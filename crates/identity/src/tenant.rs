//! The right to act as a tenant. Only [`crate::Gate`] makes one, so whoever holds it has passed the gate.

use domain::{CredentialId, Role, TenantId, TenantRecord};
use inventory::CredentialRecord;

/// A tenant's user, as proved by a credential within the last second.
#[derive(Debug, Clone)]
pub struct Tenant {
    id: TenantId,
    name: String,
    uid_base: u32,
    user: String,
    role: Role,
    credential: CredentialId,
}

impl Tenant {
    pub(crate) fn new(tenant: &TenantRecord, credential: &CredentialRecord) -> Self {
        Self {
            id: tenant.id,
            name: tenant.name.clone(),
            uid_base: tenant.uid_base(),
            user: credential.user.clone(),
            role: credential.role,
            credential: credential.id,
        }
    }

    pub fn id(&self) -> TenantId {
        self.id
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// First host uid of the tenant's range.
    pub fn uid_base(&self) -> u32 {
        self.uid_base
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    pub fn role(&self) -> Role {
        self.role
    }

    pub fn credential(&self) -> CredentialId {
        self.credential
    }
}
