//! P20: the environment. Placement wishes travel in it (`-e constraint:zone==a`), since that passes every client.

use domain::{Error, Result};

/// dockerd's, for images that set none.
pub(crate) const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// All of environment, command and entrypoint together, bytes.
const TOTAL_MAX: usize = 1 << 20;

/// The request's environment, sorted into its three kinds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sorted {
    pub env: Vec<String>,
    pub constraints: Vec<String>,
    pub affinities: Vec<String>,
}

pub(crate) fn sort(given: Vec<String>) -> Result<Sorted> {
    let mut sorted = Sorted::default();
    for entry in given {
        if let Some(wish) = entry.strip_prefix("constraint:") {
            sorted.constraints.push(wish.to_owned());
        } else if let Some(wish) = entry.strip_prefix("affinity:") {
            sorted.affinities.push(wish.to_owned());
        } else {
            check(&entry)?;
            sorted.env.push(entry);
        }
    }
    Ok(sorted)
}

/// `K=V`, or `K` alone (which takes the image's `K` away).
pub(crate) fn check(entry: &str) -> Result<()> {
    let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
    if key.is_empty() || crate::names::has_control(key) || value.contains('\0') {
        return Err(Error::invalid(format!("invalid environment variable: {} (policy P20)", entry.escape_debug())));
    }
    Ok(())
}

/// Words of a command; `total` bytes over all of them with the environment.
pub(crate) fn check_words(field: &str, words: &[String]) -> Result<usize> {
    if words.iter().any(|w| w.contains('\0')) {
        return Err(crate::refuse::malformed(field, crate::refuse::list(words), "contains a NUL byte", "P20"));
    }
    Ok(words.iter().map(|w| w.len() + 1).sum())
}

pub(crate) fn check_total(bytes: usize) -> Result<()> {
    if bytes > TOTAL_MAX {
        return Err(Error::invalid(format!("environment and command are longer than {TOTAL_MAX} bytes (policy P20)")));
    }
    Ok(())
}

/// dockerd's order: the request's first, then those of the image whose key it does not have.
pub(crate) fn merge(mut user: Vec<String>, image: &[String]) -> Vec<String> {
    for entry in image {
        if !user.iter().any(|e| key(e) == key(entry)) {
            user.push(entry.clone());
        }
    }
    user
}

/// What the process sees: the defaults under the configured ones.
pub(crate) fn of_process(config: &[String], hostname: &str, tty: bool) -> Vec<String> {
    let mut env = vec![DEFAULT_PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if tty {
        env.push("TERM=xterm".to_owned());
    }
    for entry in config {
        let place = env.iter().position(|e| key(e) == key(entry));
        match (place, entry.contains('=')) {
            (Some(at), true) => entry.clone_into(&mut env[at]),
            (Some(at), false) => drop(env.remove(at)),
            (None, true) => env.push(entry.clone()),
            (None, false) => {}
        }
    }
    env
}

pub(crate) fn key(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(key, _)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(v: &[&str]) -> Vec<String> {
        v.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn wishes_are_taken_out() {
        let sorted = sort(own(&["A=1", "constraint:zone==a", "affinity:role!=~web", "B"])).expect("legal");
        assert_eq!(sorted.env, ["A=1", "B"]);
        assert_eq!((sorted.constraints, sorted.affinities), (own(&["zone==a"]), own(&["role!=~web"])));
        for bad in ["=x", "", "NOEQ\n", "A\0=1", "A=\0"] {
            assert!(sort(own(&[bad])).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_image_fills_up_and_a_bare_key_unsets() {
        let merged = merge(own(&["A=1", "FOO"]), &own(&["FOO=bar", "C=2"]));
        assert_eq!(merged, ["A=1", "FOO", "C=2"]);
        assert_eq!(of_process(&merged, "h", true), [DEFAULT_PATH, "HOSTNAME=h", "TERM=xterm", "A=1", "C=2"]);
        assert_eq!(of_process(&own(&["PATH=/x", "HOSTNAME=y"]), "h", false), ["PATH=/x", "HOSTNAME=y"]);
    }
}
