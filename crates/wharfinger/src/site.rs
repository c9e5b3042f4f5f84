//! What one system has decided once and must remember: `<data>/site.toml`.

use std::{
    fs, io,
    io::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use domain::{Error, HostId, Result};
use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::{address, cli::UpOptions, layout::Layout};

/// Tenants' default networks are /20s out of it, at Docker's customary place. Two tenants may overlap.
const TENANT_POOL: &str = "172.17.0.0/16";
const FIRST_HOST: u32 = 11;
const INTERNAL_PORT: u16 = 7401;
const SCHEDULER_PORT: u16 = 7402;
const EDGE_PORT: u16 = 7403;
const PROXIED_PORT: u16 = 7404;
const AGENT_PORT: u16 = 7400;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Site {
    /// Where clients connect, as of the last `up`.
    pub(crate) listen: SocketAddr,
    pub(crate) database_url: String,
    pub(crate) tenant_pool: Ipv4Net,
    pub(crate) underlay: Ipv4Net,
    /// Tenants' own addresses: their Docker API and their published ports.
    #[serde(default)]
    pub(crate) address_pool: Option<Ipv4Net>,
    /// Tenants' IPv6 networks; without it, a /48 that is this site's own.
    #[serde(default)]
    pub(crate) network_pool6: Option<Ipv6Net>,
    pub(crate) hosts: Vec<SiteHost>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SiteHost {
    pub(crate) id: HostId,
    /// `h1` ...; the number gives the address.
    pub(crate) name: String,
}

impl Site {
    /// As the last `up` left it.
    pub(crate) fn load(layout: &Layout) -> Result<Self> {
        Self::read(layout)?.ok_or_else(|| {
            Error::invalid(format!("{} holds no system yet; start one with `wharfinger up`", layout.data.display()))
        })
    }

    /// Merges what was decided before with this start's options, and remembers the result.
    pub(crate) async fn settle(layout: &Layout, options: &UpOptions, embedded_url: String) -> Result<Self> {
        let mut site = match Self::read(layout)? {
            Some(site) => site,
            None => Self {
                listen: options.listen,
                database_url: String::new(),
                tenant_pool: TENANT_POOL.parse().map_err(|e| Error::because("tenant pool", e))?,
                underlay: address::choose(layout).await?,
                address_pool: None,
                network_pool6: None,
                hosts: Vec::new(),
            },
        };
        site.listen = options.listen;
        site.address_pool = options.address_pool.or(site.address_pool);
        site.database_url = options.database_url.clone().unwrap_or(embedded_url);
        site.set_hosts(options.hosts.map_or(site.hosts.len().max(1), usize::from))?;
        site.write(layout)?;
        Ok(site)
    }

    /// Hosts are only ever added: containers may live on each.
    fn set_hosts(&mut self, wanted: usize) -> Result<()> {
        if wanted < self.hosts.len() {
            return Err(Error::conflict(format!(
                "this system has {} hosts and containers may live on each; to have fewer, start anew after `wharfinger down --purge`",
                self.hosts.len()
            )));
        }
        for number in self.hosts.len() + 1..=wanted {
            self.hosts.push(SiteHost { id: HostId::random(), name: format!("h{number}") });
        }
        Ok(())
    }

    fn read(layout: &Layout) -> Result<Option<Self>> {
        let path = layout.data.join("site.toml");
        let failed = |e| Error::because(format!("reading {}", path.display()), e);
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map(Some).map_err(|e| Error::because(format!("{}", path.display()), e)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed(e)),
        }
    }

    fn write(&self, layout: &Layout) -> Result<()> {
        let text = toml::to_string(self).map_err(|e| Error::because("site.toml", e))?;
        write_private(&layout.data.join("site.toml"), &text)
    }

    /// The root namespace's address on the underlay: frontend and scheduler listen there, hosts route through it.
    pub(crate) fn gateway(&self) -> Ipv4Addr {
        self.address(1)
    }

    /// Linux answers at all of 127/8 without being asked to; each system on a machine has a block of its own, as it has an
    /// underlay of its own. An operator with several machines has real addresses instead.
    pub(crate) fn address_pool(&self) -> Ipv4Net {
        let [_, second, third, _] = self.underlay.network().octets();
        // 10.88.0.0 to 10.119.255.0 become 127.64.0.0/18 to 127.191.192.0/18.
        let number = (u32::from(second.wrapping_sub(88)) * 256 + u32::from(third)) % 512;
        let loopback = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 64, 0, 0)) + number * (1 << 14));
        self.address_pool.unwrap_or(Ipv4Net::new_assert(loopback, 18))
    }

    /// Unique local addresses with 40 random bits (RFC 4193): the first host's id has them, and stays.
    pub(crate) fn network_pool6(&self) -> Ipv6Net {
        let id = self.hosts.first().map_or([0; 16], |host| *host.id.0.as_bytes());
        let mut octets = [0; 16];
        octets[0] = 0xfd;
        octets[1..6].copy_from_slice(&id[..5]);
        self.network_pool6.unwrap_or(Ipv6Net::new_assert(Ipv6Addr::from(octets), 48))
    }

    pub(crate) fn host_address(&self, index: usize) -> Ipv4Addr {
        self.address(FIRST_HOST + index as u32)
    }

    fn address(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.underlay.network()) + number)
    }

    pub(crate) fn internal_listen(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.gateway()), INTERNAL_PORT)
    }

    pub(crate) fn scheduler_listen(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.gateway()), SCHEDULER_PORT)
    }

    pub(crate) fn edge_listen(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.gateway()), EDGE_PORT)
    }

    /// Where edges hand API connections to the frontend.
    pub(crate) fn proxied_listen(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.gateway()), PROXIED_PORT)
    }

    pub(crate) fn agent_listen(&self, index: usize) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.host_address(index)), AGENT_PORT)
    }

    /// What a client on this machine dials; a wildcard listener is reached by loopback.
    pub(crate) fn endpoint(&self) -> SocketAddr {
        let ip = match self.listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            ip => ip,
        };
        SocketAddr::new(ip, self.listen.port())
    }
}

/// Replaces a file as a whole, readable by its owner only: database URLs hold passwords. What did not change is not
/// written, so that a warm start waits for no disk.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let fresh = path.with_extension("new");
    let written = fs::remove_file(&fresh)
        .or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
        .and_then(|()| fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh))
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&fresh, path));
    written.map_err(|e| Error::because(format!("writing {}", path.display()), e))
}

#[cfg(test)]
pub(crate) fn sample(hosts: usize) -> Site {
    let mut site = Site {
        listen: "0.0.0.0:2376".parse().unwrap(),
        database_url: "postgres://wharfinger@localhost/wharfinger?host=/run/wharfinger/0/postgres".into(),
        tenant_pool: TENANT_POOL.parse().unwrap(),
        underlay: "10.90.3.0/24".parse().unwrap(),
        address_pool: None,
        network_pool6: None,
        hosts: Vec::new(),
    };
    site.set_hosts(hosts).unwrap();
    site
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_added_and_keep_their_ids_but_are_never_taken_away() {
        let mut site = sample(2);
        let first = site.hosts[0].id;
        site.set_hosts(3).unwrap();
        assert_eq!((site.hosts[0].id, site.hosts[2].name.as_str()), (first, "h3"));
        assert!(site.set_hosts(1).is_err());
    }

    #[test]
    fn it_survives_its_file() {
        let site = sample(3);
        let back: Site = toml::from_str(&toml::to_string(&site).unwrap()).unwrap();
        assert_eq!(back.hosts[2].id, site.hosts[2].id);
        assert_eq!(
            (back.gateway().to_string(), back.host_address(2).to_string()),
            ("10.90.3.1".into(), "10.90.3.13".into())
        );
        assert_eq!(back.endpoint().to_string(), "127.0.0.1:2376");
    }

    #[test]
    fn the_pool_of_ipv6_networks_is_the_site_s_own_and_stays() {
        let (mut site, other) = (sample(1), sample(1));
        let pool = site.network_pool6();
        assert!("fd00::/8".parse::<Ipv6Net>().unwrap().contains(&pool) && pool.prefix_len() == 48);
        assert_eq!(pool.trunc(), pool);
        assert_ne!(pool, other.network_pool6());
        site.set_hosts(3).unwrap();
        assert_eq!(site.network_pool6(), pool);
        site.network_pool6 = Some("fd00:7::/48".parse().unwrap());
        let back: Site = toml::from_str(&toml::to_string(&site).unwrap()).unwrap();
        assert_eq!(back.network_pool6().to_string(), "fd00:7::/48");
    }

    #[test]
    fn tenants_addresses_are_of_loopback_unless_the_operator_has_others() {
        let mut site = sample(1);
        assert_eq!(site.address_pool().to_string(), "127.64.192.0/18");
        site.underlay = "10.119.255.0/24".parse().unwrap();
        assert_eq!(site.address_pool().to_string(), "127.191.192.0/18");
        site.address_pool = Some("203.0.113.0/24".parse().unwrap());
        assert_eq!(site.address_pool().to_string(), "203.0.113.0/24");
    }
}
