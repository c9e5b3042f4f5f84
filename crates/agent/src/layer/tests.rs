//! Trees as an overlay leaves them, and the tars that come of them. Needs root: whiteouts are devices.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use nix::sys::stat::{Mode, SFlag, mknod};

use super::Upper;

struct Tree {
    dir: tempfile::TempDir,
}

/// What a tar says of one name.
#[derive(Debug, PartialEq)]
struct Seen {
    kind: u8,
    mode: u32,
    owner: (u64, u64),
    target: Option<String>,
    data: Vec<u8>,
    pax: BTreeMap<String, Vec<u8>>,
}

impl Tree {
    /// None without root.
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir_in("/var/tmp").expect("dir");
        for name in ["upper", "lower"] {
            fs::create_dir(dir.path().join(name)).expect("dir");
        }
        nix::unistd::Uid::effective().is_root().then_some(Self { dir })
    }

    fn upper(&self) -> PathBuf {
        self.dir.path().join("upper")
    }

    fn lower(&self) -> PathBuf {
        self.dir.path().join("lower")
    }

    fn as_upper(&self) -> Upper {
        Upper { dir: self.upper(), lower: vec![self.lower()] }
    }

    fn tar(&self) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        let read = self.as_upper().write(&mut bytes).expect("tar");
        (bytes, read.empty)
    }

    /// By name, in the order of the tar.
    fn seen(&self) -> Vec<(String, Seen)> {
        let bytes = self.tar().0;
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries = archive.entries().expect("entries").map(|entry| {
            let mut entry = entry.expect("entry");
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let target = entry.link_name_bytes().map(|t| String::from_utf8_lossy(&t).into_owned());
            let header = entry.header().clone();
            let pax = entry.pax_extensions().expect("pax").into_iter().flatten().map(|x| {
                let x = x.expect("record");
                (x.key().expect("key").to_owned(), x.value_bytes().to_vec())
            });
            let pax = pax.collect();
            let mut data = Vec::new();
            entry.read_to_end(&mut data).expect("data");
            let owner = (header.uid().expect("uid"), header.gid().expect("gid"));
            let kind = header.entry_type().as_byte();
            (name, Seen { kind, mode: header.mode().expect("mode"), owner, target, data, pax })
        });
        entries.collect()
    }
}

fn names(seen: &[(String, Seen)]) -> Vec<&str> {
    seen.iter().map(|(name, _)| name.as_str()).collect()
}

fn whiteout(path: &Path) {
    mknod(path, SFlag::S_IFCHR, Mode::empty(), 0).expect("whiteout");
}

#[test]
fn an_unchanged_container_has_an_empty_layer() {
    let Some(tree) = Tree::new() else { return };
    for root in [tree.upper(), tree.lower()] {
        fs::create_dir(root.join("etc")).expect("etc");
    }
    // What runc mounts over.
    for name in ["hosts", "hostname", "resolv.conf"] {
        fs::write(tree.upper().join("etc").join(name), "").expect("file");
    }
    for name in ["dev", "proc", "sys"] {
        fs::create_dir(tree.upper().join(name)).expect("dir");
    }
    assert!(tree.tar().1);
    // With something of the container's own the directory is there, its mount points still are not.
    fs::write(tree.upper().join("etc/motd"), "hi").expect("file");
    assert_eq!(names(&tree.seen()), ["etc/", "etc/motd"]);
    fs::remove_file(tree.upper().join("etc/motd")).expect("rm");
    fs::set_permissions(tree.upper().join("etc"), fs::Permissions::from_mode(0o700)).expect("chmod");
    assert_eq!(names(&tree.seen()), ["etc/"]);
}

#[test]
fn whiteouts_and_opaque_directories() {
    let Some(tree) = Tree::new() else { return };
    let upper = tree.upper();
    whiteout(&upper.join("gone"));
    fs::create_dir(upper.join("new")).expect("dir");
    xattr::set(upper.join("new"), "trusted.overlay.opaque", b"y").expect("opaque");
    fs::write(upper.join("new/file"), "x").expect("file");
    whiteout(&upper.join("new/below"));
    let seen = tree.seen();
    assert_eq!(names(&seen), [".wh.gone", "new/", "new/.wh..wh..opq", "new/.wh.below", "new/file"]);
    assert!(seen[0].1.kind == b'0' && seen[0].1.data.is_empty());
    assert!(!tree.tar().1);
}

#[test]
fn kinds_modes_owners_and_links() {
    let Some(tree) = Tree::new() else { return };
    let upper = tree.upper();
    fs::write(upper.join("a"), "content").expect("file");
    fs::set_permissions(upper.join("a"), fs::Permissions::from_mode(0o4755)).expect("chmod");
    fs::hard_link(upper.join("a"), upper.join("b")).expect("link");
    symlink("/etc/passwd", upper.join("c")).expect("symlink");
    nix::unistd::mkfifo(&upper.join("d"), Mode::from_bits_truncate(0o600)).expect("fifo");
    let _socket = std::os::unix::net::UnixListener::bind(upper.join("e")).expect("socket");
    fs::write(upper.join("f"), "").expect("file");
    chown(upper.join("f"), Some(1000), Some(4_000_000_000)).expect("chown");
    let seen = tree.seen();
    assert_eq!(names(&seen), ["a", "b", "c", "d", "f"], "a socket is nothing");
    let kinds: Vec<u8> = seen.iter().map(|(_, s)| s.kind).collect();
    assert_eq!(kinds, [b'0', b'1', b'2', b'6', b'0']);
    assert_eq!((seen[0].1.mode, seen[0].1.data.as_slice()), (0o4755, b"content".as_slice()));
    assert_eq!((seen[1].1.target.as_deref(), seen[1].1.data.len()), (Some("a"), 0));
    assert_eq!(seen[2].1.target.as_deref(), Some("/etc/passwd"));
    assert_eq!(seen[4].1.owner, (1000, 0), "host root is the container's root");
}

#[test]
fn capabilities_and_own_attributes_are_kept() {
    let Some(tree) = Tree::new() else { return };
    let file = tree.upper().join("ping");
    fs::write(&file, "x").expect("file");
    // cap_net_raw+ep, revision 2.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    xattr::set(&file, "security.capability", &capability).expect("capability");
    xattr::set(&file, "user.note", b"mine").expect("attribute");
    xattr::set(&file, "trusted.secret", b"no").expect("attribute");
    let seen = tree.seen();
    let wanted =
        [("SCHILY.xattr.security.capability", capability.to_vec()), ("SCHILY.xattr.user.note", b"mine".to_vec())];
    assert_eq!(seen[0].1.pax, wanted.map(|(k, v)| (k.to_owned(), v)).into());
}

#[test]
fn funny_names() {
    let Some(tree) = Tree::new() else { return };
    let upper = tree.upper();
    let long = "l".repeat(200);
    let deep = format!("{0}/{0}", "d".repeat(120));
    fs::create_dir_all(upper.join(&deep)).expect("dirs");
    for name in ["new\nline", "sp ace", "quo\"te", "ümlaut", &long, &format!("{deep}/x"), ".wh.not-a-whiteout"] {
        fs::write(upper.join(name), name).expect("file");
    }
    use std::os::unix::ffi::OsStrExt as _;
    fs::write(upper.join(std::ffi::OsStr::from_bytes(b"\xff\xfe")), "raw").expect("file");
    let seen = tree.seen();
    let deep_file = format!("{deep}/x");
    for name in ["new\nline", "sp ace", "quo\"te", "ümlaut", long.as_str(), deep_file.as_str()] {
        let found = seen.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("{name:?}"));
        assert_eq!(found.1.data, name.as_bytes());
    }
    assert!(seen.iter().any(|(_, s)| s.data == b"raw"));
    assert!(!seen.iter().any(|(n, _)| n.contains("not-a-whiteout")), "it would take something away");
}

#[test]
fn links_are_not_followed() {
    let Some(tree) = Tree::new() else { return };
    let outside = tempfile::tempdir_in("/var/tmp").expect("dir");
    fs::write(outside.path().join("secret"), "s").expect("file");
    symlink(outside.path(), tree.upper().join("dir")).expect("symlink");
    assert_eq!(names(&tree.seen()), ["dir"]);
}

#[test]
fn the_same_tree_gives_the_same_bytes_and_signature() {
    let Some(tree) = Tree::new() else { return };
    fs::write(tree.upper().join("a"), "one").expect("file");
    let signed = || tree.as_upper().sign().expect("signature");
    let (first, before) = (tree.tar().0, signed());
    assert_eq!(tree.tar().0, first);
    assert_eq!(signed().bytes(), before.bytes());
    assert!(!before.is_settled_at(SystemTime::now()), "a file of this very moment may change unseen");
    assert!(before.is_settled_at(SystemTime::now() + Duration::from_secs(1)));
    std::thread::sleep(Duration::from_millis(20));
    fs::write(tree.upper().join("a"), "two").expect("file");
    assert_ne!(signed().bytes(), before.bytes());
    assert_ne!(tree.tar().0, first);
}
