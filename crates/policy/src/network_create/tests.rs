use std::net::Ipv4Addr;

use super::*;

fn body(json: serde_json::Value) -> NetworkCreateBody {
    docker_api::strict::parse(json.to_string().as_bytes()).expect("body")
}

fn create(json: serde_json::Value) -> Result<AcceptedNetwork> {
    network_create(body(json), &["10.90.0.0/16".parse().unwrap(), "fd99::/48".parse().unwrap()])
}

#[test]
fn what_clients_send_is_accepted() {
    let plain = serde_json::json!({"Name": "a", "CheckDuplicate": true, "Driver": "bridge", "EnableIPv6": false,
        "IPAM": {"Driver": "default", "Options": {}, "Config": []}, "Options": {}, "Labels": {"x": "y"}});
    let accepted = create(plain).expect("plain");
    assert_eq!((accepted.network.subnet, accepted.network.labels["x"].as_str()), (None, "y"));
    let full = serde_json::json!({"Name": "b", "Internal": true, "Attachable": true,
        "IPAM": {"Config": [{"Subnet": "10.213.0.0/24", "IPRange": "10.213.0.128/25", "Gateway": "10.213.0.9",
            "AuxiliaryAddresses": {"printer": "10.213.0.5"}}]},
        "Options": {"com.docker.network.driver.mtu": "1400"}});
    let accepted = create(full).expect("full");
    assert_eq!(accepted.network.gateway, Some(Ipv4Addr::new(10, 213, 0, 9)));
    assert_eq!(accepted.network.ip_range.map(|r| r.to_string()).as_deref(), Some("10.213.0.128/25"));
    assert!(accepted.network.internal && accepted.warnings.len() == 1);
}

#[test]
fn hostile_networks_are_refused_by_rule() {
    let ipam = |config: serde_json::Value| serde_json::json!({"Name": "a", "IPAM": {"Config": [config]}});
    let options = |k: &str, v: &str| serde_json::json!({"Name": "a", "Options": {k: v}});
    for (bad, says) in [
        (serde_json::json!({"Name": "host"}), "predefined"),
        (serde_json::json!({"Name": "a b"}), "N05"),
        (serde_json::json!({"Name": ""}), "name is empty"),
        (serde_json::json!({"Name": "a", "Driver": "macvlan"}), "N01"),
        (serde_json::json!({"Name": "a", "Driver": "host"}), "N01"),
        (serde_json::json!({"Name": "a", "Scope": "swarm"}), "Scope"),
        (serde_json::json!({"Name": "a", "Ingress": true}), "Ingress"),
        (serde_json::json!({"Name": "a", "ConfigOnly": true}), "ConfigOnly"),
        (serde_json::json!({"Name": "a", "ConfigFrom": {"Network": "x"}}), "network x not found"),
        (serde_json::json!({"Name": "a", "Labels": {"com.wharfinger.system.x": "1"}}), "P15"),
        (serde_json::json!({"Name": "a", "IPAM": {"Driver": "evil"}}), "N03"),
        (serde_json::json!({"Name": "a", "IPAM": {"Options": {"x": "y"}}}), "N03"),
        (options("com.docker.network.bridge.name", "eth0"), "N02"),
        (options("parent", "eth0"), "N02"),
        (options(MTU, "100"), "N02"),
        (options(MTU, "70000"), "N02"),
        (ipam(serde_json::json!({"Subnet": "10.0.0.1/24"})), "it should be 10.0.0.0/24"),
        (ipam(serde_json::json!({"Subnet": "nonsense"})), "invalid CIDR"),
        (ipam(serde_json::json!({"Subnet": "8.8.8.0/24"})), "N03"),
        (ipam(serde_json::json!({"Subnet": "169.254.0.0/16"})), "N03"),
        (ipam(serde_json::json!({"Subnet": "127.0.0.0/16"})), "N03"),
        (ipam(serde_json::json!({"Subnet": "10.0.0.0/8"})), "/16 to /28"),
        (ipam(serde_json::json!({"Subnet": "10.90.3.0/24"})), "reserved"),
        (ipam(serde_json::json!({"Subnet": "10.1.0.0/24", "Gateway": "10.2.0.1"})), "Gateway"),
        (ipam(serde_json::json!({"Subnet": "10.1.0.0/24", "Gateway": "10.1.0.255"})), "Gateway"),
        (ipam(serde_json::json!({"Subnet": "10.1.0.0/24", "IPRange": "10.2.0.0/25"})), "IPRange"),
        (ipam(serde_json::json!({"Gateway": "10.2.0.1"})), "needs a subnet"),
    ] {
        let error = create(bad.clone()).expect_err(&bad.to_string());
        assert!(error.to_string().contains(says), "{bad}: {error}");
    }
}

fn with_ipv6(configs: serde_json::Value) -> Result<AcceptedNetwork> {
    create(serde_json::json!({"Name": "a", "EnableIPv6": true, "IPAM": {"Config": configs}}))
}

#[test]
fn a_network_may_have_one_subnet_of_each_family() {
    let plain = create(serde_json::json!({"Name": "a", "EnableIPv6": true})).expect("out of the pool").network;
    assert_eq!((plain.subnet, plain.ipv6), (None, Some(domain::NewNetworkIpv6::default())));
    let both = with_ipv6(serde_json::json!([
        {"Subnet": "10.1.0.0/24", "Gateway": "10.1.0.9"},
        {"Subnet": "fd12:3456::/64", "Gateway": "fd12:3456::9", "IPRange": "fd12:3456::1:0/112",
            "AuxiliaryAddresses": {"printer": "fd12:3456::ffff:ffff:ffff:ffff"}}]));
    let both = both.expect("both").network;
    let side = both.ipv6.expect("IPv6");
    assert_eq!((both.gateway, side.gateway), ("10.1.0.9".parse().ok(), "fd12:3456::9".parse().ok()));
    assert_eq!(side.subnet.map(|s| s.to_string()).as_deref(), Some("fd12:3456::/64"));
    assert_eq!((side.range.map(|r| r.prefix_len()), side.auxiliary.len()), (Some(112), 1));
    let only = with_ipv6(serde_json::json!([{"Subnet": "fd00::/64"}])).expect("IPv4 out of the pool").network;
    assert!(only.subnet.is_none() && only.ipv6.is_some_and(|side| side.subnet.is_some()));
    let ignored = create(serde_json::json!({"Name": "a", "IPAM": {"Config": [{"Subnet": "2001:db8::/64"}]}}));
    let ignored = ignored.expect("dockerd ignores it");
    assert!(ignored.network.ipv6.is_none() && ignored.warnings[0].contains("EnableIPv6"), "{ignored:?}");
}

#[test]
fn ipv6_subnets_are_unique_local() {
    for (bad, says) in [
        (serde_json::json!([{"Subnet": "2001:db8::/64"}]), "fd00::/8"),
        (serde_json::json!([{"Subnet": "2001:db8::/64"}]), "N03"),
        (serde_json::json!([{"Subnet": "fe80::/64"}]), "N03"),
        (serde_json::json!([{"Subnet": "fc00::/64"}]), "N03"),
        (serde_json::json!([{"Subnet": "::/0"}]), "N03"),
        (serde_json::json!([{"Subnet": "::ffff:10.0.0.0/104"}]), "N03"),
        (serde_json::json!([{"Subnet": "fd00::/8"}]), "/48 to /112"),
        (serde_json::json!([{"Subnet": "fd00::/120"}]), "/48 to /112"),
        (serde_json::json!([{"Subnet": "fd00::1/64"}]), "it should be fd00::/64"),
        (serde_json::json!([{"Subnet": "fd99:0:0:7::/64"}]), "reserved"),
        (serde_json::json!([{"Subnet": "fd00::/64", "Gateway": "fd00::"}]), "Gateway"),
        (serde_json::json!([{"Subnet": "fd00::/64", "Gateway": "fd01::1"}]), "Gateway"),
        (serde_json::json!([{"Subnet": "fd00::/64", "Gateway": "10.0.0.1"}]), "Gateway"),
        (serde_json::json!([{"Subnet": "fd00::/64", "IPRange": "fd01::/80"}]), "IPRange"),
        (serde_json::json!([{"Subnet": "fd00::/64", "IPRange": "fd00::5/128"}]), "IPRange"),
        (serde_json::json!([{"Subnet": "fd00::/64"}, {"Subnet": "fd01::/64"}]), "more than one IPv6 subnet"),
        (serde_json::json!([{"Subnet": "10.1.0.0/24"}, {"Subnet": "10.2.0.0/24"}]), "more than one IPv4 subnet"),
    ] {
        let error = with_ipv6(bad.clone()).expect_err(&bad.to_string());
        assert!(error.to_string().contains(says), "{bad}: {error}");
    }
}
