//! Tenants' own networks: subnets, addresses, connect and disconnect, and what hosts hear of them.

use std::net::Ipv4Addr;

use domain::{Error, HostId, NewNetwork, Status, spec::NetworkMode, spec::NetworkWish};
use ipnet::{Ipv4Net, Ipv6Net};
use sqlx::PgPool;

use super::{POOL, World, observed};
use crate::NetworkVersion;

fn pool() -> Ipv4Net {
    POOL.parse().unwrap()
}

fn pool6() -> Ipv6Net {
    "fd12:3456:789a::/48".parse().unwrap()
}

fn named(name: &str) -> NewNetwork {
    NewNetwork { name: name.into(), ..NewNetwork::default() }
}

fn with_subnet(name: &str, subnet: &str) -> NewNetwork {
    NewNetwork { subnet: Some(subnet.parse().unwrap()), ..named(name) }
}

fn wish(network: &str, ipv4: Option<&str>) -> NetworkWish {
    let ipv4 = ipv4.map(|a| a.parse().unwrap());
    NetworkWish { network: network.into(), aliases: vec!["second".into()], ipv4, ipv6: None, mac: None }
}

#[sqlx::test(migrations = "../../migrations")]
async fn subnets_of_one_tenant_never_overlap_and_names_are_unique(pg: PgPool) {
    let world = World::new(pg, 1).await;
    let view = world.view();
    view.create_network(&with_subnet("a", "10.213.0.0/24"), pool(), pool6()).await.unwrap();
    let overlap = view.create_network(&with_subnet("b", "10.213.0.0/25"), pool(), pool6()).await.unwrap_err();
    assert!(matches!(&overlap, Error::Conflict(m) if m.contains("Pool overlaps")), "{overlap}");
    let taken = view.create_network(&named("a"), pool(), pool6()).await.unwrap_err();
    assert_eq!(taken.to_string(), "network with name a already exists");
    // Another tenant may have the same.
    let other = world.inventory.create_tenant("other", pool()).await.unwrap();
    world.inventory.tenant(other.id).create_network(&with_subnet("a", "10.213.0.0/24"), pool(), pool6()).await.unwrap();
    let revision = view.revision().await.unwrap();
    let chosen = view.create_network(&named("c"), pool(), pool6()).await.unwrap();
    assert!(view.revision().await.unwrap() > revision);
    let all = view.networks().await.unwrap();
    let c = all.iter().find(|n| n.id == chosen).unwrap();
    assert!(pool().contains(&c.subnet) && all.iter().all(|n| n.id == c.id || !n.subnet.contains(&c.subnet)));
    assert_eq!(c.gateway, c.subnet.hosts().next().unwrap());
}

#[sqlx::test(migrations = "../../migrations")]
async fn addresses_come_from_the_range_and_never_from_what_is_set_aside(pg: PgPool) {
    let world = World::new(pg, 1).await;
    let view = world.view();
    let mut new = with_subnet("small", "10.1.0.0/24");
    new.ip_range = Some("10.1.0.8/29".parse().unwrap());
    new.auxiliary.insert("printer".into(), Ipv4Addr::new(10, 1, 0, 10));
    view.create_network(&new, pool(), pool6()).await.unwrap();
    let network = view.network("small").await.unwrap();
    assert_eq!(network.gateway, Ipv4Addr::new(10, 1, 0, 9));
    let mut got = Vec::new();
    for n in 0..3 {
        let mut container = world.new_container(&format!("c{n}"));
        container.spec.network = NetworkMode::Tenant(vec![wish("small", None)]);
        got.push(world.inventory.reserve(&container, world.hosts[0]).await.unwrap().endpoints[0].address);
    }
    for n in 0..3 {
        let id = world.place(&format!("d{n}")).await;
        got.push(view.connect(&id, &network, &wish("small", None)).await.unwrap().address);
    }
    got.sort();
    let expected: Vec<Ipv4Addr> = [8, 11, 12, 13, 14, 15].map(|n| Ipv4Addr::new(10, 1, 0, n)).to_vec();
    assert_eq!(got, expected);
    let id = world.place("late").await;
    let full = view.connect(&id, &network, &wish("small", None)).await.unwrap_err();
    assert!(matches!(full, Error::NoCapacity(_)), "{full}");
    let outside_the_range = view.connect(&id, &network, &wish("small", Some("10.1.0.77"))).await.unwrap();
    assert_eq!(outside_the_range.address, Ipv4Addr::new(10, 1, 0, 77));
}

/// Random probes miss the last free address more often than not, so it must be found by looking.
#[sqlx::test(migrations = "../../migrations")]
async fn the_last_free_address_is_found_wherever_it_is(pg: PgPool) {
    let world = World::new(pg, 1).await;
    let view = world.view();
    let mut new = with_subnet("small", "10.1.0.0/24");
    new.ip_range = Some("10.1.0.240/28".parse().unwrap());
    new.gateway = Some(Ipv4Addr::new(10, 1, 0, 1));
    new.auxiliary.insert("printer".into(), Ipv4Addr::new(10, 1, 0, 250));
    view.create_network(&new, pool(), pool6()).await.unwrap();
    let network = view.network("small").await.unwrap();
    let mut by_last_byte = std::collections::HashMap::new();
    for n in 0..14 {
        let id = world.place(&format!("c{n}")).await;
        let address = view.connect(&id, &network, &wish("small", None)).await.unwrap().address;
        by_last_byte.insert(address.octets()[3], id);
    }
    // The first and the last of the range, and one behind what is set aside.
    for (n, last_byte) in [240, 254, 251].into_iter().cycle().take(12).enumerate() {
        let id = by_last_byte.remove(&last_byte).unwrap();
        view.disconnect(&id, &network).await.unwrap();
        let again = view.connect(&id, &network, &wish("small", None)).await.unwrap();
        assert_eq!(again.address, Ipv4Addr::new(10, 1, 0, last_byte));
        view.disconnect(&id, &network).await.unwrap();
        let mut container = world.new_container(&format!("r{n}"));
        container.spec.network = NetworkMode::Tenant(vec![wish("small", None)]);
        let reserved = world.inventory.reserve(&container, world.hosts[0]).await.unwrap();
        assert_eq!(reserved.endpoints[0].address, Ipv4Addr::new(10, 1, 0, last_byte));
        assert!(view.disconnect(&container.id, &network).await.unwrap());
        view.connect(&id, &network, &wish("small", None)).await.unwrap();
        by_last_byte.insert(last_byte, id);
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn connect_and_disconnect(pg: PgPool) {
    let world = World::new(pg, 1).await;
    let view = world.view();
    view.create_network(&with_subnet("own", "10.1.0.0/24"), pool(), pool6()).await.unwrap();
    let (network, id) = (view.network("own").await.unwrap(), world.place("web").await);
    let endpoint = view.connect(&id, &network, &wish("own", Some("10.1.0.7"))).await.unwrap();
    assert_eq!((endpoint.interface.as_str(), endpoint.address.octets()[3]), ("eth1", 7));
    assert_eq!(view.container("web").await.unwrap().endpoints.len(), 2);
    let other = world.place("db").await;
    let taken = view.connect(&other, &network, &wish("own", Some("10.1.0.7"))).await.unwrap_err();
    assert_eq!(taken.to_string(), "Address already in use");
    let outside = view.connect(&other, &network, &wish("own", Some("10.2.0.7"))).await.unwrap_err();
    assert!(matches!(outside, Error::Invalid(_)), "{outside}");
    assert_eq!(view.network("own").await.unwrap().endpoints, 1);
    let in_use = view.remove_network(&network).await.unwrap_err();
    assert_eq!(
        in_use.to_string(),
        format!("error while removing network: network own id {} has active endpoints", network.id)
    );
    assert!(view.disconnect(&id, &network).await.unwrap());
    assert!(!view.disconnect(&id, &network).await.unwrap());
    view.remove_network(&network).await.unwrap();
    assert!(matches!(view.remove_network(&network).await, Err(Error::NotFound { .. })));
}

#[sqlx::test(migrations = "../../migrations")]
async fn hosts_hear_of_what_changes_and_only_of_their_own_networks(pg: PgPool) {
    let world = World::new(pg, 2).await;
    let (view, inventory) = (world.view(), &world.inventory);
    let id = world.place("web").await;
    let network = view.network("bridge").await.unwrap();
    let newer = |host: HostId, generation: u64| async move {
        inventory.newer_networks(host, &[NetworkVersion { vni: network.vni, generation }]).await.unwrap()
    };
    let created = newer(world.hosts[0], 0).await.remove(0);
    assert_eq!((created.peers.len(), created.peers[0].running), (1, false));
    assert_eq!(created.peers[0].names, ["web", "db"]);
    assert!(newer(world.hosts[1], 0).await.is_empty(), "no container of it is there");
    assert!(newer(world.hosts[0], created.generation).await.is_empty(), "nothing is new");
    view.observe(&observed(world.tenant.id, &id, 5, Status::Running)).await.unwrap();
    let running = newer(world.hosts[0], created.generation).await.remove(0);
    assert!(running.peers[0].running);
    // A health check's news is none for DNS.
    view.observe(&observed(world.tenant.id, &id, 6, Status::Running)).await.unwrap();
    assert!(newer(world.hosts[0], running.generation).await.is_empty());
    let mut other = world.new_container("db");
    other.spec.network = NetworkMode::Tenant(vec![wish("bridge", None)]);
    inventory.reserve(&other, world.hosts[1]).await.unwrap();
    let sharing = view.hosts_that_share(&id, world.hosts[0]).await.unwrap();
    assert_eq!(sharing.hosts.iter().map(|(host, _)| *host).collect::<Vec<_>>(), [world.hosts[1]]);
    assert_eq!(sharing.vtep, "10.0.0.1");
    assert_eq!(newer(world.hosts[1], 0).await.remove(0).peers.len(), 2);
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_host_of_a_network_hears_of_a_new_name(pg: PgPool) {
    let world = World::new(pg, 2).await;
    let (view, inventory) = (world.view(), &world.inventory);
    let id = world.place("web").await;
    let mut other = world.new_container("db");
    other.spec.network = NetworkMode::Tenant(vec![wish("bridge", None)]);
    inventory.reserve(&other, world.hosts[1]).await.unwrap();
    view.observe(&observed(world.tenant.id, &id, 1, Status::Running)).await.unwrap();
    let network = view.network("bridge").await.unwrap();
    let newer = |host: HostId, generation: u64| async move {
        inventory.newer_networks(host, &[NetworkVersion { vni: network.vni, generation }]).await.unwrap()
    };
    let before = newer(world.hosts[0], 0).await.remove(0);
    view.rename(&id, &"front".parse().unwrap()).await.unwrap();
    for host in &world.hosts {
        let after = newer(*host, before.generation).await.remove(0);
        let renamed = after.peers.iter().find(|p| p.container == id).unwrap();
        // The agent takes the first for the container's own.
        assert_eq!(
            (renamed.host, renamed.names.as_slice()),
            (world.hosts[0], &["front".to_owned(), "db".to_owned()][..])
        );
        assert!(newer(*host, after.generation).await.is_empty());
    }
    // A refused one is no news.
    let known = newer(world.hosts[0], 0).await.remove(0).generation;
    assert!(view.rename(&id, &"db".parse().unwrap()).await.is_err());
    assert!(newer(world.hosts[0], known).await.is_empty());
}
