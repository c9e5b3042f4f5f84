//! `Mounts` of `ps` and `inspect`.

use domain::MountedVolume;
use serde::Serialize;

use crate::handlers::volumes::mountpoint;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Mount<'a> {
    #[serde(rename = "Type")]
    kind: &'static str,
    name: &'a str,
    source: String,
    destination: &'a str,
    driver: &'static str,
    mode: &'a str,
    #[serde(rename = "RW")]
    writable: bool,
    propagation: &'static str,
}

impl<'a> Mount<'a> {
    /// As `inspect` shows it.
    pub(super) fn of(volume: &'a MountedVolume) -> Self {
        Self {
            kind: "volume",
            name: &volume.name,
            source: mountpoint(&volume.name),
            destination: &volume.target,
            driver: volume.driver.as_str(),
            mode: &volume.mode,
            writable: volume.writable,
            propagation: "",
        }
    }

    /// As `ps` shows it: dockerd leaves the source out.
    pub(super) fn in_list(volume: &'a MountedVolume) -> Self {
        Self { source: String::new(), ..Self::of(volume) }
    }
}
