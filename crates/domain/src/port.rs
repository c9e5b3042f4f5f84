//! Published ports: what was asked for, what was given, and how it is reached.

use std::{net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl FromStr for Protocol {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            other => Err(Error::invalid(format!("invalid protocol: {other:?}"))),
        }
    }
}

/// A port of the container that shall be reached at the tenant's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortWish {
    pub container_port: u16,
    pub protocol: Protocol,
    /// First and last of the ports to choose from; `(0, 0)` = any.
    pub host_ports: (u16, u16),
    /// The container is told who called: PROXY protocol, version 2.
    pub proxy_protocol: bool,
}

/// A port that is reached at the tenant's address while its container runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    pub address: IpAddr,
    pub port: u16,
    pub container_port: u16,
    pub protocol: Protocol,
}

/// A port of the host, on the underlay, that leads to one of the container's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostPort {
    pub protocol: Protocol,
    pub host_port: u16,
    pub container_port: u16,
}

/// A tenant's address with all that is published there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressState {
    pub address: String,
    /// Counts up with every change of the list.
    pub generation: u64,
    pub ports: Vec<PortRecord>,
}

/// One port of an address, and where its connections go.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PortRecord {
    pub protocol: Protocol,
    pub port: u16,
    /// `address:port` of the container's host on the underlay.
    pub target: String,
    pub proxy_protocol: bool,
}
