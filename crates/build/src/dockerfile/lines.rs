//! Lines: directives, comments, continuations and heredocs' bodies. What comes out is one entry for each instruction.

use super::{
    Fault,
    heredoc::{self, Heredoc},
};

/// Bytes of one instruction with its heredocs, and instructions of one file: far above any real one.
const LINES_MAX: usize = 50_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Of its first line, from 1.
    pub(crate) number: usize,
    /// Continuations joined, the comments between them dropped.
    pub(crate) text: String,
    pub(crate) heredocs: Vec<Heredoc>,
}

#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub(crate) lines: Vec<Line>,
    /// `\` or a backtick.
    pub(crate) escape: char,
    pub(crate) warnings: Vec<String>,
}

/// Errors come with no line of their own.
pub(crate) fn split(text: &str) -> Result<Lines, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Lines { escape: '\\', ..Lines::default() };
    // A heredoc's body keeps its line ends.
    let raw: Vec<&str> = text.split_inclusive('\n').collect();
    let mut at = directives(&raw, &mut found)?;
    while at < raw.len() {
        let number = at + 1;
        let first = raw[at].trim();
        at += 1;
        if first.is_empty() || first.starts_with('#') {
            continue;
        }
        let (mut line, mut goes_on) = continued(raw[at - 1].trim_start(), found.escape);
        let mut empty_line = false;
        while goes_on && at < raw.len() {
            let next = raw[at];
            at += 1;
            if next.trim_start().starts_with('#') {
                continue;
            }
            if next.trim().is_empty() {
                empty_line = true;
                continue;
            }
            let (more, again) = continued(next, found.escape);
            line.push_str(&more);
            goes_on = again;
        }
        if line.trim().is_empty() {
            continue;
        }
        if empty_line {
            found.warnings.push(format!("[WARNING]: Empty continuation line found in: {line}"));
        }
        let line = line.trim_end_matches(['\r', '\n']).to_owned();
        let mut heredocs = heredoc::announced(&line, found.escape);
        for heredoc in &mut heredocs {
            at = body(heredoc, &raw, at)?;
        }
        found.lines.push(Line { number, text: line, heredocs });
        if found.lines.len() > LINES_MAX {
            return Err(Fault::syntax(format!("more than {LINES_MAX} instructions")));
        }
    }
    if !found.warnings.is_empty() {
        found.warnings.push("[WARNING]: Empty continuation lines will become errors in a future release.".to_owned());
    }
    if found.lines.is_empty() {
        return Err(Fault::syntax("file with no instructions"));
    }
    Ok(found)
}

/// `# escape=`, before anything else. How many lines it took.
fn directives(raw: &[&str], found: &mut Lines) -> Result<usize, Fault> {
    let mut seen: Vec<String> = Vec::new();
    for (at, line) in raw.iter().enumerate() {
        let Some((name, value)) = directive(line) else { return Ok(at) };
        if seen.contains(&name) {
            return Err(Fault::syntax(format!("only one {name} parser directive can be used")));
        }
        if name == "escape" {
            found.escape = match value.as_str() {
                "\\" => '\\',
                "`" => '`',
                other => {
                    return Err(Fault::syntax(format!("invalid escape token '{other}' does not match ` or \\")));
                }
            };
        }
        seen.push(name);
    }
    Ok(raw.len())
}

/// Only names that mean something; every other comment ends the directives.
fn directive(line: &str) -> Option<(String, String)> {
    let (name, value) = line.trim().strip_prefix('#')?.split_once('=')?;
    let name = name.trim().to_ascii_lowercase();
    ["escape", "syntax", "check"].contains(&name.as_str()).then(|| (name, value.trim().to_owned()))
}

/// The line without its continuation character, and whether it had one.
fn continued(line: &str, escape: char) -> (String, bool) {
    let line = line.trim_end_matches(['\r', '\n']);
    let body = line.trim_end_matches([' ', '\t']);
    match body.strip_suffix(escape) {
        Some(before) if !before.ends_with(escape) => (before.to_owned(), true),
        _ => (line.to_owned(), false),
    }
}

fn body(heredoc: &mut Heredoc, raw: &[&str], from: usize) -> Result<usize, Fault> {
    for (at, line) in raw.iter().enumerate().skip(from) {
        let bare = line.trim_end_matches(['\r', '\n']);
        let bare = if heredoc.chomp { bare.trim_start_matches('\t') } else { bare };
        if bare == heredoc.name {
            return Ok(at + 1);
        }
        heredoc.content.push_str(line);
    }
    Err(Fault::syntax("unterminated heredoc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        split(text).expect(text).lines.into_iter().map(|l| l.text).collect()
    }

    #[test]
    fn continuations_comments_and_the_escape_directive() {
        assert_eq!(texts("FROM a\n# c\n\nRUN b \\\n# c\n  && c\n"), ["FROM a", "RUN b   && c"]);
        assert_eq!(texts("# escape=`\nFROM a\nRUN b `\n c \\\nRUN d"), ["FROM a", "RUN b  c \\", "RUN d"]);
        assert_eq!(texts("# c\n# escape=`\nFROM a\nRUN b \\ \n c"), ["FROM a", "RUN b  c"]);
        assert_eq!(texts("\u{feff}FROM a\r\nRUN b \\\r\n c\r\n"), ["FROM a", "RUN b  c"]);
        assert_eq!(texts("RUN a \\\\\nRUN b"), ["RUN a \\\\", "RUN b"], "an escaped escape does not continue");
    }

    #[test]
    fn heredocs_take_the_lines_up_to_their_word() {
        let found = split("FROM a\nRUN <<E cat <<-'F'\nRUN not one\nE\n\tb\n\tF\nRUN c").expect("lines");
        let run = &found.lines[1];
        assert_eq!((run.heredocs[0].content.as_str(), run.heredocs[1].content.as_str()), ("RUN not one\n", "\tb\n"));
        assert_eq!((found.lines[2].text.as_str(), found.lines[2].number), ("RUN c", 7));
    }

    #[test]
    fn what_is_no_dockerfile_is_told_in_dockerds_words() {
        for (text, wanted) in [
            ("# hi\n", "file with no instructions"),
            ("RUN <<E\nx\n", "unterminated heredoc"),
            ("# escape=x\nFROM a", "invalid escape token 'x' does not match ` or \\"),
            ("# escape=`\n# escape=`\nFROM a", "only one escape parser directive can be used"),
        ] {
            assert_eq!(split(text).expect_err(text), Fault::syntax(wanted));
        }
    }

    #[test]
    fn an_empty_line_in_a_continuation_is_warned_of() {
        let found = split("FROM a\nRUN b \\\n\n c\n").expect("lines");
        assert_eq!(found.warnings[0], "[WARNING]: Empty continuation line found in: RUN b  c");
    }
}
