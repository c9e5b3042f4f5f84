use chrono::{Duration, Utc};
use domain::{CredentialId, Error, Role};
use sqlx::PgPool;

use super::{POOL, World};
use crate::CredentialRecord;

#[sqlx::test(migrations = "../../migrations")]
async fn tenants_have_names_and_uid_ranges_of_their_own(pool: PgPool) {
    let world = World::new(pool, 0).await;
    let second = world.inventory.create_tenant("second", POOL.parse().unwrap()).await.unwrap();
    assert_eq!((world.tenant.ordinal, second.ordinal), (0, 1));
    assert_eq!(second.uid_base(), world.tenant.uid_base() + 65_536);
    let again = world.inventory.create_tenant("second", POOL.parse().unwrap()).await.unwrap_err();
    assert!(matches!(again, Error::Conflict(_)));
    for bad in ["", "-a", "a-", "A", "a.b", "a/b", &"a".repeat(64)] {
        assert!(matches!(world.inventory.create_tenant(bad, POOL.parse().unwrap()).await, Err(Error::Invalid(_))));
    }
    assert_eq!(world.inventory.tenant_by_name("second").await.unwrap(), second);
    assert_eq!(world.inventory.tenant_by_id(second.id).await.unwrap(), second);
    assert_eq!(world.inventory.tenants().await.unwrap().len(), 2);
    let networks = world.inventory.tenant(second.id).networks().await.unwrap();
    assert_eq!((networks.len(), networks[0].name.as_str()), (1, "bridge"));
    assert_ne!(networks[0].vni, world.view().networks().await.unwrap()[0].vni);
    assert_eq!(networks[0].gateway.to_string(), networks[0].subnet.hosts().next().unwrap().to_string());
}

#[sqlx::test(migrations = "../../migrations")]
async fn credentials_are_found_by_fingerprint_and_revoked_once(pool: PgPool) {
    let world = World::new(pool, 0).await;
    let record = CredentialRecord {
        id: CredentialId::random(),
        tenant: world.tenant.id,
        user: "root".into(),
        role: Role::Owner,
        fingerprint: vec![7; 32],
        not_after: chrono::DateTime::from_timestamp((Utc::now() + Duration::days(90)).timestamp(), 0).unwrap(),
        revoked_at: None,
    };
    world.inventory.add_credential(&record).await.unwrap();
    world.inventory.add_credential(&record).await.unwrap();
    assert_eq!(world.inventory.credential(&[7; 32]).await.unwrap(), Some(record.clone()));
    assert_eq!(world.inventory.credential(&[8; 32]).await.unwrap(), None);
    assert!(world.inventory.revoke_credential(record.id).await.unwrap());
    assert!(!world.inventory.revoke_credential(record.id).await.unwrap());
    assert!(world.inventory.credential(&[7; 32]).await.unwrap().unwrap().revoked_at.is_some());
}
