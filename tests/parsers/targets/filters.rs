//! The `filters` parameter of lists and prunes.

use std::collections::BTreeMap;

use docker_api::filters::Filters;

pub const SEEDS: &[&[u8]] = &[
    br#"{"label":["a=b","c"],"status":["running"]}"#,
    br#"{"dangling":{"true":true}}"#,
    br#"{"until":["24h"],"label!":["keep"]}"#,
    br#"{"dangling":["maybe"]}"#,
    br#"{"a":{"b":false}}"#,
];

pub fn run(data: &[u8]) {
    let Some(filters) = super::text(data).and_then(|text| Filters::parse(text).ok()) else { return };
    let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let _ = (filters.check(&["label", "dangling"]), filters.flag("dangling"), filters.labels_match("label", &labels));
    // What a list knows nothing of must never pass as no filter at all.
    assert!(filters.is_empty() || filters.check(&[]).is_err());
}
