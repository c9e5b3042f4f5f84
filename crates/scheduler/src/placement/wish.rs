//! The Swarm grammar of placement wishes: `<key><op><value>`, `op` is `==` or `!=`, and `~` after it makes a soft wish.

use std::fmt;

use domain::{Error, Result};

use super::pattern::Pattern;

#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) key: String,
    /// `==`; else `!=`.
    pub(crate) equal: bool,
    pub(crate) soft: bool,
    pub(crate) pattern: Pattern,
    /// `constraint` or `affinity`.
    kind: &'static str,
    text: String,
}

impl Wish {
    /// `Invalid` names the wish.
    pub(crate) fn parse(text: &str, kind: &'static str) -> Result<Self> {
        let bad = |why: &str| Error::invalid(format!("invalid {kind} {text:?}: {why}"));
        let at = text.find("==").into_iter().chain(text.find("!=")).min();
        let at = at.ok_or_else(|| bad("it needs == or !="))?;
        let (key, rest) = text.split_at(at);
        let key_ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if key.is_empty() || !key.bytes().all(key_ok) {
            return Err(bad("a key is of letters, digits, '_', '.' and '-'"));
        }
        let (operator, value) = rest.split_at(2);
        let (soft, value) = match value.strip_prefix('~') {
            Some(value) => (true, value),
            None => (false, value),
        };
        if value.is_empty() {
            return Err(bad("it needs a value"));
        }
        let pattern = Pattern::parse(value).map_err(|why| bad(&why))?;
        Ok(Self { key: key.to_owned(), equal: operator == "==", soft, pattern, kind, text: text.to_owned() })
    }

    /// Is it kept, where the thing that it speaks of has these values for its key?
    pub(crate) fn is_kept<'a>(&self, mut values: impl Iterator<Item = &'a str>) -> bool {
        values.any(|value| self.pattern.matches(value)) == self.equal
    }
}

/// As the tenant wrote it, with its kind: `constraint zone==a`.
impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.text)
    }
}
