use std::collections::BTreeMap;

use chrono::Utc;
use domain::{ContainerId, Digest, Error, Host, HostFacts, HostId, HostState};
use inventory::{Neighbour, Presence};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::{Ranking, Refusal, Request, Tenancy, Volumes, rank, wish::Wish};

const GIB: i64 = 1 << 30;

fn host(number: u8, zone: &str) -> Host {
    let facts = HostFacts {
        endpoint: String::new(),
        underlay_address: "10.0.0.1".parse().unwrap(),
        underlay_mtu: 1500,
        shared_volumes: false,
        volume_quotas: false,
        cgroup_version: 2,
        cpu_millis: 4000,
        memory_bytes: 8 * GIB,
        kernel_version: "6.1.0-9-amd64".into(),
        architecture: "amd64".into(),
        operating_system: "Debian".into(),
        labels: BTreeMap::from([("zone".into(), zone.into()), ("disk".into(), "ssd".into())]),
    };
    Host {
        id: HostId(uuid::Uuid::from_u128(u128::from(number))),
        name: format!("h{number}"),
        state: HostState::Active,
        cpu_millis_free: facts.cpu_millis,
        memory_bytes_free: facts.memory_bytes,
        facts,
        containers: 0,
        seen_at: Utc::now(),
    }
}

fn neighbour(host: &Host, name: &str, role: &str) -> Neighbour {
    Neighbour {
        id: ContainerId::random(),
        name: name.parse().unwrap(),
        host: host.id,
        image_id: Digest::of(b"image"),
        image_reference: "busybox".into(),
        labels: BTreeMap::from([("role".into(), role.into())]),
    }
}

fn request(constraints: &[&str], affinities: &[&str]) -> Request {
    let parse = |wishes: &[&str], kind| wishes.iter().map(|w| Wish::parse(w, kind).unwrap()).collect();
    Request {
        cpu_millis: 1000,
        memory_bytes: GIB,
        constraints: parse(constraints, "constraint"),
        affinities: parse(affinities, "affinity"),
        volumes: Volumes::default(),
    }
}

fn ranked(hosts: &[Host], tenancy: &Tenancy, request: &Request) -> Result<Ranking, Refusal> {
    rank(hosts, tenancy, request, Utc::now(), &mut SmallRng::seed_from_u64(7))
}

fn names(hosts: &[Host], ranking: &Ranking) -> Vec<String> {
    let name = |id: &HostId| hosts.iter().find(|h| h.id == *id).unwrap().name.clone();
    ranking.hosts.iter().map(name).collect()
}

fn refused(hosts: &[Host], tenancy: &Tenancy, request: &Request) -> String {
    match ranked(hosts, tenancy, request).unwrap_err().into_error() {
        Error::NoCapacity(text) => text,
        other => panic!("{other:?}"),
    }
}

fn on(host: &Host, containers: i64) -> (HostId, Presence) {
    (host.id, Presence { containers, has_image: false })
}

#[test]
fn a_tenant_is_spread_over_zones_before_hosts() {
    let hosts = [host(1, "a"), host(2, "a"), host(3, "b")];
    let tenancy = Tenancy { presence: BTreeMap::from([on(&hosts[0], 1)]), ..Tenancy::default() };
    assert_eq!(names(&hosts, &ranked(&hosts, &tenancy, &request(&[], &[])).unwrap()), ["h3", "h2", "h1"]);
    let tenancy = Tenancy { presence: BTreeMap::from([on(&hosts[0], 1), on(&hosts[2], 2)]), ..Tenancy::default() };
    assert_eq!(names(&hosts, &ranked(&hosts, &tenancy, &request(&[], &[])).unwrap()), ["h2", "h1", "h3"]);
}

#[test]
fn best_fit_comes_after_spreading_and_ties_are_random() {
    let mut hosts = [host(1, "a"), host(2, "a"), host(3, "a")];
    hosts[1].memory_bytes_free = 2 * GIB;
    hosts[1].cpu_millis_free = 1500;
    assert_eq!(names(&hosts, &ranked(&hosts, &Tenancy::default(), &request(&[], &[])).unwrap())[0], "h2");
    hosts[1] = host(2, "a");
    let firsts: std::collections::BTreeSet<_> = (0..40)
        .map(|seed| {
            let mut random = SmallRng::seed_from_u64(seed);
            rank(&hosts, &Tenancy::default(), &request(&[], &[]), Utc::now(), &mut random).unwrap().hosts[0]
        })
        .collect();
    assert_eq!(firsts.len(), 3);
}

#[test]
fn an_image_that_is_there_counts_after_spreading() {
    let hosts = [host(1, "a"), host(2, "a")];
    let here = Presence { containers: 1, has_image: true };
    let presence = BTreeMap::from([(hosts[1].id, here), on(&hosts[0], 1)]);
    let tenancy = Tenancy { presence, ..Tenancy::default() };
    assert_eq!(names(&hosts, &ranked(&hosts, &tenancy, &request(&[], &[])).unwrap()), ["h2", "h1"]);
}

#[test]
fn constraints_choose_hosts() {
    let hosts = [host(1, "eu.a"), host(2, "eu.b"), host(3, "euxb")];
    for (wishes, expected) in [
        (&["zone==eu.a"][..], &["h1"][..]),
        (&["zone!=eu.a"], &["h2", "h3"]),
        (&["zone==eu.*"], &["h1", "h2"]),
        (&["zone==/b$/"], &["h2", "h3"]),
        (&["zone!=/^eu/", "zone==~x"], &[]),
        (&["arch==amd64", "ostype==linux", "kernelversion==6.*", "zone==eu.b"], &["h2"]),
        (&["absent!=1"], &["h1", "h2", "h3"]),
        (&["absent==*"], &[]),
        // Never by name or address.
        (&["name==h1"], &[]),
    ] {
        let mut found =
            ranked(&hosts, &Tenancy::default(), &request(wishes, &[])).map_or(vec![], |r| names(&hosts, &r));
        found.sort();
        assert_eq!(found, expected, "{wishes:?}");
    }
}

#[test]
fn affinities_look_at_the_tenants_containers() {
    let hosts = [host(1, "a"), host(2, "a"), host(3, "a")];
    let neighbours = vec![neighbour(&hosts[0], "front", "web"), neighbour(&hosts[1], "store", "db")];
    let id = neighbours[1].id.clone();
    let tenancy = Tenancy { presence: BTreeMap::new(), neighbours };
    let (by_id, by_prefix) = (format!("container=={id}"), format!("container=={}", id.short()));
    for (wishes, expected) in [
        (&["role==web"][..], &["h1"][..]),
        (&["role!=web"], &["h2", "h3"]),
        (&["role!=web", "role!=db"], &["h3"]),
        (&["container==front"], &["h1"]),
        (&["container==fro*"], &["h1"]),
        (&[by_id.as_str()], &["h2"]),
        (&[by_prefix.as_str()], &["h2"]),
        (&["image==busybox"], &["h1", "h2"]),
        (&["image==busybox:latest"], &["h1", "h2"]),
        (&["image!=/busy/"], &["h3"]),
        (&["role==nobody"], &[]),
        (&["role!=nobody"], &["h1", "h2", "h3"]),
    ] {
        let mut found = ranked(&hosts, &tenancy, &request(&[], wishes)).map_or(vec![], |r| names(&hosts, &r));
        found.sort();
        assert_eq!(found, expected, "{wishes:?}");
    }
}

#[test]
fn soft_wishes_are_dropped_least_satisfied_first() {
    let hosts = [host(1, "a"), host(2, "a"), host(3, "b")];
    let tenancy = Tenancy { presence: BTreeMap::new(), neighbours: vec![neighbour(&hosts[2], "front", "web")] };
    // `role` is kept by one host, `zone` by two: they exclude each other, and `zone` stays.
    let ranking = ranked(&hosts, &tenancy, &request(&["zone==~a"], &["role==~web"])).unwrap();
    assert_eq!(ranking.hosts.len(), 2);
    assert_eq!(ranking.warnings, ["the soft affinity role==~web could not be satisfied"]);
    // Beside a hard wish.
    let ranking = ranked(&hosts, &tenancy, &request(&["zone==b", "zone==~a"], &["role!=~web"])).unwrap();
    assert_eq!((names(&hosts, &ranking), ranking.warnings.len()), (vec!["h3".to_owned()], 2));
    assert!(ranked(&hosts, &tenancy, &request(&["disk==~ssd"], &[])).unwrap().warnings.is_empty());
}

#[test]
fn refusals_name_what_lacks_in_words_fit_for_a_tenant() {
    let mut hosts = [host(1, "a"), host(2, "a"), host(3, "b")];
    let mut big = request(&[], &[]);
    big.memory_bytes = 64 * GIB;
    assert_eq!(refused(&hosts, &Tenancy::default(), &big), "no host has 64GiB of free memory");
    let mut wide = request(&["zone==b"], &[]);
    wide.cpu_millis = 8000;
    assert_eq!(
        refused(&hosts, &Tenancy::default(), &wide),
        "no host that satisfies the constraint zone==b has 8 free CPUs"
    );
    hosts[0].memory_bytes_free = 0;
    hosts[1].cpu_millis_free = 0;
    hosts[2].state = HostState::Cordoned;
    let text = refused(&hosts, &Tenancy::default(), &request(&[], &[]));
    assert_eq!(text, "no host has 1GiB of free memory and 1 free CPUs together");
    let text = refused(&hosts, &Tenancy::default(), &request(&["zone==b", "disk==hdd"], &[]));
    assert_eq!(text, "no host satisfies the constraint zone==b");
    let text = refused(&hosts, &Tenancy::default(), &request(&[], &["role==web"]));
    assert_eq!(text, "no host satisfies the affinity role==web");
    hosts.iter_mut().for_each(|h| h.seen_at -= chrono::Duration::seconds(60));
    assert_eq!(refused(&hosts, &Tenancy::default(), &request(&[], &[])), "no host is available");
    assert_eq!(refused(&[], &Tenancy::default(), &request(&[], &[])), "no host is available");
}

#[test]
fn bad_wishes_are_refused_by_name() {
    for bad in ["zone", "zone=a", "==a", "zone==", "zone==~", "zo ne==a", "zone==/(/", "zone==/(a{1000}){1000}/"] {
        let text = Wish::parse(bad, "constraint").unwrap_err().to_string();
        assert!(text.starts_with(&format!("invalid constraint {bad:?}: ")), "{text}");
    }
    let odd = Wish::parse("a==b!=c", "constraint").unwrap();
    assert_eq!((odd.key.as_str(), odd.equal, odd.pattern.exact()), ("a", true, Some("b!=c")));
}

/// Random data centres: whatever comes out must be legal, complete and in the order of the policy.
#[test]
fn every_ranking_is_legal_complete_and_spread() {
    for seed in 0..500 {
        let mut random = SmallRng::seed_from_u64(seed);
        let hosts: Vec<Host> = (0..random.random_range(0..12))
            .map(|n| {
                let mut host = host(n, ["a", "b", "c"][random.random_range(0..3)]);
                host.memory_bytes_free = random.random_range(-1..=8) * GIB;
                host.cpu_millis_free = random.random_range(-500..=4000);
                if random.random_bool(0.2) {
                    host.state = HostState::Cordoned;
                }
                if random.random_bool(0.2) {
                    host.seen_at -= chrono::Duration::seconds(20);
                }
                host
            })
            .collect();
        let neighbours: Vec<_> = (0..random.random_range(0..6))
            .filter(|_| !hosts.is_empty())
            .map(|n| {
                let at = random.random_range(0..hosts.len().max(1));
                neighbour(&hosts[at], &format!("n{n}"), ["web", "db"][random.random_range(0..2)])
            })
            .collect();
        let mut presence = BTreeMap::<HostId, Presence>::new();
        neighbours.iter().for_each(|n| presence.entry(n.host).or_default().containers += 1);
        let tenancy = Tenancy { presence, neighbours };
        let wishes: &[(&[&str], &[&str])] =
            &[(&[], &[]), (&["zone!=a"], &[]), (&[], &["role!=web"]), (&["zone==~b"], &["role==db"])];
        let (constraints, affinities) = wishes[random.random_range(0..wishes.len())];
        let request = request(constraints, affinities);
        check(&hosts, &tenancy, &request, constraints, affinities);
    }
}

fn check(hosts: &[Host], tenancy: &Tenancy, request: &Request, constraints: &[&str], affinities: &[&str]) {
    let has =
        |host: &Host, role: &str| tenancy.neighbours.iter().any(|n| n.host == host.id && n.labels["role"] == role);
    let legal = |host: &Host| {
        host.state == HostState::Active
            && host.is_reachable(Utc::now())
            && host.memory_bytes_free >= GIB
            && host.cpu_millis_free >= 1000
            && (!constraints.contains(&"zone!=a") || host.facts.labels["zone"] != "a")
            && (!affinities.contains(&"role!=web") || !has(host, "web"))
            && (!affinities.contains(&"role==db") || has(host, "db"))
    };
    let expected: Vec<_> = hosts.iter().filter(|h| legal(h)).collect();
    let Ok(ranking) = ranked(hosts, tenancy, request) else {
        assert!(expected.is_empty());
        return;
    };
    let found: Vec<&Host> = ranking.hosts.iter().map(|id| hosts.iter().find(|h| h.id == *id).unwrap()).collect();
    assert!(!found.is_empty() && found.iter().all(|h| legal(h)));
    let soft = constraints.contains(&"zone==~b") && expected.iter().any(|h| h.facts.labels["zone"] == "b");
    let wanted = expected.iter().filter(|h| !soft || h.facts.labels["zone"] == "b").count();
    assert_eq!(found.len(), wanted);
    let count = |host: &Host| tenancy.presence.get(&host.id).map_or(0, |p| p.containers);
    let zone = |host: &Host| -> i64 {
        hosts.iter().filter(|h| h.facts.labels["zone"] == host.facts.labels["zone"]).map(count).sum()
    };
    assert!(found.is_sorted_by_key(|h| (zone(h), count(h))));
}

#[test]
fn a_volume_ties_its_container_to_a_host() {
    let mut hosts = [host(1, "a"), host(2, "b"), host(3, "b")];
    let mut request = request(&[], &[]);
    request.volumes.pin = Some(("data".into(), hosts[1].id));
    assert_eq!(names(&hosts, &ranked(&hosts, &Tenancy::default(), &request).unwrap()), ["h2"]);
    hosts[1].memory_bytes_free = 0;
    let text = |hosts: &[Host], request: &Request| refused(hosts, &Tenancy::default(), request);
    assert_eq!(text(&hosts, &request), "the host of volume data has not 1GiB of free memory");
    hosts[1].state = HostState::Cordoned;
    assert_eq!(text(&hosts, &request), "the host of volume data takes no new containers now");
    hosts[1].seen_at -= chrono::Duration::seconds(60);
    assert_eq!(text(&hosts, &request), "the host of volume data is unreachable");
    assert_eq!(text(&hosts[..1], &request), "the host of volume data is gone");
    let elsewhere = Request { volumes: request.volumes.clone(), ..self::request(&["zone==b"], &[]) };
    hosts[1] = host(2, "a");
    assert_eq!(text(&hosts, &elsewhere), "the host of volume data does not satisfy the constraint zone==b");
}

#[test]
fn shared_volumes_and_quotas_need_a_host_that_has_them() {
    let mut hosts = [host(1, "a"), host(2, "a")];
    let mut request = request(&[], &[]);
    request.volumes = Volumes { pin: None, shared: true, quota: true };
    hosts[0].facts.shared_volumes = true;
    let text = refused(&hosts, &Tenancy::default(), &request);
    assert_eq!(text, "no host is available that has quotas of volumes");
    hosts[1].facts = domain::HostFacts { volume_quotas: true, ..hosts[0].facts.clone() };
    assert_eq!(names(&hosts, &ranked(&hosts, &Tenancy::default(), &request).unwrap()), ["h2"]);
}

#[test]
fn volumes_on_two_hosts_are_refused_by_their_names() {
    let place = |name: &str, at: Option<&Host>| inventory::VolumePlace {
        name: name.into(),
        driver: domain::VolumeDriver::Local,
        size_bytes: None,
        host: at.map(|h| h.id),
    };
    let (one, two) = (host(1, "a"), host(2, "a"));
    let together = Volumes::of(&[place("a", None), place("b", Some(&one)), place("c", Some(&one))]).unwrap();
    assert_eq!(together.pin, Some(("b".into(), one.id)));
    let apart = Volumes::of(&[place("a", Some(&one)), place("b", Some(&two))]).unwrap_err();
    assert!(apart.to_string().starts_with("volumes a and b are kept in different places"), "{apart}");
}
