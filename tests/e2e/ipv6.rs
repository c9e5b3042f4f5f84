//! Networks with IPv6: a second subnet and a second address for each container, on whichever host it is.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::system::{Tenant, data_dir};

fn endpoint(t: &Tenant, container: &str, network: &str) -> Value {
    t.inspect(container)["NetworkSettings"]["Networks"][network].clone()
}

fn address(t: &Tenant, container: &str, network: &str) -> String {
    endpoint(t, container, network)["GlobalIPv6Address"].as_str().expect("an address").to_owned()
}

fn network(t: &Tenant, name: &str) -> Value {
    serde_json::from_str::<Value>(&t.docker(&["network", "inspect", name]).ok()).expect("JSON")[0].clone()
}

/// A reply, and not only a code of 0.
#[track_caller]
fn reaches(t: &Tenant, from: &str, what: &str) {
    let out = t.docker(&["exec", from, "ping6", "-c", "1", "-W", "2", what]).ok();
    assert!(out.contains("1 packets received"), "{from} to {what}: {out}");
}

/// The network namespace of a container, which is of this machine as long as its host is simulated.
fn namespace(t: &Tenant, container: &str) -> PathBuf {
    let id = t.inspect(container)["Id"].as_str().expect("an id").to_owned();
    let configs = std::fs::read_dir(data_dir().join("config")).expect("the config folder").flatten();
    let texts = configs.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    let runs: Vec<PathBuf> = texts
        .filter_map(|text| Some(text.lines().find(|l| l.starts_with("run = "))?.split('"').nth(1)?.into()))
        .collect();
    let mut paths = runs.iter().map(|run| run.join("network/sandboxes").join(&id).join("net"));
    paths.find(|path| path.exists()).unwrap_or_else(|| panic!("no sandbox of {id} in {runs:?}"))
}

#[track_caller]
fn as_root_of_the_host(namespace: &Path, words: &str) {
    let net = format!("--net={}", namespace.display());
    let out = Command::new("nsenter").arg(net).args(words.split(' ')).output().expect("nsenter runs");
    assert!(out.status.success(), "{words}: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn two_hosts_share_a_network_with_addresses_names_and_filters() {
    let t = Tenant::new("v6");
    t.docker(&["network", "create", "--ipv6", "--subnet", "10.66.0.0/24", "--subnet", "fd12:66::/64", "app"]).ok();
    // Two containers that repel each other are on two hosts.
    let apart = ["--network", "app", "-l", "kind=apart", "-e", "affinity:kind!=apart"];
    for (name, more) in [("web", &[][..]), ("db", &["--ip6", "fd12:66::7777", "--network-alias", "store"])] {
        t.docker(&[&["run", "-d", "--name", name][..], &apart, more, &["busybox", "sleep", "1000"]].concat()).ok();
    }
    // The first packet after `run` has answered, by address and by name.
    reaches(&t, "web", "fd12:66::7777");
    reaches(&t, "db", &address(&t, "web", "app"));
    reaches(&t, "web", "fd12:66::1");
    for name in ["db", "store", "db.app"] {
        let out = t.docker(&["exec", "web", "nslookup", "-type=aaaa", &format!("{name}.")]).ok();
        assert!(out.contains("fd12:66::7777"), "{name}: {out}");
        reaches(&t, "web", name);
    }
    let out = t.docker(&["exec", "web", "nslookup", "fd12:66::7777"]).ok();
    assert!(out.contains("db.app"), "{out}");
    // In fragments.
    t.docker(&["exec", "web", "ping6", "-c", "1", "-W", "2", "-s", "9000", "db"]).ok();
    // A started container is found at once, also at its old address.
    t.docker(&["restart", "-t", "0", "db"]).ok();
    reaches(&t, "web", "fd12:66::7777");

    let seen = endpoint(&t, "db", "app");
    assert_eq!((&seen["GlobalIPv6PrefixLen"], &seen["IPv6Gateway"]), (&64.into(), &"fd12:66::1".into()));
    let seen = network(&t, "app");
    assert_eq!((&seen["EnableIPv6"], &seen["IPAM"]["Config"][1]["Subnet"]), (&true.into(), &"fd12:66::/64".into()));
    let members: Vec<&Value> = seen["Containers"].as_object().expect("containers").values().collect();
    assert!(members.iter().any(|m| m["Name"] == "db" && m["IPv6Address"] == "fd12:66::7777/64"), "{seen}");
    let hosts = t.docker(&["exec", "db", "cat", "/etc/hosts"]).ok();
    assert!(hosts.contains("fd12:66::7777\t"), "{hosts}");

    // A sender that is not the container's own address: the same route, with and without it.
    let there = namespace(&t, "web");
    as_root_of_the_host(&there, "ip -6 addr add fd12:66::99/64 dev eth0 nodad");
    as_root_of_the_host(&there, "ip -6 route add fd12:66::7777/128 dev eth0 src fd12:66::99");
    t.docker(&["exec", "web", "ping6", "-c", "1", "-W", "2", "fd12:66::7777"]).fails_with(1, "");
    as_root_of_the_host(&there, "ip -6 route del fd12:66::7777/128");
    as_root_of_the_host(&there, "ip -6 addr del fd12:66::99/64 dev eth0");
    reaches(&t, "web", "fd12:66::7777");

    // Another tenant with the same subnet reaches only its own.
    let stranger = Tenant::new("v6");
    stranger.docker(&["network", "create", "--ipv6", "--subnet", "fd12:66::/64", "app"]).ok();
    let args = ["run", "--rm", "--network", "app", "busybox", "ping6", "-c", "1", "-W", "1", "fd12:66::7777"];
    stranger.docker(&args).fails_with(1, "");
}

#[test]
fn subnets_come_from_the_pool_and_must_be_unique_local() {
    let t = Tenant::new("v6");
    let mut subnets = Vec::new();
    for name in ["one", "two"] {
        t.docker(&["network", "create", "--ipv6", name]).ok();
        let subnet = network(&t, name)["IPAM"]["Config"][1]["Subnet"].as_str().expect("a subnet").to_owned();
        assert!(subnet.starts_with("fd") && subnet.ends_with("::/64") && !subnets.contains(&subnet), "{subnet}");
        subnets.push(subnet);
    }
    t.docker(&["network", "create", "--ipv6", "--subnet", "2001:db8::/64", "x"]).fails_with(1, "policy N03");
    t.docker(&["network", "create", "--ipv6", "--subnet", "fd00::/120", "x"]).fails_with(1, "policy N03");
    let args = ["network", "create", "--ipv6", "--subnet", "fd12:67::/64", "--gateway", "fd12:67::9", "gate"];
    t.docker(&args).ok();
    t.docker(&["run", "-d", "--name", "web", "--network", "gate", "busybox", "sleep", "1000"]).ok();
    assert_eq!(endpoint(&t, "web", "gate")["IPv6Gateway"], "fd12:67::9");
    reaches(&t, "web", "fd12:67::9");
    // Nothing is forwarded, and a program hears of it.
    t.docker(&["exec", "web", "ping6", "-c", "1", "-W", "2", "2001:db8::1"]).fails_with(1, "");
    // A network may be joined later, and its address chosen then.
    t.docker(&["network", "connect", "--ip6", "fd12:68::8", "gate", "web"]).fails_with(1, "already exists in network");
    let chosen = subnets[0].replace("::/64", "::8888");
    t.docker(&["network", "connect", "--ip6", &chosen, "one", "web"]).ok();
    assert_eq!(address(&t, "web", "one"), chosen);
    assert!(t.docker(&["exec", "web", "ip", "-6", "addr", "show", "eth1"]).ok().contains(&chosen));
    t.docker(&["network", "disconnect", "gate", "web"]).ok();
    let route = t.docker(&["exec", "web", "ip", "-6", "route"]).ok();
    assert!(route.contains(&format!("default via {}", subnets[0].replace("::/64", "::1"))), "{route}");
    let args = ["run", "--rm", "--network", "two", "--ip6", "fd12:99::1", "busybox", "true"];
    t.docker(&args).fails_with(125, "fd12:99::1");
    // The default network has none, as dockerd's.
    let out =
        t.docker(&["run", "--rm", "busybox", "cat", "/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "/proc/net/if_inet6"]);
    let out = out.ok();
    assert!(out.starts_with("1\n") && !out.contains("eth0"), "{out}");
    let out =
        t.docker(&["run", "--rm", "--network", "one", "busybox", "cat", "/proc/sys/net/ipv6/conf/eth0/disable_ipv6"]);
    assert_eq!(out.ok(), "0\n");
}
