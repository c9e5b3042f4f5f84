use chrono::{Duration, Utc};
use domain::{CredentialId, Error, Role, TenantId};
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

fn record(tenant: TenantId, user: &str, fingerprint: u8) -> CredentialRecord {
    CredentialRecord {
        id: CredentialId::random(),
        tenant,
        user: user.into(),
        role: Role::Owner,
        fingerprint: vec![fingerprint; 32],
        not_after: chrono::DateTime::from_timestamp((Utc::now() + Duration::days(90)).timestamp(), 0).unwrap(),
        revoked_at: None,
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn credentials_are_found_by_fingerprint_and_revoked_once(pool: PgPool) {
    let world = World::new(pool, 0).await;
    let record = record(world.tenant.id, "root", 7);
    world.inventory.add_credential(&record).await.unwrap();
    world.inventory.add_credential(&record).await.unwrap();
    assert_eq!(world.inventory.credential(&[7; 32]).await.unwrap(), Some(record.clone()));
    assert_eq!(world.inventory.credential(&[8; 32]).await.unwrap(), None);
    assert!(world.inventory.revoke_credential(record.id).await.unwrap());
    assert!(!world.inventory.revoke_credential(record.id).await.unwrap());
    assert!(world.inventory.credential(&[7; 32]).await.unwrap().unwrap().revoked_at.is_some());
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_time_of_a_revocation_stays_and_an_unknown_id_is_an_error(pool: PgPool) {
    let world = World::new(pool, 0).await;
    let record = record(world.tenant.id, "ann", 1);
    world.inventory.add_credential(&record).await.unwrap();
    assert_eq!(world.inventory.credential_by_id(record.id).await.unwrap(), record);
    let at_once = futures::future::join_all((0..8).map(|_| world.inventory.revoke_credential(record.id))).await;
    assert_eq!(at_once.into_iter().filter(|fresh| *fresh.as_ref().unwrap()).count(), 1);
    let revoked = world.inventory.credential_by_id(record.id).await.unwrap();
    assert!(!world.inventory.revoke_credential(record.id).await.unwrap());
    assert_eq!(world.inventory.credential_by_id(record.id).await.unwrap(), revoked);
    let unknown = CredentialId::random();
    for error in [
        world.inventory.revoke_credential(unknown).await.unwrap_err(),
        world.inventory.credential_by_id(unknown).await.unwrap_err(),
    ] {
        assert_eq!(error.to_string(), format!("no such credential: {unknown}"));
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn credentials_are_listed_by_tenant_user_and_age(pool: PgPool) {
    let world = World::new(pool, 0).await;
    let other = world.inventory.create_tenant("another", POOL.parse().unwrap()).await.unwrap();
    let records = [
        record(world.tenant.id, "bob", 1),
        record(world.tenant.id, "ann", 2),
        record(world.tenant.id, "ann", 3),
        record(other.id, "zoe", 4),
    ];
    for record in &records {
        world.inventory.add_credential(record).await.unwrap();
    }
    world.inventory.revoke_credential(records[1].id).await.unwrap();
    let list = world.inventory.credentials(None).await.unwrap();
    let seen: Vec<_> = list.iter().map(|c| (c.tenant_name.as_str(), c.record.fingerprint[0])).collect();
    assert_eq!(seen, [("another", 4), ("demo", 2), ("demo", 3), ("demo", 1)]);
    assert!(list[1].record.revoked_at.is_some() && list[2].record.revoked_at.is_none());
    let own = world.inventory.credentials(Some(other.id)).await.unwrap();
    assert_eq!((own.len(), &own[0].record), (1, &records[3]));
}
