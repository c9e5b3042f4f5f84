//! Shell patterns as Go's `path.Match` has them: `*` and `?` do not cross a slash, `[a-z]`, `[^x]`, `\` escapes.
//!
//! Time is at most pattern times text: only the last `*` is ever taken up again.

use domain::{Error, Result};

#[derive(Debug, PartialEq)]
enum Token {
    Any,
    One,
    Exact(char),
    Set { negated: bool, ranges: Vec<(char, char)> },
}

#[derive(Debug)]
pub(super) struct Pattern(Vec<Token>);

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let bad = || Error::invalid("syntax error in pattern");
        let mut tokens = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Any,
                '?' => Token::One,
                '\\' => Token::Exact(chars.next().ok_or_else(bad)?),
                '[' => {
                    let negated = chars.next_if_eq(&'^').is_some();
                    Token::Set { negated, ranges: ranges(&mut chars).ok_or_else(bad)? }
                }
                c => Token::Exact(c),
            });
        }
        Ok(Self(tokens))
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut token, mut at) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        loop {
            match (self.0.get(token), text.get(at)) {
                (None, None) => return true,
                (Some(Token::Any), _) => {
                    star = Some((token, at));
                    token += 1;
                    continue;
                }
                (Some(wanted), Some(c)) if wanted.fits(*c) => {
                    (token, at) = (token + 1, at + 1);
                    continue;
                }
                _ => {}
            }
            // Let the last star take one more.
            match star {
                Some((star_token, taken)) if text.get(taken).is_some_and(|c| *c != '/') => {
                    star = Some((star_token, taken + 1));
                    (token, at) = (star_token + 1, taken + 1);
                }
                _ => return false,
            }
        }
    }
}

impl Token {
    fn fits(&self, c: char) -> bool {
        match self {
            Self::Any => false,
            Self::One => c != '/',
            Self::Exact(wanted) => *wanted == c,
            Self::Set { negated, ranges } => {
                c != '/' && ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated
            }
        }
    }
}

/// Up to the closing bracket; None where there is none, or nothing before it.
fn ranges(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Vec<(char, char)>> {
    let mut ranges = Vec::new();
    loop {
        let from = match chars.next()? {
            ']' => return if ranges.is_empty() { None } else { Some(ranges) },
            '\\' => chars.next()?,
            c => c,
        };
        let to = if chars.next_if_eq(&'-').is_some() {
            match chars.next()? {
                ']' => return None,
                '\\' => chars.next()?,
                c => c,
            }
        } else {
            from
        };
        ranges.push((from, to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_gos_do() {
        for (pattern, text, wanted) in [
            ("busybox", "busybox", true),
            ("busy*", "busybox", true),
            ("*box:?.*", "busybox:1.36", true),
            ("*", "a/b", false),
            ("*/*", "a/b", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("a\\*", "a*", true),
            ("*a*b", "xaxxb", true),
            ("", "", true),
        ] {
            assert_eq!(Pattern::parse(pattern).expect(pattern).matches(text), wanted, "{pattern} {text}");
        }
        assert!(Pattern::parse("[").is_err() && Pattern::parse("[]").is_err() && Pattern::parse("\\").is_err());
    }
}
