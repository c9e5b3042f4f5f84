//! A tree's names: what is where, and where a path leads when links are followed.
//!
//! Paths are clean and without the leading slash; the root is the empty path and always there.

use std::collections::BTreeMap;

use super::{Node, NodeKind, clean};

/// Linux's own limit on links that are followed for one path.
const LINKS_MAX: usize = 40;

#[derive(Debug, Clone, Default)]
pub struct Listing {
    nodes: BTreeMap<String, Node>,
}

impl Listing {
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    pub fn is_directory(&self, path: &str) -> bool {
        path.is_empty() || self.get(path).is_some_and(Node::is_directory)
    }

    /// The path without links, as far as it exists; beyond that as it stands. None for links in a circle.
    pub fn resolve(&self, path: &str) -> Option<String> {
        let mut followed = 0;
        let mut done = String::new();
        let mut todo: Vec<String> = parts(path);
        while let Some(part) = todo.pop() {
            if part == ".." {
                done.truncate(done.rfind('/').unwrap_or(0));
                continue;
            }
            let next = join(&done, &part);
            match self.get(&next) {
                Some(node) if node.kind == NodeKind::Symlink => {
                    followed += 1;
                    if followed > LINKS_MAX {
                        return None;
                    }
                    if node.target.starts_with('/') {
                        done.clear();
                    }
                    todo.extend(parts(&node.target));
                }
                _ => done = next,
            }
        }
        Some(done)
    }

    /// As [`Self::resolve`], but the last part itself is not followed.
    pub fn resolve_parent(&self, path: &str) -> Option<String> {
        let path = clean(path);
        match path.rsplit_once('/') {
            Some((parent, name)) => Some(join(&self.resolve(parent)?, name)),
            None => Some(path),
        }
    }

    /// Everything below a directory, parents before children, with paths relative to it.
    pub fn below<'a>(&'a self, directory: &str) -> impl Iterator<Item = (&'a str, &'a Node)> {
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let from = self.nodes.range(prefix.clone()..);
        from.take_while({
            let prefix = prefix.clone();
            move |(path, _)| path.starts_with(&prefix)
        })
        .map(move |(path, node)| (&path[prefix.len()..], node))
    }

    pub fn all(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// With the directories that lead to it; what was there before is replaced, a directory by a directory with its content.
    pub(crate) fn put(&mut self, path: &str, node: Node) {
        if path.is_empty() {
            return;
        }
        if let Some((parent, _)) = path.rsplit_once('/')
            && !self.is_directory(parent)
        {
            self.put(parent, Node::directory());
        }
        if !node.is_directory() && self.is_directory(path) {
            self.remove_below(path);
        }
        self.nodes.insert(path.to_owned(), node);
    }

    /// With everything below it.
    pub fn remove(&mut self, path: &str) {
        self.nodes.remove(path);
        self.remove_below(path);
    }

    pub(crate) fn remove_below(&mut self, directory: &str) {
        let gone: Vec<String> = self.below(directory).map(|(path, _)| join(directory, path)).collect();
        for path in gone {
            self.nodes.remove(&path);
        }
    }
}

pub(crate) fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// Last part first, without what says nothing.
fn parts(path: &str) -> Vec<String> {
    path.split('/').rev().filter(|p| !p.is_empty() && *p != ".").map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(target: &str) -> Node {
        Node { kind: NodeKind::Symlink, target: target.to_owned(), ..Node::directory() }
    }

    fn file() -> Node {
        Node { kind: NodeKind::File, ..Node::directory() }
    }

    #[test]
    fn links_are_followed_inside_the_tree_only() {
        let mut tree = Listing::default();
        tree.put("a/b/file", file());
        tree.put("up", link("../../../../a"));
        tree.put("abs", link("/a/b"));
        tree.put("loop", link("loop"));
        for (path, wanted) in [
            ("up/b/file", Some("a/b/file")),
            ("abs/file", Some("a/b/file")),
            ("abs/../x", Some("a/x")),
            ("../../etc/passwd", Some("etc/passwd")),
            ("new/dir", Some("new/dir")),
            ("loop/x", None),
        ] {
            assert_eq!(tree.resolve(path).as_deref(), wanted, "{path}");
        }
        assert_eq!(tree.resolve_parent("abs").as_deref(), Some("abs"));
    }

    #[test]
    fn a_name_that_begins_like_a_directory_is_not_below_it() {
        let mut tree = Listing::default();
        for path in ["a/x", "a-b", "a.c", "ab/y"] {
            tree.put(path, file());
        }
        assert_eq!(tree.below("a").map(|(p, _)| p).collect::<Vec<_>>(), ["x"]);
        tree.put("a", file());
        assert!(tree.get("a/x").is_none() && tree.get("ab/y").is_some());
        assert_eq!(tree.below("").count(), 5);
    }
}
