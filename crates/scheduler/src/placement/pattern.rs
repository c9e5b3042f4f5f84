//! The value of a wish: exact, a glob (`*`), or `/regex/` (linear-time, unanchored).

use regex::{Regex, RegexBuilder};

/// Compiled size: a tenant's pattern must not cost more than this much memory.
const COMPILED_MAX_BYTES: usize = 256 << 10;

#[derive(Debug, Clone)]
pub(crate) enum Pattern {
    Exact(String),
    Expression(Regex),
}

impl Pattern {
    /// The error says what is wrong with it.
    pub(crate) fn parse(value: &str) -> Result<Self, String> {
        if let Some(body) = value.strip_prefix('/').and_then(|v| v.strip_suffix('/')) {
            return compile(body);
        }
        if value.contains('*') {
            let parts: Vec<String> = value.split('*').map(regex::escape).collect();
            return compile(&format!("^(?s:{})$", parts.join(".*")));
        }
        Ok(Self::Exact(value.to_owned()))
    }

    pub(crate) fn matches(&self, value: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == value,
            Self::Expression(regex) => regex.is_match(value),
        }
    }

    pub(crate) fn exact(&self) -> Option<&str> {
        match self {
            Self::Exact(exact) => Some(exact),
            Self::Expression(_) => None,
        }
    }
}

fn compile(body: &str) -> Result<Pattern, String> {
    RegexBuilder::new(body)
        .size_limit(COMPILED_MAX_BYTES)
        .build()
        .map(Pattern::Expression)
        .map_err(|_| "it is not a usable regular expression".to_owned())
}
