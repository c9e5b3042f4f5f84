//! `X-Docker-Container-Path-Stat`: base64 of JSON, with the mode as Go's `os.FileMode` has its bits.

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::DateTime;
use docker_api::time::rfc3339nano_or_zero;
use domain::{Error, Result};
use http::{HeaderName, HeaderValue};
use rpc::v1;
use serde::Serialize;

pub(super) const NAME: HeaderName = HeaderName::from_static("x-docker-container-path-stat");

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PathStat {
    name: String,
    size: i64,
    mode: u32,
    mtime: String,
    link_target: String,
}

/// `path` is the one that was asked for.
pub(super) fn value(path: &[u8], stat: &v1::PathStat) -> Result<HeaderValue> {
    let json = rpc::to_json(&PathStat {
        name: String::from_utf8_lossy(base(path)).into_owned(),
        size: stat.size,
        mode: go_mode(stat.mode),
        mtime: rfc3339nano_or_zero(DateTime::from_timestamp(stat.mtime_s, stat.mtime_ns)),
        link_target: String::from_utf8_lossy(&stat.link_target).into_owned(),
    });
    HeaderValue::from_str(&STANDARD.encode(json)).map_err(|e| Error::because("path stat", e))
}

/// Go's `filepath.Base`.
fn base(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|b| *b != b'/').map_or(0, |at| at + 1);
    match &path[..end] {
        [] => b"/",
        path => path.rsplit(|b| *b == b'/').next().unwrap_or(path),
    }
}

fn go_mode(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0o040_000 => 1 << 31,
        0o120_000 => 1 << 27,
        0o060_000 => 1 << 26,
        0o020_000 => 1 << 26 | 1 << 21,
        0o010_000 => 1 << 25,
        0o140_000 => 1 << 24,
        _ => 0,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special: u32 = special.iter().filter(|(linux, _)| mode & linux != 0).map(|(_, go)| go).sum();
    kind | special | mode & 0o777
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_gos() {
        for (mode, expected) in [
            (0o040_755, 2_147_484_141),
            (0o100_644, 420),
            (0o120_777, 134_218_239),
            (0o010_644, 33_554_852),
            (0o041_777, 0x8010_01ff),
            (0o104_755, 0x0080_01ed),
        ] {
            assert_eq!(go_mode(mode), expected, "{mode:o}");
        }
    }

    #[test]
    fn the_header_is_dockerds() {
        let stat = v1::PathStat {
            size: 6,
            mode: 0o120_777,
            mtime_s: 1_795_564_484,
            mtime_ns: 632_989_457,
            link_target: "/tmp/d".into(),
        };
        let header = value(b"/tmp/l", &stat).expect("a header");
        let json = STANDARD.decode(header.as_bytes()).expect("base64");
        let expected = concat!(
            r#"{"name":"l","size":6,"mode":134218239,"mtime":"2026-11-24T23:54:44.632989457Z","#,
            r#""linkTarget":"/tmp/d"}"#
        );
        assert_eq!(String::from_utf8(json).expect("UTF-8"), expected);
        assert_eq!((base(b"/"), base(b"/a/b/"), base(b"/a/.")), (&b"/"[..], &b"b"[..], &b"."[..]));
    }
}
