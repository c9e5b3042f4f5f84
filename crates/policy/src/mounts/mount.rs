//! M02-M06: `HostConfig.Mounts`.

use std::collections::BTreeMap;

use docker_api::types::{
    Mount, MountBindOptions, MountImageOptions, MountTmpfsOptions, MountType, MountVolumeOptions,
    MountVolumeOptionsDriverConfig,
};
use domain::{NewVolume, Result, VolumeDriver, spec::VolumeMount};

use super::{Mounts, anonymous, target};
use crate::{
    CreateContext, labels,
    names::{clean_path, is_object_name},
    refuse::{forbidden, forbidden_because, malformed, unsupported},
    tmpfs, volume,
};

const FIELD: &str = "HostConfig.Mounts";

pub(super) fn resolve(
    ctx: &CreateContext<'_>,
    given: &Mount,
    memory_bytes: i64,
    all: &mut Mounts,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let Mount {
        target: path,
        source,
        typ,
        read_only,
        consistency,
        bind_options,
        volume_options,
        image_options,
        tmpfs_options,
    } = given;
    let typ = typ.ok_or_else(|| malformed("HostConfig.Mounts.Type", "\"\"", "must be given", "M02"))?;
    refuse_type(typ, source.as_deref().unwrap_or_default(), image_options.as_ref())?;
    if let Some(options) = bind_options {
        refuse_bind_options(options)?;
    }
    if consistency.as_ref().is_some_and(|c| !c.is_empty() && c != "default") {
        warnings.push(format!("{FIELD}.Consistency is ignored (policy M05)"));
    }
    let foreign = (typ == MountType::VOLUME && tmpfs_options.is_some())
        || (typ == MountType::TMPFS && volume_options.is_some())
        || image_options.is_some();
    if foreign {
        return Err(malformed("HostConfig.Mounts.Type", typ, "options of another type are present", "M02"));
    }
    let target = target("HostConfig.Mounts.Target", path.as_deref().unwrap_or_default())?;
    let readonly = read_only.unwrap_or(false);
    let source = source.as_deref().unwrap_or_default();
    if typ == MountType::TMPFS {
        let options = tmpfs_text(source, readonly, tmpfs_options.as_ref())?;
        let field = "HostConfig.Mounts.TmpfsOptions";
        return all.tmpfs(tmpfs::from_options(field, &target, &options, ctx.package, memory_bytes, warnings)?);
    }
    let (volume, wanted) = of_volume(ctx, source, target, readonly, volume_options.as_ref())?;
    all.volume(volume, wanted)
}

/// What is left is volume and tmpfs.
fn refuse_type(typ: MountType, source: &str, image: Option<&MountImageOptions>) -> Result<()> {
    let field = "HostConfig.Mounts.Type";
    match typ {
        MountType::VOLUME | MountType::TMPFS => Ok(()),
        MountType::BIND => {
            let why = format!("host paths ({source}) are not available; use a named volume");
            Err(forbidden_because(field, typ, &why, "M02"))
        }
        MountType::NPIPE => Err(malformed(field, typ, "only for Windows containers", "M02")),
        MountType::CLUSTER => Err(unsupported(field, typ)),
        MountType::IMAGE => {
            subpath("HostConfig.Mounts.ImageOptions.Subpath", image.and_then(|i| i.subpath.as_deref()))?;
            Err(unsupported(field, typ))
        }
    }
}

fn refuse_bind_options(options: &MountBindOptions) -> Result<()> {
    let MountBindOptions {
        propagation,
        non_recursive,
        create_mountpoint,
        read_only_non_recursive,
        read_only_force_recursive,
    } = options;
    let flags = [non_recursive, create_mountpoint, read_only_non_recursive, read_only_force_recursive];
    let what = match propagation {
        Some(p) => format!("{{Propagation:{p}}}"),
        None => format!("{{{} options}}", flags.into_iter().flatten().count()),
    };
    Err(forbidden("HostConfig.Mounts.BindOptions", what, "M05"))
}

fn tmpfs_text(source: &str, readonly: bool, options: Option<&MountTmpfsOptions>) -> Result<String> {
    if !source.is_empty() {
        return Err(malformed("HostConfig.Mounts.Source", source, "a tmpfs has no source", "M02"));
    }
    let mut text = Vec::new();
    text.extend(readonly.then(|| "ro".to_owned()));
    if let Some(MountTmpfsOptions { size_bytes, mode, options }) = options {
        text.extend(size_bytes.filter(|s| *s != 0).map(|s| format!("size={s}")));
        text.extend(mode.filter(|m| *m != 0).map(|m| format!("mode={m:o}")));
        text.extend(options.iter().flatten().map(|pair| pair.join("=")));
    }
    Ok(text.join(","))
}

fn of_volume(
    ctx: &CreateContext<'_>,
    source: &str,
    target: String,
    readonly: bool,
    options: Option<&MountVolumeOptions>,
) -> Result<(VolumeMount, NewVolume)> {
    let MountVolumeOptions { no_copy, labels, driver_config, subpath: inner } = options.cloned().unwrap_or_default();
    let (driver, options) = driver(driver_config.unwrap_or_default())?;
    let size_bytes = volume::size(&options)?;
    let labels = labels::merge(labels.unwrap_or_default(), None, &mut Vec::new())?;
    let subpath = subpath("HostConfig.Mounts.VolumeOptions.Subpath", inner.as_deref())?;
    let no_copy = no_copy.unwrap_or(false);
    if source.is_empty() {
        let volume = VolumeMount { readonly, no_copy, subpath, mode: "z".to_owned(), ..anonymous(ctx, target) };
        let mut wanted = NewVolume { driver, options, size_bytes, ..NewVolume::anonymous(&volume.name) };
        wanted.labels.extend(labels);
        return Ok((volume, wanted));
    }
    if !is_object_name(source) {
        let why = "host paths are not available; use a named volume";
        return Err(forbidden_because("HostConfig.Mounts.Source", source, why, "M01"));
    }
    let (name, mode) = (source.to_owned(), "z".to_owned());
    let wanted = NewVolume { name: name.clone(), driver, labels, options, size_bytes };
    Ok((VolumeMount { name, target, readonly, no_copy, subpath, anonymous: false, mode }, wanted))
}

fn driver(config: MountVolumeOptionsDriverConfig) -> Result<(Option<VolumeDriver>, BTreeMap<String, String>)> {
    let MountVolumeOptionsDriverConfig { name, options } = config;
    let field = "HostConfig.Mounts.VolumeOptions.DriverConfig";
    let name = name.unwrap_or_default();
    let driver = volume::driver(&name).map_err(|_| forbidden(field, name, "M03"))?;
    let options: BTreeMap<String, String> = options.unwrap_or_default().into_iter().collect();
    match options.keys().find(|k| *k != "size") {
        Some(key) => Err(forbidden(field, key, "M03")),
        None => Ok((driver, options)),
    }
}

/// M04: below the volume, whatever links it holds; the agent opens it beneath the root.
fn subpath(field: &str, given: Option<&str>) -> Result<String> {
    match given {
        None | Some("") => Ok(String::new()),
        Some(path) => match clean_path(&format!("/{path}")) {
            Some(clean) if !path.starts_with('/') => Ok(clean.trim_start_matches('/').to_owned()),
            _ => Err(malformed(field, path, "must be relative and without ..", "M04")),
        },
    }
}
