//! P02, P03: capabilities. The set holds inside the tenant's user namespace only.
//!
//! Spellings are normalised before anything is compared (`all`, ` cap_chown `, `CHOWN`), or the allow-list could be walked
//! around by writing a name differently.

use std::collections::BTreeSet;

use domain::Result;

use crate::{
    Package,
    refuse::{forbidden, list, malformed},
};

/// Docker's fourteen, as OCI names.
pub const DEFAULT: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Linux has these too (`capabilities(7)`): they may be dropped, not added.
const OTHERS: [&str; 27] = [
    "CAP_AUDIT_CONTROL",
    "CAP_AUDIT_READ",
    "CAP_BLOCK_SUSPEND",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
    "CAP_DAC_READ_SEARCH",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_LEASE",
    "CAP_LINUX_IMMUTABLE",
    "CAP_MAC_ADMIN",
    "CAP_MAC_OVERRIDE",
    "CAP_NET_ADMIN",
    "CAP_NET_BROADCAST",
    "CAP_PERFMON",
    "CAP_SYSLOG",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_MODULE",
    "CAP_SYS_NICE",
    "CAP_SYS_PACCT",
    PTRACE,
    "CAP_SYS_RAWIO",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_WAKE_ALARM",
];

const PTRACE: &str = "CAP_SYS_PTRACE";

/// The set of a container, sorted. dockerd's order: drop first, then add.
pub(crate) fn resolve(add: &[String], drop: &[String], package: &Package) -> Result<Vec<String>> {
    let mut set: BTreeSet<&str> = DEFAULT.into_iter().collect();
    for given in drop {
        match normalise(given) {
            Some("ALL") => set.clear(),
            Some(name) => {
                set.remove(name);
            }
            None => return Err(malformed("HostConfig.CapDrop", list(drop), "unknown capability", "P03")),
        }
    }
    for given in add {
        match normalise(given) {
            Some(name) if is_allowed(name, package) => {
                set.insert(name);
            }
            Some(name) => return Err(forbidden("HostConfig.CapAdd", name, "P02")),
            None => return Err(malformed("HostConfig.CapAdd", list(add), "unknown capability", "P02")),
        }
    }
    Ok(set.into_iter().map(str::to_owned).collect())
}

fn is_allowed(name: &str, package: &Package) -> bool {
    DEFAULT.contains(&name) || (name == PTRACE && package.ptrace)
}

/// Every capability that any package can give: what the second lock lets through.
pub(crate) fn is_ever_allowed(name: &str) -> bool {
    DEFAULT.contains(&name) || name == PTRACE
}

/// The OCI name, or `ALL`.
fn normalise(given: &str) -> Option<&'static str> {
    let upper = given.trim().to_ascii_uppercase();
    if upper == "ALL" || upper == "CAP_ALL" {
        return Some("ALL");
    }
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    DEFAULT.iter().chain(&OTHERS).find(|known| known.strip_prefix("CAP_") == Some(bare)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(add: &[&str], drop: &[&str]) -> Result<Vec<String>> {
        let own = |v: &[&str]| v.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        resolve(&own(add), &own(drop), &Package::standard())
    }

    #[test]
    fn dropping_all_and_adding_one_leaves_one() {
        assert_eq!(set(&[], &[]).expect("default").len(), 14);
        assert_eq!(set(&[], &["ALL"]).expect("none"), Vec::<String>::new());
        assert_eq!(set(&["CHOWN"], &["all"]).expect("one"), ["CAP_CHOWN"]);
        assert_eq!(set(&[" cap_sys_ptrace "], &["ALL"]).expect("ptrace"), ["CAP_SYS_PTRACE"]);
        assert_eq!(set(&[], &["NET_ADMIN", "cap_kill"]).expect("13").len(), 13);
    }

    #[test]
    fn every_spelling_of_more_is_refused() {
        for name in ["all", "ALL", "CAP_ALL", " sys_admin", "cap_net_admin", "BPF"] {
            let text = set(&[name], &["ALL"]).expect_err(name).to_string();
            assert!(text.contains("HostConfig.CapAdd=") && text.contains("P02"), "{text}");
        }
        assert!(matches!(set(&["DOES_NOT_EXIST"], &[]), Err(domain::Error::Invalid(_))));
        assert!(matches!(set(&[], &["x"]), Err(domain::Error::Invalid(_))));
    }
}
