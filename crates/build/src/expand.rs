//! `$variables`, quotes and escapes in the words of instructions, by the rules of Dockerfiles (which are nearly a shell's).

use domain::{Error, Result};

use crate::pattern::Pattern;

/// `${a:-${b:-...}}` inside each other.
const DEPTH_MAX: usize = 50;
/// Of one expanded word: variables that hold variables grow fast.
const WORD_MAX_BYTES: usize = 1 << 20;

/// Where values come from: None where a variable is not set.
pub(crate) trait Variables {
    fn value(&self, name: &str) -> Option<String>;
}

/// The word with variables put in, quotes and escapes taken off.
pub(crate) fn expand(word: &str, escape: char, variables: &dyn Variables) -> Result<String> {
    let mut lex = Lex { chars: word.chars().collect(), at: 0, escape, variables, depth: 0, raw_quotes: false };
    let done = lex.until(None, false);
    done.map_err(|text| Error::invalid(format!("failed to process {word:?}: {text}")))
}

/// Only variables: quotes stay as they are, as a heredoc's body wants it.
pub(crate) fn expand_body(text: &str, escape: char, variables: &dyn Variables) -> Result<String> {
    let mut lex = Lex { chars: text.chars().collect(), at: 0, escape, variables, depth: 0, raw_quotes: true };
    lex.until(None, false).map_err(|text| Error::invalid(format!("failed to process a heredoc: {text}")))
}

struct Lex<'a> {
    chars: Vec<char>,
    at: usize,
    escape: char,
    variables: &'a dyn Variables,
    depth: usize,
    raw_quotes: bool,
}

impl Lex<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    /// Up to `stop`, which is taken, or the end. `raw`: escapes stay, for patterns.
    fn until(&mut self, stop: Option<char>, raw: bool) -> Result<String, String> {
        let mut out = String::new();
        while let Some(c) = self.next() {
            if Some(c) == stop {
                return Ok(out);
            }
            match c {
                '\'' if !self.raw_quotes => self.single_quoted(&mut out)?,
                '"' if !self.raw_quotes => self.double_quoted(&mut out)?,
                '$' => out.push_str(&self.dollar()?),
                c if c == self.escape => match self.next() {
                    Some(next) if raw || (self.raw_quotes && !['$', c].contains(&next)) => out.extend([c, next]),
                    Some(next) => out.push(next),
                    None => out.push(c),
                },
                c => out.push(c),
            }
            if out.len() > WORD_MAX_BYTES {
                return Err(format!("it becomes longer than {WORD_MAX_BYTES} bytes"));
            }
        }
        match stop {
            Some(stop) => Err(format!("unexpected end of statement while looking for matching {stop}")),
            None => Ok(out),
        }
    }

    fn single_quoted(&mut self, out: &mut String) -> Result<(), String> {
        loop {
            match self.next() {
                Some('\'') => return Ok(()),
                Some(c) => out.push(c),
                None => return Err("unexpected end of statement while looking for matching single-quote".to_owned()),
            }
        }
    }

    fn double_quoted(&mut self, out: &mut String) -> Result<(), String> {
        loop {
            match self.next() {
                Some('"') => return Ok(()),
                Some('$') => out.push_str(&self.dollar()?),
                Some(c) if c == self.escape => match self.next() {
                    Some(next) if next == '"' || next == '$' || next == self.escape => out.push(next),
                    next => {
                        out.push(c);
                        out.extend(next);
                    }
                },
                Some(c) => out.push(c),
                None => return Err("unexpected end of statement while looking for matching double-quote".to_owned()),
            }
        }
    }

    fn dollar(&mut self) -> Result<String, String> {
        if self.peek() != Some('{') {
            let name = self.name();
            return Ok(if name.is_empty() { "$".to_owned() } else { self.variables.value(&name).unwrap_or_default() });
        }
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("variables are nested too deeply".to_owned());
        }
        let value = self.braces();
        self.depth -= 1;
        value
    }

    fn braces(&mut self) -> Result<String, String> {
        let missing = || "syntax error: missing '}'".to_owned();
        match self.peek() {
            None => return Err(missing()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".to_owned()),
            Some(_) => {}
        }
        let name = self.name();
        let value = self.variables.value(&name);
        let mut modifier = self.next().ok_or_else(missing)?;
        let mut empty_counts_as_unset = false;
        if modifier == ':' {
            empty_counts_as_unset = true;
            modifier = self.next().ok_or_else(missing)?;
        }
        let is_set = value.as_ref().is_some_and(|v| !empty_counts_as_unset || !v.is_empty());
        let given = value.unwrap_or_default();
        match modifier {
            '}' if !empty_counts_as_unset => Ok(given),
            '-' => self.until(Some('}'), false).map(|word| if is_set { given } else { word }),
            '+' => self.until(Some('}'), false).map(|word| if is_set { word } else { String::new() }),
            '?' => match self.until(Some('}'), false)? {
                _ if is_set => Ok(given),
                word if word.is_empty() => Err(format!("{name}: not allowed to be unset")),
                word => Err(format!("{name}: {word}")),
            },
            '#' | '%' if !empty_counts_as_unset => {
                let longest = self.peek() == Some(modifier);
                self.at += usize::from(longest);
                let pattern = self.until(Some('}'), true)?;
                Ok(cut(&given, &Pattern::text(&pattern), modifier == '#', longest).to_owned())
            }
            '/' if !empty_counts_as_unset => {
                let every = self.peek() == Some('/');
                self.at += usize::from(every);
                let pattern = self.until(Some('/'), true)?;
                let with = self.until(Some('}'), false)?;
                replaced(&given, &Pattern::text(&pattern), &with, every)
            }
            other => Err(format!("unsupported modifier ({other}) in substitution")),
        }
    }

    /// Letters, digits and `_`; or one of the shell's own parameters.
    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek() {
            match c {
                '@' | '*' | '#' | '?' | '-' | '!' | '0' if name.is_empty() => {
                    self.at += 1;
                    return c.to_string();
                }
                c if c.is_ascii_alphanumeric() || c == '_' => name.push(c),
                _ => break,
            }
            self.at += 1;
        }
        name
    }
}

/// Without the beginning (or the end) that the pattern fits.
fn cut<'a>(value: &'a str, pattern: &Pattern, beginning: bool, longest: bool) -> &'a str {
    let mut places: Vec<usize> = value.char_indices().map(|(at, _)| at).chain([value.len()]).collect();
    // From the shortest part to the longest, or the other way.
    if beginning == longest {
        places.reverse();
    }
    let fits = |at: &usize| if beginning { pattern.fits(&value[..*at]) } else { pattern.fits(&value[*at..]) };
    match places.iter().find(|at| fits(at)) {
        Some(at) if beginning => &value[*at..],
        Some(at) => &value[..*at],
        None => value,
    }
}

fn replaced(value: &str, pattern: &Pattern, with: &str, every: bool) -> Result<String, String> {
    // Quadratic in the value, and each try is linear again.
    if value.len() > 4096 {
        return Err("the value is too long to be replaced in".to_owned());
    }
    let mut out = String::new();
    let mut rest = value;
    while !rest.is_empty() {
        let ends = rest.char_indices().map(|(at, c)| at + c.len_utf8()).rev();
        match ends.into_iter().find(|end| pattern.fits(&rest[..*end])) {
            Some(end) => {
                out.push_str(with);
                rest = &rest[end..];
                if !every {
                    break;
                }
            }
            None => {
                let first = rest.chars().next().map_or(0, char::len_utf8);
                out.push_str(&rest[..first]);
                rest = &rest[first..];
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Variables for Fixed {
        fn value(&self, name: &str) -> Option<String> {
            let values = [("A", "x"), ("E", ""), ("P", "/usr/lib/x.tar.gz")];
            values.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn words_are_expanded_as_dockerd_does() {
        for (word, wanted) in [
            ("a\\ b", "a b"),
            ("'$A'\"$A\"$A", "$Axx"),
            ("${A}y${N:-d}${A:+s}${N:+s}${E:-e}", "xydse"),
            ("${E-e}${N-e}${E+s}", "es"),
            ("\"a\\\"b\\n\"", "a\"b\\n"),
            ("$", "$"),
            ("\\$A", "$A"),
            ("${N:-${A}z}", "xz"),
            ("${P#*/}", "usr/lib/x.tar.gz"),
            ("${P##*/}", "x.tar.gz"),
            ("${P%.*}", "/usr/lib/x.tar"),
            ("${P%%.*}", "/usr/lib/x"),
            ("${P/lib/LIB}", "/usr/LIB/x.tar.gz"),
            ("${P//\\//-}", "-usr-lib-x.tar.gz"),
            ("${A:?no}", "x"),
            ("$A$N.$A", "x.x"),
        ] {
            assert_eq!(expand(word, '\\', &Fixed).expect(word), wanted, "{word}");
        }
        assert_eq!(expand("`$A $A", '`', &Fixed).expect("escape"), "$A x");
    }

    #[test]
    fn errors_name_the_word() {
        for (word, wanted) in [
            ("${b:?err}", "failed to process \"${b:?err}\": b: err"),
            ("${A", "failed to process \"${A\": syntax error: missing '}'"),
            ("${}", "failed to process \"${}\": syntax error: bad substitution"),
            ("${A^x}", "failed to process \"${A^x}\": unsupported modifier (^) in substitution"),
        ] {
            assert_eq!(expand(word, '\\', &Fixed).expect_err(word).to_string(), wanted);
        }
        assert!(expand("'a", '\\', &Fixed).is_err() && expand("\"a", '\\', &Fixed).is_err());
    }

    #[test]
    fn a_body_keeps_its_quotes() {
        let body = expand_body("a \"$A\" '$A' \\$A \\n\n", '\\', &Fixed).expect("body");
        assert_eq!(body, "a \"x\" 'x' $A \\n\n");
    }

    proptest::proptest! {
        #[test]
        fn no_word_is_too_much(word in "[$ {}:\\-+?#%/'\"\\\\aAP*]{0,40}") {
            let _ = expand(&word, '\\', &Fixed);
        }
    }
}
