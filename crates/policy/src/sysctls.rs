//! P13: kernel parameters. Only those that live in the container's own namespaces and cannot be used against the host.
//!
//! `net.ipv4.ip_forward` is beyond the written list: it is namespaced, and what a container forwards still has to pass
//! the anti-spoofing filter of its port.

use std::{collections::BTreeMap, ops::RangeInclusive};

use domain::Result;

use crate::refuse::{forbidden, malformed};

/// Key, and the range of its number.
const NUMBERS: &[(&str, RangeInclusive<u32>)] = &[
    ("kernel.shm_rmid_forced", 0..=1),
    ("net.core.somaxconn", 1..=65_535),
    ("net.ipv4.ip_forward", 0..=1),
    ("net.ipv4.ip_unprivileged_port_start", 0..=65_535),
    ("net.ipv4.tcp_fin_timeout", 1..=3600),
    ("net.ipv4.tcp_keepalive_intvl", 1..=32_767),
    ("net.ipv4.tcp_keepalive_probes", 1..=127),
    ("net.ipv4.tcp_keepalive_time", 1..=32_767),
    ("net.ipv4.tcp_syncookies", 0..=2),
];

const PORT_RANGE: &str = "net.ipv4.ip_local_port_range";

/// Key with dots and value, or why not.
pub(crate) fn one(field: &str, key: &str, value: &str) -> Result<(String, String)> {
    // The kernel takes both separators; comparing before this would let `net/core/bpf_jit_enable` pass.
    let key = key.trim().replace('/', ".");
    let value = value.trim();
    let legal = match NUMBERS.iter().find(|(known, _)| *known == key) {
        Some((_, range)) => number(value).is_some_and(|n| range.contains(&n)),
        None if key == PORT_RANGE => is_port_range(value),
        None => return Err(forbidden(field, key, "P13")),
    };
    if legal {
        Ok((key, value.to_owned()))
    } else {
        Err(malformed(field, format!("{key}={value}"), "value out of range", "P13"))
    }
}

pub(crate) fn all<'a>(given: impl Iterator<Item = (&'a String, &'a String)>) -> Result<BTreeMap<String, String>> {
    given.map(|(key, value)| one("HostConfig.Sysctls", key, value)).collect()
}

/// For the second lock: what the agent may set besides, on its own account.
pub(crate) fn is_allowed_in_oci(key: &str) -> bool {
    key == PORT_RANGE || key == "net.ipv4.ping_group_range" || NUMBERS.iter().any(|(known, _)| *known == key)
}

fn number(text: &str) -> Option<u32> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn is_port_range(value: &str) -> bool {
    let ports: Vec<Option<u32>> = value.split_whitespace().map(number).collect();
    matches!(ports[..], [Some(low), Some(high)] if 1 <= low && low < high && high <= 65_535)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_list_in_either_spelling() {
        assert!(one("f", "net.ipv4.ip_forward", "1").is_ok());
        assert_eq!(one("f", "net/core/somaxconn", "128").expect("slash").0, "net.core.somaxconn");
        assert!(one("f", PORT_RANGE, "1024 2048").is_ok());
        for key in [
            "kernel.core_pattern",
            "vm.overcommit_memory",
            "net/core/bpf_jit_enable",
            "net.ipv4.conf.all.route_localnet",
        ] {
            assert!(matches!(one("f", key, "1"), Err(domain::Error::Forbidden(_))), "{key}");
        }
        for (key, value) in [
            ("net.ipv4.ip_forward", "2"),
            (PORT_RANGE, "5 4"),
            ("net.core.somaxconn", "+1"),
            ("net.core.somaxconn", ""),
        ] {
            assert!(matches!(one("f", key, value), Err(domain::Error::Invalid(_))), "{key}={value}");
        }
    }
}
