//! The gate between a TLS connection and a [`Tenant`]: looks the credential up by the certificate's fingerprint.
//!
//! Ask it for each request, not for each connection, and again while something streams: connections live for hours, and a
//! revocation must bite within a second. The cache makes that cheap: an answer is good for [`FRESH`], counted from *before*
//! its query began, which leaves the other half second to whoever looks at times only. When the inventory cannot be asked,
//! an older answer is not used.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::Utc;
use domain::{Error, Result};
use inventory::{CredentialRecord, Inventory};
use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};

use crate::{ClientName, Tenant};

/// How old an answer may be.
const FRESH: Duration = Duration::from_millis(500);
/// Entries at which stale ones are thrown out.
const MANY: usize = 10_000;

type Fingerprint = [u8; 32];
/// Locked while it is asked for, so that a burst of requests costs one query.
type Slot = Arc<tokio::sync::Mutex<Option<Answer>>>;

#[derive(Clone)]
struct Answer {
    asked_at: Instant,
    credential: Option<CredentialRecord>,
    tenant: Option<Tenant>,
}

/// See the module's text. Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    inventory: Inventory,
    slots: Arc<Mutex<HashMap<Fingerprint, Slot>>>,
}

impl Gate {
    pub fn new(inventory: Inventory) -> Self {
        Self { inventory, slots: Arc::default() }
    }

    /// The tenant whom the verified chain names (leaf first), or `Unauthenticated`.
    pub async fn admit(&self, chain: &[CertificateDer<'_>]) -> Result<Tenant> {
        let leaf = chain.first().ok_or_else(|| Error::Unauthenticated("a client certificate is required".into()))?;
        let fingerprint: Fingerprint = Sha256::digest(leaf).into();
        let slot = self.slot(fingerprint);
        let mut kept = slot.lock().await;
        let answer = match kept.take().filter(|a| a.asked_at.elapsed() < FRESH) {
            Some(answer) => answer,
            None => self.ask(leaf, &fingerprint).await?,
        };
        judge(kept.insert(answer))
    }

    async fn ask(&self, leaf: &CertificateDer<'_>, fingerprint: &Fingerprint) -> Result<Answer> {
        let asked_at = Instant::now();
        let name = ClientName::of(leaf)?;
        let credential = self.inventory.credential(fingerprint).await?.filter(|c| is_of(c, &name));
        let tenant = match &credential {
            Some(c) => Some(Tenant::new(&self.inventory.tenant_by_id(c.tenant).await?, c)),
            None => None,
        };
        Ok(Answer { asked_at, credential, tenant })
    }

    fn slot(&self, fingerprint: Fingerprint) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MANY {
            // One that is locked is in use; the others are kept only while their answer is good.
            slots
                .retain(|_, s| s.try_lock().map_or(true, |a| a.as_ref().is_some_and(|a| a.asked_at.elapsed() < FRESH)));
        }
        slots.entry(fingerprint).or_default().clone()
    }
}

/// The row was found by the certificate's bytes; that the names agree as well guards against a row that was mixed up.
fn is_of(row: &CredentialRecord, name: &ClientName) -> bool {
    row.id == name.credential && row.tenant == name.tenant && row.user == name.user
}

fn judge(answer: &Answer) -> Result<Tenant> {
    let refuse = |why: &str| Err(Error::Unauthenticated(format!("the client certificate {why}")));
    match (&answer.credential, &answer.tenant) {
        (Some(c), _) if c.revoked_at.is_some() => refuse("has been revoked"),
        (Some(c), _) if c.not_after <= Utc::now() => refuse("has expired"),
        (Some(_), Some(tenant)) => Ok(tenant.clone()),
        _ => refuse("is not known here"),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use domain::{CredentialId, Role, TenantId, TenantRecord};

    use super::*;

    fn answer(change: impl FnOnce(&mut CredentialRecord)) -> Answer {
        let tenant = TenantRecord {
            id: TenantId::random(),
            name: "demo".into(),
            ordinal: 2,
            memory_quota_bytes: None,
            cpu_quota_millis: None,
            container_quota: None,
            created_at: Utc::now(),
        };
        let mut credential = CredentialRecord {
            id: CredentialId::random(),
            tenant: tenant.id,
            user: "ann".into(),
            role: Role::Viewer,
            fingerprint: vec![0; 32],
            not_after: Utc::now() + TimeDelta::days(1),
            revoked_at: None,
        };
        change(&mut credential);
        let right = Tenant::new(&tenant, &credential);
        Answer { asked_at: Instant::now(), credential: Some(credential), tenant: Some(right) }
    }

    #[test]
    fn a_good_credential_gives_its_tenant_and_uid_range() {
        let tenant = judge(&answer(|_| ())).unwrap();
        assert_eq!((tenant.user(), tenant.role(), tenant.uid_base()), ("ann", Role::Viewer, 100_000 + 2 * 65_536));
    }

    #[test]
    fn a_revoked_credential_is_refused() {
        let refused = judge(&answer(|c| c.revoked_at = Some(Utc::now()))).unwrap_err();
        assert_eq!(refused.to_string(), "the client certificate has been revoked");
    }

    #[test]
    fn an_expired_credential_is_refused() {
        let refused = judge(&answer(|c| c.not_after = Utc::now() - TimeDelta::seconds(1))).unwrap_err();
        assert_eq!(refused.to_string(), "the client certificate has expired");
    }

    #[test]
    fn an_unknown_credential_is_refused() {
        let unknown = Answer { asked_at: Instant::now(), credential: None, tenant: None };
        assert!(matches!(judge(&unknown), Err(Error::Unauthenticated(_))));
    }
}
