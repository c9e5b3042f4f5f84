//! Patterns: of source files (`COPY *.txt /`), of `.dockerignore`, and of `${variable%pattern}`.
//!
//! Matching walks all states of the pattern at once: linear in the text, whatever a tenant writes.

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(char),
    /// `?`; a `/` only where paths mean nothing.
    One,
    /// `*`: any number of characters, in one part of the path.
    Many,
    /// `**`: any number of any characters.
    Deep,
    /// `**/`: nothing, or whole directories.
    Directories,
    /// `[a-z]`, `[^a]`.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    tokens: Vec<Token>,
    /// `*` and `?` stop at a `/`.
    path: bool,
}

impl Pattern {
    /// Go's `filepath.Match`; None where it is malformed.
    pub(crate) fn file(text: &str) -> Option<Self> {
        Some(Self { tokens: tokens(text, false)?, path: true })
    }

    /// A line of `.dockerignore`, already clean.
    pub(crate) fn ignore(text: &str) -> Option<Self> {
        Some(Self { tokens: tokens(text, true)?, path: true })
    }

    /// Of a shell's substitutions: only `*` and `?` mean something.
    pub(crate) fn text(text: &str) -> Self {
        let mut tokens = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Many,
                '?' => Token::One,
                '\\' => Token::Literal(chars.next().unwrap_or('\\')),
                c => Token::Literal(c),
            });
        }
        Self { tokens, path: false }
    }

    pub(crate) fn has_wildcards(text: &str) -> bool {
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => drop(chars.next()),
                '*' | '?' | '[' => return true,
                _ => {}
            }
        }
        false
    }

    /// The whole of `text`.
    pub(crate) fn fits(&self, text: &str) -> bool {
        let end = self.tokens.len();
        let mut states = vec![false; end + 1];
        self.enter(0, &mut states);
        for c in text.chars() {
            let mut next = vec![false; end + 1];
            for at in (0..end).filter(|at| states[*at]) {
                match &self.tokens[at] {
                    Token::Many if self.path && c == '/' => {}
                    Token::Many | Token::Deep => self.enter(at, &mut next),
                    // Inside of a directory's name nothing may follow, so the state is kept and not entered again.
                    Token::Directories if c == '/' => {
                        next[at] = true;
                        self.enter(at + 1, &mut next);
                    }
                    Token::Directories => next[at] = true,
                    one if self.takes(one, c) => self.enter(at + 1, &mut next),
                    _ => {}
                }
            }
            states = next;
        }
        states[end]
    }

    fn takes(&self, token: &Token, c: char) -> bool {
        match token {
            Token::Literal(wanted) => *wanted == c,
            Token::One => !self.path || c != '/',
            Token::Class { negated, ranges } => {
                let inside = ranges.iter().any(|(from, to)| (*from..=*to).contains(&c));
                inside != *negated && c != '/'
            }
            Token::Many | Token::Deep | Token::Directories => false,
        }
    }

    /// The state, and those behind it that it may leave out.
    fn enter(&self, mut at: usize, states: &mut [bool]) {
        states[at] = true;
        while matches!(self.tokens.get(at), Some(Token::Many | Token::Deep | Token::Directories)) {
            at += 1;
            states[at] = true;
        }
    }
}

fn tokens(text: &str, deep: bool) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' if deep && chars.next_if_eq(&'*').is_some() => match chars.next_if_eq(&'/') {
                Some(_) => Token::Directories,
                None => Token::Deep,
            },
            '*' => Token::Many,
            '?' => Token::One,
            '\\' => Token::Literal(chars.next()?),
            '[' => class(&mut chars)?,
            c => Token::Literal(c),
        });
    }
    Some(tokens)
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let from = match chars.next()? {
            ']' if !ranges.is_empty() => return Some(Token::Class { negated, ranges }),
            ']' | '-' => return None,
            '\\' => chars.next()?,
            c => c,
        };
        let to = match chars.next_if_eq(&'-') {
            Some(_) => match chars.next()? {
                '\\' => chars.next()?,
                c => c,
            },
            None => from,
        };
        ranges.push((from, to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_patterns_are_gos() {
        for (pattern, text, wanted) in [
            ("*.txt", "a.txt", true),
            ("*.txt", "d/a.txt", false),
            ("d/*", "d/a", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("\\*", "*", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1b2d", false),
            ("*", "", true),
        ] {
            assert_eq!(Pattern::file(pattern).expect(pattern).fits(text), wanted, "{pattern} {text}");
        }
        assert!(Pattern::file("[").is_none() && Pattern::file("a\\").is_none() && Pattern::file("[]").is_none());
    }

    #[test]
    fn deep_patterns() {
        for (pattern, text, wanted) in [
            ("**/x", "x", true),
            ("**/x", "a/b/x", true),
            ("**/x", "a/bx", false),
            ("a/**/x", "a/x", true),
            ("a/**/x", "a/b/c/x", true),
            ("a/**/x", "a/bx", false),
            ("a/**", "a/b/c", true),
            ("**", "a/b", true),
            ("**.go", "a/b.go", true),
            ("a**b", "a/x/b", true),
        ] {
            assert_eq!(Pattern::ignore(pattern).expect(pattern).fits(text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let pattern = Pattern::file(&"*a".repeat(200)).expect("pattern");
        assert!(!pattern.fits(&"a".repeat(4000).replace("aa", "ab")));
    }
}
