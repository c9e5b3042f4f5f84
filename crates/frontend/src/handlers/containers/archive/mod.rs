//! `/containers/{id}/archive`: `docker cp`, both ways.

pub(crate) mod get;
pub(crate) mod head;
pub(crate) mod put;
mod stat_header;

use domain::{Error, Result};
use http::Uri;

use crate::files::absolute;

/// The parameter `path` as dockerd takes it. Its bytes need not be text, so it is not read from the decoded query.
fn path(uri: &Uri) -> Result<Vec<u8>> {
    let pairs = uri.query().unwrap_or_default().split('&');
    let given = pairs.filter_map(|pair| pair.strip_prefix("path=")).next().map(decoded).unwrap_or_default();
    if given.is_empty() {
        return Err(Error::invalid("bad parameter: pathcannot be empty"));
    }
    if given.contains(&0) {
        return Err(Error::invalid("bad parameter: path has a NUL in it"));
    }
    Ok(absolute(&given))
}

/// Percent-decoding of a query's value; what is no code stays as it is.
fn decoded(value: &str) -> Vec<u8> {
    let (mut rest, mut decoded) = (value.as_bytes(), Vec::with_capacity(value.len()));
    while let [byte, after @ ..] = rest {
        let code = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = code.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        (rest, _) = match (byte, code) {
            (b'%', Some(code)) => (&after[2..], decoded.push(code)),
            (b'+', _) => (after, decoded.push(b' ')),
            (byte, _) => (after, decoded.push(*byte)),
        };
    }
    decoded
}

/// dockerd's text for what is not there; `reference` is the container as the client named it.
fn not_there(error: Error, path: &[u8], reference: &str) -> Error {
    match error {
        Error::Missing(_) => {
            let path = String::from_utf8_lossy(path);
            Error::Missing(format!("Could not find the file {path} in container {reference}"))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_be_any_bytes() {
        let path = |uri: &str| path(&uri.parse().expect("uri"));
        assert_eq!(path("/x?a=1&path=%2Ftmp%2Fa+b%20%FF%25").expect("a path"), b"/tmp/a b \xff%");
        assert_eq!(path("/x?path=a%2").expect("a path"), b"/a%2");
        for uri in ["/x", "/x?path=", "/x?paths=/a"] {
            assert_eq!(path(uri).expect_err("none").to_string(), "bad parameter: pathcannot be empty", "{uri}");
        }
        assert!(path("/x?path=/a%00b").is_err());
    }
}
