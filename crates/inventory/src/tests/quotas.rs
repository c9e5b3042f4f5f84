use domain::{Error, TenantId};
use sqlx::PgPool;

use super::{MIB, World};
use crate::{Limit, QuotaChange, ReserveError};

#[sqlx::test(migrations = "../../migrations")]
async fn a_quota_is_changed_alone_and_removed_alone(pool: PgPool) {
    let world = World::new(pool, 0).await;
    let id = world.tenant.id;
    let before = world.view().revision().await.unwrap();
    let memory = QuotaChange { memory_bytes: Limit::Set(8192 * MIB), ..QuotaChange::default() };
    world.inventory.change_quota(id, memory).await.unwrap();
    let rest = QuotaChange { cpu_millis: Limit::Set(4000), containers: Limit::Set(100), ..QuotaChange::default() };
    let quota = world.inventory.change_quota(id, rest).await.unwrap();
    let of = |t: &domain::TenantRecord| (t.memory_quota_bytes, t.cpu_quota_millis, t.container_quota);
    assert_eq!(of(&quota.tenant), (Some(8192 * MIB), Some(4000), Some(100)));
    assert!(world.view().revision().await.unwrap() > before, "frontends read it anew");
    let none = QuotaChange { memory_bytes: Limit::Remove, ..QuotaChange::default() };
    assert_eq!(of(&world.inventory.change_quota(id, none).await.unwrap().tenant), (None, Some(4000), Some(100)));
    assert_eq!(of(&world.inventory.tenant_by_id(id).await.unwrap()), (None, Some(4000), Some(100)));
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_used_stands_beside_the_quota(pool: PgPool) {
    let world = World::new(pool, 1).await;
    world.place("aa").await;
    world.place("bb").await;
    let quota = world.inventory.quota(world.tenant.id).await.unwrap();
    assert_eq!((quota.memory_used_bytes, quota.cpu_used_millis, quota.containers_used), (200 * MIB, 200, 2));
    assert_eq!(world.inventory.quotas().await.unwrap(), [quota]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_quota_below_what_is_used_evicts_nothing_and_refuses_the_next(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let first = world.place("aa").await;
    world.place("bb").await;
    let one = QuotaChange { containers: Limit::Set(1), ..QuotaChange::default() };
    let quota = world.inventory.change_quota(world.tenant.id, one).await.unwrap();
    assert_eq!((quota.exceeded(), quota.containers_used), (vec!["containers"], 2));
    let refused = world.inventory.reserve(&world.new_container("cc"), world.hosts[0]).await.unwrap_err();
    let ReserveError::Failed(refused) = refused else { panic!("{refused:?}") };
    assert_eq!(refused.to_string(), "quota exceeded: containers: 1 asked for, 0 of 1 left (quota)");
    assert!(world.view().forget(&first).await.unwrap());
    let quota = world.inventory.quota(world.tenant.id).await.unwrap();
    assert!(quota.exceeded().is_empty());
    assert!(world.inventory.reserve(&world.new_container("cc"), world.hosts[0]).await.is_err(), "it is full");
}

#[sqlx::test(migrations = "../../migrations")]
async fn odd_quotas_and_unknown_tenants_are_refused(pool: PgPool) {
    let world = World::new(pool, 0).await;
    let with = |memory_bytes, containers| QuotaChange { memory_bytes, containers, ..QuotaChange::default() };
    for (change, field) in [
        (with(Limit::Set(-1), Limit::Keep), "memory"),
        (with(Limit::Set(i64::MAX), Limit::Keep), "memory"),
        (with(Limit::Keep, Limit::Set(-5)), "containers"),
    ] {
        let refused = world.inventory.change_quota(world.tenant.id, change).await.unwrap_err();
        assert!(matches!(&refused, Error::Invalid(text) if text.contains(field)), "{refused:?}");
    }
    let nobody = world.inventory.change_quota(TenantId::random(), QuotaChange::default()).await;
    assert!(matches!(nobody, Err(Error::NotFound { .. })));
}
