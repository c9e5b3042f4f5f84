//! P17, P21: host name, domain name and working directory.

use domain::{Error, Result};

use crate::{
    names::{clean_path, is_dns_name, is_in},
    refuse::malformed,
};

/// Linux's own limit of a host name.
const NAME_MAX: usize = 64;

/// The short id where none is given.
pub(super) fn hostname(given: Option<String>, short_id: &str) -> Result<String> {
    match given.filter(|h| !h.is_empty()) {
        None => Ok(short_id.to_owned()),
        Some(name) if is_dns_name(&name, NAME_MAX) => Ok(name),
        Some(name) => Err(malformed("Hostname", name, "not a host name", "P21")),
    }
}

pub(super) fn domainname(given: Option<String>) -> Result<String> {
    match given {
        Some(name) if !name.is_empty() && !is_dns_name(&name, NAME_MAX) => {
            Err(malformed("Domainname", name, "not a domain name", "P21"))
        }
        other => Ok(other.unwrap_or_default()),
    }
}

/// `""` or a clean absolute path. In /proc or /dev it could be a descriptor of the runtime (`/proc/self/fd/7`).
pub(super) fn working_dir(given: String) -> Result<String> {
    if given.is_empty() {
        return Ok(given);
    }
    if !given.starts_with('/') {
        return Err(Error::invalid(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            given.escape_debug()
        )));
    }
    match clean_path(&given) {
        Some(path) if !is_in(&path, &["/proc", "/dev"]) => Ok(path),
        _ => Err(malformed("WorkingDir", given, "not a legal working directory", "P17")),
    }
}
