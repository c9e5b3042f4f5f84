//! Which door a URL goes through: what the operator said of its host, else the public internet over https (policy I01).
//!
//! Every URL is judged on its own, redirects and token realms too: that a registry is the operator's says nothing of
//! where it sends us.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use domain::{Error, Result};
use ipnet::IpNet;
use reqwest::Url;
use tokio::sync::Semaphore;

use super::{address, resolver};

/// dockerd's `--insecure-registry` and `--registry-mirror`.
#[derive(Debug, Clone, Default)]
pub struct RegistrySettings {
    /// `host`, `host:port` or a CIDR: http, unverified certificates and private addresses are allowed there. Unlike
    /// dockerd, loopback is not implied: it would be the operator's own.
    pub insecure: Vec<String>,
    /// URLs of mirrors of docker.io, tried in this order before it.
    pub mirrors: Vec<String>,
    /// URL of the index that `docker search` asks; none: there is no search.
    pub search_index: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// https, verified, public addresses.
    Public,
    /// Insecure by name.
    Named,
    /// Insecure by address.
    Nets,
    /// The operator's mirror or search index, while we use it as such.
    Mirror,
}

pub(crate) struct Rules {
    names: HashSet<String>,
    pub(crate) nets: Arc<[IpNet]>,
    pub(crate) mirrors: Vec<Url>,
    pub(crate) search_index: Option<Url>,
    lookups: Semaphore,
}

impl Rules {
    pub(crate) fn new(settings: &RegistrySettings) -> Result<Self> {
        let mut names = HashSet::new();
        let mut nets = Vec::new();
        for entry in &settings.insecure {
            match entry.parse::<IpNet>() {
                Ok(net) => nets.push(net),
                Err(_) if entry.is_empty() || entry.contains('/') => {
                    return Err(Error::invalid(format!(
                        "insecure registry {entry:?} is neither host[:port] nor a CIDR"
                    )));
                }
                Err(_) => drop(names.insert(entry.to_ascii_lowercase())),
            }
        }
        let mirrors = settings.mirrors.iter().map(|text| base("registry mirror", text)).collect::<Result<_>>()?;
        let search_index = settings.search_index.as_deref().map(|text| base("search index", text)).transpose()?;
        Ok(Self { names, nets: nets.into(), mirrors, search_index, lookups: Semaphore::new(8) })
    }

    /// `as_mirror`: the request belongs to a pull through a mirror. A tenant that names the mirror's address as a
    /// registry is not let in by that.
    pub(crate) async fn reach(&self, url: &Url, as_mirror: bool) -> Result<Reach> {
        let host = url.host_str().ok_or_else(|| Error::invalid("a registry URL without a host"))?.to_ascii_lowercase();
        if as_mirror && self.mirrors.iter().chain(&self.search_index).any(|m| m.origin() == url.origin()) {
            return Ok(Reach::Mirror);
        }
        let with_port = url.port_or_known_default().map(|port| format!("{host}:{port}"));
        if (url.port().is_none() && self.names.contains(&host)) || with_port.is_some_and(|h| self.names.contains(&h)) {
            return Ok(Reach::Named);
        }
        if self.in_nets(&host).await {
            return Ok(Reach::Nets);
        }
        refuse_unless_public(url, &host)?;
        Ok(Reach::Public)
    }

    /// All addresses of the host are in the operator's networks.
    async fn in_nets(&self, host: &str) -> bool {
        let inside = |ip: IpAddr| self.nets.iter().any(|net| net.contains(&ip));
        if self.nets.is_empty() {
            return false;
        }
        match literal(host) {
            Some(ip) => inside(ip),
            None => match resolver::lookup(host, &self.lookups).await {
                Ok(found) => found.iter().all(|a| inside(a.ip())),
                Err(_) => false,
            },
        }
    }
}

/// `what`: for the operator's eyes.
fn base(what: &str, text: &str) -> Result<Url> {
    let bad = || Error::invalid(format!("invalid {what} {text:?}: a URL like https://mirror.example is needed"));
    let url: Url = text.parse().map_err(|_| bad())?;
    let plain =
        url.host_str().is_some() && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if plain && ["http", "https"].contains(&url.scheme()) && url.path() == "/" { Ok(url) } else { Err(bad()) }
}

/// IP literals are not resolved by anybody, so they are judged here.
fn refuse_unless_public(url: &Url, host: &str) -> Result<()> {
    if literal(host).is_some_and(|ip| !address::is_public(ip)) {
        let refused = resolver::AddressRefused { host: host.to_owned() };
        return Err(Error::forbidden(refused.to_string()));
    }
    if url.scheme() != "https" {
        return Err(Error::forbidden(format!("{host} is only reached over https (policy I01)")));
    }
    Ok(())
}

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        let settings = RegistrySettings {
            insecure: vec!["127.0.0.1:5000".into(), "reg.example".into(), "10.1.0.0/16".into()],
            mirrors: vec!["http://127.0.0.1:6000".into()],
            search_index: None,
        };
        Rules::new(&settings).expect("rules")
    }

    async fn reach(url: &str, as_mirror: bool) -> Result<Reach> {
        rules().reach(&url.parse().expect(url), as_mirror).await
    }

    #[tokio::test]
    async fn only_what_the_operator_named_is_reached_inside() {
        for (url, as_mirror, wanted) in [
            ("http://127.0.0.1:5000/v2/", false, Reach::Named),
            ("https://reg.example/v2/", false, Reach::Named),
            ("https://10.1.2.3:5000/v2/", false, Reach::Nets),
            ("http://127.0.0.1:6000/v2/", true, Reach::Mirror),
            ("https://1.1.1.1/v2/", false, Reach::Public),
        ] {
            assert_eq!(reach(url, as_mirror).await.expect(url), wanted, "{url}");
        }
        for (url, as_mirror) in [
            ("http://127.0.0.1:6000/v2/", false),
            ("https://127.0.0.1:5001/", false),
            ("https://[::1]/", false),
            ("https://10.2.0.1/", true),
            ("http://1.1.1.1/v2/", false),
            ("https://2130706433/", false),
        ] {
            assert!(matches!(reach(url, as_mirror).await.expect_err(url), Error::Forbidden(_)), "{url}");
        }
    }
}
