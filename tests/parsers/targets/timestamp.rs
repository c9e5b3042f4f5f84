//! `since` and `until`, and Go's durations.

use chrono::DateTime;
use docker_api::time;

pub const SEEDS: &[&[u8]] = &[
    b"1136073600.000000001",
    b"2006-01-02T15:04:05.999999999+07:00",
    b"2006-01-02",
    b"1h30m0.5s",
    b"-9223372036854775808",
    b"9223372036.9",
    b"2562047h47m16.854775807s",
];

pub fn run(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    let now = DateTime::from_timestamp(1_136_073_600, 0).expect("a time");
    if let Ok(at) = time::parse_timestamp(text, now) {
        let shown = time::rfc3339nano(at);
        if (0..=9999).contains(&chrono::Datelike::year(&at)) {
            assert_eq!(time::parse_timestamp(&shown, now), Ok(at), "{text:?} is shown as {shown:?}");
        }
    }
}
