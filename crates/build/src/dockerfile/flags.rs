//! `--name=value` in front of an instruction's arguments.

use super::Fault;

/// Those that were given, and what follows them.
#[derive(Debug, Default)]
pub(super) struct Flags {
    given: Vec<(String, Option<String>)>,
}

impl Flags {
    /// `text` is left at the first word that is no flag.
    pub(super) fn take(text: &mut &str, escape: char) -> Self {
        let mut flags = Self::default();
        loop {
            *text = text.trim_start();
            let Some(rest) = text.strip_prefix("--") else { return flags };
            let end = end_of_word(rest, escape);
            let (word, after) = rest.split_at(end);
            *text = after;
            if word.is_empty() {
                return flags; // `--` ends them
            }
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word, None),
            };
            flags.given.push((name.to_owned(), value));
        }
    }

    /// Refuses what is not in `known`, what comes twice unless it is in `many`, and what has no value unless it is in `bare`.
    pub(super) fn only(&self, known: &[&str], bare: &[&str], many: &[&str]) -> Result<(), Fault> {
        for (at, (name, value)) in self.given.iter().enumerate() {
            let name = name.as_str();
            if !known.contains(&name) && !bare.contains(&name) && !many.contains(&name) {
                return Err(Fault::instruction(format!("unknown flag: {name}")));
            }
            if !many.contains(&name) && self.given[..at].iter().any(|(other, _)| other == name) {
                return Err(Fault::instruction(format!("duplicate flag specified: {name}")));
            }
            if value.is_none() && !bare.contains(&name) {
                return Err(Fault::instruction(format!("missing a value on flag: {name}")));
            }
            if bare.contains(&name) && !matches!(value.as_deref(), None | Some("true" | "false")) {
                return Err(Fault::instruction(format!("expecting boolean value for flag {name}")));
            }
        }
        Ok(())
    }

    pub(super) fn value(&self, name: &str) -> Option<String> {
        self.given.iter().find(|(n, _)| n == name).and_then(|(_, value)| value.clone())
    }

    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.given.iter().filter(|(n, _)| n == name).filter_map(|(_, value)| value.clone()).collect()
    }
}

fn end_of_word(text: &str, escape: char) -> usize {
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == escape => drop(chars.next()),
            '"' | '\'' if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => quote = Some(c),
            c if c.is_whitespace() && quote.is_none() => return at,
            _ => {}
        }
    }
    text.len()
}
