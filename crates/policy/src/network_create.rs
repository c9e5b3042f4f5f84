//! N01-N05: a network of the tenant's own.
//!
//! Whether a subnet overlaps another of the tenant's networks is the inventory's to say; overlapping another tenant's is
//! legal.

mod ipam;

use std::collections::{BTreeMap, HashMap};

use docker_api::types::{ConfigFrom, NetworkCreateBody};
use domain::{Error, Kind, NewNetwork, Result};
use ipnet::IpNet;

use crate::{
    labels,
    names::is_object_name,
    refuse::{forbidden, forbidden_because, malformed, unsupported},
};

/// Docker's driver option for the MTU.
const MTU: &str = "com.docker.network.driver.mtu";
const MTU_LEAST: u16 = 1280; // below it IPv6 cannot work
const MTU_MOST: u16 = 9000; // a wish above what the underlay carries is clamped where the link is made
const PREDEFINED: [&str; 4] = ["bridge", "default", "host", "none"];

/// What the inventory is asked to make.
#[derive(Debug, PartialEq, Eq)]
pub struct AcceptedNetwork {
    pub network: NewNetwork,
    pub warnings: Vec<String>,
}

/// `reserved`: what no tenant's network may overlap, such as the underlay.
pub fn network_create(body: NetworkCreateBody, reserved: &[IpNet]) -> Result<AcceptedNetwork> {
    let NetworkCreateBody {
        name,
        check_duplicate: _,
        driver,
        scope,
        internal,
        attachable,
        ingress,
        config_only,
        config_from,
        ipam,
        enable_ipv4,
        enable_ipv6,
        options,
        labels,
    } = body;
    let mut warnings = Vec::new();
    check_name(&name)?;
    check_driver(driver.as_deref().unwrap_or_default())?;
    check_swarm(scope.as_deref().unwrap_or_default(), ingress, config_only, config_from)?;
    if attachable == Some(true) {
        warnings.push("Attachable is ignored: every network of this endpoint is (policy N04)".to_owned());
    }
    if enable_ipv4 == Some(false) {
        return Err(unsupported("EnableIPv4", false));
    }
    let addresses = ipam::addresses(ipam.unwrap_or_default(), enable_ipv6.unwrap_or(false), reserved, &mut warnings)?;
    let network = NewNetwork {
        name,
        internal: internal.unwrap_or(false),
        labels: labels::merge(labels.unwrap_or_default(), None, &mut warnings)?,
        options: driver_options(options.unwrap_or_default())?,
        ..addresses
    };
    Ok(AcceptedNetwork { network, warnings })
}

fn check_name(name: &str) -> Result<()> {
    if PREDEFINED.contains(&name) {
        return Err(Error::conflict(format!("operation is not permitted on predefined {name} network (policy N05)")));
    }
    match is_object_name(name) {
        true => Ok(()),
        false if name.is_empty() => Err(Error::invalid("invalid name: name is empty")),
        false => Err(malformed("Name", name, "must match [a-zA-Z0-9][a-zA-Z0-9_.-]*", "N05")),
    }
}

fn check_driver(driver: &str) -> Result<()> {
    match driver {
        "" | "default" | "bridge" | "overlay" => Ok(()),
        other => Err(forbidden_because("Driver", other, "networks are the endpoint's own overlays", "N01")),
    }
}

fn check_swarm(
    scope: &str,
    ingress: Option<bool>,
    config_only: Option<bool>,
    config_from: Option<ConfigFrom>,
) -> Result<()> {
    match scope {
        "" | "local" => {}
        "swarm" | "global" => return Err(unsupported("Scope", scope)),
        other => return Err(malformed("Scope", other, "must be local", "N04")),
    }
    if ingress == Some(true) {
        return Err(unsupported("Ingress", true));
    }
    if config_only == Some(true) {
        return Err(unsupported("ConfigOnly", true));
    }
    match config_from.map(|ConfigFrom { network }| network).filter(|n| !n.is_empty()) {
        Some(network) => Err(Error::not_found(Kind::Network, network)),
        None => Ok(()),
    }
}

/// N02: the MTU, and nothing of the host's.
fn driver_options(given: HashMap<String, String>) -> Result<BTreeMap<String, String>> {
    let mut kept = BTreeMap::new();
    for (key, value) in given {
        if key != MTU {
            return Err(forbidden("Options", format!("{key}={value}"), "N02"));
        }
        match value.parse::<u16>() {
            Ok(mtu) if (MTU_LEAST..=MTU_MOST).contains(&mtu) => kept.insert(key, mtu.to_string()),
            _ => {
                return Err(malformed(
                    "Options",
                    format!("{key}={value}"),
                    &format!("must be {MTU_LEAST} to {MTU_MOST}"),
                    "N02",
                ));
            }
        };
    }
    Ok(kept)
}

#[cfg(test)]
mod tests;
