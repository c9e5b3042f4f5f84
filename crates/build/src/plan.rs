//! Before the first step: the Dockerfile is found and read, and the context loses what `.dockerignore` says of it.

use domain::{Error, Result};
use images::tree::{NodeKind, Tree, clean};

use crate::{dockerfile::Dockerfile, hands::Request, ignore::Ignore};

/// Far above any real one.
const DOCKERFILE_MAX_BYTES: u64 = 1 << 20;
const IGNORE: &str = ".dockerignore";

/// A build that can start: everything that is wrong before the first step has been told.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) context: Tree,
    pub(crate) dockerfile: Dockerfile,
    pub(crate) request: Request,
}

impl Prepared {
    /// Blocking. `Invalid` in dockerd's words.
    pub fn new(mut context: Tree, request: Request) -> Result<Self> {
        let given = if request.dockerfile.is_empty() { "Dockerfile" } else { request.dockerfile.as_str() };
        let text = text(&context, given)?;
        leave_out(&mut context, given)?;
        let mut dockerfile = Dockerfile::parse(&text)?;
        if !request.target.is_empty() {
            dockerfile.until(&request.target)?;
        }
        dockerfile.label(&request.labels);
        Ok(Self { context, dockerfile, request })
    }
}

fn text(context: &Tree, given: &str) -> Result<String> {
    let climbs = given.split('/').scan(0i32, |depth, part| {
        *depth += match part {
            "" | "." => 0,
            ".." => -1,
            _ => 1,
        };
        Some(*depth)
    });
    if climbs.min().is_some_and(|depth| depth < 0) {
        return Err(Error::invalid(format!("forbidden path outside the build context: {given} ()")));
    }
    let missing = || Error::invalid(format!("Cannot locate specified Dockerfile: {given}"));
    let find = |name: &str| {
        let path = context.listing.resolve(&clean(name))?;
        context.listing.get(&path).filter(|node| node.kind == NodeKind::File)
    };
    // dockerd takes the name in lower case where the usual one is missing.
    let lower = || if given == "Dockerfile" { find("dockerfile") } else { None };
    let node = find(given).or_else(lower).ok_or_else(missing)?;
    if node.size_bytes == 0 {
        return Err(Error::invalid(format!("the Dockerfile ({given}) cannot be empty")));
    }
    let bytes = context.read(node, DOCKERFILE_MAX_BYTES)?;
    String::from_utf8(bytes).map_err(|_| Error::invalid(format!("the Dockerfile ({given}) is not UTF-8")))
}

/// The two files themselves may be named in `.dockerignore`: they are read, and not copied.
fn leave_out(context: &mut Tree, dockerfile: &str) -> Result<()> {
    let Some(node) = context.listing.get(IGNORE).filter(|node| node.kind == NodeKind::File) else { return Ok(()) };
    let bytes = context.read(node, DOCKERFILE_MAX_BYTES)?;
    let ignore = Ignore::parse(&String::from_utf8_lossy(&bytes))?;
    for path in [IGNORE.to_owned(), clean(dockerfile)] {
        if ignore.leaves_out(&path) {
            context.listing.remove(&path);
        }
    }
    Ok(())
}
