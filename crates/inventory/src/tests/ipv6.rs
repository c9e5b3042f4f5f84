//! Networks with IPv6: their subnets, and the second address of each endpoint.

use std::net::Ipv6Addr;

use domain::{Endpoint, Error, NewNetwork, NewNetworkIpv6, Status, spec::NetworkMode, spec::NetworkWish};
use ipnet::Ipv6Net;
use sqlx::PgPool;

use super::{POOL, World, observed};
use crate::{NetworkVersion, ReserveError};

const POOL6: &str = "fd12:3456:789a::/48";

fn network(name: &str, side: NewNetworkIpv6) -> NewNetwork {
    NewNetwork { name: name.into(), ipv6: Some(side), ..NewNetwork::default() }
}

fn subnet(text: &str) -> NewNetworkIpv6 {
    NewNetworkIpv6 { subnet: text.parse().ok(), ..NewNetworkIpv6::default() }
}

fn wish(network: &str, ipv6: Option<&str>) -> NetworkWish {
    let ipv6 = ipv6.map(|a| a.parse().unwrap());
    NetworkWish { network: network.into(), aliases: vec![], ipv4: None, ipv6, mac: None }
}

fn address(endpoint: &Endpoint) -> Ipv6Addr {
    endpoint.ipv6.unwrap().address
}

impl World {
    async fn create(&self, new: &NewNetwork) -> Result<crate::Network, Error> {
        let view = self.view();
        view.create_network(new, POOL.parse().unwrap(), POOL6.parse().unwrap()).await?;
        view.network(&new.name).await
    }

    async fn reserve_in(&self, name: &str, wish: NetworkWish) -> Result<Endpoint, ReserveError> {
        let mut new = self.new_container(name);
        new.spec.network = NetworkMode::Tenant(vec![wish]);
        Ok(self.inventory.reserve(&new, self.hosts[0]).await?.endpoints.remove(0))
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn each_network_gets_a_subnet_of_its_own_out_of_the_pool(pg: PgPool) {
    let world = World::new(pg, 1).await;
    let pool: Ipv6Net = POOL6.parse().unwrap();
    let mut seen = Vec::new();
    for name in ["a", "b", "c"] {
        let side = world.create(&network(name, NewNetworkIpv6::default())).await.unwrap().ipv6.unwrap();
        assert!(pool.contains(&side.subnet) && side.subnet.prefix_len() == 64 && !seen.contains(&side.subnet));
        assert_eq!(u128::from(side.gateway), u128::from(side.subnet.network()) + 1);
        seen.push(side.subnet);
    }
    let mut chosen = subnet("fd00:1::/64");
    chosen.gateway = "fd00:1::9".parse().ok();
    assert_eq!(world.create(&network("d", chosen)).await.unwrap().ipv6.unwrap().gateway.to_string(), "fd00:1::9");
    let overlap = world.create(&network("e", subnet("fd00:1::/56"))).await.unwrap_err();
    assert!(matches!(&overlap, Error::Conflict(m) if m.contains("Pool overlaps")), "{overlap}");
    assert!(world.view().network("bridge").await.unwrap().ipv6.is_none());
    let other = world.inventory.create_tenant("other", POOL.parse().unwrap()).await.unwrap();
    let view = world.inventory.tenant(other.id);
    let theirs = network("d", subnet("fd00:1::/64"));
    view.create_network(&theirs, POOL.parse().unwrap(), pool).await.expect("another tenant may have the same");
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_address_is_as_far_into_its_subnet_as_the_other_one(pg: PgPool) {
    let world = World::new(pg, 1).await;
    let mut new = network("own", subnet("fd00:1::/64"));
    new.subnet = "10.1.0.0/24".parse().ok();
    let own = world.create(&new).await.unwrap();
    let endpoint = world.reserve_in("aa", wish("own", None)).await.unwrap();
    let expected = |e: &Endpoint| format!("fd00:1::{:x}", e.address.octets()[3]);
    assert_eq!(address(&endpoint).to_string(), expected(&endpoint));
    assert_eq!(world.view().container("aa").await.unwrap().endpoints[0], endpoint, "as it is read again");
    let id = world.place("bb").await;
    let endpoint = world.view().connect(&id, &own, &wish("own", None)).await.unwrap();
    assert_eq!(address(&endpoint).to_string(), expected(&endpoint));
    assert!(world.view().container("bb").await.unwrap().endpoints[0].ipv6.is_none(), "the default network has none");
    world.view().observe(&observed(world.tenant.id, &id, 5, Status::Running)).await.unwrap();
    let members = world.view().members(&own.id).await.unwrap();
    assert_eq!(members[0].address6, format!("{}/64", address(&endpoint)));
    let known = [NetworkVersion { vni: own.vni, generation: 0 }];
    let peers = world.inventory.newer_networks(world.hosts[0], &known).await.unwrap().remove(0).peers;
    assert_eq!(peers.iter().find(|p| p.container == id).unwrap().ipv6, Some(address(&endpoint)));
}

#[sqlx::test(migrations = "../../migrations")]
async fn static_addresses_are_honoured_or_refused(pg: PgPool) {
    let world = World::new(pg, 1).await;
    let own = world.create(&network("own", subnet("fd00:1::/64"))).await.unwrap();
    let endpoint = world.reserve_in("aa", wish("own", Some("fd00:1::7777"))).await.unwrap();
    assert_eq!(address(&endpoint).to_string(), "fd00:1::7777");
    let id = world.place("bb").await;
    for taken in ["fd00:1::7777", "fd00:1::1"] {
        let error = world.reserve_in("cc", wish("own", Some(taken))).await.unwrap_err();
        assert!(
            matches!(&error, ReserveError::Failed(Error::Conflict(m)) if m == "Address already in use"),
            "{error:?}"
        );
        let error = world.view().connect(&id, &own, &wish("own", Some(taken))).await.unwrap_err();
        assert_eq!(error.to_string(), "Address already in use");
    }
    for (network, outside) in [("own", "fd00:1::"), ("own", "fd00:2::7"), ("own", "ff02::1"), ("bridge", "fd00:1::8")] {
        let error = world.reserve_in("cc", wish(network, Some(outside))).await.unwrap_err();
        assert!(matches!(&error, ReserveError::Failed(Error::Invalid(m)) if m.contains(outside)), "{error:?}");
    }
    let error = world.view().connect(&id, &own, &wish("own", Some("fd00:2::7"))).await.unwrap_err();
    assert!(matches!(&error, Error::Invalid(m) if m.contains("fd00:2::7")), "{error}");
    let endpoint = world.view().connect(&id, &own, &wish("own", Some("fd00:1::8"))).await.unwrap();
    assert_eq!(address(&endpoint).to_string(), "fd00:1::8");
}

/// What the derived address may not be: the gateway's, set aside, somebody's wish, outside the range.
#[sqlx::test(migrations = "../../migrations")]
async fn another_address_is_found_where_the_first_choice_is_taken(pg: PgPool) {
    let world = World::new(pg, 1).await;
    let mut new = network("tight", subnet("fd00:1::/64"));
    (new.subnet, new.ip_range) = ("10.1.0.0/24".parse().ok(), "10.1.0.8/29".parse().ok());
    new.gateway = "10.1.0.1".parse().ok();
    let side = new.ipv6.as_mut().unwrap();
    side.gateway = "fd00:1::9".parse().ok();
    side.auxiliary.insert("printer".into(), "fd00:1::a".parse().unwrap());
    world.create(&new).await.unwrap();
    let mut seen: Vec<Ipv6Addr> = Vec::new();
    seen.push(address(&world.reserve_in("xx", wish("tight", Some("fd00:1::b"))).await.unwrap()));
    for n in 0..7 {
        let endpoint = world.reserve_in(&format!("c{n}"), wish("tight", None)).await.unwrap();
        let (given, derived) = (address(&endpoint), format!("fd00:1::{:x}", endpoint.address.octets()[3]));
        assert!(!["fd00:1::9", "fd00:1::a"].contains(&given.to_string().as_str()) && !seen.contains(&given), "{given}");
        assert!(given.to_string() == derived || ["fd00:1::9", "fd00:1::a", "fd00:1::b"].contains(&derived.as_str()));
        seen.push(given);
    }
    let mut side = subnet("fd00:2::/64");
    side.range = "fd00:2:0:0:7::/112".parse().ok();
    world.create(&network("ranged", side)).await.unwrap();
    let endpoint = world.reserve_in("rr", wish("ranged", None)).await.unwrap();
    assert!(address(&endpoint).to_string().starts_with("fd00:2::7:0:0:"), "{endpoint:?}");
}
