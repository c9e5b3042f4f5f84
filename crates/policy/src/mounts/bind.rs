//! M01: `HostConfig.Binds`, `volume:/path[:options]`.

use domain::{Error, Result, spec::VolumeMount};

use super::target;
use crate::{
    names::is_object_name,
    refuse::{forbidden_because, malformed},
};

const FIELD: &str = "HostConfig.Binds";

pub(super) fn parse(given: &str) -> Result<VolumeMount> {
    let bad_spec = || Error::invalid(format!("invalid volume specification: '{}'", given.escape_debug()));
    let parts: Vec<&str> = given.split(':').collect();
    let (source, path, options) = match parts[..] {
        [source, path] if !source.is_empty() => (source, path, ""),
        [source, path, options] if !source.is_empty() && !options.is_empty() => (source, path, options),
        _ => return Err(bad_spec()),
    };
    // dockerd looks at the target first; its words say what kind it took the source for.
    let kind = if is_path(source) { "bind" } else { "volume" };
    let target = target(FIELD, path).map_err(|why| {
        Error::invalid(format!(
            "invalid volume specification: '{}': invalid mount config for type \"{kind}\": {why}",
            given.escape_debug()
        ))
    })?;
    if !is_object_name(source) {
        let why = "host paths are not available; use a named volume";
        return Err(forbidden_because(FIELD, given, why, "M01"));
    }
    let (readonly, no_copy) = modes(given, options)?;
    let (name, subpath) = (source.to_owned(), String::new());
    // dockerd's default is SELinux's `z`, which it shows and does not apply.
    let mode = if options.is_empty() { "z" } else { options }.to_owned();
    Ok(VolumeMount { name, target, readonly, no_copy, subpath, anonymous: false, mode })
}

fn is_path(source: &str) -> bool {
    source.starts_with(['/', '.', '~', '\\'])
}

fn modes(given: &str, options: &str) -> Result<(bool, bool)> {
    let (mut readonly, mut writable, mut no_copy) = (false, false, false);
    for option in options.split(',').filter(|_| !options.is_empty()) {
        let flag = match option {
            "ro" => &mut readonly,
            "rw" => &mut writable,
            "nocopy" => &mut no_copy,
            _ => return Err(malformed(FIELD, given, "only the options ro, rw and nocopy are allowed", "M01")),
        };
        *flag = true;
    }
    if readonly && writable {
        return Err(malformed(FIELD, given, "both ro and rw", "M01"));
    }
    Ok((readonly, no_copy))
}
