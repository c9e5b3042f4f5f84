//! A volume as Docker's JSON.

use std::collections::BTreeMap;

use chrono::SecondsFormat;
use domain::VolumeDriver;
use inventory::Volume;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Shown<'a> {
    created_at: String,
    driver: &'static str,
    labels: Option<&'a BTreeMap<String, String>>,
    mountpoint: String,
    name: &'a str,
    options: Option<&'a BTreeMap<String, String>>,
    scope: &'static str,
}

impl<'a> Shown<'a> {
    pub(crate) fn of(volume: &'a Volume) -> Self {
        Self {
            created_at: volume.created_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            driver: volume.driver.as_str(),
            labels: filled(&volume.labels),
            mountpoint: mountpoint(&volume.name),
            name: &volume.name,
            options: filled(&volume.options),
            scope: match volume.driver {
                VolumeDriver::Local => "local",
                VolumeDriver::Shared => "global",
            },
        }
    }
}

/// dockerd's conventional one: tools read it and cannot use it. Where the data is, is the operator's affair.
pub(crate) fn mountpoint(name: &str) -> String {
    format!("/var/lib/docker/volumes/{name}/_data")
}

/// dockerd writes null where nothing was given.
fn filled(map: &BTreeMap<String, String>) -> Option<&BTreeMap<String, String>> {
    Some(map).filter(|m| !m.is_empty())
}
