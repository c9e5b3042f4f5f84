use std::collections::BTreeSet;

use domain::{
    Error, HostId, NewContainer, NewVolume, PlacedVolume, Status, VolumeDriver, spec::VolumeMount,
    volume::ANONYMOUS_LABEL,
};
use futures::future::join_all;
use sqlx::PgPool;

use super::{POOL, World, observed};
use crate::{ReserveError, Reserved};

fn mount(name: &str, target: &str) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        target: target.into(),
        readonly: false,
        no_copy: false,
        subpath: String::new(),
        anonymous: false,
        mode: "z".into(),
    }
}

/// With these volumes, each at a place of its own.
fn with(mut new: NewContainer, names: &[&str]) -> NewContainer {
    new.volumes = names.iter().map(|name| NewVolume::named(*name)).collect();
    new.spec.volumes = names.iter().map(|name| mount(name, &format!("/{name}"))).collect();
    new
}

/// With a volume that is its own.
fn with_own(mut new: NewContainer, name: &str) -> NewContainer {
    new.volumes = vec![NewVolume::anonymous(name)];
    new.spec.volumes = vec![VolumeMount { anonymous: true, mode: String::new(), ..mount(name, "/own") }];
    new
}

async fn names(world: &World) -> Vec<String> {
    world.view().volumes().await.unwrap().into_iter().map(|v| v.name).collect()
}

/// As a placement does it: where a volume is pinned, there.
async fn place(world: &World, new: &NewContainer, host: HostId) -> Result<Reserved, ReserveError> {
    match world.inventory.reserve(new, host).await {
        Err(ReserveError::Pinned { host, .. }) => world.inventory.reserve(new, host).await,
        outcome => outcome,
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_volume_is_made_once_and_found_by_its_name(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let mut new = NewVolume::named("data");
    new.labels.insert("a".into(), "b".into());
    let before = world.view().revision().await.unwrap();
    let (made, is_new) = world.view().create_volume(&new).await.unwrap();
    assert!(is_new && world.view().revision().await.unwrap() > before);
    assert_eq!((made.name.as_str(), made.driver, made.host), ("data", VolumeDriver::Local, None));
    let (again, is_new) = world.view().create_volume(&NewVolume::named("data")).await.unwrap();
    assert!(!is_new);
    assert_eq!((&again, &world.view().volume("data").await.unwrap()), (&made, &made));
    let shared = NewVolume { driver: Some(VolumeDriver::Shared), ..NewVolume::named("data") };
    assert!(matches!(world.view().create_volume(&shared).await, Err(Error::Conflict(_))));
    let missing = world.view().volume("dat").await.unwrap_err();
    assert_eq!(missing.to_string(), "get dat: no such volume");
}

#[sqlx::test(migrations = "../../migrations")]
async fn second_tenant_has_a_volume_of_its_own_under_the_same_name(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let other = world.inventory.create_tenant("other", POOL.parse().unwrap()).await.unwrap();
    let theirs = world.inventory.tenant(other.id);
    let (mine, _) = world.view().create_volume(&NewVolume::named("data")).await.unwrap();
    assert!(theirs.volume("data").await.is_err());
    assert!(matches!(theirs.remove_volume("data").await, Err(Error::NotFound { .. })));
    let (other, is_new) = theirs.create_volume(&NewVolume::named("data")).await.unwrap();
    assert!(is_new && other.id != mine.id);
    theirs.remove_volume("data").await.unwrap();
    assert_eq!(world.view().volume("data").await.unwrap(), mine);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_create_makes_its_volumes_and_ties_them_to_its_host(pool: PgPool) {
    let world = World::new(pool, 2).await;
    let new = with(world.new_container("web"), &["data", "logs"]);
    let reserved = world.inventory.reserve(&new, world.hosts[1]).await.unwrap();
    let data = world.view().volume("data").await.unwrap();
    assert_eq!((data.host, &data.users[..]), (Some(world.hosts[1]), &[new.id.clone()][..]));
    let placed = PlacedVolume { id: data.id, name: "data".into(), driver: VolumeDriver::Local, size_bytes: None };
    assert_eq!((reserved.volumes.len(), &reserved.volumes[0]), (2, &placed));
    let found = world.view().container("web").await.unwrap();
    let shown: Vec<_> = found.volumes.iter().map(|v| (v.name.as_str(), v.target.as_str(), v.writable)).collect();
    assert_eq!(shown, [("data", "/data", true), ("logs", "/logs", true)]);
    assert_eq!(world.view().containers().await.unwrap()[0].volumes, found.volumes);
    // The same create again answers the same, wherever it is asked for.
    let again = place(&world, &new, world.hosts[0]).await.unwrap();
    assert_eq!((again.host.id, again.volumes), (world.hosts[1], reserved.volumes));
}

#[sqlx::test(migrations = "../../migrations")]
async fn of_fifty_first_users_of_a_volume_all_end_on_one_host(pool: PgPool) {
    let world = World::new(pool, 2).await;
    for host in &world.hosts {
        // Room for all of them on either.
        world.inventory.register_host(*host, &format!("{host}"), &super::facts(64_000, 64 << 30)).await.unwrap();
    }
    let wanted: Vec<_> = (0..50).map(|n| with(world.new_container(&format!("c{n}")), &["data"])).collect();
    let outcomes = join_all(wanted.iter().enumerate().map(|(n, new)| place(&world, new, world.hosts[n % 2]))).await;
    let placed: Vec<Reserved> = outcomes.into_iter().map(|o| o.unwrap()).collect();
    let hosts: BTreeSet<_> = placed.iter().map(|r| r.host.id).collect();
    let volumes: BTreeSet<_> = placed.iter().map(|r| r.volumes[0].id).collect();
    assert_eq!((hosts.len(), volumes.len()), (1, 1));
    let volume = world.view().volume("data").await.unwrap();
    assert_eq!((volume.host, volume.users.len()), (hosts.first().copied(), 50));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_refused_create_leaves_no_volume_and_no_pin(pool: PgPool) {
    let world = World::new(pool, 1).await;
    world.view().create_volume(&NewVolume::named("old")).await.unwrap();
    let mut big = with(world.new_container("big"), &["old", "new"]);
    big.spec.resources.memory_bytes = 1 << 50;
    assert!(matches!(world.inventory.reserve(&big, world.hosts[0]).await, Err(ReserveError::HostFull)));
    assert_eq!(names(&world).await, ["old"]);
    assert_eq!(world.view().volume("old").await.unwrap().host, None);
}

#[sqlx::test(migrations = "../../migrations")]
async fn volumes_of_two_hosts_are_refused_by_their_names(pool: PgPool) {
    let world = World::new(pool, 2).await;
    world.inventory.reserve(&with(world.new_container("c1"), &["one"]), world.hosts[0]).await.unwrap();
    world.inventory.reserve(&with(world.new_container("c2"), &["two"]), world.hosts[1]).await.unwrap();
    let both = with(world.new_container("c3"), &["one", "two"]);
    match world.inventory.reserve(&both, world.hosts[0]).await.unwrap_err() {
        ReserveError::Failed(Error::Conflict(text)) => {
            assert!(text.starts_with("volumes one and two are kept in different places"), "{text}")
        }
        other => panic!("{other:?}"),
    }
    // A shared one is everywhere.
    let shared = NewVolume { driver: Some(VolumeDriver::Shared), ..NewVolume::named("common") };
    world.view().create_volume(&shared).await.unwrap();
    for (host, name) in [(0, "s1"), (1, "s2")] {
        world.inventory.reserve(&with(world.new_container(name), &["common"]), world.hosts[host]).await.unwrap();
    }
    assert_eq!(world.view().volume("common").await.unwrap().host, None);
}

#[sqlx::test(migrations = "../../migrations")]
async fn in_use_is_in_use_and_what_is_removed_is_told_to_its_host(pool: PgPool) {
    let world = World::new(pool, 2).await;
    let new = with(world.new_container("web"), &["data"]);
    world.inventory.reserve(&new, world.hosts[0]).await.unwrap();
    let id = world.view().volume("data").await.unwrap().id;
    let refused = world.view().remove_volume("data").await.unwrap_err();
    assert_eq!(refused.to_string(), format!("remove data: volume is in use - [{}]", new.id));
    assert!(world.view().remove_unused_volumes(&["data".into()]).await.unwrap().is_empty());
    world.view().forget(&new.id).await.unwrap();
    assert_eq!(names(&world).await, ["data"], "a named volume survives its container");
    world.view().remove_volume("data").await.unwrap();
    assert!(world.inventory.removed_volumes(world.hosts[1], true).await.unwrap().is_empty());
    let removed = world.inventory.removed_volumes(world.hosts[0], false).await.unwrap();
    assert_eq!((removed.len(), removed[0].id, removed[0].shared), (1, id, false));
    // Another host's word does not count.
    world.inventory.volumes_deleted(world.hosts[1], &[id]).await.unwrap();
    assert_eq!(world.inventory.removed_volumes(world.hosts[0], false).await.unwrap().len(), 1);
    world.inventory.volumes_deleted(world.hosts[0], &[id]).await.unwrap();
    assert!(world.inventory.removed_volumes(world.hosts[0], false).await.unwrap().is_empty());
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_name_that_is_used_again_means_another_directory(pool: PgPool) {
    let world = World::new(pool, 2).await;
    let first = with(world.new_container("c1"), &["data"]);
    world.inventory.reserve(&first, world.hosts[0]).await.unwrap();
    let old = world.view().volume("data").await.unwrap().id;
    world.view().forget(&first.id).await.unwrap();
    world.view().remove_volume("data").await.unwrap();
    let second = with(world.new_container("c2"), &["data"]);
    world.inventory.reserve(&second, world.hosts[1]).await.unwrap();
    let new = world.view().volume("data").await.unwrap();
    assert!(new.id != old && new.host == Some(world.hosts[1]));
}

#[sqlx::test(migrations = "../../migrations")]
async fn own_volumes_go_with_the_container_only_when_they_shall(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let host = world.hosts[0];
    let seen = async |new: &NewContainer| {
        world.view().observe(&observed(world.tenant.id, &new.id, 5, Status::Exited)).await.unwrap();
    };
    // rm
    let kept = with_own(world.new_container("c1"), "kept");
    world.inventory.reserve(&kept, host).await.unwrap();
    seen(&kept).await;
    world.view().forget(&kept.id).await.unwrap();
    assert_eq!(names(&world).await, ["kept"]);
    assert!(world.view().volume("kept").await.unwrap().labels.contains_key(ANONYMOUS_LABEL));
    // rm -v
    let gone = with_own(world.new_container("c2"), "gone");
    world.inventory.reserve(&gone, host).await.unwrap();
    seen(&gone).await;
    world.view().volumes_go_with(&gone.id, true).await.unwrap();
    world.view().forget(&gone.id).await.unwrap();
    assert_eq!(names(&world).await, ["kept"]);
    // --rm, heard of from the host
    let mut once = with_own(world.new_container("c3"), "once");
    once.spec.auto_remove = true;
    world.inventory.reserve(&once, host).await.unwrap();
    seen(&once).await;
    let mut end = observed(world.tenant.id, &once.id, 9, Status::Exited);
    end.removed = true;
    world.inventory.ingest(host, &[end], &[], false).await.unwrap();
    assert_eq!(names(&world).await, ["kept"]);
    // A create that failed
    let failed = with_own(world.new_container("c4"), "failed");
    world.inventory.reserve(&failed, host).await.unwrap();
    world.view().forget(&failed.id).await.unwrap();
    assert_eq!(names(&world).await, ["kept"]);
    // Somebody else has it, by --volumes-from
    let owner = with_own(world.new_container("c5"), "shared");
    world.inventory.reserve(&owner, host).await.unwrap();
    seen(&owner).await;
    let heir = with(world.new_container("c6"), &["shared"]);
    world.inventory.reserve(&heir, host).await.unwrap();
    seen(&heir).await;
    world.view().volumes_go_with(&owner.id, true).await.unwrap();
    world.view().forget(&owner.id).await.unwrap();
    world.view().volumes_go_with(&heir.id, true).await.unwrap();
    world.view().forget(&heir.id).await.unwrap();
    assert_eq!(names(&world).await, ["kept", "shared"], "it was never the heir's own");
    assert_eq!(world.inventory.removed_volumes(host, true).await.unwrap().len(), 3);
}

#[sqlx::test(migrations = "../../migrations")]
async fn removals_and_creates_race_without_harm(pool: PgPool) {
    let world = World::new(pool, 1).await;
    for round in 0..10 {
        let new = with(world.new_container(&format!("c{round}")), &["data"]);
        let view = world.view();
        let (placed, removed) = tokio::join!(world.inventory.reserve(&new, world.hosts[0]), view.remove_volume("data"));
        placed.unwrap();
        if let Err(error) = removed {
            assert!(matches!(error, Error::Conflict(_) | Error::NotFound { .. }), "{error:?}");
        }
        assert_eq!(world.view().volume("data").await.unwrap().users, std::slice::from_ref(&new.id));
        let owner = with_own(world.new_container(&format!("o{round}")), "own");
        world.inventory.reserve(&owner, world.hosts[0]).await.unwrap();
        world.view().volumes_go_with(&owner.id, true).await.unwrap();
        let heir = with(world.new_container(&format!("h{round}")), &["own"]);
        let (forgotten, reserved) =
            tokio::join!(view.forget(&owner.id), world.inventory.reserve(&heir, world.hosts[0]));
        assert!(forgotten.unwrap());
        reserved.unwrap();
        assert_eq!(world.view().volume("own").await.unwrap().users, std::slice::from_ref(&heir.id));
        world.view().forget(&heir.id).await.unwrap();
        world.view().forget(&new.id).await.unwrap();
        let _ = world.view().remove_unused_volumes(&["own".into(), "data".into()]).await.unwrap();
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn placement_reads_where_volumes_are(pool: PgPool) {
    let world = World::new(pool, 1).await;
    world.inventory.reserve(&with(world.new_container("c1"), &["here"]), world.hosts[0]).await.unwrap();
    let wanted = [NewVolume::named("new"), NewVolume::named("here")];
    let places = world.inventory.volume_places(world.tenant.id, &wanted).await.unwrap();
    let told: Vec<_> = places.iter().map(|p| (p.name.as_str(), p.host)).collect();
    assert_eq!(told, [("new", None), ("here", Some(world.hosts[0]))]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn affinities_and_volumes_go_together(pool: PgPool) {
    let world = World::new(pool, 2).await;
    let new = with(world.new_container("c1"), &["data"]);
    let mut placing = world.inventory.place_alone(world.tenant.id).await.unwrap();
    let reserved = placing.reserve(&new, world.hosts[1]).await.unwrap();
    placing.commit().await.unwrap();
    assert_eq!(reserved.volumes.len(), 1);
    assert_eq!(world.view().volume("data").await.unwrap().host, Some(world.hosts[1]));
    let second = with(world.new_container("c2"), &["data", "more"]);
    let mut placing = world.inventory.place_alone(world.tenant.id).await.unwrap();
    let pinned = placing.reserve(&second, world.hosts[0]).await.unwrap_err();
    assert!(matches!(pinned, ReserveError::Pinned { host, .. } if host == world.hosts[1]));
    placing.reserve(&second, world.hosts[1]).await.unwrap();
    placing.commit().await.unwrap();
    assert_eq!(names(&world).await, ["data", "more"]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_happens_to_volumes_is_told(pool: PgPool) {
    let world = World::new(pool.clone(), 1).await;
    world.view().create_volume(&NewVolume::named("data")).await.unwrap();
    world.view().create_volume(&NewVolume::named("data")).await.unwrap();
    let mut new = with(world.new_container("web"), &["data", "logs"]);
    new.spec.volumes[1].readonly = true;
    world.inventory.reserve(&new, world.hosts[0]).await.unwrap();
    let happened = |generation, action: &str| domain::Happening {
        generation,
        at: chrono::Utc::now(),
        action: action.into(),
        attributes: Default::default(),
    };
    let mut seen = observed(world.tenant.id, &new.id, 2, Status::Running);
    seen.happenings = vec![happened(2, domain::Happening::CONNECT)];
    world.view().observe(&seen).await.unwrap();
    world.view().observe(&seen).await.unwrap();
    world.view().forget_with(&new.id, &[happened(3, domain::Happening::DISCONNECT)]).await.unwrap();
    world.view().remove_volume("data").await.unwrap();
    let told: Vec<(String, String)> = sqlx::query_as(
        "SELECT action, actor || coalesce(' ' || (attributes->>'destination') || ' ' || (attributes->>'read/write'), '')
         FROM events WHERE tenant_id = $1 AND type = 'volume' ORDER BY id",
    )
    .bind(world.tenant.id.0)
    .fetch_all(&pool)
    .await
    .unwrap();
    let told: Vec<_> = told.iter().map(|(action, actor)| format!("{action} {actor}")).collect();
    assert_eq!(told[..2], ["create data", "create logs"]);
    let mut mounts = told[2..6].to_vec();
    mounts.sort();
    assert_eq!(mounts, ["mount data /data true", "mount logs /logs false", "unmount data", "unmount logs"]);
    assert_eq!(told[6..], ["destroy data"]);
}
