//! `WWW-Authenticate`, as RFC 9110 writes it: schemes, each with parameters, all separated by commas.

use std::collections::HashMap;

use reqwest::header::{self, HeaderMap};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// Lower case.
    pub(crate) scheme: String,
    /// Names in lower case.
    pub(crate) params: HashMap<String, String>,
}

pub(crate) fn all(headers: &HeaderMap) -> Vec<Challenge> {
    let values = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|v| v.to_str().ok());
    values.flat_map(parse).collect()
}

pub(super) fn parse(text: &str) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',']);
    while !rest.is_empty() {
        let (word, after) = token(rest);
        if word.is_empty() {
            break;
        }
        match after.strip_prefix('=') {
            Some(value) => {
                let (value, after) = value_of(value);
                if let Some(challenge) = found.last_mut() {
                    challenge.params.insert(word.to_ascii_lowercase(), value);
                }
                rest = after;
            }
            None => {
                found.push(Challenge { scheme: word.to_ascii_lowercase(), params: HashMap::new() });
                rest = after;
            }
        }
        rest = rest.trim_start_matches([' ', ',', '\t']);
    }
    found
}

fn token(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, '=' | ',' | '"')).unwrap_or(text.len());
    text.split_at(end)
}

fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = token(text);
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return (value, &quoted[at + 1..]),
            c => {
                value.push(c);
                escaped = false;
            }
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_with_quotes_and_several_schemes() {
        let found =
            parse(r#"Bearer realm="https://a.example/t",service="r, x",scope="repository:a/b:pull", Basic realm=z"#);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].scheme.as_str(), found[0].params["service"].as_str()), ("bearer", "r, x"));
        assert_eq!((found[1].scheme.as_str(), found[1].params["realm"].as_str()), ("basic", "z"));
        assert!(parse("\"\"").is_empty());
    }
}
