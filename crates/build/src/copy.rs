//! COPY and ADD: which files go where. Nothing is read or written here but names; the result is a list of entries.
//!
//! The rules are the classic builder's: a directory gives its content, never itself; a file goes into a destination that
//! ends with a slash or is a directory, under its own name; links in the destination are followed, inside the image only.

use std::collections::BTreeMap;

use domain::{Error, Result};
use images::tree::{Listing, Node, NodeKind, Tree, clean};

use crate::pattern::Pattern;

/// Who gets what is copied; mode for all of it, if one was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u64,
    pub(crate) gid: u64,
}

/// One source that was found.
#[derive(Debug, Clone)]
pub(crate) struct Picked {
    /// Which of the trees has it.
    pub(crate) tree: usize,
    /// In its tree, links resolved.
    pub(crate) path: String,
    /// Under which a file goes into a directory.
    pub(crate) name: String,
    pub(crate) kind: NodeKind,
    /// Its content is the root of `tree`, with owners of its own.
    pub(crate) is_archive: bool,
}

/// What the new layer holds at one path.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) node: Node,
    /// Where the data is; directories have none.
    pub(crate) tree: Option<usize>,
}

pub(crate) type Plan = BTreeMap<String, Planned>;

/// The files of `tree` that a source names. Errors are dockerd's.
pub(crate) fn pick(listing: &Listing, tree: usize, source: &str, in_context: bool) -> Result<Vec<Picked>> {
    let relative = source.trim_start_matches('/');
    if images_climb(relative) {
        return Err(Error::invalid(format!("forbidden path outside the build context: {source} ()")));
    }
    let cleaned = clean(relative);
    if !Pattern::has_wildcards(source) {
        return Ok(vec![found(listing, tree, &cleaned, in_context)?]);
    }
    let Some(pattern) = Pattern::file(&cleaned) else { return Ok(Vec::new()) };
    let fitting = listing.all().map(|(path, _)| path).filter(|path| pattern.fits(path));
    fitting.map(|path| found(listing, tree, path, in_context)).collect()
}

/// Whether a relative path leaves the tree at any point.
fn images_climb(path: &str) -> bool {
    let mut depth = 0i32;
    path.split('/').any(|part| {
        depth += match part {
            "" | "." => 0,
            ".." => -1,
            _ => 1,
        };
        depth < 0
    })
}

fn found(listing: &Listing, tree: usize, path: &str, in_context: bool) -> Result<Picked> {
    let missing = || {
        let stat = format!("stat {path}: file does not exist");
        Error::invalid(match in_context {
            true => format!("file not found in build context or excluded by .dockerignore: {stat}"),
            false => stat,
        })
    };
    let resolved = listing.resolve(path).ok_or_else(missing)?;
    let kind = match listing.get(&resolved) {
        Some(node) => node.kind,
        None if resolved.is_empty() => NodeKind::Directory,
        None => return Err(missing()),
    };
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    Ok(Picked { tree, path: resolved, name, kind, is_archive: false })
}

/// Where a destination is: `true` where it says itself that it is a directory.
pub(crate) fn destination(working_dir: &str, given: &str) -> (String, bool) {
    let is_directory = given.ends_with('/') || given == "." || given.ends_with("/.") || given.ends_with("..");
    let whole = if given.starts_with('/') { given.to_owned() } else { format!("{working_dir}/{given}") };
    (clean(&whole), is_directory)
}

/// `--chown=user[:group]`, by the image's own files.
pub(crate) fn owner(given: &str, passwd: &str, group: &str) -> Result<Owner> {
    let invalid =
        |text: String| Error::invalid(format!("unable to convert uid/gid chown string to host mapping: {text}"));
    let parts: Vec<&str> = given.split(':').collect();
    let (user, group_name) = match parts[..] {
        [user] if !user.is_empty() => (user, user),
        [user, group] => (user, group),
        _ => return Err(invalid(format!("invalid chown string format: {given}"))),
    };
    let named = |file: &str, name: &str| {
        let line = file.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)?;
        line.get(2)?.parse().ok()
    };
    let uid = user.parse().ok().or_else(|| named(passwd, user));
    let gid = group_name.parse().ok().or_else(|| named(group, group_name));
    let uid: u32 = uid.ok_or_else(|| invalid(format!("can't find uid for user {user}: no such user: {user}")))?;
    let no_group = || invalid(format!("can't find gid for group {group_name}: no such group: {group_name}"));
    let gid: u32 = gid.ok_or_else(no_group)?;
    Ok(Owner { uid: uid.into(), gid: gid.into() })
}

/// `--chmod=755`.
pub(crate) fn mode(given: &str) -> Result<u32> {
    let mode = u32::from_str_radix(given, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| {
        Error::invalid(format!("invalid chmod parameter: '{given}'. it should be octal string and between 0 and 07777"))
    })
}

/// Collects the entries of one layer.
pub(crate) struct Planner<'a> {
    /// Of the image so far.
    pub(crate) rootfs: &'a Listing,
    pub(crate) owner: Owner,
    pub(crate) keep_archive_owners: bool,
    pub(crate) mode: Option<u32>,
    /// Seconds since 1970, of directories that are made.
    pub(crate) now_s: u64,
    pub(crate) plan: Plan,
}

impl Planner<'_> {
    pub(crate) fn copy(&mut self, trees: &[Tree], picked: &[Picked], to: &(String, bool)) -> Result<()> {
        let (destination, is_directory) = to;
        let target = self.rootfs.resolve(destination).ok_or_else(|| loops(destination))?;
        for source in picked {
            let tree = trees.get(source.tree).ok_or_else(|| Error::internal("a copy from no tree"))?;
            if source.kind == NodeKind::Directory || source.is_archive {
                self.directory(tree, source, &target)?;
            } else {
                self.file(tree, source, &target, *is_directory)?;
            }
        }
        Ok(())
    }

    fn directory(&mut self, tree: &Tree, source: &Picked, target: &str) -> Result<()> {
        let owner = if source.is_archive { Owner::default() } else { self.owner };
        self.make_directory(target, Owner::default(), owner)?;
        for (path, node) in tree.listing.below(&source.path) {
            if node.kind == NodeKind::Other {
                continue; // no device is made for a tenant, and a FIFO in an image helps nobody
            }
            let place = if target.is_empty() { path.to_owned() } else { format!("{target}/{path}") };
            let keeps = source.is_archive && self.keep_archive_owners;
            self.put(&place, node, source.tree, keeps);
        }
        Ok(())
    }

    fn file(&mut self, tree: &Tree, source: &Picked, target: &str, into: bool) -> Result<()> {
        let node = tree.listing.get(&source.path).ok_or_else(|| Error::internal("a file that was picked is gone"))?;
        if node.kind == NodeKind::Other {
            return Err(Error::invalid(format!("{} is neither a file nor a directory", source.name)));
        }
        let mut place = target.to_owned();
        if into || self.is_directory(&place) {
            place = join(&place, &source.name);
            if self.is_directory(&place) {
                place = join(&place, &source.name);
            }
        }
        let parent = place.rsplit_once('/').map_or("", |(parent, _)| parent);
        self.make_directory(parent, self.owner, self.owner)?;
        self.put(&place, node, source.tree, false);
        Ok(())
    }

    fn put(&mut self, path: &str, node: &Node, tree: usize, keep_owner: bool) {
        let mut node = node.clone();
        if !keep_owner {
            (node.uid, node.gid) = (self.owner.uid, self.owner.gid);
        }
        if let Some(mode) = self.mode.filter(|_| node.kind != NodeKind::Symlink) {
            node.mode = mode;
        }
        let tree = (node.kind == NodeKind::File).then_some(tree);
        self.plan.insert(path.to_owned(), Planned { node, tree });
    }

    fn is_directory(&self, path: &str) -> bool {
        match self.plan.get(path) {
            Some(planned) => planned.node.is_directory(),
            None => self.rootfs.is_directory(path),
        }
    }

    /// With its parents; those that exist are named in the layer as they are, so that it stands for itself.
    pub(crate) fn make_directory(&mut self, path: &str, parents: Owner, own: Owner) -> Result<()> {
        if path.is_empty() {
            return Ok(());
        }
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            let part = &path[..end];
            let existing = match self.plan.get(part) {
                Some(planned) => Some(planned.node.clone()),
                None => self.rootfs.get(part).cloned(),
            };
            let node = match existing {
                Some(node) if node.is_directory() => node,
                Some(_) => {
                    let text =
                        format!("failed to copy files: failed to copy directory: mkdir /{part}: not a directory");
                    return Err(Error::invalid(text));
                }
                None => {
                    let owner = if end == path.len() { own } else { parents };
                    let mut made = Node::directory();
                    (made.uid, made.gid, made.mtime_s) = (owner.uid, owner.gid, self.now_s);
                    made
                }
            };
            self.plan.entry(part.to_owned()).or_insert(Planned { node, tree: None });
        }
        Ok(())
    }
}

fn loops(path: &str) -> Error {
    Error::invalid(format!("failed to copy files: /{path}: too many levels of symbolic links"))
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations() {
        for (given, wanted, is_directory) in [
            ("/x", "x", false),
            ("/x/", "x", true),
            (".", "w", true),
            ("./", "w", true),
            ("d", "w/d", false),
            ("../b/./", "b", true),
        ] {
            assert_eq!(destination("/w", given), (wanted.to_owned(), is_directory), "{given}");
        }
    }

    #[test]
    fn owners_by_number_and_by_the_image_s_files() {
        let (passwd, group) = ("root:x:0:0\nme:x:7:8::/:/x\n", "root:x:0:\nme:x:9:\n");
        for (given, wanted) in [("5", (5, 5)), ("5:6", (5, 6)), ("me", (7, 9)), ("me:root", (7, 0))] {
            assert_eq!(owner(given, passwd, group).expect(given), Owner { uid: wanted.0, gid: wanted.1 });
        }
        for (given, wanted) in [
            ("nosuch", "can't find uid for user nosuch: no such user: nosuch"),
            ("me:nosuch", "can't find gid for group nosuch: no such group: nosuch"),
            ("a:b:c", "invalid chown string format: a:b:c"),
        ] {
            let text = owner(given, passwd, group).expect_err(given).to_string();
            assert_eq!(text, format!("unable to convert uid/gid chown string to host mapping: {wanted}"));
        }
        assert!(mode("755").is_ok() && mode("u+x").is_err() && mode("10000").is_err());
    }
}
