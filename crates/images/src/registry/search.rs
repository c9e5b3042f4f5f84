//! `docker search`: asked of the one index that the operator has configured (policy I08), as Docker Hub's first API speaks.
//!
//! A client's credential is not sent: it is for the registry that it names, and the index is the operator's choice.

use domain::{Error, ImageRef, Result};
use serde::Deserialize;

use super::{
    Registries,
    door::{self, Ask},
    trouble::Trouble,
};

const ANSWER_MAX_BYTES: u64 = 2 << 20;

/// One repository of an index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Found {
    pub name: String,
    #[serde(deserialize_with = "or_nothing")]
    pub description: String,
    pub star_count: u64,
    pub is_official: bool,
}

impl Registries {
    /// At most `limit`, in the index's order. `Unsupported` where no index is configured, `Unavailable` where it does not
    /// answer.
    pub async fn search(&self, term: &str, limit: usize) -> Result<Vec<Found>> {
        let Some(index) = &self.door.rules.search_index else {
            return Err(Error::unsupported("search is not available: the operator has configured no search index"));
        };
        let term = local_name(term)?;
        let mut url = index.join("v1/search").map_err(|e| Error::because("the URL of the search index", e))?;
        url.query_pairs_mut().append_pair("q", term).append_pair("n", &limit.to_string());
        let reference: ImageRef = "search".parse()?;
        let answer = self.door.send(Ask { as_mirror: true, ..Ask::get(url) }).await.map_err(|t| t.about(&reference))?;
        if !door::is_ok(&answer) {
            let status = answer.status().as_u16();
            return Err(Error::unavailable(format!("the search index answered with the status code {status}")));
        }
        let body = door::body(answer, ANSWER_MAX_BYTES).await.map_err(|t: Trouble| t.about(&reference))?;
        read(&body, limit)
    }
}

/// What is asked for; another index than the operator's is nobody's to ask.
fn local_name(term: &str) -> Result<&str> {
    if term.contains("://") {
        return Err(Error::invalid(format!(
            "invalid repository name: repository name ({term}) should not have a scheme"
        )));
    }
    let term = term.strip_prefix("docker.io/").or(term.strip_prefix("index.docker.io/")).unwrap_or(term);
    match term.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => {
            Err(Error::forbidden(format!("only the operator's index is searched, not {host} (policy I08)")))
        }
        Some(("library", rest)) => Ok(rest),
        _ => Ok(term),
    }
}

fn read(body: &[u8], limit: usize) -> Result<Vec<Found>> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        results: Option<Vec<Found>>,
    }
    let invalid = |_| Error::unavailable("the search index sent an answer that cannot be read");
    let answer: Answer = serde_json::from_slice(body).map_err(invalid)?;
    Ok(answer.results.unwrap_or_default().into_iter().take(limit).collect())
}

fn or_nothing<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_a_name_of_the_one_index() {
        for (term, wanted) in [("busybox", "busybox"), ("library/x", "x"), ("docker.io/team/x", "team/x"), ("", "")] {
            assert_eq!(local_name(term).expect(term), wanted);
        }
        assert!(matches!(local_name("https://x"), Err(Error::Invalid(_))));
        for term in ["10.0.0.1:5000/x", "localhost/x", "evil.example/x"] {
            assert!(matches!(local_name(term), Err(Error::Forbidden(_))), "{term}");
        }
    }

    #[test]
    fn an_answer_may_hold_nulls_and_more_than_was_asked_for() {
        let body = br#"{"num_results":2,"results":[{"name":"a","description":null,"star_count":3,"is_trusted":false},{"name":"b"}]}"#;
        let found = read(body, 1).expect("answer");
        assert_eq!(found, [Found { name: "a".into(), star_count: 3, ..Found::default() }]);
        assert!(read(b"{\"results\":null}", 5).expect("null").is_empty());
        assert!(matches!(read(b"<html>", 5), Err(Error::Unavailable { .. })));
    }
}
