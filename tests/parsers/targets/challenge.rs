//! A registry's `WWW-Authenticate`.

use images::foreign;

pub const SEEDS: &[&[u8]] = &[
    br#"Bearer realm="https://auth.example/token",service="x",scope="repository:a/b:pull,push""#,
    br#"Basic realm="a \"quoted\" word", Digest nonce=1, , Negotiate"#,
    br#"Bearer =,="",x="#,
];

pub fn run(data: &[u8]) {
    if let Some(text) = super::text(data) {
        assert!(foreign::challenges(text) <= text.len());
    }
}
