//! `<<WORD`, `<<-WORD`, `<<"WORD"` in the words of RUN, COPY and ADD.

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heredoc {
    pub name: String,
    /// Lines with their ends.
    pub content: String,
    /// Variables are put in, as the word was not quoted.
    pub expand: bool,
    /// Leading tabs are taken off.
    pub chomp: bool,
}

impl Heredoc {
    /// With `<<-`, without leading tabs.
    pub fn text(&self) -> String {
        match self.chomp {
            true => self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect(),
            false => self.content.clone(),
        }
    }
}

/// Those that an instruction begins, without their bodies.
pub(super) fn announced(line: &str, escape: char) -> Vec<Heredoc> {
    let keyword = line.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    let may_have = match keyword.as_str() {
        "ONBUILD" => line.split_whitespace().nth(1).unwrap_or_default().to_ascii_uppercase(),
        _ => keyword,
    };
    if !["RUN", "COPY", "ADD"].contains(&may_have.as_str()) || !line.contains("<<") {
        return Vec::new();
    }
    super::words::split(line, escape).iter().filter_map(|word| parse(word)).collect()
}

/// A whole word that is one. `3<<EOF` names a file descriptor, which only the shell understands.
pub(super) fn parse(word: &str) -> Option<Heredoc> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    if rest.starts_with('<') {
        return None; // a here-string
    }
    let (chomp, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
    let quoted = |q: char| rest.strip_prefix(q).and_then(|r| r.strip_suffix(q));
    let (name, expand) = match quoted('"').or_else(|| quoted('\'')) {
        Some(name) => (name, false),
        None => (rest, true),
    };
    let plain = |c: char| !c.is_whitespace() && !['<', '>', '|', '&', ';', '"', '\'', '(', ')', '$', '`'].contains(&c);
    if name.is_empty() || !name.chars().all(plain) {
        return None;
    }
    Some(Heredoc { name: name.to_owned(), content: String::new(), expand, chomp })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_begin_one() {
        let heredoc =
            |name: &str, expand, chomp| Some(Heredoc { name: name.to_owned(), content: String::new(), expand, chomp });
        assert_eq!(parse("<<EOF"), heredoc("EOF", true, false));
        assert_eq!(parse("<<-'E'"), heredoc("E", false, true));
        assert_eq!(parse("3<<E"), heredoc("E", true, false));
        for word in ["<<", "<<<x", "<", "a<<b", "<<a;b"] {
            assert_eq!(parse(word), None, "{word}");
        }
    }

    #[test]
    fn only_some_instructions_have_them() {
        assert_eq!(announced("COPY <<a <<b /x/", '\\').len(), 2);
        assert!(announced("CMD <<a", '\\').is_empty());
        assert_eq!(announced("ONBUILD RUN <<a", '\\').len(), 1);
    }
}
