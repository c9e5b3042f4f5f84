//! The path's prefix `/v1.NN`, and paths that the router could not match as they come.
//!
//! An image's name may hold slashes (`/images/127.0.0.1:5000/app:v1/json`) and clients do not escape them; here they are
//! escaped, so that the router's table can look like Docker's.

use docker_api::version::ApiVersion;
use domain::{Error, Result};
use http::{Method, Uri, uri::PathAndQuery};

/// Suffixes of `/images/{name}/...` and `/plugins/{name}/...`; anything else belongs to the name.
const VERBS: [(&Method, &str); 9] = [
    (&Method::GET, "/json"),
    (&Method::GET, "/history"),
    (&Method::GET, "/get"),
    (&Method::POST, "/push"),
    (&Method::POST, "/tag"),
    (&Method::POST, "/enable"),
    (&Method::POST, "/disable"),
    (&Method::POST, "/upgrade"),
    (&Method::POST, "/set"),
];

/// Splits `/v1.44/info` into the version and `/info`; the newest version where there is no prefix. A version that we do
/// not serve is dockerd's 400.
pub(crate) fn split(path: &str) -> Result<(ApiVersion, &str)> {
    let Some((version, rest)) = prefix(path) else { return Ok((ApiVersion::MAX, path)) };
    let served = version.parse().and_then(ApiVersion::served).map_err(|e| Error::invalid(e.to_string()))?;
    Ok((served, rest))
}

/// `("1.44", "/info")` for `/v1.44/info`: Docker's route pattern is `/v{version:[0-9.]+}`.
fn prefix(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/v")?;
    let slash = rest.find('/')?;
    let (version, rest) = rest.split_at(slash);
    let is_version = !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    is_version.then_some((version, rest))
}

/// The URI that the router sees: without its version, with one segment for an image's name.
pub(crate) fn routed(method: &Method, uri: &Uri, path: &str) -> Option<Uri> {
    let escaped = escape_name(method, path);
    let path = escaped.as_deref().unwrap_or(path);
    if path == uri.path() {
        return None;
    }
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    PathAndQuery::try_from(text).ok().map(Uri::from)
}

fn escape_name(method: &Method, path: &str) -> Option<String> {
    let noun = ["/images/", "/distribution/", "/plugins/"].into_iter().find(|noun| path.starts_with(noun))?;
    let name = path.strip_prefix(noun)?;
    let suffix = VERBS.iter().find(|(m, suffix)| *m == method && name.ends_with(suffix)).map_or("", |(_, s)| s);
    let name = name.strip_suffix(suffix)?;
    name.contains('/').then(|| format!("{noun}{}{suffix}", name.replace('/', "%2F")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(method: Method, given: &str) -> String {
        let uri: Uri = given.parse().expect("uri");
        let (_, path) = split(uri.path()).expect("version");
        routed(&method, &uri, path).unwrap_or(uri.clone()).to_string()
    }

    #[test]
    fn the_version_is_cut_off() {
        assert_eq!(through(Method::GET, "/v1.44/containers/json?all=1"), "/containers/json?all=1");
        assert_eq!(through(Method::GET, "/volumes"), "/volumes");
        assert_eq!(through(Method::GET, "/version"), "/version");
    }

    #[test]
    fn a_version_out_of_bounds_is_refused_in_dockerds_words() {
        let newer = split("/v1.99/info").expect_err("newer").to_string();
        assert_eq!(newer, "client version 1.99 is too new. Maximum supported API version is 1.51");
        let older = split("/v1.12/info").expect_err("older").to_string();
        assert!(older.starts_with("client version 1.12 is too old. Minimum supported API version is 1.24"), "{older}");
    }

    #[test]
    fn an_images_name_becomes_one_segment() {
        assert_eq!(through(Method::GET, "/v1.44/images/h:5000/a/b:v1/json"), "/images/h:5000%2Fa%2Fb:v1/json");
        assert_eq!(through(Method::DELETE, "/images/a/json"), "/images/a%2Fjson");
        assert_eq!(through(Method::GET, "/images/json"), "/images/json");
        assert_eq!(through(Method::POST, "/images/a/b/tag?repo=x/y"), "/images/a%2Fb/tag?repo=x/y");
        assert_eq!(through(Method::GET, "/images/busybox/json"), "/images/busybox/json");
    }
}
