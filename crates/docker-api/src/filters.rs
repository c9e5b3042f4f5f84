//! The `filters` query parameter: `{"k":["v"]}`, and the older clients' `{"k":{"v":true}}`.
//!
//! A filter must never widen by accident: what is malformed or unknown is an error, for `prune` deletes by it.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Always 400, in dockerd's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error("invalid filter: {0}")]
    Malformed(String),
    #[error("invalid filter '{0}'")]
    Unknown(String),
    #[error("invalid filter '{key}=[{}]'", values.join(" "))]
    Value { key: String, values: Vec<String> },
}

/// Values of one key are alternatives; keys restrict each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, Vec<String>>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    List(Vec<String>),
    Set(BTreeMap<String, bool>),
}

impl Filters {
    /// `""` has no filters.
    pub fn parse(json: &str) -> Result<Self, FilterError> {
        if json.is_empty() {
            return Ok(Self::default());
        }
        let read: BTreeMap<String, Values> =
            crate::strict::parse(json.as_bytes()).map_err(|e| FilterError::Malformed(e.to_string()))?;
        let mut filters = BTreeMap::new();
        for (key, values) in read {
            filters.insert(key.clone(), Self::list(&key, values)?);
        }
        Ok(Self(filters))
    }

    fn list(key: &str, values: Values) -> Result<Vec<String>, FilterError> {
        match values {
            Values::List(list) => Ok(list),
            // A value that is switched off would match nothing in dockerd; dropping it here would match everything.
            Values::Set(set) if set.values().all(|on| *on) => Ok(set.into_keys().collect()),
            Values::Set(set) => Err(FilterError::Value { key: key.to_owned(), values: set.into_keys().collect() }),
        }
    }

    /// Every key must be among `allowed`.
    pub fn check(&self, allowed: &[&str]) -> Result<(), FilterError> {
        match self.0.keys().find(|k| !allowed.contains(&k.as_str())) {
            Some(unknown) => Err(FilterError::Unknown(unknown.clone())),
            None => Ok(()),
        }
    }

    /// Nothing for a key that was not given.
    pub fn get(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// The key was given with at least one value.
    pub fn has(&self, key: &str) -> bool {
        !self.get(key).is_empty()
    }

    pub fn is_empty(&self) -> bool {
        self.0.values().all(Vec::is_empty)
    }

    /// A yes-or-no filter (`dangling`, `is-task`); None if not given.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, FilterError> {
        let values = self.get(key);
        let yes = values.iter().any(|v| v == "1" || v == "true");
        let no = values.iter().any(|v| v == "0" || v == "false");
        match (yes, no) {
            (false, false) if values.is_empty() => Ok(None),
            (true, false) | (false, true) => Ok(Some(yes)),
            _ => Err(FilterError::Value { key: key.to_owned(), values: values.to_vec() }),
        }
    }

    /// `label=k` and `label=k=v`: all must hold, other than for other keys. No such filter: true.
    pub fn labels_match(&self, key: &str, labels: &BTreeMap<String, String>) -> bool {
        self.get(key).iter().all(|wish| has_label(wish, labels))
    }
}

/// `wish` is `k` (any value) or `k=v`.
pub fn has_label(wish: &str, labels: &BTreeMap<String, String>) -> bool {
    match wish.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|v| v == value),
        None => labels.contains_key(wish),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_json_forms_are_read() {
        for json in [r#"{"status":["exited","created"]}"#, r#"{"status":{"created":true,"exited":true}}"#] {
            let mut got = Filters::parse(json).expect(json).get("status").to_vec();
            got.sort();
            assert_eq!(got, ["created", "exited"]);
        }
        assert!(Filters::parse("").expect("none").is_empty());
    }

    #[test]
    fn what_is_unclear_is_refused() {
        assert_eq!(
            Filters::parse(r#"{"bogus":["1"]}"#).and_then(|f| f.check(&["name"])).expect_err("key").to_string(),
            "invalid filter 'bogus'"
        );
        for json in ["[]", "{", r#"{"a":"b"}"#, r#"{"a":{"b":false}}"#, r#"{"a":["b"],"a":["c"]}"#, r#"{"a":[1]}"#] {
            assert!(Filters::parse(json).is_err(), "{json}");
        }
    }

    #[test]
    fn flags_take_four_spellings_and_no_contradiction() {
        let flag = |json| Filters::parse(json).expect("json").flag("dangling");
        assert_eq!(flag(r#"{"dangling":["true"]}"#), Ok(Some(true)));
        assert_eq!(flag(r#"{"dangling":["0"]}"#), Ok(Some(false)));
        assert_eq!(flag("{}"), Ok(None));
        assert!(flag(r#"{"dangling":["maybe"]}"#).is_err());
        assert!(flag(r#"{"dangling":["1","0"]}"#).is_err());
    }

    #[test]
    fn all_labels_must_hold() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
        let holds = |json: &str| Filters::parse(json).expect("json").labels_match("label", &labels);
        assert!(holds(r#"{"label":["a=1","b"]}"#) && holds("{}"));
        assert!(!holds(r#"{"label":["a=1","c"]}"#) && !holds(r#"{"label":["a="]}"#));
    }
}
