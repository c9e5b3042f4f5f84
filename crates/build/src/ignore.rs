//! `.dockerignore`: which paths of a context are left out.
//!
//! Clients apply it before they send, so dockerd looks only whether the Dockerfile and `.dockerignore` itself are named in
//! it, and so do we. The matcher is whole all the same: a pattern in front of `!Dockerfile` may say anything.

use domain::{Error, Result};

use crate::pattern::Pattern;

const LINES_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Ignore {
    /// In their order: the last that fits decides.
    lines: Vec<(bool, Pattern)>,
}

impl Ignore {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = Vec::new();
        for line in text.lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (kept, pattern) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let invalid = || Error::invalid(format!("error parsing .dockerignore: syntax error in pattern {line:?}"));
            if kept && pattern.is_empty() {
                return Err(Error::invalid("illegal exclusion pattern: \"!\""));
            }
            lines.push((kept, Pattern::ignore(&images::tree::clean(pattern)).ok_or_else(invalid)?));
            if lines.len() > LINES_MAX {
                return Err(Error::invalid(format!(".dockerignore has more than {LINES_MAX} lines (policy B02)")));
            }
        }
        Ok(Self { lines })
    }

    /// A path is out with each of its directories, too.
    pub(crate) fn leaves_out(&self, path: &str) -> bool {
        let mut parents: Vec<&str> = path.match_indices('/').map(|(at, _)| &path[..at]).collect();
        parents.push(path);
        let mut out = false;
        for (kept, pattern) in &self.lines {
            if out == *kept && parents.iter().any(|part| pattern.fits(part)) {
                out = !kept;
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_fits_decides() {
        let text = "# c\n*.md\n!README.md\n/tmp\n**/*.go\nb/**\n!b/keep\nsub/dir/\nDockerfile*\n";
        let ignore = Ignore::parse(text).expect("lines");
        for (path, out) in [
            ("a.md", true),
            ("README.md", false),
            ("d/a.md", false),
            ("tmp", true),
            ("tmp/x/y", true),
            ("d/e/x.go", true),
            ("x.go", true),
            ("b/x", true),
            ("b/keep", false),
            ("sub/dir/x", true),
            ("sub/dirx", false),
            ("Dockerfile.dev", true),
            (".dockerignore", false),
        ] {
            assert_eq!(ignore.leaves_out(path), out, "{path}");
        }
        assert!(Ignore::parse("!").is_err() && Ignore::parse("[").is_err());
    }
}
