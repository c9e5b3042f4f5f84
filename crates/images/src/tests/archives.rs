//! load, import and save.

use domain::{Digest, Error, Result};
use futures::TryStreamExt as _;
use inventory::TenantView;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{World, gzip, reference, tar_of};
use crate::{Loaded, media};

async fn load(world: &World, tenant: &TenantView, archive: &[u8]) -> Result<Vec<Loaded>> {
    let (sender, _lines) = mpsc::channel(1000);
    world.images.load(tenant, archive, None, sender).await
}

async fn import(world: &World, tenant: &TenantView, root: Vec<u8>, name: &str) -> Result<Digest> {
    let config = json!({"Cmd": ["sh"]});
    let from = std::io::Cursor::new(root);
    world.images.import(tenant, from, Some(reference(name)), config, "", None).await
}

async fn save(world: &World, tenant: &TenantView, names: &[&str]) -> Result<Vec<u8>> {
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let chunks: Vec<_> = world.images.save(tenant, &names, None).await?.try_collect().await?;
    Ok(chunks.concat())
}

fn archive(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content.as_slice()).expect("tar");
    }
    builder.into_inner().expect("tar")
}

fn config(tars: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<Digest> = tars.iter().map(|t| Digest::of(t)).collect();
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    config.to_string().into_bytes()
}

#[tokio::test]
async fn an_imported_root_is_an_image_of_one_layer() {
    let world = World::new(&[], &[]).await;
    let tenant = world.tenant().await;
    let tar = tar_of("etc/hello", b"hi");
    let id = import(&world, &tenant, tar.clone(), "root:v1").await.expect("import");
    let image = tenant.image("root:v1").await.expect("image");
    assert_eq!(
        (&image.id, image.size_bytes, image.layers[0].media_type.as_str()),
        (&id, tar.len() as u64, media::LAYER_TAR)
    );
    let config: Value = serde_json::from_slice(&image.config).expect("json");
    assert_eq!((&config["comment"], &config["config"]["Cmd"]), (&json!("Imported from -"), &json!(["sh"])));
    assert_eq!(config["rootfs"]["diff_ids"], json!([Digest::of(&tar)]));

    let mut xz = xz2::write::XzEncoder::new(Vec::new(), 1);
    std::io::Write::write_all(&mut xz, &tar).expect("xz");
    for compressed in [gzip(&tar), xz.finish().expect("xz")] {
        import(&world, &tenant, compressed, "packed").await.expect("import");
        assert_eq!(tenant.image("packed").await.expect("image").layers[0].diff_id, Digest::of(&tar));
    }
    for bad in [vec![], vec![9; 4000], tar[..700].to_vec()] {
        assert!(matches!(import(&world, &tenant, bad, "bad").await, Err(Error::Invalid(_))));
    }
    assert!(tenant.image("bad").await.is_err());
}

#[tokio::test]
async fn what_is_saved_can_be_loaded_by_another_tenant() {
    let world = World::new(&[], &[]).await;
    let (one, two) = (world.tenant().await, world.tenant().await);
    let id = import(&world, &one, tar_of("x", &[7; 3000]), "app:v1").await.expect("import");
    one.tag(&id, "app", "v2").await.expect("tag");
    let bytes = save(&world, &one, &["app"]).await.expect("save");
    let mut loaded = load(&world, &two, &gzip(&bytes)).await.expect("load");
    loaded.sort_by_key(|l| l.reference.as_ref().map(ToString::to_string));
    let names: Vec<_> = loaded.iter().filter_map(|l| l.reference.as_ref().map(ToString::to_string)).collect();
    assert_eq!(names, ["app:v1", "app:v2"]);
    assert_eq!(two.image("app:v2").await.expect("image").id, id);
    assert!(matches!(save(&world, &one, &["app:v1", "nonesuch"]).await, Err(Error::NotFound { .. })));
    // The same archive is an OCI layout.
    let mut entries = tar::Archive::new(bytes.as_slice());
    let mut rest: Vec<(String, Vec<u8>)> = Vec::new();
    for entry in entries.entries().expect("entries") {
        let mut entry = entry.expect("entry");
        let name = entry.path().expect("path").display().to_string();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).expect("content");
        rest.push((name, content));
    }
    rest.retain(|(name, _)| name != "manifest.json");
    let layout: Vec<(&str, Vec<u8>)> = rest.iter().map(|(n, c)| (n.as_str(), c.clone())).collect();
    let three = world.tenant().await;
    assert_eq!(load(&world, &three, &archive(&layout)).await.expect("layout").len(), 2);
    assert_eq!(three.image("app:v1").await.expect("image").tags.len(), 2);
}

#[tokio::test]
async fn an_archive_that_lies_leaves_nothing() {
    let world = World::new(&[], &[]).await;
    let tenant = world.tenant().await;
    let tar = tar_of("a", b"layer");
    let index = |layers: Value| {
        json!([{"Config": "c.json", "RepoTags": ["lie:v1"], "Layers": layers}]).to_string().into_bytes()
    };
    let other = config(&[b"another"]);
    for (files, wanted) in [
        (vec![("manifest.json", index(json!(["l.tar"]))), ("c.json", other), ("l.tar", tar.clone())], "invalid diffID"),
        (vec![("manifest.json", index(json!(["l.tar"]))), ("c.json", config(&[&tar]))], "does not contain \"l.tar\""),
        (vec![("manifest.json", index(json!([]))), ("c.json", config(&[&tar]))], "layers length mismatch"),
        (vec![("manifest.json", index(json!(["../l.tar"]))), ("c.json", config(&[&tar]))], "does not contain"),
        (vec![("readme", b"x".to_vec())], "does not contain \"manifest.json\""),
        (vec![("manifest.json", b"{".to_vec())], "manifest.json"),
    ] {
        let error = load(&world, &tenant, &archive(&files)).await.expect_err(wanted);
        assert!(matches!(error, Error::Invalid(_)) && error.to_string().contains(wanted), "{wanted}: {error}");
    }
    assert!(tenant.images().await.expect("images").is_empty());
    let good = vec![("manifest.json", index(json!(["l.tar"]))), ("c.json", config(&[&tar])), ("l.tar", tar.clone())];
    assert_eq!(load(&world, &tenant, &archive(&good)).await.expect("good").len(), 1);
}

/// An OCI layout with one name for two platforms, an attestation beside them, and everything in `nested` if so.
fn layout(nested: bool) -> (Vec<u8>, [Digest; 2]) {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    let mut blob = |bytes: Vec<u8>| {
        let digest = Digest::of(&bytes);
        let size = bytes.len();
        files.push((format!("blobs/sha256/{}", digest.hex()), bytes));
        (digest, size)
    };
    let mut entries = Vec::new();
    let ids = ["amd64", "s390x"].map(|architecture| {
        let tar = tar_of("arch", architecture.as_bytes());
        let (layer, layer_size) = blob(tar.clone());
        let config = json!({"architecture": architecture, "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&tar)]}});
        let (config, config_size) = blob(config.to_string().into_bytes());
        let manifest = json!({"schemaVersion": 2,
            "config": {"mediaType": media::OCI_CONFIG, "digest": config, "size": config_size},
            "layers": [{"mediaType": media::LAYER_TAR, "digest": layer, "size": layer_size}]});
        let (digest, size) = blob(manifest.to_string().into_bytes());
        entries.push(json!({"mediaType": media::OCI_MANIFEST, "digest": digest, "size": size,
            "platform": {"os": "linux", "architecture": architecture},
            "annotations": {"io.containerd.image.name": "docker.io/library/two:v1"}}));
        config
    });
    let (digest, size) = blob(b"{}".to_vec());
    entries.push(json!({"mediaType": media::OCI_MANIFEST, "digest": digest, "size": size,
        "platform": {"os": "unknown", "architecture": "unknown"}}));
    let index = json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": entries});
    let index = if nested {
        let (digest, size) = blob(index.to_string().into_bytes());
        json!({"schemaVersion": 2, "manifests": [{"mediaType": media::OCI_INDEX, "digest": digest, "size": size,
            "annotations": {"io.containerd.image.name": "docker.io/library/two:v1"}}]})
    } else {
        index
    };
    files.push(("index.json".to_owned(), index.to_string().into_bytes()));
    files.push(("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
    let borrowed: Vec<(&str, Vec<u8>)> = files.iter().map(|(n, b)| (n.as_str(), b.clone())).collect();
    (archive(&borrowed), ids)
}

async fn load_for(world: &World, tenant: &TenantView, archive: &[u8], platform: &str) -> Result<Vec<Loaded>> {
    let (sender, _lines) = mpsc::channel(1000);
    world.images.load(tenant, archive, Some(crate::Platform::parse(platform).expect("platform")), sender).await
}

#[tokio::test]
async fn of_several_platforms_one_is_loaded() {
    let world = World::new(&[], &[]).await;
    for nested in [false, true] {
        let (archive, [amd64, s390x]) = layout(nested);
        let tenant = world.tenant().await;
        let native = if crate::Platform::native().architecture == "amd64" { Some(&amd64) } else { None };
        let loaded = load(&world, &tenant, &archive).await;
        assert_eq!(loaded.as_ref().ok().map(|l| &l[0].id), native, "{loaded:?}");
        let loaded = load_for(&world, &tenant, &archive, "linux/s390x").await.expect("the other");
        assert_eq!((loaded.len(), &loaded[0].id), (1, &s390x));
        let names = ["two:v1".to_owned()];
        let platform = crate::Platform::parse("linux/arm64").expect("platform");
        let other = world.images.save(&tenant, &names, Some(&platform)).await.err().expect("not that one");
        assert_eq!(
            other.to_string(),
            "image with reference two:v1 was found but does not provide the specified platform (linux/arm64)"
        );
        let missing = load_for(&world, &tenant, &archive, "linux/riscv64").await.expect_err("none");
        assert!(matches!(missing, Error::Missing(_)) && missing.to_string().contains("linux/riscv64"), "{missing}");
    }
}

#[tokio::test]
async fn a_platform_leaves_out_images_of_others() {
    let world = World::new(&[], &[]).await;
    let tenant = world.tenant().await;
    let tar = tar_of("a", b"docker");
    let config = config(&[&tar]);
    let index = json!([{"Config": "c.json", "RepoTags": ["d:v1"], "Layers": ["l.tar"]}]).to_string().into_bytes();
    let bytes = archive(&[("manifest.json", index), ("c.json", config), ("l.tar", tar)]);
    assert!(matches!(load_for(&world, &tenant, &bytes, "linux/arm64").await, Err(Error::Missing(_))));
    assert!(tenant.images().await.expect("images").is_empty());
    assert_eq!(load_for(&world, &tenant, &bytes, "linux/amd64").await.expect("load").len(), 1);
}

#[tokio::test]
async fn layouts_that_lie_and_uploads_that_end_early_leave_nothing() {
    let world = World::new(&[], &[]).await;
    let tenant = world.tenant().await;
    let (good, _) = layout(true);
    // A blob that is not what its name says.
    let mut lying = good.clone();
    let at = lying.windows(5).position(|w| w == b"amd64").expect("the layer's content");
    lying[at] = b'X';
    for (bytes, wanted) in [
        (lying, "filesystem layer verification failed"),
        (good[..good.len() / 2].to_vec(), "unexpected EOF"),
        (good[..700].to_vec(), "unexpected EOF"),
        (gzip(&good)[..200].to_vec(), "unexpected EOF"),
        (Vec::new(), "does not contain"),
        (vec![b'x'; 5000], "invalid tar header"),
    ] {
        let error = load(&world, &tenant, &bytes).await.expect_err(wanted);
        assert!(matches!(error, Error::Invalid(_)) && error.to_string().contains(wanted), "{wanted}: {error}");
    }
    assert!(tenant.images().await.expect("images").is_empty());
    let uploads = world.store.spool().with_file_name("uploads");
    assert_eq!(std::fs::read_dir(uploads).expect("uploads").count(), 0, "nothing staged is left");
}

#[tokio::test]
async fn a_saved_archive_is_what_dockerd_writes() {
    let world = World::new(&[], &[]).await;
    let tenant = world.tenant().await;
    let id = import(&world, &tenant, tar_of("x", b"saved"), "team/app:v1").await.expect("import");
    let bytes = save(&world, &tenant, &["team/app:v1", id.as_str()]).await.expect("save");
    let mut files = std::collections::BTreeMap::new();
    for entry in tar::Archive::new(bytes.as_slice()).entries().expect("entries") {
        let mut entry = entry.expect("entry");
        let name = entry.path().expect("path").display().to_string();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).expect("content");
        files.insert(name, content);
    }
    let json = |name: &str| serde_json::from_slice::<Value>(&files[name]).expect(name);
    let layer = &tenant.image("team/app:v1").await.expect("image").layers[0];
    assert_eq!(json("repositories"), json!({"team/app": {"v1": layer.digest.hex()}}));
    let manifest = &json("manifest.json")[0];
    assert_eq!(manifest["RepoTags"], json!(["team/app:v1"]));
    assert_eq!(manifest["LayerSources"][layer.diff_id.as_str()]["digest"], json!(layer.digest));
    assert_eq!(
        json("index.json")["manifests"][0]["annotations"]["io.containerd.image.name"],
        json!("docker.io/team/app:v1")
    );
    assert_eq!(files.len(), 4 + 3, "layer, config and manifest; one image, though it was named twice");
}
