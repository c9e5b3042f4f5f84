//! COPY, ADD and the directory of WORKDIR: sources are found, compared with the cache, and become one layer.

use domain::{Error, Layer, Result};
use images::tree::{NewEntry, NodeKind, Tree};
use serde_json::Value;

use crate::{
    builder::{Builder, now_s},
    content,
    copy::{self, Owner, Picked, Plan, Planner},
    dockerfile::Copy,
    expand::expand_body,
    hands::{Failure, Hands},
};

/// What one ADD may fetch.
const DOWNLOAD_MAX_BYTES: u64 = 4 << 30;
const ACCOUNTS_MAX_BYTES: u64 = 4 << 20;

/// The sources of one COPY.
struct Sources {
    trees: Vec<Tree>,
    picked: Vec<Picked>,
}

impl<H: Hands> Builder<'_, H> {
    pub(crate) async fn copy_step(&mut self, copy: &Copy) -> Result<(), Failure> {
        let name = if copy.is_add { "ADD" } else { "COPY" };
        let sources = self.expand_all(&copy.sources)?;
        let given = self.expand(&copy.destination)?;
        let chown = copy.chown.as_deref().map(|text| self.expand(text)).transpose()?;
        let chmod = copy.chmod.as_deref().map(|text| self.expand(text)).transpose()?;
        let mode = chmod.as_deref().map(copy::mode).transpose()?;
        let found = self.sources(copy, &sources).await?;
        if found.picked.len() > 1 && !copy::destination("", &given).1 {
            let text = format!(
                "When using {name} with more than one source file, the destination must be a directory and end with a /"
            );
            return Err(Error::invalid(text).into());
        }
        let (hash, found) = blocking(move || Ok((content::hash(&found.trees, &found.picked)?, found))).await?;
        let flags: String = [("chown", &chown), ("chmod", &chmod)]
            .iter()
            .filter_map(|(flag, value)| value.as_ref().map(|value| format!("--{flag}={value} ")))
            .collect();
        let created_by = format!("{} #(nop) {name} {flags}{hash} in {given} ", self.image.shell().join(" "));
        let to = copy::destination(self.image.working_dir(), &given);
        let Some(missed) = self.reuse(created_by, Value::Null).await? else { return Ok(()) };
        let rootfs = self.hands.images().rootfs(&self.image.layers).await?;
        let owner = match &chown {
            Some(text) => self.owner(&rootfs, text).await?,
            None => Owner::default(),
        };
        let mut planner = Planner {
            rootfs: &rootfs.listing,
            owner,
            keep_archive_owners: chown.is_none(),
            mode,
            now_s: now_s(),
            plan: Plan::new(),
        };
        planner.copy(&found.trees, &found.picked, &to)?;
        let plan = planner.plan;
        let layer = self.write(plan, found.trees).await?;
        self.keep(missed, Some(layer)).await
    }

    /// WORKDIR's.
    pub(crate) async fn make_directory(&mut self, path: &str) -> Result<Option<Layer>, Failure> {
        let rootfs = self.hands.images().rootfs(&self.image.layers).await?;
        let too_many = || Error::invalid(format!("/{path}: too many levels of symbolic links"));
        let target = rootfs.listing.resolve(path).ok_or_else(too_many)?;
        if rootfs.listing.is_directory(&target) {
            return Ok(None);
        }
        let mut planner = Planner {
            rootfs: &rootfs.listing,
            owner: Owner::default(),
            keep_archive_owners: true,
            mode: None,
            now_s: now_s(),
            plan: Plan::new(),
        };
        planner.make_directory(&target, Owner::default(), Owner::default())?;
        let plan = planner.plan;
        Ok(Some(self.write(plan, Vec::new()).await?))
    }

    async fn write(&self, plan: Plan, trees: Vec<Tree>) -> Result<Layer> {
        let written = self.hands.images().write_layer(move |layer| {
            for (path, planned) in &plan {
                let entry = NewEntry { path, node: &planned.node };
                match planned.tree.and_then(|tree| trees.get(tree)) {
                    Some(tree) => layer.put(&entry, tree.data(&planned.node))?,
                    None => layer.put(&entry, std::io::empty())?,
                }
            }
            Ok(())
        });
        written.await.map(|(layer, _)| layer)
    }

    async fn owner(&self, rootfs: &images::tree::Rootfs, given: &str) -> Result<Owner> {
        let numbers = given.split(':').all(|part| part.parse::<u32>().is_ok());
        if numbers {
            return copy::owner(given, "", "");
        }
        let paths: Vec<String> =
            ["etc/passwd", "etc/group"].iter().filter_map(|path| rootfs.listing.resolve(path)).collect();
        let tree = self.hands.images().excerpt(rootfs, &paths).await?;
        let read = |at: usize| {
            let node = paths.get(at).and_then(|path| tree.listing.get(path)).filter(|n| n.kind == NodeKind::File);
            let bytes = node.map(|node| tree.read(node, ACCOUNTS_MAX_BYTES)).transpose()?;
            Ok::<_, Error>(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
        };
        copy::owner(given, &read(0)?, &read(1)?)
    }

    async fn sources(&mut self, copy: &Copy, given: &[String]) -> Result<Sources> {
        let name = if copy.is_add { "ADD" } else { "COPY" };
        let mut found = Sources { trees: Vec::new(), picked: Vec::new() };
        match &copy.from {
            Some(from) => self.pick_from_image(from, given, &mut found).await?,
            None => {
                found.trees.push(self.prepared.context.clone());
                for source in given {
                    self.one_source(copy, source, &mut found).await.map_err(|error| failed(name, error))?;
                }
            }
        }
        if found.picked.is_empty() {
            return Err(Error::invalid(format!("{name} failed: no source files were specified")));
        }
        if copy.is_add {
            let scratch = self.hands.images().scratch();
            found = blocking(move || unpack(found, &scratch)).await?;
        }
        Ok(found)
    }

    async fn one_source(&self, copy: &Copy, source: &str, found: &mut Sources) -> Result<()> {
        let heredoc = copy.heredocs.iter().find(|heredoc| is_heredoc(source, &heredoc.name));
        if let Some(heredoc) = heredoc {
            let mut text = heredoc.text();
            if heredoc.expand {
                text = expand_body(&text, self.prepared.dockerfile.escape, &self.variables())?;
            }
            let mut tree = self.hands.images().empty_tree()?;
            tree.put(&heredoc.name, text.as_bytes(), 0o644, now_s())?;
            found.add_tree(tree, &heredoc.name);
            return Ok(());
        }
        let is_url = source.starts_with("http://") || source.starts_with("https://");
        if copy.is_add && is_url {
            let name = file_name(source, &copy.destination)?;
            let tree = self.hands.images().download(source, &name, DOWNLOAD_MAX_BYTES).await?;
            found.add_tree(tree, &name);
            return Ok(());
        }
        if is_url || source.starts_with("git@") {
            return Err(Error::invalid("source can't be a URL for COPY"));
        }
        found.picked.extend(copy::pick(&found.trees[0].listing, 0, source, true)?);
        Ok(())
    }

    /// Another stage, by its name or number, or an image.
    async fn pick_from_image(&self, from: &str, given: &[String], found: &mut Sources) -> Result<()> {
        let flag = |text: String| Error::invalid(format!("invalid from flag value {from}: {text}"));
        let name = from.to_ascii_lowercase();
        let stage = match from.parse::<usize>() {
            Ok(number) => Some(self.done.get(number).ok_or_else(|| flag("index out of bounds".to_owned()))?),
            Err(_) => self.done.iter().find(|done| done.name.as_deref() == Some(name.as_str())),
        };
        let layers = match stage {
            Some(done) => done.base.as_ref().map(|base| base.layers.clone()).unwrap_or_default(),
            None => {
                let request = &self.prepared.request;
                let image = self.hands.image(from, &request.platform, request.pull).await;
                image
                    .map_err(|error| match error {
                        Error::Invalid(text) | Error::Missing(text) => flag(text),
                        error @ Error::NotFound { .. } => flag(error.to_string()),
                        other => other,
                    })?
                    .layers
            }
        };
        let rootfs = self.hands.images().rootfs(&layers).await?;
        for source in given {
            found.picked.extend(copy::pick(&rootfs.listing, 0, source, false).map_err(|error| failed("COPY", error))?);
        }
        let paths: Vec<String> = found.picked.iter().map(|picked| picked.path.clone()).collect();
        found.trees.push(self.hands.images().excerpt(&rootfs, &paths).await?);
        Ok(())
    }
}

impl Sources {
    /// A tree of one file.
    fn add_tree(&mut self, tree: Tree, name: &str) {
        let (tree_number, path) = (self.trees.len(), name.to_owned());
        self.trees.push(tree);
        let kind = NodeKind::File;
        self.picked.push(Picked { tree: tree_number, name: path.clone(), path, kind, is_archive: false });
    }
}

/// As dockerd begins what it says of sources.
fn failed(name: &str, error: Error) -> Error {
    match error {
        Error::Invalid(text) => Error::invalid(format!("{name} failed: {text}")),
        Error::Forbidden(text) => Error::forbidden(format!("{name} failed: {text}")),
        error @ Error::Unavailable { .. } => {
            let text = format!("{name} failed: {error}");
            Error::unavailable_because(text, error)
        }
        other => other,
    }
}

/// ADD's archives become trees of their own. What was fetched stays as it is, as does a heredoc. Blocking.
fn unpack(mut found: Sources, scratch: &images::tree::Scratch) -> Result<Sources> {
    for picked in found.picked.iter_mut().filter(|picked| picked.tree == 0 && picked.kind == NodeKind::File) {
        let tree = &found.trees[0];
        let Some(node) = tree.listing.get(&picked.path) else { continue };
        if let Some(unpacked) = tree.nested(node, scratch)? {
            picked.tree = found.trees.len();
            picked.path.clear();
            picked.is_archive = true;
            found.trees.push(unpacked);
        }
    }
    Ok(found)
}

fn is_heredoc(word: &str, name: &str) -> bool {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.strip_prefix("<<").is_some_and(|rest| rest.trim_start_matches('-') == name)
}

/// What a fetched file is called in a directory.
fn file_name(url: &str, destination: &str) -> Result<String> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = path.splitn(4, '/').nth(3).unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    match name {
        "" if destination.ends_with('/') => Err(Error::invalid(format!("cannot determine filename from url: {url}"))),
        "" | "." | ".." => Ok("download".to_owned()),
        name => Ok(name.to_owned()),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::because("a build's files", e))?
}
