//! The `platform` parameter of inspect, history, save and load: JSON, unlike the others' `os/arch`.

use domain::{Error, Result};
use images::Platform;
use inventory::Image;
use serde::Deserialize;

use crate::query::Params;

/// OCI's platform; what only Windows has is refused if it says something.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    os: String,
    architecture: String,
    variant: String,
    #[serde(rename = "os.version")]
    os_version: String,
    #[serde(rename = "os.features")]
    os_features: Option<Vec<String>>,
}

/// None where nothing is asked for. An image of ours has one platform, so that several cannot be asked for at once.
pub(super) fn wanted(params: &Params) -> Result<Option<Platform>> {
    let mut given = params.all("platform").filter(|text| !text.is_empty());
    let Some(text) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(Error::unsupported("platform: one platform at a time, images here have one each"));
    }
    let invalid = |e: serde_json::Error| Error::invalid(format!("invalid platform: {e}"));
    let wanted: Wanted = serde_json::from_str(text).map_err(invalid)?;
    if wanted.os.is_empty() || wanted.architecture.is_empty() {
        return Err(Error::invalid("invalid platform: os and architecture are required"));
    }
    if !wanted.os_version.is_empty() || wanted.os_features.is_some_and(|f| !f.is_empty()) {
        return Err(Error::unsupported("platform: os.version and os.features are not supported"));
    }
    let whole = [wanted.os, wanted.architecture, wanted.variant].join("/");
    Platform::parse(whole.trim_end_matches('/')).map(Some)
}

/// 404 in dockerd's words where the image is of another platform.
pub(super) fn check(image: &Image, wanted: Option<&Platform>, name: &str) -> Result<()> {
    match wanted {
        Some(platform) if !platform.is_of(&image.os, &image.architecture, &variant(image)) => Err(Error::Missing(
            format!("image with reference {name} was found but does not provide the specified platform ({platform})"),
        )),
        _ => Ok(()),
    }
}

fn variant(image: &Image) -> String {
    super::config::Shown::of(image).map(|shown| shown.variant).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<Option<Platform>> {
        wanted(&Params::of(&format!("/x?{query}").parse().expect("uri")).expect("query"))
    }

    #[test]
    fn a_platform_is_json() {
        assert!(of("").expect("none").is_none());
        let platform = of("platform=%7B%22os%22:%22linux%22,%22architecture%22:%22x86_64%22%7D").expect("json");
        assert_eq!(platform.expect("some").to_string(), "linux/amd64");
        for bad in ["platform=linux/amd64", "platform=%7B%7D", "platform=%7B%22os%22:%22linux%22%7D"] {
            assert!(matches!(of(bad), Err(Error::Invalid(_))), "{bad}");
        }
        let two = "platform=%7B%22os%22:%22linux%22,%22architecture%22:%22arm64%22%7D";
        assert!(matches!(of(&format!("{two}&{two}")), Err(Error::Unsupported(_))));
    }
}
