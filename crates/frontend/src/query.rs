//! Query parameters by dockerd's rules: a flag is true unless it is empty, `no`, `0`, `false` or `none`.
//!
//! Nothing is ignored in silence: a parameter that a route does not know is refused, unless its value is a zero value
//! (SDKs send `link=False`, `trunc_cmd=0` and the like).

use axum::extract::{FromRequestParts, Query};
use domain::{Error, Result};
use http::{Uri, request::Parts};

use crate::error::ApiError;

/// The decoded pairs, in the order of the query string.
#[derive(Debug, Default, Clone)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub(crate) fn of(uri: &Uri) -> Result<Self> {
        Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map(|Query(pairs)| Self(pairs))
            .map_err(|e| Error::invalid(format!("invalid query string: {e}")))
    }

    /// 400 for a parameter that is not in `known` and says something.
    pub(crate) fn only(&self, known: &[&str]) -> Result<()> {
        match self.0.iter().find(|(k, v)| !known.contains(&k.as_str()) && !is_zero(v)) {
            Some((k, _)) => Err(Error::invalid(format!("unsupported query parameter {k:?}"))),
            None => Ok(()),
        }
    }

    /// The first value, as Go's `Form.Get` gives it.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// The first value, unless it is empty.
    pub(crate) fn filled(&self, key: &str) -> Option<&str> {
        self.get(key).filter(|v| !v.is_empty())
    }

    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        self.flag_or(key, false)
    }

    /// `default` when the parameter is absent.
    pub(crate) fn flag_or(&self, key: &str, default: bool) -> bool {
        match self.get(key) {
            Some(v) => !matches!(v.trim().to_ascii_lowercase().as_str(), "" | "no" | "0" | "false" | "none"),
            None => default,
        }
    }

    /// A number within `range`; None when absent or empty. The error is Go's `strconv`.
    pub(crate) fn number(&self, key: &str, range: std::ops::RangeInclusive<i64>) -> Result<Option<i64>> {
        let Some(text) = self.filled(key) else { return Ok(None) };
        let number: i64 =
            text.parse().map_err(|_| Error::invalid(format!("strconv.Atoi: parsing {text:?}: invalid syntax")))?;
        if range.contains(&number) {
            Ok(Some(number))
        } else {
            Err(Error::invalid(format!("invalid value for {key}: {number} is out of range")))
        }
    }
}

fn is_zero(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "" | "0" | "false" | "null" | "none" | "[]" | "{}")
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self::of(&parts.uri)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::of(&format!("/x?{query}").parse().expect("uri")).expect("query")
    }

    #[test]
    fn flags_follow_dockerds_idea_of_a_bool() {
        for (value, expected) in
            [("1", true), ("True", true), ("yes", true), ("", false), ("0", false), ("False", false)]
        {
            assert_eq!(params(&format!("f={value}")).flag("f"), expected, "{value}");
        }
        assert!(params("").flag_or("f", true) && !params("f=0").flag_or("f", true));
    }

    #[test]
    fn an_unknown_parameter_is_refused_unless_it_is_a_zero_value() {
        assert!(params("all=1&link=False&trunc_cmd=0").only(&["all"]).is_ok());
        let error = params("all=1&bogus=7").only(&["all"]).expect_err("refused");
        assert_eq!(error.to_string(), "unsupported query parameter \"bogus\"");
    }

    #[test]
    fn numbers_are_bounded() {
        assert_eq!(params("t=5").number("t", 0..=600).expect("in range"), Some(5));
        assert_eq!(params("t=").number("t", 0..=600).expect("empty"), None);
        assert!(params("t=601").number("t", 0..=600).is_err() && params("t=x").number("t", 0..=600).is_err());
    }
}
