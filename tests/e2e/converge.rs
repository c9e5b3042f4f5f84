//! Hosts converge, whatever was cut off or killed meanwhile. The harm is done to the system that all share, so tests/run
//! runs these alone, after the others.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    checker::{Host, differences, inside, inventory, vni},
    harm::{Killed, Mute, Unplugged, does},
    system::{Tenant, eventually},
};

/// A container in a network and on a host.
fn run(t: &Tenant, name: &str, network: &str, host: &str, options: &[&str], command: &str) {
    let zone = format!("constraint:zone==z{}", &host[1..]);
    let fixed = ["run", "-d", "--name", name, "--network", network, "-e", &zone];
    t.docker(&[&fixed, options, &["busybox", "sh", "-c", command]].concat()).ok();
}

const SLEEP: &str = "exec sleep 1000";

#[track_caller]
fn converges(seconds: u64) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        let differences = differences();
        if differences.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "not within {seconds} s:\n{}", differences.join("\n"));
        sleep(Duration::from_millis(200));
    }
}

/// Address and MAC of a container of one network.
fn endpoint(t: &Tenant, container: &str, network: &str) -> (String, String) {
    let shown = t.inspect(container);
    let endpoint = &shown["NetworkSettings"]["Networks"][network];
    let text = |key: &str| endpoint[key].as_str().expect("text").to_owned();
    (text("IPAddress"), text("MacAddress"))
}

#[test]
fn the_checker_names_what_is_missing_and_what_is_too_much() {
    let t = Tenant::new("converge");
    t.docker(&["network", "create", "one"]).ok();
    run(&t, "here", "one", "h1", &["-p", "80"], SLEEP);
    run(&t, "there", "one", "h2", &[], SLEEP);
    converges(20);
    let (host, peer) = (Host::named("h1"), Host::named("h2"));
    let (vni, (address, mac)) = (vni(&t.name, "one"), endpoint(&t, "there", "one"));
    let (router, mine) = (host.router(vni), host.netns());
    let here = t.inspect("here")["Id"].as_str().expect("an id").to_owned();
    let port = inventory(&format!("SELECT host_port FROM published_ports WHERE container_id = '{here}'"));
    let peers = inside(&peer.netns(), "ip -j -4 addr show dev eth0").output().expect("nsenter runs").stdout;
    let peers: Value = serde_json::from_slice(&peers).expect("JSON");
    let vtep = peers[0]["addr_info"][0]["local"].as_str().expect("an address");
    // What is done, what undoes it, and the one difference that it makes.
    let harms = [
        (
            &router,
            format!("bridge fdb del {mac} dev vx dst {vtep} self"),
            format!("bridge fdb replace {mac} dev vx dst {vtep} self permanent"),
            format!("missing: h1, network {vni}: the tunnel of {mac} ends at {vtep} (there, elsewhere)"),
        ),
        (
            &router,
            format!("bridge fdb del {mac} dev vx master"),
            format!("bridge fdb replace {mac} dev vx master static"),
            format!("missing: h1, network {vni}: {mac} is behind the tunnel (there, elsewhere)"),
        ),
        (
            &router,
            format!("ip neigh del {address} dev vx"),
            format!("ip neigh replace {address} lladdr {mac} dev vx nud permanent"),
            format!("missing: h1, network {vni}: {address} is at {mac} (there, elsewhere)"),
        ),
        (
            &router,
            "nft add element bridge guard senders { p0 . 02:42:00:00:00:01 . 10.0.0.1 }".to_owned(),
            "nft delete element bridge guard senders { p0 . 02:42:00:00:00:01 . 10.0.0.1 }".to_owned(),
            format!("too much: h1, network {vni}: p0 may send as 02:42:00:00:00:01 10.0.0.1"),
        ),
        (
            &router,
            format!("nft add element ip router tcp_ports {{ 19999 : {address} . 80 }}"),
            "nft delete element ip router tcp_ports { 19999 }".to_owned(),
            format!("too much: h1, network {vni}: tcp 19999 leads to {address}:80"),
        ),
        (
            &mine,
            format!("nft add element ip wharfinger udp_ports {{ {port} : 100.64.255.254 . {port} }}"),
            format!("nft delete element ip wharfinger udp_ports {{ {port} }}"),
            format!("too much: h1: udp {port} leads to the router of 0"),
        ),
        (
            &mine,
            "nft add element ip wharfinger peers { 192.0.2.1 }".to_owned(),
            "nft delete element ip wharfinger peers { 192.0.2.1 }".to_owned(),
            "too much: h1: VXLAN packets of 192.0.2.1 come in".to_owned(),
        ),
    ];
    for (netns, harm, heal, difference) in harms {
        does(netns, &harm);
        assert_eq!(differences(), [difference]);
        does(netns, &heal);
        assert_eq!(differences(), [""; 0]);
    }
}

/// Endpoints come and go on `x` and `y` while `away` is what `harm` makes of it, until its value ends.
fn converges_after<Harm>(away: &str, [x, y]: [&str; 2], harm: impl FnOnce() -> Harm) {
    let t = Tenant::new("converge");
    for network in ["one", "two"] {
        t.docker(&["network", "create", network]).ok();
    }
    for host in [x, y, away] {
        run(&t, &format!("on-{host}"), "one", host, &["-p", "80"], SLEEP);
    }
    run(&t, "stops", "one", x, &["-p", "80"], SLEEP);
    run(&t, "starts", "one", y, &["-p", "80"], SLEEP);
    t.docker(&["stop", "-t", "0", "starts"]).ok();
    run(&t, "goes", "one", y, &[], SLEEP);
    run(&t, "leaves", "one", y, &[], SLEEP);
    run(&t, "joins", "two", x, &[], SLEEP);
    run(&t, "ends", "one", away, &["-p", "80"], "sleep 5");
    converges(20);

    let harm = harm();
    t.docker(&["stop", "-t", "0", "stops"]).ok();
    t.docker(&["start", "starts"]).ok();
    t.docker(&["rm", "-f", "goes"]).ok();
    t.docker(&["network", "connect", "two", "leaves"]).ok();
    t.docker(&["network", "disconnect", "one", "leaves"]).ok();
    t.docker(&["network", "connect", "one", "joins"]).ok();
    run(&t, "new", "one", x, &["-p", "80"], SLEEP);
    // Longer than a connection takes to be given up, and than a host may be silent.
    sleep(Duration::from_secs(22));
    drop(harm);

    converges(20);
    let on: Vec<String> = [x, y, away].iter().map(|host| format!("on-{host}")).collect();
    let here = [on[0].as_str(), &on[1], &on[2], "starts", "joins", "new"];
    reach_each_other(&t, &here);
    for gone in ["stops", "goes", "leaves", "ends"] {
        t.docker(&["exec", &on[2], "ping", "-c", "1", "-W", "1", gone]).fails_with(1, "bad address");
    }
    // And it goes on as before.
    t.docker(&["network", "connect", "two", &on[2]]).ok();
    t.docker(&["exec", &on[2], "ping", "-c", "1", "-W", "2", "leaves"]).ok();
    converges(20);
}

fn reach_each_other(t: &Tenant, names: &[&str]) {
    let pings: String =
        names.iter().map(|name| format!("ping -c 1 -W 2 {name} >/dev/null || echo no {name}; ")).collect();
    for from in names {
        eventually(10, &format!("{from} reaches {names:?}"), || {
            t.docker(&["exec", from, "sh", "-c", &pings]).ok().is_empty()
        });
    }
}

#[test]
fn a_host_that_was_cut_off_catches_up() {
    converges_after("h2", ["h1", "h3"], || Unplugged::host("h2"));
}

#[test]
fn a_host_whose_agent_was_killed_catches_up() {
    converges_after("h3", ["h1", "h2"], || Killed::agent("h3"));
}

/// The last container that another host shared with this one goes while no agent looks.
#[test]
fn a_host_that_is_no_peer_any_more_is_shut_out() {
    let t = Tenant::new("converge");
    run(&t, "stays", "bridge", "h3", &[], SLEEP);
    run(&t, "goes", "bridge", "h2", &[], SLEEP);
    converges(20);
    let killed = Killed::agent("h3");
    t.docker(&["rm", "-f", "goes"]).ok();
    sleep(Duration::from_secs(3));
    drop(killed);
    converges(20);
}

/// The host has done it, and says so to nobody; the next try would meet what the first one left.
#[test]
fn a_connect_whose_answer_is_lost_is_taken_back() {
    let t = Tenant::new("converge");
    t.docker(&["network", "create", "one"]).ok();
    t.docker(&["network", "create", "two"]).ok();
    run(&t, "c1", "one", "h2", &[], SLEEP);
    run(&t, "c2", "two", "h1", &[], SLEEP);
    run(&t, "c3", "two", "h2", &[], SLEEP);
    converges(20);
    let mute = Mute::agent("h2");
    t.docker(&["network", "connect", "two", "c1"]).fails_with(1, "the host cannot be reached at the moment");
    drop(mute);
    eventually(20, "it is taken back", || t.inspect("c1")["NetworkSettings"]["Networks"]["two"] == Value::Null);
    converges(20);
    t.docker(&["network", "connect", "two", "c1"]).ok();
    t.docker(&["exec", "c2", "ping", "-c", "1", "-W", "2", "c1"]).ok();
    converges(20);
}

/// What leads to the old MAC goes, though the address is wanted.
#[test]
fn an_address_that_comes_back_with_another_mac() {
    let t = Tenant::new("converge");
    t.docker(&["network", "create", "--subnet", "10.87.0.0/24", "one"]).ok();
    run(&t, "looks", "one", "h1", &[], SLEEP);
    let with = |mac| ["--ip", "10.87.0.9", "--mac-address", mac];
    run(&t, "was", "one", "h2", &with("02:42:00:00:00:09"), SLEEP);
    converges(20);
    t.docker(&["rm", "-f", "was"]).ok();
    run(&t, "is", "one", "h3", &with("02:42:00:00:00:0a"), SLEEP);
    t.docker(&["exec", "looks", "ping", "-c", "1", "-W", "2", "is"]).ok();
    converges(20);
}
