//! The lexical part of Dockerfile instructions: words, quotes, and `$variables`.

use domain::{Error, Result};

/// Splits at white space outside of quotes; quotes and escapes stay in the words, for [`expand`].
pub(super) fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quote != Some('\'') => {
                word.push(c);
                word.extend(chars.next());
            }
            '"' | '\'' => {
                quote = match quote {
                    None => Some(c),
                    Some(open) if open == c => None,
                    open => open,
                };
                word.push(c);
            }
            c if c.is_whitespace() && quote.is_none() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Takes quotes and escapes away and puts variables in. `env`: `K=V`; unknown variables are empty.
pub(super) fn expand(word: &str, env: &[String]) -> Result<String> {
    let mut out = String::new();
    let mut quote = None;
    let mut chars = word.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            ('\\', None) => out.extend(chars.next()),
            ('\\', Some('"')) => match chars.next() {
                Some(c @ ('"' | '$' | '\\')) => out.push(c),
                next => {
                    out.push('\\');
                    out.extend(next);
                }
            },
            ('$', None | Some('"')) => out.push_str(&variable(&mut chars, env, word)?),
            (c, _) => out.push(c),
        }
    }
    if quote.is_some() {
        return Err(Error::invalid(format!(
            "unexpected end of statement while looking for matching quote in {word:?}"
        )));
    }
    Ok(out)
}

/// After the `$`: `NAME`, `{NAME}`, `{NAME:-word}`, `{NAME:+word}`.
fn variable(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, env: &[String], word: &str) -> Result<String> {
    if chars.next_if_eq(&'{').is_none() {
        let mut name = String::new();
        while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
        }
        return Ok(if name.is_empty() { "$".to_owned() } else { value(&name, env).unwrap_or_default().to_owned() });
    }
    let mut inside = String::new();
    let mut depth = 1;
    for c in chars.by_ref() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 {
            return substitute(&inside, env, word);
        }
        inside.push(c);
    }
    Err(Error::invalid(format!("syntax error: missing '}}' in {word:?}")))
}

fn substitute(inside: &str, env: &[String], word: &str) -> Result<String> {
    let end = inside.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inside.len());
    let (name, modifier) = inside.split_at(end);
    let set = value(name, env).filter(|v| !v.is_empty());
    match (name.is_empty(), modifier.get(..2), modifier.get(2..)) {
        (false, None, _) if modifier.is_empty() => Ok(set.unwrap_or_default().to_owned()),
        (false, Some(":-"), Some(other)) => set.map_or_else(|| expand(other, env), |v| Ok(v.to_owned())),
        (false, Some(":+"), Some(other)) if set.is_some() => expand(other, env),
        (false, Some(":+"), _) => Ok(String::new()),
        _ => Err(Error::invalid(format!("unsupported modifier in substitution: {word:?}"))),
    }
}

pub(super) fn value<'a>(name: &str, env: &'a [String]) -> Option<&'a str> {
    env.iter().rev().filter_map(|pair| pair.split_once('=')).find(|(k, _)| *k == name).map(|(_, v)| v)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_escapes_and_variables() {
        let env = vec!["A=x".to_owned(), "E=".to_owned()];
        for (word, wanted) in [
            ("a\\ b", "a b"),
            ("'$A'\"$A\"$A", "$Axx"),
            ("${A}y${N:-d}${A:+s}${N:+s}${E:-e}", "xydse"),
            ("\"a\\\"b\\n\"", "a\"b\\n"),
            ("$", "$"),
            ("\\$A", "$A"),
        ] {
            assert_eq!(expand(word, &env).expect(word), wanted, "{word}");
        }
        assert!(expand("'a", &env).is_err() && expand("${A", &env).is_err() && expand("${A:?x}", &env).is_err());
        assert_eq!(split(r#" a="b c"  d\ e 'f g' "#), [r#"a="b c""#, r"d\ e", "'f g'"]);
    }
}
