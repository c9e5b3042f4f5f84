//! Whether the hosts have converged: what the inventory says of networks, against what their kernels hold.
//!
//! Both sides become sets of sentences, so that a difference needs no words of its own. The inventory is read by psql, the
//! kernels by ip, bridge and nft in the hosts' namespaces: nothing of ours takes part but the names of bridge ports, which
//! are random and stand in the sandboxes' records.
//!
//! A router outlives its last container for a while, and hosts do not hear of networks that they have no container in: of
//! such a router only that it lets nobody speak is asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::system::data_dir;

/// Endpoints of all containers and published ports, each with what its sentences need.
const INVENTORY: &str = "SELECT json_build_object(
    'endpoints', (SELECT coalesce(json_agg(json_build_object('vni', n.vni, 'host', c.host_id, 'container', c.id,
        'name', c.name, 'address', host(e.address), 'mac', e.mac, 'runs', c.status IN ('running', 'paused'),
        'vtep', h.facts->>'underlay_address')), '[]')
        FROM endpoints e JOIN networks n ON n.id = e.network_id JOIN containers c ON c.id = e.container_id
        JOIN hosts h ON h.id = c.host_id),
    'ports', (SELECT coalesce(json_agg(p), '[]') FROM published_ports p))";

/// A host, as the configuration of its agent tells.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) run: PathBuf,
    /// Five digits that all names on this machine have.
    instance: String,
}

/// What stands behind `key = ` in a configuration file.
fn setting(file: &str, key: &str) -> String {
    let path = data_dir().join("config").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let line = text.lines().find_map(|l| l.strip_prefix(key)?.trim_start().strip_prefix('='));
    line.unwrap_or_else(|| panic!("{key} is not in {}", path.display())).trim().trim_matches('"').to_owned()
}

impl Host {
    pub(crate) fn named(name: &str) -> Self {
        let file = format!("agent-{name}.toml");
        let run = PathBuf::from(setting(&file, "run"));
        let instance = run.parent().and_then(Path::file_name).expect("an instance").to_string_lossy().into_owned();
        Self { name: name.to_owned(), id: setting(&file, "host_id"), run, instance }
    }

    pub(crate) fn netns(&self) -> PathBuf {
        format!("/run/netns/wh-{}-{}", self.instance, self.name).into()
    }

    /// The far end of its underlay interface, in the machine's own namespace.
    pub(crate) fn cable(&self) -> String {
        format!("wh{}-{}", self.instance, self.name)
    }

    pub(crate) fn router(&self, vni: u64) -> PathBuf {
        self.run.join("network/routers").join(vni.to_string()).join("net")
    }

    /// The networks that have a router here.
    fn routers(&self) -> Vec<u64> {
        let entries = std::fs::read_dir(self.run.join("network/routers")).expect("the routers' directory");
        entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).collect()
    }

    /// Name of the bridge port that the container's sandbox has in a network.
    fn port(&self, container: &str, vni: u64) -> String {
        let path = self.run.join("network/sandboxes").join(container).join("state.json");
        let state = std::fs::read(path).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        let ports = state.map(|s| list(&s["ports"]).to_vec()).unwrap_or_default();
        let port = ports.iter().find(|p| p["vni"] == json!(vni));
        port.map_or_else(|| "a port that no record has".to_owned(), |p| text(&p["name"]))
    }
}

pub(crate) fn hosts() -> Vec<Host> {
    ["h1", "h2", "h3"].map(Host::named).into()
}

/// A query's answer, which is JSON.
pub(crate) fn inventory(query: &str) -> Value {
    let url = setting("scheduler.toml", "database_url");
    let out = Command::new("psql").args([&url, "-qAtXc", query]).output().expect("psql runs");
    assert!(out.status.success(), "psql: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("JSON")
}

/// Number of a tenant's network in VXLAN packets.
pub(crate) fn vni(tenant: &str, network: &str) -> u64 {
    let of = "SELECT n.vni FROM networks n JOIN tenants t ON t.id = n.tenant_id WHERE t.name =";
    inventory(&format!("{of} '{tenant}' AND n.name = '{network}'")).as_u64().expect("a VNI")
}

/// Runs `command` in a network namespace.
pub(crate) fn inside(netns: &Path, command: &str) -> Command {
    let mut inside = Command::new("nsenter");
    inside.arg(format!("--net={}", netns.display())).args(command.split_whitespace());
    inside
}

/// What it says, as JSON. A namespace may go while it is looked at: nothing, then.
fn asked(netns: &Path, command: &str) -> Value {
    let out = inside(netns, command).output().expect("nsenter runs");
    serde_json::from_slice(&out.stdout).unwrap_or(Value::Null)
}

/// Elements of a set or map.
fn elements(netns: &Path, which: &str) -> Vec<Value> {
    let answer = asked(netns, &format!("nft -j list {which}"));
    let found = list(&answer["nftables"]).iter().find_map(|o| o.get("set").or(o.get("map")));
    found.map(|set| list(&set["elem"]).to_vec()).unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Strings without quotes, everything else as JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// `[key, {"concat": [address, port]}]` of the maps of published ports.
fn leads(netns: &Path, table: &str, protocol: &str) -> Vec<(String, String, String)> {
    let lead = |e: Value| (text(&e[0]), text(&e[1]["concat"][0]), text(&e[1]["concat"][1]));
    elements(netns, &format!("map ip {table} {protocol}_ports")).into_iter().map(lead).collect()
}

/// A sentence, and of whom it speaks.
type Facts = BTreeMap<String, String>;

/// What must hold on `host`.
fn wanted(host: &Host, inventory: &Value) -> Facts {
    let (h, mut facts) = (&host.name, Facts::new());
    let endpoints = list(&inventory["endpoints"]);
    let (here, there): (Vec<_>, Vec<_>) = endpoints.iter().partition(|e| e["host"] == host.id.as_str());
    for e in here.iter().filter(|e| e["runs"] == true) {
        let (vni, mac, address) = (e["vni"].as_u64().expect("a VNI"), text(&e["mac"]), text(&e["address"]));
        let port = host.port(&text(&e["container"]), vni);
        let who = format!("{} on {h}", text(&e["name"]));
        facts.insert(format!("{h}, network {vni}: {port} may send as {mac} {address}"), who.clone());
        facts.insert(format!("{h}, network {vni}: {port} is a port of the bridge"), who);
    }
    for e in there.iter().filter(|e| present(host, inventory, &e["vni"])) {
        let (vni, mac, address, vtep) = (&e["vni"], text(&e["mac"]), text(&e["address"]), text(&e["vtep"]));
        let who = format!("{}, elsewhere", text(&e["name"]));
        facts.insert(format!("{h}, network {vni}: {address} is at {mac}"), who.clone());
        facts.insert(format!("{h}, network {vni}: {mac} is behind the tunnel"), who.clone());
        facts.insert(format!("{h}, network {vni}: the tunnel of {mac} ends at {vtep}"), who.clone());
        facts.insert(format!("{h}: VXLAN packets of {vtep} come in"), who);
    }
    for p in list(&inventory["ports"]).iter().filter(|p| p["host_id"] == host.id.as_str()) {
        let of = |e: &&Value| e["container"] == p["container_id"];
        // Which of its networks leads out is not asked; it must be one of them.
        let addresses: BTreeSet<_> =
            endpoints.iter().filter(of).map(|e| (text(&e["vni"]), text(&e["address"]))).collect();
        let (number, protocol) = (text(&p["host_port"]), text(&p["protocol"]));
        let way = host.routers().into_iter().find_map(|vni| {
            let led = leads(&host.router(vni), "router", &protocol).into_iter().find(|l| l.0 == number)?;
            addresses.contains(&(vni.to_string(), led.1.clone())).then_some((vni, led.1))
        });
        let (vni, address) = way.unwrap_or_default();
        let to = text(&p["container_port"]);
        facts.insert(format!("{h}: {protocol} {number} leads to the router of {vni}"), text(&p["container_id"]));
        let router = format!("{h}, network {vni}: {protocol} {number} leads to {address}:{to}");
        facts.insert(router, text(&p["container_id"]));
    }
    facts
}

/// The host has the network's router and must hear of the network.
fn present(host: &Host, inventory: &Value, vni: &Value) -> bool {
    let at_home = |e: &Value| e["host"] == host.id.as_str() && e["vni"] == *vni;
    let runs = |e: &Value| at_home(e) && e["runs"] == true;
    let endpoints = list(&inventory["endpoints"]);
    let made = vni.as_u64().is_some_and(|vni| host.routers().contains(&vni));
    endpoints.iter().any(runs) || made && endpoints.iter().any(at_home)
}

/// What holds on `host`.
fn found(host: &Host, inventory: &Value) -> BTreeSet<String> {
    let (h, mut facts, mut idle_vteps) = (&host.name, BTreeSet::new(), BTreeSet::new());
    let mut uplinks = BTreeMap::new();
    for vni in host.routers() {
        let netns = host.router(vni);
        let mut say = |what: String| facts.insert(format!("{h}, network {vni}: {what}"));
        for sender in elements(&netns, "set bridge guard senders") {
            let [port, mac, address] = [0, 1, 2].map(|i| text(&sender["concat"][i]));
            say(format!("{port} may send as {mac} {address}"));
        }
        for link in list(&asked(&netns, "ip -j link show master br0")) {
            let name = text(&link["ifname"]);
            name.starts_with('p').then(|| say(format!("{name} is a port of the bridge")));
        }
        for protocol in ["tcp", "udp"] {
            for (number, address, to) in leads(&netns, "router", protocol) {
                say(format!("{protocol} {number} leads to {address}:{to}"));
            }
        }
        let up = asked(&netns, "ip -j -4 addr show dev up");
        uplinks.insert(text(&up[0]["addr_info"][0]["local"]), vni);
        let heard = present(host, inventory, &json!(vni));
        for entry in list(&asked(&netns, "bridge -j fdb show dev vx")) {
            let mac = text(&entry["mac"]);
            match (entry["dst"].as_str(), entry["state"].as_str()) {
                (Some(vtep), _) if heard => _ = say(format!("the tunnel of {mac} ends at {vtep}")),
                (Some(vtep), _) => _ = idle_vteps.insert(vtep.to_owned()),
                // `permanent` is the device's own address.
                (None, state) if heard && state != Some("permanent") => _ = say(format!("{mac} is behind the tunnel")),
                _ => {}
            }
        }
        for entry in list(&asked(&netns, "ip -j -4 neigh show dev vx nud permanent")).iter().filter(|_| heard) {
            say(format!("{} is at {}", text(&entry["dst"]), text(&entry["lladdr"])));
        }
    }
    for protocol in ["tcp", "udp"] {
        for (number, uplink, _) in leads(&host.netns(), "wharfinger", protocol) {
            let vni = uplinks.get(&uplink).copied().unwrap_or_default();
            facts.insert(format!("{h}: {protocol} {number} leads to the router of {vni}"));
        }
    }
    let vteps: BTreeSet<String> = elements(&host.netns(), "set ip wharfinger peers").iter().map(text).collect();
    // An idle router's peers are kept, and so are their hosts: never a difference, whether it is there or not.
    let needed = wanted(host, inventory);
    let sentence = |vtep: &String| format!("{h}: VXLAN packets of {vtep} come in");
    facts.extend(vteps.iter().filter(|v| !idle_vteps.contains(*v) || needed.contains_key(&sentence(v))).map(sentence));
    facts
}

/// In words; none: every host has converged.
pub(crate) fn differences() -> Vec<String> {
    let inventory = inventory(INVENTORY);
    let of = |host: Host| {
        let (wanted, found) = (wanted(&host, &inventory), found(&host, &inventory));
        let missing = wanted.iter().filter(|(fact, _)| !found.contains(*fact));
        let missing = missing.map(|(fact, who)| format!("missing: {fact} ({who})"));
        let extra = found.iter().filter(|fact| !wanted.contains_key(*fact)).map(|fact| format!("too much: {fact}"));
        missing.chain(extra).collect::<Vec<_>>()
    };
    hosts().into_iter().flat_map(of).collect()
}
