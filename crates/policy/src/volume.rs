//! M10: `POST /volumes/create`, and what the fields of other requests share with it.

use std::collections::BTreeMap;

use docker_api::types::VolumeCreateRequest;
use domain::{ContainerId, Error, NewVolume, Result, VolumeDriver};

use crate::{
    labels,
    names::is_object_name,
    refuse::{forbidden, unsupported},
};

/// Options of dockerd's `local` that mount something of the host or of a network.
const MOUNT_OPTIONS: [&str; 3] = ["type", "o", "device"];

/// A volume of the tenant, accepted. Without a name it gets a random one, as in dockerd.
pub fn volume(body: VolumeCreateRequest) -> Result<NewVolume> {
    let VolumeCreateRequest { name, driver: kind, driver_opts, labels, cluster_volume_spec } = body;
    if cluster_volume_spec.is_some() {
        return Err(unsupported("ClusterVolumeSpec", "{...}"));
    }
    let new = match name.filter(|n| !n.is_empty()) {
        Some(name) => NewVolume::named(name),
        // 64 hexadecimal digits.
        None => NewVolume::anonymous(ContainerId::random().as_str()),
    };
    check_name(&new.name)?;
    let in_create = |error: Error| within(&new.name, error);
    let driver = driver(&kind.unwrap_or_default()).map_err(in_create)?;
    let options: BTreeMap<String, String> = driver_opts.unwrap_or_default().into_iter().collect();
    check_options(&options).map_err(in_create)?;
    let size_bytes = size(&options).map_err(in_create)?;
    let mut labels = labels::merge(labels.unwrap_or_default(), None, &mut Vec::new())?;
    labels.extend(new.labels);
    Ok(NewVolume { name: new.name, driver, labels, options, size_bytes })
}

/// `""` says nothing.
pub(crate) fn driver(given: &str) -> Result<Option<VolumeDriver>> {
    if given.is_empty() { Ok(None) } else { given.parse().map(Some) }
}

/// Bytes of the option `size`; Docker's spelling: `10m`, `1.5g`, `1048576`.
pub(crate) fn size(options: &BTreeMap<String, String>) -> Result<Option<i64>> {
    let Some(text) = options.get("size") else { return Ok(None) };
    match bytes(text) {
        Some(bytes) if bytes > 0 => Ok(Some(bytes)),
        _ => Err(Error::invalid(format!("invalid size: '{}'", text.escape_debug()))),
    }
}

fn check_name(name: &str) -> Result<()> {
    if is_object_name(name) {
        return Ok(());
    }
    let shown = name.escape_debug();
    Err(Error::invalid(format!(
        "create {shown}: \"{shown}\" includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
    )))
}

fn check_options(options: &BTreeMap<String, String>) -> Result<()> {
    match options.keys().find(|key| *key != "size") {
        None => Ok(()),
        Some(key) if MOUNT_OPTIONS.contains(&key.as_str()) => Err(forbidden("DriverOpts", key, "M10")),
        Some(key) => Err(Error::invalid(format!("invalid option: \"{}\"", key.escape_debug()))),
    }
}

fn within(name: &str, error: Error) -> Error {
    match error {
        Error::Invalid(text) => Error::Invalid(format!("create {name}: {text}")),
        Error::Missing(text) => Error::Missing(format!("create {name}: {text}")),
        Error::Forbidden(text) => Error::Forbidden(format!("create {name}: {text}")),
        other => other,
    }
}

/// Binary units, whatever they are called.
fn bytes(text: &str) -> Option<i64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let shift = match text[digits.len()..].trim().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number: f64 = if plain { digits.parse().ok()? } else { return None };
    let bytes = number * (1i64 << shift) as f64;
    // Exact as an i64 up to here.
    (bytes < 9e18).then_some(bytes as i64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn of(name: &str, driver: &str, options: &[(&str, &str)]) -> Result<NewVolume> {
        let options: HashMap<String, String> = options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        volume(VolumeCreateRequest {
            name: Some(name.to_owned()),
            driver: Some(driver.to_owned()),
            driver_opts: Some(options),
            ..VolumeCreateRequest::default()
        })
    }

    #[test]
    fn a_volume_as_it_is_asked_for() {
        let new = of("data", "", &[("size", "1.5g")]).expect("legal");
        assert_eq!((new.name.as_str(), new.driver, new.size_bytes), ("data", None, Some(3 << 29)));
        assert_eq!(of("data", "shared", &[]).expect("legal").driver, Some(VolumeDriver::Shared));
        let nameless = volume(VolumeCreateRequest::default()).expect("legal");
        assert!(nameless.name.len() == 64 && nameless.labels.contains_key(domain::volume::ANONYMOUS_LABEL));
    }

    #[test]
    fn what_is_refused_and_how() {
        for (given, text) in [
            (
                of("a b", "local", &[]),
                "create a b: \"a b\" includes invalid characters for a local volume name, only \
                \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path",
            ),
            (of("v", "nosuch", &[]), "create v: error looking up volume plugin nosuch: plugin \"nosuch\" not found"),
            (of("v", "", &[("x", "y")]), "create v: invalid option: \"x\""),
            (of("v", "", &[("size", "zz")]), "create v: invalid size: 'zz'"),
            (of("v", "", &[("size", "-1")]), "create v: invalid size: '-1'"),
            (
                of("v", "local", &[("type", "nfs")]),
                "create v: DriverOpts=type is not permitted on this endpoint (policy M10)",
            ),
            (
                of("v", "local", &[("device", "/"), ("o", "bind")]),
                "create v: DriverOpts=device is not permitted on this endpoint (policy M10)",
            ),
        ] {
            assert_eq!(given.expect_err(text).to_string(), text);
        }
        for bad in ["../x", "/etc", ".x", "x/y", "x\0", &"x".repeat(256)] {
            assert!(matches!(of(bad, "", &[]), Err(Error::Invalid(_))), "{bad:?}");
        }
        let cluster = VolumeCreateRequest { cluster_volume_spec: Some(Default::default()), ..Default::default() };
        assert!(matches!(volume(cluster), Err(Error::Unsupported(_))));
    }

    #[test]
    fn sizes() {
        for (text, wanted) in [
            ("1", Some(1)),
            ("10m", Some(10 << 20)),
            ("1GiB", Some(1 << 30)),
            ("2 kb", Some(2048)),
            ("0.5k", Some(512)),
            ("", None),
            ("m", None),
            ("1x", None),
            ("1e3", None),
            ("99999999p", None),
            ("1.2.3", None),
        ] {
            assert_eq!(bytes(text), wanted, "{text}");
        }
    }
}
