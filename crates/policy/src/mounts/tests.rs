use docker_api::types::{MountBindOptions, MountTmpfsOptions, MountType, MountVolumeOptions};
use domain::{ContainerId, ContainerName, ImageRootfs, spec::LogDriver};

use super::*;
use crate::{ImageFacts, Package};

fn run(wanted: &Wanted<'_>, from: &BTreeMap<String, Vec<VolumeMount>>) -> Result<(Mounts, Vec<String>)> {
    let package = Package::standard();
    let image = ImageFacts {
        image: ImageRootfs { image_id: Digest::of(b"image"), layers: Vec::new() },
        config: docker_api::types::ContainerConfig::default(),
    };
    let id = ContainerId::random();
    let name: ContainerName = "web".parse().expect("name");
    let ctx = CreateContext {
        package: &package,
        image: &image,
        id: &id,
        name: &name,
        default_log: LogDriver::JsonFile,
        reserved_ports: &[],
        volumes_from: from,
    };
    let mut warnings = Vec::new();
    resolve(&ctx, wanted, &mut warnings).map(|m| (m, warnings))
}

fn wanted<'a>(binds: &'a [String], mounts: &'a [Mount], tmpfs: &'a HashMap<String, String>) -> Wanted<'a> {
    Wanted { binds, mounts, tmpfs, volumes_from: &[], volumes: &[], driver: None, memory_bytes: 512 << 20 }
}

fn binds(list: &[&str]) -> Result<Mounts> {
    let binds: Vec<String> = list.iter().map(|s| (*s).to_owned()).collect();
    run(&wanted(&binds, &[], &HashMap::new()), &BTreeMap::new()).map(|(m, _)| m)
}

fn mount(given: Mount) -> Result<(Mounts, Vec<String>)> {
    run(&wanted(&[], &[given], &HashMap::new()), &BTreeMap::new())
}

fn of_type(typ: MountType) -> Mount {
    Mount { typ: Some(typ), target: Some("/v".to_owned()), ..Mount::default() }
}

#[test]
fn named_volumes_are_bound() {
    let all = binds(&["cg_vol1:/data", "v2:/ro/:ro,nocopy"]).expect("legal");
    assert_eq!((all.volumes[0].name.as_str(), all.volumes[0].target.as_str()), ("cg_vol1", "/data"));
    assert_eq!((all.volumes[1].target.as_str(), all.volumes[1].readonly, all.volumes[1].no_copy), ("/ro", true, true));
}

#[test]
fn host_paths_are_refused_in_every_spelling() {
    for source in
        ["/", "/run/containerd/containerd.sock", "//etc", "~/", "../../etc", ".", "\\\\.\\pipe", "a/b", "-x", "a\n"]
    {
        let text = binds(&[&format!("{source}:/x")]).expect_err(source).to_string();
        assert!(text.contains("host paths are not available; use a named volume"), "{source}: {text}");
    }
}

#[test]
fn malformed_binds_are_refused() {
    for bind in [
        "v:/x:",
        "v:/",
        "v:/x:ro:extra",
        "v:/x:rshared",
        "v:/x:Z",
        "v:/x:ro,rw",
        ":/x",
        "v",
        "v:/a/../b",
        "v:/proc/1",
        "v:/dev/shm",
    ] {
        assert!(binds(&[bind]).is_err(), "{bind}");
    }
    assert_eq!(
        binds(&["/w/rel:nopath"]).expect_err("relative").to_string(),
        "invalid volume specification: '/w/rel:nopath': invalid mount config for type \"bind\": \
         invalid mount path: 'nopath' mount path must be absolute"
    );
    assert_eq!(binds(&["a:/x", "b:/x/"]).expect_err("twice").to_string(), "Duplicate mount point: /x");
}

#[test]
fn mounts_of_type_volume_and_tmpfs() {
    let (all, _) = mount(Mount { source: Some("v".to_owned()), read_only: Some(true), ..of_type(MountType::VOLUME) })
        .expect("volume");
    assert!(all.volumes[0].readonly && !all.volumes[0].anonymous);
    let (all, _) = mount(of_type(MountType::VOLUME)).expect("anonymous");
    assert!(all.volumes[0].anonymous && all.volumes[0].name.len() == 64);
    let options = MountTmpfsOptions { size_bytes: Some(1 << 20), mode: Some(0o1777), options: None };
    let (all, _) = mount(Mount { tmpfs_options: Some(options), ..of_type(MountType::TMPFS) }).expect("tmpfs");
    assert_eq!(all.tmpfs[0].options, ["nosuid", "nodev", "noexec", "size=1048576", "mode=1777"]);
}

#[test]
fn other_types_and_foreign_options_are_refused() {
    for typ in [MountType::BIND, MountType::NPIPE, MountType::CLUSTER, MountType::IMAGE] {
        assert!(mount(of_type(typ)).is_err(), "{typ}");
    }
    let local = |name: &str, options: &[(&str, &str)]| MountVolumeOptions {
        driver_config: Some(docker_api::types::MountVolumeOptionsDriverConfig {
            name: Some(name.to_owned()),
            options: Some(options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
        }),
        ..MountVolumeOptions::default()
    };
    let volume =
        |options| Mount { volume_options: Some(options), source: Some("v".to_owned()), ..of_type(MountType::VOLUME) };
    for bad in [
        Mount { typ: None, ..of_type(MountType::VOLUME) },
        Mount { bind_options: Some(MountBindOptions::default()), ..of_type(MountType::VOLUME) },
        Mount { tmpfs_options: Some(MountTmpfsOptions::default()), ..of_type(MountType::VOLUME) },
        Mount { source: Some("/etc".to_owned()), ..of_type(MountType::TMPFS) },
        Mount { source: Some("/etc".to_owned()), ..of_type(MountType::VOLUME) },
        Mount { target: Some("/v/..".to_owned()), ..of_type(MountType::VOLUME) },
        volume(local("local", &[("type", "none"), ("o", "bind"), ("device", "/")])),
        volume(local("vieux/sshfs", &[])),
        volume(MountVolumeOptions { subpath: Some("/etc".to_owned()), ..MountVolumeOptions::default() }),
        volume(MountVolumeOptions { subpath: Some("a/../..".to_owned()), ..MountVolumeOptions::default() }),
    ] {
        assert!(mount(bad.clone()).is_err(), "{bad:?}");
    }
}

#[test]
fn image_volumes_are_anonymous_unless_something_is_there_and_others_are_inherited() {
    let tmpfs = HashMap::from([("/t".to_owned(), String::new())]);
    let volumes = ["/t".to_owned(), "/anon".to_owned(), "/data".to_owned()];
    let inherited = VolumeMount {
        name: "d".to_owned(),
        target: "/data".to_owned(),
        readonly: false,
        no_copy: false,
        subpath: String::new(),
        anonymous: true,
        mode: "z".to_owned(),
    };
    let from = BTreeMap::from([("other".to_owned(), vec![inherited])]);
    let froms = ["other:ro".to_owned()];
    let wanted = Wanted { volumes_from: &froms, volumes: &volumes, ..wanted(&[], &[], &tmpfs) };
    let (all, _) = run(&wanted, &from).expect("legal");
    assert_eq!((all.volumes.len(), all.tmpfs.len()), (2, 1));
    assert!(all.volumes[0].readonly && !all.volumes[0].anonymous && all.volumes[0].name == "d");
    assert!(all.volumes[1].anonymous && all.volumes[1].target == "/anon");
    for bad in ["other:z", "other:ro:x", ":ro", "unknown"] {
        let froms = [bad.to_owned()];
        assert!(run(&Wanted { volumes_from: &froms, ..wanted_nothing() }, &from).is_err(), "{bad}");
    }
}

fn wanted_nothing<'a>() -> Wanted<'a> {
    static NONE: std::sync::LazyLock<HashMap<String, String>> = std::sync::LazyLock::new(HashMap::new);
    wanted(&[], &[], &NONE)
}
