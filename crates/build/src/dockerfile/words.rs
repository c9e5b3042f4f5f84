//! Words of an instruction: split at white space outside of quotes, JSON lists, `name=value` pairs. Quotes stay in the
//! words; they are taken off when variables are put in.

use super::Fault;

pub(crate) fn split(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c == escape && quote != Some('\'') => {
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

/// A JSON array of strings. None: it is none, and the text means itself.
pub(super) fn json_list(text: &str) -> Result<Option<Vec<String>>, Fault> {
    if !text.trim_start().starts_with('[') {
        return Ok(None);
    }
    match serde_json::from_str::<Vec<serde_json::Value>>(text) {
        Err(_) => Ok(None),
        Ok(items) => {
            let words: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
            let refused = "when using JSON array syntax, arrays must be comprised of strings only";
            words.map(Some).ok_or_else(|| Fault::syntax(refused))
        }
    }
}

/// `k=v k2="v 2"`, or the old form `k all the rest`.
pub(super) fn pairs(instruction: &str, rest: &str, escape: char) -> Result<Vec<(String, String)>, Fault> {
    let words = split(rest, escape);
    let Some(first) = words.first() else { return Ok(Vec::new()) };
    if !first.contains('=') {
        let (key, value) = rest
            .split_once(char::is_whitespace)
            .ok_or_else(|| Fault::syntax(format!("{instruction} must have two arguments")))?;
        return Ok(vec![(key.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: &String| {
        let (key, value) = word.split_once('=').ok_or_else(|| {
            let text = format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value");
            Fault::syntax(text)
        })?;
        Ok((key.to_owned(), value.to_owned()))
    };
    words.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_lists() {
        assert_eq!(split(r#" a="b c"  d\ e 'f g' "#, '\\'), [r#"a="b c""#, r"d\ e", "'f g'"]);
        assert_eq!(json_list("[\"a\", \"b\"]"), Ok(Some(vec!["a".to_owned(), "b".to_owned()])));
        assert_eq!(json_list("[foo"), Ok(None));
        assert!(json_list("[\"a\", 1]").is_err());
    }

    #[test]
    fn both_forms_of_pairs() {
        let own = |pairs: &[(&str, &str)]| {
            Ok(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>())
        };
        assert_eq!(pairs("ENV", "a b  c \"d\"", '\\'), own(&[("a", "b  c \"d\"")]));
        assert_eq!(pairs("ENV", "a=b c='d e'", '\\'), own(&[("a", "b"), ("c", "'d e'")]));
        assert_eq!(pairs("ENV", "a", '\\'), Err(Fault::syntax("ENV must have two arguments")));
        let text = "Syntax error - can't find = in \"c\". Must be of the form: name=value";
        assert_eq!(pairs("LABEL", "a=b c", '\\'), Err(Fault::syntax(text)));
    }
}
