//! The filters that the five prunes share: labels, and a moment before which things are old. Each route adds its own.
//!
//! What is not understood is an error and never a wider choice, since what is chosen is deleted.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use docker_api::{
    filters::{FilterError, Filters, has_label},
    time::parse_timestamp,
};
use domain::{Error, Result};

use crate::query::Params;

/// The parameter `filters`.
pub(crate) struct Pruning(Filters);

impl Pruning {
    /// Every filter must be among `known`.
    pub(crate) fn read(params: &Params, known: &[&str]) -> Result<Self> {
        let filters = Filters::parse(params.get("filters").unwrap_or_default()).map_err(invalid)?;
        filters.check(known).map_err(invalid)?;
        Ok(Self(filters))
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.0.flag(key).map_err(invalid)
    }

    /// The moment of `until`, or of its old name `unused-for` where the route knows that.
    pub(crate) fn until(&self) -> Result<Option<DateTime<Utc>>> {
        self.until_by(|text| parse_timestamp(text, Utc::now()).map_err(|e| Error::invalid(e.to_string())))
    }

    /// As [`Pruning::until`], for a route with an error of its own.
    pub(crate) fn until_by(&self, read: impl Fn(&str) -> Result<DateTime<Utc>>) -> Result<Option<DateTime<Utc>>> {
        match (self.0.get("until"), self.0.get("unused-for")) {
            ([], []) => Ok(None),
            ([text], []) | ([], [text]) => read(text).map(Some),
            _ => Err(Error::invalid("more than one until filter specified")),
        }
    }

    /// It has all labels of `label` and none of `label!`.
    pub(crate) fn wants(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.labels_match("label", labels) && !self.0.get("label!").iter().any(|wish| has_label(wish, labels))
    }

    /// Only what has a certain label.
    pub(crate) fn by_label(&self) -> bool {
        self.0.has("label")
    }
}

fn invalid(error: FilterError) -> Error {
    Error::invalid(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 3] = ["label", "label!", "until"];

    fn read(filters: &str) -> Result<Pruning> {
        let uri = format!("/prune?filters={}", filters.replace('"', "%22").replace('{', "%7B").replace('}', "%7D"));
        Pruning::read(&Params::of(&uri.parse().expect("uri")).expect("query"), &KNOWN)
    }

    #[test]
    fn a_filter_that_is_not_understood_never_deletes_more() {
        let good = read(r#"{"until":["1h"],"label":["a=b"],"label!":["keep"]}"#).expect("known filters");
        assert!(good.until().expect("a duration").is_some());
        assert!(read(r#"{"status":["exited"]}"#).is_err());
        for bad in [r#"{"until":["1h","2h"]}"#, r#"{"until":["soon"]}"#] {
            assert!(read(bad).expect("known filters").until().is_err(), "{bad}");
        }
    }

    #[test]
    fn wanted_labels_are_there_and_the_others_are_not() {
        let labels = |keys: &[&str]| -> BTreeMap<String, String> {
            keys.iter().map(|key| ((*key).to_owned(), "b".to_owned())).collect()
        };
        let pruning = read(r#"{"label":["a=b"],"label!":["keep"]}"#).expect("known filters");
        assert!(
            pruning.wants(&labels(&["a"])) && !pruning.wants(&labels(&["a", "keep"])) && !pruning.wants(&labels(&[]))
        );
    }
}
