//! A user's name or number becomes ids, by the image's own `/etc/passwd` and `/etc/group`.
//!
//! The files are a tenant's: read without leaving the root they are in, at most 1 MiB, and only numbers go on to the
//! runtime. A string of digits is a number, never a name (CVE-2026-46680).

use std::{
    fs::File,
    io::{self, Read},
    os::{fd::AsFd, unix::fs::FileTypeExt},
    path::{Path, PathBuf},
};

use domain::{Error, Result, tenant::UID_RANGE};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

const FILE_MAX_BYTES: u64 = 1 << 20;

/// Ids inside the container's user namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct User {
    pub uid: u32,
    pub gid: u32,
    /// The supplementary ones, with the primary one among them.
    pub groups: Vec<u32>,
}

/// The two files, parsed. Lines that do not parse are skipped, as libc does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accounts {
    users: Vec<(String, u32, u32)>,
    groups: Vec<(String, u32, Vec<String>)>,
}

impl Accounts {
    /// Of an overlay: `layers` from the top down, each a directory with the files of one layer.
    pub(crate) fn of_layers(layers: &[PathBuf]) -> Self {
        Self::parse(&in_layers(layers, "passwd"), &in_layers(layers, "group"))
    }

    /// Of a root directory, for a container that runs (`/proc/<pid>/root`).
    pub(crate) fn of_root(root: &Path) -> Self {
        let read = |name: &str| match read_in(root, name) {
            Found::Text(text) => text,
            _ => String::new(),
        };
        Self::parse(&read("passwd"), &read("group"))
    }

    fn parse(passwd: &str, group: &str) -> Self {
        let users = passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            Some((name.to_owned(), uid, gid))
        });
        let groups = group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let gid = fields.nth(1)?.parse().ok()?;
            // An empty list has no member, not one without a name: nobody is called "" but an unknown number.
            let members = fields.next().unwrap_or_default().split(',').map(str::trim).filter(|m| !m.is_empty());
            let members = members.map(str::to_owned).collect();
            Some((name.to_owned(), gid, members))
        });
        Self { users: users.collect(), groups: groups.collect() }
    }

    /// `user` is Docker's `[user][:group]`; `more` are the groups of `--group-add`.
    ///
    /// # Errors
    /// `Invalid` in dockerd's words for a name that is in neither file.
    pub(crate) fn resolve(&self, user: &str, more: &[String]) -> Result<User> {
        let (user, group) = user.split_once(':').unwrap_or((user, ""));
        let (name, uid, own) = self.user(user)?;
        let gid = if group.is_empty() { own } else { self.group(group)? };
        // As in dockerd, the primary group too: a process that changes its group keeps what this one opens, and no file
        // is closed to it that is closed to this group (CVE-2022-36109).
        let mut groups = vec![gid];
        // Only without an explicit group does the user bring along those that list it.
        if group.is_empty() {
            groups.extend(self.groups.iter().filter(|(_, _, m)| m.contains(&name)).map(|(_, gid, _)| *gid));
        }
        for group in more {
            groups.push(self.group(group)?);
        }
        groups.sort_unstable();
        groups.dedup();
        // Beyond the tenant's range there is nobody.
        if [uid, gid].iter().chain(&groups).any(|id| *id >= UID_RANGE) {
            return Err(Error::invalid(format!("uids and gids must be in range 0-{}", UID_RANGE - 1)));
        }
        Ok(User { uid, gid, groups })
    }

    /// Name, uid and primary gid. A number that no line has is fine, with group 0.
    fn user(&self, given: &str) -> Result<(String, u32, u32)> {
        let number = if given.is_empty() { Some(0) } else { number(given)? };
        let found = self.users.iter().find(|(name, uid, _)| number.map_or(name == given, |n| n == *uid));
        match (found, number) {
            (Some(found), _) => Ok(found.clone()),
            (None, Some(uid)) => Ok((String::new(), uid, 0)),
            (None, None) => {
                Err(Error::invalid(format!("unable to find user {given}: no matching entries in passwd file")))
            }
        }
    }

    fn group(&self, given: &str) -> Result<u32> {
        if let Some(gid) = number(given)? {
            return Ok(gid);
        }
        let found = self.groups.iter().find(|(name, ..)| name == given).map(|(_, gid, _)| *gid);
        found.ok_or_else(|| Error::invalid(format!("unable to find group {given}: no matching entries in group file")))
    }
}

fn number(given: &str) -> Result<Option<u32>> {
    if given.is_empty() || !given.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    match given.parse::<u32>() {
        Ok(id) => Ok(Some(id)),
        Err(_) => Err(Error::invalid(format!("uids and gids must be in range 0-{}", UID_RANGE - 1))),
    }
}

enum Found {
    Text(String),
    /// Not in this layer; a lower one may have it.
    Nothing,
    /// Deleted by this layer, or hidden by it.
    Deleted,
}

fn in_layers(layers: &[PathBuf], name: &str) -> String {
    for layer in layers {
        match read_in(layer, name) {
            Found::Text(text) => return text,
            Found::Deleted => break,
            Found::Nothing => {}
        }
    }
    String::new()
}

/// `<root>/etc/<name>`; no link leads out of `root`.
fn read_in(root: &Path, name: &str) -> Found {
    match open_in(root, &format!("etc/{name}")) {
        Ok(file) => read_text(file),
        // An overlay's whiteout is a device: opening it for reading gives ENXIO.
        Err(nix::Error::ENXIO) => Found::Deleted,
        Err(_) if is_opaque(root) => Found::Deleted,
        Err(_) => Found::Nothing,
    }
}

fn open_in(root: &Path, path: &str) -> nix::Result<File> {
    let root = File::open(root).map_err(|_| nix::Error::ENOENT)?;
    let how = OpenHow::new()
        // Not blocking: the tenant may have put a FIFO there.
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(root.as_fd(), path, how).map(File::from)
}

fn read_text(file: File) -> Found {
    let Ok(metadata) = file.metadata() else { return Found::Nothing };
    if metadata.file_type().is_char_device() {
        return Found::Deleted;
    }
    if !metadata.is_file() {
        return Found::Nothing;
    }
    let mut bytes = Vec::new();
    match read_bounded(&file, &mut bytes) {
        Ok(()) => Found::Text(String::from_utf8_lossy(&bytes).into_owned()),
        Err(_) => Found::Nothing,
    }
}

fn read_bounded(file: &File, bytes: &mut Vec<u8>) -> io::Result<()> {
    file.take(FILE_MAX_BYTES).read_to_end(bytes).map(drop)
}

/// A layer that replaced `/etc` as a whole hides the lower ones'.
#[allow(unsafe_code)] // nix has no getxattr
fn is_opaque(root: &Path) -> bool {
    let Ok(path) = std::ffi::CString::new(root.join("etc").into_os_string().into_encoded_bytes()) else { return false };
    let mut value = [0u8; 1];
    let name = c"trusted.overlay.opaque".as_ptr();
    // SAFETY: both names are terminated strings; the kernel writes at most the one byte that the buffer has.
    let got = unsafe { libc::lgetxattr(path.as_ptr(), name, value.as_mut_ptr().cast(), value.len()) };
    got == 1 && value == *b"y"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts::parse(
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533::/:\nbroken\n1000:x:7:7::/:\n",
            "root:x:0:\nwheel:x:10:root,nobody\nusers:x:100:\n",
        )
    }

    #[test]
    fn names_numbers_and_groups_resolve_as_in_docker() {
        let user = |uid, gid, groups: &[u32]| User { uid, gid, groups: groups.to_vec() };
        for (given, more, wanted) in [
            ("", &[][..], user(0, 0, &[0, 10])),
            ("nobody", &[], user(65534, 65533, &[10, 65533])),
            ("65534", &[], user(65534, 65533, &[10, 65533])),
            ("1234", &[], user(1234, 0, &[0])),
            ("1234:4321", &[], user(1234, 4321, &[4321])),
            ("0:5", &[], user(0, 5, &[5])),
            ("1234:4321", &["wheel", "4321"], user(1234, 4321, &[10, 4321])),
            ("nobody:users", &["wheel", "5"], user(65534, 100, &[5, 10, 100])),
            ("nobody", &["users", "5"], user(65534, 65533, &[5, 10, 100, 65533])),
            ("1000", &[], user(1000, 0, &[0])),
        ] {
            let more: Vec<String> = more.iter().map(|m: &&str| (*m).to_owned()).collect();
            assert_eq!(accounts().resolve(given, &more).expect(given), wanted, "{given}");
        }
    }

    #[test]
    fn unknown_names_are_refused_in_dockerds_words() {
        let text = |user: &str| accounts().resolve(user, &[]).expect_err(user).to_string();
        assert_eq!(text("nosuchuser"), "unable to find user nosuchuser: no matching entries in passwd file");
        assert_eq!(text("0:nosuch"), "unable to find group nosuch: no matching entries in group file");
        assert_eq!(text("4294967295"), "uids and gids must be in range 0-65535");
        assert_eq!(text("65536"), "uids and gids must be in range 0-65535");
    }

    #[test]
    fn a_link_does_not_lead_out_of_the_layer() {
        let layer = std::env::temp_dir().join(format!("wharfinger-passwd-{}", std::process::id()));
        std::fs::create_dir_all(layer.join("etc")).expect("layer");
        std::os::unix::fs::symlink("/../../../../etc/passwd", layer.join("etc/passwd")).expect("link");
        assert!(Accounts::of_layers(std::slice::from_ref(&layer)).users.is_empty());
        std::fs::remove_dir_all(layer).expect("clean up");
    }
}
