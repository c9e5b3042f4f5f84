//! Build arguments: `--build-arg`, `ARG` and who sees what.
//!
//! An argument is seen from its `ARG` to the end of its stage; one before the first `FROM` only in `FROM` lines, unless a
//! stage declares it again. Docker's proxy variables need no `ARG` and are left out of what the cache compares.

use std::collections::{BTreeMap, BTreeSet};

const BUILTIN: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

#[derive(Debug, Clone, Default)]
pub(crate) struct Arguments {
    /// Of the request; null means "as the default says".
    given: BTreeMap<String, Option<String>>,
    global: BTreeMap<String, Option<String>>,
    stage: BTreeMap<String, Option<String>>,
    referenced: BTreeSet<String>,
}

impl Arguments {
    pub(crate) fn new(given: BTreeMap<String, Option<String>>) -> Self {
        Self { given, ..Self::default() }
    }

    pub(crate) fn declare_global(&mut self, name: &str, default: Option<String>) {
        self.referenced.insert(name.to_owned());
        self.global.insert(name.to_owned(), default);
    }

    pub(crate) fn declare(&mut self, name: &str, default: Option<String>) {
        self.referenced.insert(name.to_owned());
        self.stage.insert(name.to_owned(), default);
    }

    pub(crate) fn start_stage(&mut self) {
        self.stage.clear();
    }

    /// In `FROM` lines.
    pub(crate) fn global(&self, name: &str) -> Option<String> {
        self.value(name, self.global.get(name)?)
    }

    /// In the stage.
    pub(crate) fn seen(&self, name: &str) -> Option<String> {
        match self.stage.get(name) {
            Some(default) => self.value(name, default),
            None if BUILTIN.contains(&name) => self.given.get(name)?.clone(),
            None => None,
        }
    }

    fn value(&self, name: &str, default: &Option<String>) -> Option<String> {
        if let Some(Some(value)) = self.given.get(name) {
            return Some(value.clone());
        }
        default.clone().or_else(|| self.global.get(name).cloned().flatten())
    }

    /// `K=V` for the environment of a step, without what `env` sets; sorted.
    pub(crate) fn environment(&self, env: &[String]) -> Vec<String> {
        let names: BTreeSet<&str> = self.stage.keys().map(String::as_str).chain(BUILTIN).collect();
        let is_set = |name: &str| env.iter().any(|pair| pair.split('=').next() == Some(name));
        let pair = |name: &str| self.seen(name).map(|value| format!("{name}={value}"));
        names.into_iter().filter(|name| !is_set(name)).filter_map(pair).collect()
    }

    /// Of a pair of [`Self::environment`]: whether the cache compares it.
    pub(crate) fn counts(&self, pair: &str) -> bool {
        let name = pair.split('=').next().unwrap_or_default();
        self.referenced.contains(name) || !BUILTIN.contains(&name)
    }

    /// Given, and never declared.
    pub(crate) fn unused(&self) -> Vec<&str> {
        let unused = |name: &&str| !self.referenced.contains(*name) && !BUILTIN.contains(name);
        self.given.keys().map(String::as_str).filter(unused).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_seen_from_its_declaration_on() {
        let given = [("V", Some("7")), ("NOPE", Some("1")), ("http_proxy", Some("p")), ("N", None)];
        let given = given.map(|(k, v)| (k.to_owned(), v.map(str::to_owned)));
        let mut arguments = Arguments::new(BTreeMap::from(given));
        arguments.declare_global("G", Some("g".to_owned()));
        assert_eq!((arguments.global("G").as_deref(), arguments.seen("G")), (Some("g"), None));
        assert_eq!(arguments.seen("V"), None);
        arguments.declare("V", Some("1".to_owned()));
        arguments.declare("G", None);
        arguments.declare("N", Some("n".to_owned()));
        arguments.declare("U", None);
        let env = arguments.environment(&["N=env".to_owned()]);
        assert_eq!(env, ["G=g", "V=7", "http_proxy=p"]);
        assert!(arguments.counts("V=7") && !arguments.counts("http_proxy=p"));
        assert_eq!(arguments.unused(), ["NOPE"]);
        arguments.start_stage();
        assert_eq!(arguments.seen("V"), None);
    }
}
