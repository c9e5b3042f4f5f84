//! `ADD https://...`: one file from the internet, through the same guard as registries (policy I01, B11): https, public
//! addresses, each redirect judged; plain http and inner addresses only where the operator has listed them.

use chrono::{DateTime, Utc};
use domain::{Error, Result};
use reqwest::Url;

use crate::{
    Images,
    registry::{Ask, Trouble},
    tree::Tree,
};

impl Images {
    /// A tree of this one file, named `name`, with the mode that dockerd gives it.
    pub async fn download(&self, url: &str, name: &str, max_bytes: u64) -> Result<Tree> {
        let parsed: Url = url.parse().map_err(|_| Error::invalid(format!("parse {url:?}: invalid URL")))?;
        let mut tree = self.empty_tree()?;
        let mut answer = self.registries.door().send(Ask::get(parsed)).await.map_err(|t| told(t, url))?;
        if !answer.status().is_success() {
            let status = answer.status();
            return Err(Error::invalid(format!("failed to GET {url} with status {status}")));
        }
        let modified = answer.headers().get("last-modified").and_then(|v| v.to_str().ok());
        let modified = modified.and_then(|text| DateTime::parse_from_rfc2822(text).ok());
        let mtime_s = modified.map_or_else(Utc::now, |at| at.to_utc()).timestamp().max(0).unsigned_abs();
        let mut size_bytes = 0;
        let cut = |e: reqwest::Error| Error::unavailable_because(format!("reading {url} failed"), e);
        while let Some(chunk) = answer.chunk().await.map_err(cut)? {
            size_bytes += chunk.len() as u64;
            if size_bytes > max_bytes {
                return Err(Error::invalid(format!("{url} is larger than {max_bytes} bytes (policy B11)")));
            }
            tree.append(&chunk)?;
        }
        tree.name_all(name, 0o600, mtime_s, size_bytes);
        Ok(tree)
    }
}

fn told(trouble: Trouble, url: &str) -> Error {
    match trouble {
        Trouble::Ours(error) => error,
        // The text names the registry's root, which is not what was asked for.
        Trouble::Unreachable(text) => {
            let cause = text.split_once("\": ").map_or(text.as_str(), |(_, cause)| cause);
            Error::unavailable(format!("Get {url:?}: {cause}"))
        }
        Trouble::Answer(answer) => Error::invalid(format!("received unexpected HTTP status: {}", answer.status)),
    }
}
