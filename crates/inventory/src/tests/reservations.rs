use std::collections::BTreeSet;

use domain::{Error, HostState, spec::NetworkMode};
use futures::future::join_all;
use sqlx::PgPool;

use super::{MIB, POOL, World, facts, new_container, wish};
use crate::ReserveError;

fn failed(error: ReserveError) -> Error {
    match error {
        ReserveError::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

/// What rows say must equal what the counters say.
async fn assert_counters_match_rows(pool: &PgPool) {
    let wrong: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM hosts h WHERE
            (h.facts->>'memory_bytes')::bigint - h.memory_bytes_free IS DISTINCT FROM
                (SELECT coalesce(sum(memory_bytes), 0) FROM containers c WHERE c.host_id = h.id)::bigint
            OR (h.facts->>'cpu_millis')::bigint - h.cpu_millis_free IS DISTINCT FROM
                (SELECT coalesce(sum(cpu_millis), 0) FROM containers c WHERE c.host_id = h.id)::bigint
            OR h.containers <> (SELECT count(*) FROM containers c WHERE c.host_id = h.id))
         + (SELECT count(*) FROM tenants t WHERE
            t.memory_used_bytes IS DISTINCT FROM
                (SELECT coalesce(sum(memory_bytes), 0) FROM containers c WHERE c.tenant_id = t.id)::bigint
            OR t.containers_used <> (SELECT count(*) FROM containers c WHERE c.tenant_id = t.id))",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(wrong, 0, "counters and rows differ");
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_reservation_takes_what_it_says(pool: PgPool) {
    let world = World::new(pool.clone(), 1).await;
    let new = world.new_container("web");
    let before = world.view().revision().await.unwrap();
    let reserved = world.inventory.reserve(&new, world.hosts[0]).await.unwrap();
    assert_eq!(reserved.uid_base, world.tenant.uid_base());
    assert_eq!(reserved.host.memory_bytes_free, (4096 - 100) * MIB);
    assert_eq!(reserved.host, world.inventory.host(world.hosts[0]).await.unwrap());
    let endpoint = &reserved.endpoints[0];
    assert_eq!((endpoint.network_name.as_str(), endpoint.interface.as_str(), endpoint.mtu), ("bridge", "eth0", 1450));
    assert!(endpoint.subnet.contains(&endpoint.address) && endpoint.address != endpoint.gateway);
    assert_eq!(endpoint.mac, domain::Endpoint::derived_mac(endpoint.address));
    assert_eq!(endpoint.aliases, ["db"]);
    let found = world.view().container("web").await.unwrap();
    assert_eq!((&found.endpoints, &found.spec), (&reserved.endpoints, &new.spec));
    assert_eq!(found.docker_config.get(), new.docker_config.get());
    assert_eq!((found.observation.generation, found.host_reachable), (0, true));
    assert!(world.view().revision().await.unwrap() > before);
    assert_counters_match_rows(&pool).await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_same_reservation_again_answers_the_same(pool: PgPool) {
    let world = World::new(pool.clone(), 2).await;
    let new = world.new_container("web");
    let first = world.inventory.reserve(&new, world.hosts[0]).await.unwrap();
    let again = world.inventory.reserve(&new, world.hosts[1]).await.unwrap();
    assert_eq!((first.endpoints, first.host.id), (again.endpoints, again.host.id));
    assert_counters_match_rows(&pool).await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn of_fifty_creates_with_one_name_one_wins(pool: PgPool) {
    let world = World::new(pool.clone(), 2).await;
    let wanted: Vec<_> = (0..50).map(|_| world.new_container("web")).collect();
    let outcomes =
        join_all(wanted.iter().enumerate().map(|(n, c)| world.inventory.reserve(c, world.hosts[n % 2]))).await;
    let winner = world.view().container("web").await.unwrap();
    let mut won = 0;
    for outcome in outcomes {
        match outcome {
            Ok(_) => won += 1,
            Err(error) => assert_eq!(
                failed(error).to_string(),
                format!(
                    "Conflict. The container name \"/web\" is already in use by container \"{}\". You have to remove (or \
                     rename) that container to be able to reuse that name.",
                    winner.id
                )
            ),
        }
    }
    assert_eq!(won, 1);
    assert_counters_match_rows(&pool).await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn second_tenant_may_reuse_a_name(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let other = world.inventory.create_tenant("other", POOL.parse().unwrap()).await.unwrap();
    world.place("web").await;
    world.inventory.reserve(&new_container(other.id, "web"), world.hosts[0]).await.unwrap();
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_host_is_never_oversubscribed(pool: PgPool) {
    let world = World::new(pool.clone(), 1).await;
    let other = world.inventory.create_tenant("other", POOL.parse().unwrap()).await.unwrap();
    // 4000 thousandths of a CPU and 100 each: room for 40.
    let wanted: Vec<_> =
        (0..60).map(|n| new_container(if n % 2 == 0 { world.tenant.id } else { other.id }, &format!("c{n}"))).collect();
    let outcomes = join_all(wanted.iter().map(|c| world.inventory.reserve(c, world.hosts[0]))).await;
    let full = outcomes.iter().filter(|o| matches!(o, Err(ReserveError::HostFull))).count();
    assert_eq!((outcomes.iter().filter(|o| o.is_ok()).count(), full), (40, 20));
    assert_eq!(world.inventory.host(world.hosts[0]).await.unwrap().cpu_millis_free, 0);
    assert_counters_match_rows(&pool).await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_quota_is_exact_under_racing_creates(pool: PgPool) {
    let world = World::new(pool.clone(), 3).await;
    world.inventory.set_quota(world.tenant.id, Some(1024 * MIB), None, None).await.unwrap();
    let wanted: Vec<_> = (0..30).map(|n| world.new_container(&format!("c{n}"))).collect();
    let outcomes =
        join_all(wanted.iter().enumerate().map(|(n, c)| world.inventory.reserve(c, world.hosts[n % 3]))).await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 10);
    for error in outcomes.into_iter().filter_map(|o| o.err()) {
        let error = failed(error);
        assert!(matches!(error, Error::Forbidden(_)));
        assert_eq!(error.to_string(), "quota exceeded: memory: 100MiB asked for, 24MiB of 1GiB left (quota)");
    }
    assert_eq!(world.view().usage().await.unwrap().memory_used_bytes, 1000 * MIB);
    assert_counters_match_rows(&pool).await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn cpu_and_count_quotas_hold_too(pool: PgPool) {
    let world = World::new(pool, 1).await;
    world.inventory.set_quota(world.tenant.id, None, Some(150), None).await.unwrap();
    world.place("aa").await;
    let text =
        failed(world.inventory.reserve(&world.new_container("bb"), world.hosts[0]).await.unwrap_err()).to_string();
    assert_eq!(text, "quota exceeded: cpu: 0.1 asked for, 0.05 of 0.15 left (quota)");
    world.inventory.set_quota(world.tenant.id, None, None, Some(1)).await.unwrap();
    let text =
        failed(world.inventory.reserve(&world.new_container("bb"), world.hosts[0]).await.unwrap_err()).to_string();
    assert_eq!(text, "quota exceeded: containers: 1 asked for, 0 of 1 left (quota)");
}

#[sqlx::test(migrations = "../../migrations")]
async fn cordoned_silent_and_unknown_hosts_take_nothing(pool: PgPool) {
    let world = World::new(pool.clone(), 2).await;
    world.inventory.set_host_state(world.hosts[0], HostState::Cordoned).await.unwrap();
    sqlx::query("UPDATE hosts SET seen_at = now() - interval '16 seconds' WHERE id = $1")
        .bind(world.hosts[1].0)
        .execute(&pool)
        .await
        .unwrap();
    for host in [world.hosts[0], world.hosts[1], domain::HostId::random()] {
        let outcome = world.inventory.reserve(&world.new_container("web"), host).await;
        assert!(matches!(outcome, Err(ReserveError::HostGone)), "{outcome:?}");
    }
    assert_counters_match_rows(&pool).await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn racing_creates_get_addresses_of_their_own_until_the_network_is_full(pool: PgPool) {
    let world = World::new(pool.clone(), 1).await;
    // Six usable addresses, one of them the gateway's.
    sqlx::query("UPDATE networks SET subnet = '10.1.2.0/29', gateway = '10.1.2.1'").execute(&pool).await.unwrap();
    let wanted: Vec<_> = (0..9).map(|n| world.new_container(&format!("c{n}"))).collect();
    let outcomes = join_all(wanted.iter().map(|c| world.inventory.reserve(c, world.hosts[0]))).await;
    let mut addresses = BTreeSet::new();
    for outcome in outcomes {
        match outcome {
            Ok(reserved) => assert!(addresses.insert(reserved.endpoints[0].address.to_string())),
            Err(error) => {
                let text = failed(error).to_string();
                assert!(
                    text.starts_with("no available IPv4 addresses on this network's address pools: bridge ("),
                    "{text}"
                );
            }
        }
    }
    assert_eq!(Vec::from_iter(addresses), ["10.1.2.2", "10.1.2.3", "10.1.2.4", "10.1.2.5", "10.1.2.6"]);
    assert_counters_match_rows(&pool).await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn static_addresses_are_honoured_or_refused(pool: PgPool) {
    let world = World::new(pool.clone(), 1).await;
    let ask = |name: &str, address: &str| {
        let mut new = world.new_container(name);
        let mut wish = wish("bridge");
        wish.ipv4 = Some(address.parse().unwrap());
        wish.mac = Some("02:00:00:00:00:07".into());
        new.spec.network = NetworkMode::Tenant(vec![wish]);
        let (inventory, host) = (world.inventory.clone(), world.hosts[0]);
        async move { inventory.reserve(&new, host).await }
    };
    let endpoint = ask("aa", "172.16.3.4").await.unwrap().endpoints.remove(0);
    assert_eq!((endpoint.address.to_string().as_str(), endpoint.mac.as_str()), ("172.16.3.4", "02:00:00:00:00:07"));
    for taken in ["172.16.3.4", "172.16.0.1"] {
        let error = failed(ask("bb", taken).await.unwrap_err());
        assert!(matches!(&error, Error::Conflict(text) if text == "Address already in use"), "{error:?}");
    }
    for outside in ["10.0.0.1", "172.16.0.0", "172.16.15.255"] {
        let error = failed(ask("bb", outside).await.unwrap_err());
        assert!(matches!(&error, Error::Invalid(text) if text.contains(outside)), "{error:?}");
    }
    let racing = join_all((0..8).map(|n| ask(Box::leak(format!("r{n}").into_boxed_str()), "172.16.9.9"))).await;
    assert_eq!(racing.iter().filter(|o| o.is_ok()).count(), 1);
    assert_counters_match_rows(&pool).await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn networks_are_found_by_name_id_and_prefix_and_by_nobody_else(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let other = world.inventory.create_tenant("other", POOL.parse().unwrap()).await.unwrap();
    let own = world.view().network("bridge").await.unwrap();
    let foreign = world.inventory.tenant(other.id).network("bridge").await.unwrap();
    let ask = |name: &str, network: &str| {
        let mut new = world.new_container(name);
        new.spec.network = NetworkMode::Tenant(vec![wish(network)]);
        let (inventory, host) = (world.inventory.clone(), world.hosts[0]);
        async move { inventory.reserve(&new, host).await }
    };
    for (name, network) in [("aa", "bridge"), ("bb", own.id.as_str()), ("cc", own.id.short())] {
        assert_eq!(ask(name, network).await.unwrap().endpoints[0].network, own.id);
    }
    for network in ["nowhere", foreign.id.as_str()] {
        assert_eq!(failed(ask("dd", network).await.unwrap_err()).to_string(), format!("network {network} not found"));
    }
    let mut none = world.new_container("ee");
    none.spec.network = NetworkMode::None;
    assert!(world.inventory.reserve(&none, world.hosts[0]).await.unwrap().endpoints.is_empty());
}

#[sqlx::test(migrations = "../../migrations")]
async fn creates_and_removals_under_one_name_never_block_each_other(pool: PgPool) {
    let world = World::new(pool.clone(), 2).await;
    let work = (0..8).map(|n: usize| {
        let world = &world;
        async move {
            for _ in 0..15 {
                let new = world.new_container("shared");
                let outcome = world.inventory.reserve(&new, world.hosts[n % 2]).await;
                match outcome {
                    Ok(_) => {
                        let seen = super::observed(world.tenant.id, &new.id, 1, domain::Status::Running);
                        world.view().observe(&seen).await.unwrap();
                        assert!(world.view().forget(&new.id).await.unwrap());
                    }
                    Err(error) => assert!(matches!(failed(error), Error::Conflict(_))),
                }
            }
        }
    });
    let started = std::time::Instant::now();
    join_all(work).await;
    // A lock circle costs `deadlock_timeout`, one second, each time.
    let deadlocks: i64 =
        sqlx::query_scalar("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(deadlocks, 0, "after {:?}", started.elapsed());
    assert_counters_match_rows(&pool).await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_placement_alone_sees_what_the_one_before_it_did(pool: PgPool) {
    let world = World::new(pool.clone(), 4).await;
    // Each takes the first host that has no neighbour: what `role!=web` makes of four creates at once.
    let work = (0..5).map(|n| {
        let world = &world;
        async move {
            let mut placing = world.inventory.place_alone(world.tenant.id).await.unwrap();
            let taken: Vec<_> = placing.neighbours().await.unwrap().into_iter().map(|n| n.host).collect();
            let free = world.hosts.iter().find(|h| !taken.contains(h))?;
            let reserved = placing.reserve(&world.new_container(&format!("c{n}")), *free).await.unwrap();
            placing.commit().await.unwrap();
            Some((reserved.host.id, n))
        }
    });
    // Which of the five finds no host is chance.
    let placed: Vec<_> = join_all(work).await.into_iter().flatten().collect();
    assert_eq!(placed.iter().map(|(host, _)| host).collect::<BTreeSet<_>>().len(), 4);
    assert_eq!(placed.len(), 4);
    // Dropped without commit: nothing is left.
    let mut placing = world.inventory.place_alone(world.tenant.id).await.unwrap();
    placing.reserve(&world.new_container("dropped"), world.hosts[0]).await.unwrap();
    let error = failed(
        placing
            .reserve(&world.new_container(&format!("c{}", placed[0].1)), world.hosts[0])
            .await
            .err()
            .unwrap_or(ReserveError::HostFull),
    );
    assert!(matches!(error, Error::Conflict(_)));
    drop(placing);
    assert!(world.view().container("dropped").await.is_err());
    assert_counters_match_rows(&pool).await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_host_that_changes_its_size_keeps_what_is_reserved(pool: PgPool) {
    let world = World::new(pool.clone(), 1).await;
    world.place("aa").await;
    world.inventory.register_host(world.hosts[0], "h0", &facts(50, 1000 * MIB)).await.unwrap();
    let host = world.inventory.host(world.hosts[0]).await.unwrap();
    assert_eq!((host.cpu_millis_free, host.memory_bytes_free), (-50, 900 * MIB));
    assert_counters_match_rows(&pool).await;
}
