use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use docker_api::types::EndpointIpamConfig;

use super::*;

fn join(mode: &str, endpoints: &[(&str, EndpointSettings)]) -> Result<Joined> {
    let config: HashMap<_, _> = endpoints.iter().map(|(n, e)| ((*n).to_owned(), e.clone())).collect();
    resolve(Wanted {
        mode: Some(mode.to_owned()),
        disabled: false,
        networking: Some(NetworkingConfig { endpoints_config: Some(config) }),
        mac_address: None,
    })
}

fn names(joined: &Joined) -> Vec<&str> {
    match &joined.mode {
        NetworkMode::None => Vec::new(),
        NetworkMode::Tenant(wishes) => wishes.iter().map(|w| w.network.as_str()).collect(),
    }
}

#[test]
fn the_default_network_is_bridge() {
    for mode in ["", "default", "bridge"] {
        let joined = join(mode, &[]).expect(mode);
        assert_eq!((joined.shown.as_str(), names(&joined)), ("bridge", vec!["bridge"]));
    }
    let joined = join("default", &[("default", EndpointSettings::default())]).expect("CLI");
    assert_eq!(names(&joined), ["bridge"]);
    let joined = join("none", &[("none", EndpointSettings::default())]).expect("none");
    assert_eq!((joined.shown.as_str(), joined.mode), ("none", NetworkMode::None));
}

#[test]
fn several_networks_keep_an_order() {
    let with = |priority| EndpointSettings { gw_priority: Some(priority), ..EndpointSettings::default() };
    let joined = join("b", &[("a", with(0)), ("b", with(0)), ("c", with(5))]).expect("three");
    assert_eq!(names(&joined), ["b", "c", "a"]);
    assert_eq!(names(&join("default", &[("a", with(0))]).expect("one")), ["a"]);
}

#[test]
fn settings_of_an_endpoint() {
    let settings = EndpointSettings {
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: Some("10.213.0.77".to_owned()),
            ipv6_address: Some("fd00::77".to_owned()),
            link_local_ips: None,
        }),
        aliases: Some(vec!["webby".to_owned()]),
        mac_address: Some("02-42-AA-00-00-01".to_owned()),
        gateway: Some("1.2.3.4".to_owned()),
        ..EndpointSettings::default()
    };
    let joined = join("n", &[("n", settings.clone())]).expect("own network");
    let NetworkMode::Tenant(wishes) = joined.mode else { panic!("networks") };
    assert_eq!(wishes[0].ipv4, Some(Ipv4Addr::new(10, 213, 0, 77)));
    assert_eq!(wishes[0].ipv6, Some(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x77)));
    assert_eq!((wishes[0].aliases.len(), wishes[0].mac.as_deref()), (1, Some("02:42:aa:00:00:01")));
    assert!(join("bridge", &[("bridge", settings)]).is_err());
}

#[test]
fn modes_that_leave_the_sandbox_are_refused() {
    for mode in ["host", "container:x", "container:", "container", "ns:/proc/1/ns/net", "a b", "../x"] {
        assert!(join(mode, &[]).is_err(), "{mode}");
    }
    assert!(join("bridge", &[("host", EndpointSettings::default())]).is_err());
    assert!(matches!(join("ns:/proc/1/ns/net", &[]), Err(Error::NotFound { .. })));
    assert!(join("none", &[("a", EndpointSettings::default())]).is_err());
}

#[test]
fn hostile_endpoints_are_refused() {
    let opts = |k: &str, v: &str| EndpointSettings {
        driver_opts: Some(HashMap::from([(k.to_owned(), v.to_owned())])),
        ..EndpointSettings::default()
    };
    let mac = |m: &str| EndpointSettings { mac_address: Some(m.to_owned()), ..EndpointSettings::default() };
    let ipam = |v4: &str, v6: &str, local: &[&str]| EndpointSettings {
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: Some(v4.to_owned()),
            ipv6_address: Some(v6.to_owned()),
            link_local_ips: Some(local.iter().map(|s| (*s).to_owned()).collect()),
        }),
        ..EndpointSettings::default()
    };
    for bad in [
        opts("com.docker.network.endpoint.sysctls", "net.ipv4.conf.IFNAME.route_localnet=1"),
        opts("com.docker.network.endpoint.ifname", "../x"),
        opts("parent", "eth0"),
        mac("01:00:5e:00:00:01"),
        mac("00:11:22:33:44:55"),
        mac("02:42:zz:00:00:01"),
        mac("02:42"),
        ipam("10.0.0", "", &[]),
        ipam("", "10.0.0.7", &[]),
        ipam("", "fd00::/64", &[]),
        ipam("", "fe80::1%eth0", &[]),
        ipam("", "", &["169.254.1.1"]),
        ipam("", "", &["fe80::7"]),
        EndpointSettings { aliases: Some(vec!["a\nb".to_owned()]), ..EndpointSettings::default() },
        EndpointSettings { links: Some(vec!["x".to_owned()]), ..EndpointSettings::default() },
    ] {
        assert!(join("n", &[("n", bad.clone())]).is_err(), "{bad:?}");
    }
    let legal = opts("com.docker.network.endpoint.sysctls", "net.ipv4.tcp_syncookies=1");
    assert_eq!(join("n", &[("n", legal)]).expect("legal").sysctls.len(), 1);
}

#[test]
fn names_and_addresses_cannot_forge_lines() {
    let own = |v: &[&str]| v.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    assert!(dns_settings(&own(&["10.1.2.3"]), &own(&["ex.org"]), &own(&["ndots:2", "rotate"]), &[]).is_ok());
    assert!(dns_settings(&own(&["not-an-ip"]), &[], &[], &[]).is_err());
    assert!(dns_settings(&[], &own(&["a\nb"]), &[], &[]).is_err());
    assert!(dns_settings(&[], &[], &own(&["x\ny"]), &[]).is_err());
    assert_eq!(extra_hosts(&own(&["foo:10.9.8.7", "six:[::1]", "bare:::2"])).expect("hosts").len(), 3);
    for bad in ["bad", "a\n:1.2.3.4", "x:host-gateway", "x:", "x:1.2.3"] {
        assert!(extra_hosts(&own(&[bad])).is_err(), "{bad:?}");
    }
}

#[test]
fn links_are_names_of_dns() {
    let links = |given: &str| dns_settings(&[], &[], &[], &[given.to_owned()]).map(|d| d.links);
    assert_eq!(links("/web:Srv").expect("link")["srv"], "web");
    assert_eq!(links("web").expect("link")["web"], "web");
    let id = "0123456789abcdef".repeat(4);
    assert_eq!(links(&format!("{id}:db")).expect("link")["db"], id[..12]);
    for bad in ["", ":x", "a:b c", "a b:c", "a:b\n"] {
        assert!(links(bad).is_err(), "{bad:?}");
    }
}
