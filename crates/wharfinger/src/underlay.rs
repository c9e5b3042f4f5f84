//! The simulated data centre's cables: a bridge in the root network namespace, a namespace for each host, a veth pair
//! between them, and the way out.
//!
//! Everything is "ensure": a second start finds what the first one left, for containers run on while we are down and
//! need their network. The bridge's MAC address is fixed, since Linux would otherwise change it with each port.

use std::{fs, path::PathBuf};

use domain::{Error, Result};
use nix::sys::statfs::{FsType, statfs};
use serde::Deserialize;

use crate::{
    layout::Layout,
    say,
    site::{Site, SiteHost},
    tool,
};

/// linux/magic.h
const NSFS_MAGIC: FsType = FsType(0x6e73_6673);
/// Where no default route tells.
const USUAL_MTU: u32 = 1500;
/// The interface in a host that leads to the others.
pub(crate) const INTERFACE: &str = "eth0";

#[derive(Deserialize)]
struct Link {
    ifname: String,
    mtu: u32,
}

#[derive(Deserialize)]
struct DefaultRoute {
    dev: Option<String>,
}

/// Builds what is missing.
pub(crate) async fn prepare(layout: &Layout, site: &Site) -> Result<()> {
    let links = links().await?;
    let mtu = egress_mtu(&links).await?;
    ensure_bridge(layout, site, &links, mtu).await?;
    for (index, host) in site.hosts.iter().enumerate() {
        ensure_host(layout, site, host, index, &links, mtu).await?;
    }
    open_the_way_out(layout, site).await?;
    say::about(
        "underlay",
        format_args!("{} on {}, mtu {mtu}, {} hosts", site.underlay, layout.bridge(), site.hosts.len()),
    );
    Ok(())
}

/// Bound where `ip netns` looks, so that an operator can enter it.
pub(crate) fn netns_path(layout: &Layout, host: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(layout.netns(host))
}

async fn links() -> Result<Vec<Link>> {
    let json = tool::run("ip", &["-j", "link", "show"]).await?;
    serde_json::from_str(&json).map_err(|e| Error::because("reading links", e))
}

/// Packets leave by the default route, so nothing on the underlay may be larger than fits there.
async fn egress_mtu(links: &[Link]) -> Result<u32> {
    let json = tool::run("ip", &["-4", "-j", "route", "show", "default"]).await?;
    let routes: Vec<DefaultRoute> = serde_json::from_str(&json).map_err(|e| Error::because("reading routes", e))?;
    let device = routes.into_iter().find_map(|r| r.dev);
    Ok(links.iter().find(|l| Some(&l.ifname) == device.as_ref()).map_or(USUAL_MTU, |l| l.mtu))
}

async fn ensure_bridge(layout: &Layout, site: &Site, links: &[Link], mtu: u32) -> Result<()> {
    let (bridge, gateway, [_, x, y, _]) = (layout.bridge(), site.gateway(), site.gateway().octets());
    let mut batch = String::new();
    if !links.iter().any(|l| l.ifname == bridge) {
        batch += &format!("link add {bridge} address 02:77:68:{x:02x}:{y:02x}:01 type bridge mcast_snooping 0\n");
    }
    batch += &format!("link set {bridge} mtu {mtu} up\naddr replace {gateway}/24 dev {bridge}\n");
    tool::feed("ip", &["-batch", "-"], &batch).await.map(drop)
}

async fn ensure_host(
    layout: &Layout,
    site: &Site,
    host: &SiteHost,
    index: usize,
    links: &[Link],
    mtu: u32,
) -> Result<()> {
    let (netns, cable, bridge) = (layout.netns(&host.name), layout.cable(&host.name), layout.bridge());
    if ensure_netns(layout, host).await? || !links.iter().any(|l| l.ifname == cable) {
        let add = ["link", "add", &cable, "type", "veth", "peer", "name", INTERFACE, "netns", &netns];
        tool::run("ip", &add).await?;
    }
    tool::run("ip", &["link", "set", &cable, "mtu", &mtu.to_string(), "master", &bridge, "up"]).await?;
    let (address, gateway) = (site.host_address(index), site.gateway());
    let batch = format!(
        "link set lo up\nlink set {INTERFACE} mtu {mtu} up\naddr replace {address}/24 dev {INTERFACE}\n\
         route replace default via {gateway}\n"
    );
    tool::feed("ip", &["-n", &netns, "-batch", "-"], &batch).await.map(drop)
}

/// True if it is new.
async fn ensure_netns(layout: &Layout, host: &SiteHost) -> Result<bool> {
    let path = netns_path(layout, &host.name);
    if statfs(&path).is_ok_and(|s| s.filesystem_type() == NSFS_MAGIC) {
        return Ok(false);
    }
    // A bare file is what a reboot leaves where /run is on a disk.
    if path.exists() {
        fs::remove_file(&path).map_err(|e| Error::because(format!("removing {}", path.display()), e))?;
    }
    tool::run("ip", &["netns", "add", &layout.netns(&host.name)]).await?;
    Ok(true)
}

/// Hosts reach the world behind the machine's address; nobody outside opens a connection to a host.
async fn open_the_way_out(layout: &Layout, site: &Site) -> Result<()> {
    remember_forwarding(layout)?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").map_err(|e| Error::because("switching IPv4 forwarding on", e))?;
    tool::feed("nft", &["-f", "-"], &ruleset(layout, site)).await.map(drop)
}

/// For `down --purge`, which puts it back.
fn remember_forwarding(layout: &Layout) -> Result<()> {
    let stamp = forwarding_stamp(layout);
    if stamp.exists() {
        return Ok(());
    }
    fs::read_to_string("/proc/sys/net/ipv4/ip_forward")
        .and_then(|before| fs::write(&stamp, before))
        .map_err(|e| Error::because("reading IPv4 forwarding", e))
}

/// In the run directory: the setting is of this boot, too.
pub(crate) fn forwarding_stamp(layout: &Layout) -> PathBuf {
    layout.run.join("ip_forward.before")
}

fn ruleset(layout: &Layout, site: &Site) -> String {
    let (table, bridge, subnet) = (layout.nft_table(), layout.bridge(), site.underlay);
    format!(
        "table ip {table} {{}}
delete table ip {table}
table ip {table} {{
  chain forward {{
    type filter hook forward priority 0; policy accept;
    iifname != \"{bridge}\" oifname \"{bridge}\" ct state new drop
    ip saddr {subnet} tcp flags syn / syn,rst tcp option maxseg size set rt mtu
    ip daddr {subnet} tcp flags syn / syn,rst tcp option maxseg size set rt mtu
  }}
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    ip saddr {subnet} oifname != \"{bridge}\" masquerade
  }}
}}
"
    )
}
