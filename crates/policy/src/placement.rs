//! Placement wishes in the Swarm grammar: `key`, `==` or `!=`, `~` for a soft one, and a value.
//!
//! Checked here and carried as text; the scheduler gives them meaning. A wish comes as an environment entry (taken out
//! of `Env` before) or in a label that holds a JSON array; all end up in the label, so that a copy of the container's config
//! repeats them.

use std::collections::{BTreeMap, HashMap};

use domain::{Error, Result};
use regex::RegexBuilder;

const WISHES_MAX: usize = 64;
const VALUE_MAX: usize = 256;

/// Labels of Docker Swarm.
const CONSTRAINTS: &str = "com.docker.swarm.constraints";
const AFFINITIES: &str = "com.docker.swarm.affinities";

/// The two labels of a request, before they are mixed with the image's: an image has no say in placement.
pub(crate) struct Labels {
    constraints: Option<String>,
    affinities: Option<String>,
}

impl Labels {
    pub(crate) fn of(request: &HashMap<String, String>) -> Self {
        let get = |label| request.get(label).cloned();
        Self { constraints: get(CONSTRAINTS), affinities: get(AFFINITIES) }
    }

    /// All constraints and all affinities.
    pub(crate) fn with_env(
        self,
        constraints: Vec<String>,
        affinities: Vec<String>,
        labels: &mut BTreeMap<String, String>,
    ) -> Result<(Vec<String>, Vec<String>)> {
        Ok((
            collect(CONSTRAINTS, self.constraints.as_deref(), constraints, labels)?,
            collect(AFFINITIES, self.affinities.as_deref(), affinities, labels)?,
        ))
    }
}

/// The wishes of `label` (if the request has it) and `env`, checked; the label is rewritten to hold them all.
fn collect(
    label: &str,
    user: Option<&str>,
    env: Vec<String>,
    labels: &mut BTreeMap<String, String>,
) -> Result<Vec<String>> {
    let mut wishes: Vec<String> = match user {
        Some(json) => serde_json::from_str(json)
            .map_err(|_| Error::invalid(format!("invalid label {label}: must be a JSON array of strings")))?,
        None => Vec::new(),
    };
    wishes.extend(env);
    if wishes.len() > WISHES_MAX {
        return Err(Error::invalid(format!("more than {WISHES_MAX} placement expressions")));
    }
    wishes.iter().try_for_each(|w| check(w))?;
    if !wishes.is_empty() {
        labels.insert(label.to_owned(), serde_json::Value::from(wishes.clone()).to_string());
    }
    Ok(wishes)
}

fn check(wish: &str) -> Result<()> {
    let bad = |why: &str| Error::invalid(format!("invalid placement expression {wish:?}: {why}"));
    let at = wish.find("==").into_iter().chain(wish.find("!=")).min().ok_or_else(|| bad("needs == or !="))?;
    let (key, value) = (&wish[..at], &wish[at + 2..]);
    let value = value.strip_prefix('~').unwrap_or(value);
    let in_key = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if key.is_empty() || !key.bytes().all(in_key) {
        return Err(bad("a key has letters, digits, '_', '.' and '-'"));
    }
    if value.is_empty() || value.len() > VALUE_MAX || crate::names::has_control(value) {
        return Err(bad("no legal value"));
    }
    match value.strip_prefix('/').and_then(|v| v.strip_suffix('/')) {
        Some(pattern) => regex(pattern).map_err(|_| bad("not a legal regular expression")),
        None => Ok(()),
    }
}

/// Linear in time by construction; bounded in size too.
fn regex(pattern: &str) -> Result<(), regex::Error> {
    RegexBuilder::new(pattern).size_limit(1 << 20).build().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar() {
        for good in ["zone==a", "role!=~web", "container==/^web[0-9]+$/", "image==registry:5000/a:1", "a.b-c_d==x*"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in
            ["zone", "zone=a", "==a", "zone==", "zone==~", "a b==c", "zone==/(/", "zone==a\n", "zone==/a{9999}{9999}/"]
        {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn wishes_of_label_and_environment_end_in_the_label() {
        let mut labels = BTreeMap::new();
        let all = collect(CONSTRAINTS, Some(r#"["zone==a"]"#), vec!["rack!=b".to_owned()], &mut labels).expect("legal");
        assert_eq!(all, ["zone==a", "rack!=b"]);
        assert_eq!(labels[CONSTRAINTS], r#"["zone==a","rack!=b"]"#);
        assert!(collect(CONSTRAINTS, Some("zone==a"), vec![], &mut labels).is_err());
    }
}
