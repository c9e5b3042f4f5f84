//! The certificates of the roles and of the endpoint, made anew at each start: nobody keeps a copy of them.

use std::net::IpAddr;

use domain::{Error, Result};
use identity::{Authority, RoleIdentity};
use serde::Deserialize;

use crate::{
    cli::UpOptions,
    layout::Layout,
    site::{Site, write_private},
    tool,
};

/// A system that is never started again outlives this only if it was up for a year.
const ROLE_DAYS: u32 = 398;

#[derive(Deserialize)]
struct Interface {
    addr_info: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    local: Option<IpAddr>,
    scope: String,
}

/// The authority of this system; its keys are below `<data>/authority`, for root only.
pub(crate) fn authority(layout: &Layout) -> Result<Authority> {
    Authority::open_or_create(&layout.data.join("authority"))
}

/// Writes all of them below `<data>/config/tls`.
pub(crate) async fn write(layout: &Layout, site: &Site, options: &UpOptions) -> Result<()> {
    let authority = authority(layout)?;
    let gateway = [IpAddr::V4(site.gateway())];
    authority.issue_role(&RoleIdentity::Frontend, &gateway, ROLE_DAYS)?.write(&layout.tls("frontend"))?;
    authority.issue_role(&RoleIdentity::Scheduler, &gateway, ROLE_DAYS)?.write(&layout.tls("scheduler"))?;
    authority.issue_role(&RoleIdentity::Edge, &gateway, ROLE_DAYS)?.write(&layout.tls("edge"))?;
    for (index, host) in site.hosts.iter().enumerate() {
        let ip = [IpAddr::V4(site.host_address(index))];
        authority.issue_role(&RoleIdentity::Agent(host.id), &ip, ROLE_DAYS)?.write(&layout.tls(&host.name))?;
    }
    let (names, ips) = endpoint_names(site, options).await?;
    let dir = layout.tls("endpoint");
    authority.issue_endpoint(&names, &ips)?.write(&dir)?;
    let (cert, key) = authority.endpoint_issuer();
    write_private(&dir.join("issuer.pem"), cert)?;
    write_private(&dir.join("issuer.key"), &key)
}

/// Whatever a client may put into `DOCKER_HOST`.
async fn endpoint_names(site: &Site, options: &UpOptions) -> Result<(Vec<String>, Vec<IpAddr>)> {
    let mut names = vec!["localhost".to_owned()];
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    names.extend(options.endpoint_names.iter().cloned().chain([hostname.trim().to_owned()]));
    names.retain(|name| !name.is_empty() && name.is_ascii());
    names.dedup();
    let mut ips = vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from(std::net::Ipv6Addr::LOCALHOST), site.listen.ip()];
    if site.listen.ip().is_unspecified() {
        ips.extend(global_addresses().await?);
    }
    ips.retain(|ip| !ip.is_unspecified());
    ips.sort_unstable();
    ips.dedup();
    Ok((names, ips))
}

async fn global_addresses() -> Result<Vec<IpAddr>> {
    let json = tool::run("ip", &["-j", "address", "show"]).await?;
    let interfaces: Vec<Interface> = serde_json::from_str(&json).map_err(|e| Error::because("reading addresses", e))?;
    let addresses = interfaces.into_iter().flat_map(|i| i.addr_info);
    Ok(addresses.filter(|a| a.scope == "global").filter_map(|a| a.local).collect())
}
