//! One instruction: its words checked, nothing expanded yet. Errors are dockerd's.

use serde_json::Value;

use super::{
    Fault,
    flags::Flags,
    health,
    heredoc::{self, Heredoc},
    lines::Line,
    words,
};

const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// An instruction and the text that is shown of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Instruction {
    pub text: String,
    pub line: usize,
    pub command: Command,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// `name` in lower case.
    From {
        image: String,
        name: Option<String>,
        platform: Option<String>,
    },
    Arg(Vec<(String, Option<String>)>),
    Run(Run),
    Copy(Copy),
    Cmd(Program),
    Entrypoint(Program),
    Env(Vec<(String, String)>),
    /// `literal`: from a parameter, nothing is expanded.
    Label {
        pairs: Vec<(String, String)>,
        literal: bool,
    },
    Expose(Vec<String>),
    Workdir(String),
    User(String),
    Volume(Vec<String>),
    Stopsignal(String),
    /// Docker's `Healthcheck` object.
    Healthcheck(Value),
    Shell(Vec<String>),
    Onbuild(Onbuild),
    Maintainer(String),
}

/// A command line in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// One word, for the shell.
    Shell(String),
    Exec(Vec<String>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub program: Program,
    pub heredocs: Vec<Heredoc>,
    /// Of `--network`.
    pub network: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// URLs are fetched, archives unpacked.
    pub is_add: bool,
    /// A heredoc stands among them as its word.
    pub sources: Vec<String>,
    pub destination: String,
    pub heredocs: Vec<Heredoc>,
    pub from: Option<String>,
    pub chown: Option<String>,
    pub chmod: Option<String>,
}

/// The trigger as it was written, with its heredocs' bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Onbuild(pub String);

/// A trigger out of an image, which is one instruction.
pub fn trigger(text: &str) -> domain::Result<Instruction> {
    let lines = super::lines::split(text).map_err(|fault| fault.at(1))?;
    match &lines.lines[..] {
        [line] => parse(line, lines.escape).map_err(|fault| fault.at(1)),
        _ => Err(domain::Error::invalid("onbuild trigger should be a single expression")),
    }
}

pub(super) fn parse(line: &Line, escape: char) -> Result<Instruction, Fault> {
    let text = line.text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let name = word.to_ascii_uppercase();
    let mut rest = rest.trim();
    if !NAMES.contains(&name.as_str()) {
        return Err(unknown(word));
    }
    let flags = Flags::take(&mut rest, escape);
    let given = Given { name: &name, rest: rest.trim(), flags, heredocs: &line.heredocs, escape };
    Ok(Instruction { text: text.to_owned(), line: line.number, command: given.command()? })
}

struct Given<'a> {
    name: &'a str,
    rest: &'a str,
    flags: Flags,
    heredocs: &'a [Heredoc],
    escape: char,
}

impl Given<'_> {
    fn command(self) -> Result<Command, Fault> {
        let has_flags = matches!(self.name, "FROM" | "RUN" | "COPY" | "ADD" | "HEALTHCHECK");
        if !has_flags {
            self.flags.only(&[], &[], &[])?;
        }
        match self.name {
            "FROM" => self.from(),
            "ARG" => self.arg(),
            "RUN" => self.run(),
            "COPY" | "ADD" => self.copy(),
            "CMD" => Ok(Command::Cmd(self.program()?)),
            "ENTRYPOINT" => Ok(Command::Entrypoint(self.program()?)),
            "ENV" => Ok(Command::Env(self.pairs()?)),
            "LABEL" => Ok(Command::Label { pairs: self.pairs()?, literal: false }),
            "EXPOSE" => Ok(Command::Expose(self.words(1)?)),
            "WORKDIR" => Ok(Command::Workdir(self.one()?)),
            "USER" => Ok(Command::User(self.one()?)),
            "VOLUME" => self.volume(),
            "STOPSIGNAL" => Ok(Command::Stopsignal(self.one()?)),
            "HEALTHCHECK" => Ok(Command::Healthcheck(health::parse(&self.flags, self.rest)?)),
            "SHELL" => self.shell(),
            "ONBUILD" => self.onbuild(),
            _ => Ok(Command::Maintainer(self.one()?)),
        }
    }

    fn from(self) -> Result<Command, Fault> {
        self.flags.only(&["platform"], &[], &[])?;
        let words = words::split(self.rest, self.escape);
        let name = match &words[..] {
            [_] => None,
            [_, r#as, name] if r#as.eq_ignore_ascii_case("as") => Some(stage_name(name)?),
            _ => return Err(Fault::instruction("FROM requires either one or three arguments")),
        };
        Ok(Command::From { image: words[0].clone(), name, platform: self.flags.value("platform") })
    }

    fn arg(self) -> Result<Command, Fault> {
        let words = words::split(self.rest, self.escape);
        if words.is_empty() {
            return Err(self.at_least_one());
        }
        let pair = |word: &String| match word.split_once('=') {
            Some(("", _)) => Err(Fault::instruction("ARG names can not be blank")),
            Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
            None => Ok((word.clone(), None)),
        };
        words.iter().map(pair).collect::<Result<_, _>>().map(Command::Arg)
    }

    fn run(self) -> Result<Command, Fault> {
        self.flags.only(&["network", "security"], &[], &["mount"])?;
        if !self.flags.all("mount").is_empty() {
            let text =
                "the --mount option requires BuildKit, which this endpoint does not have: COPY what the step needs";
            return Err(Fault::instruction(text));
        }
        if self.flags.value("security").is_some_and(|value| value != "sandbox") {
            return Err(Fault::instruction("--security=insecure is not allowed (policy B10)"));
        }
        let network = self.flags.value("network");
        match network.as_deref() {
            None | Some("default" | "none") => {}
            Some("host") => return Err(Fault::instruction("--network=host is not allowed (policy B10)")),
            Some(other) => return Err(Fault::instruction(format!("invalid network mode {other:?}"))),
        }
        let heredocs = self.heredocs.to_vec();
        Ok(Command::Run(Run { program: self.program()?, heredocs, network }))
    }

    fn copy(self) -> Result<Command, Fault> {
        let is_add = self.name == "ADD";
        let known: &[&str] = if is_add { &["chown", "chmod"] } else { &["chown", "chmod", "from"] };
        self.flags.only(known, &["link"], &[])?;
        let mut words = match words::json_list(self.rest)? {
            Some(list) => list,
            None => words::split(self.rest, self.escape),
        };
        let destination = match words.len() {
            0 | 1 => {
                let name = self.name;
                return Err(Fault::instruction(format!(
                    "{name} requires at least two arguments, but only one was provided. Destination could not be determined"
                )));
            }
            _ => words.pop().unwrap_or_default(),
        };
        Ok(Command::Copy(Copy {
            is_add,
            sources: words,
            destination,
            heredocs: self.heredocs.to_vec(),
            from: self.flags.value("from"),
            chown: self.flags.value("chown"),
            chmod: self.flags.value("chmod"),
        }))
    }

    fn program(&self) -> Result<Program, Fault> {
        Ok(match words::json_list(self.rest)? {
            Some(list) => Program::Exec(list),
            None => Program::Shell(self.rest.to_owned()),
        })
    }

    fn pairs(&self) -> Result<Vec<(String, String)>, Fault> {
        let pairs = words::pairs(self.name, self.rest, self.escape)?;
        if pairs.is_empty() {
            return Err(self.at_least_one());
        }
        match pairs.iter().any(|(key, _)| key.is_empty()) {
            true => Err(Fault::instruction(format!("{} names can not be blank", self.name))),
            false => Ok(pairs),
        }
    }

    fn volume(self) -> Result<Command, Fault> {
        let list = match words::json_list(self.rest)? {
            Some(list) => list,
            None => words::split(self.rest, self.escape),
        };
        if list.is_empty() {
            return Err(self.at_least_one());
        }
        let list: Vec<String> = list.iter().map(|path| path.trim().to_owned()).collect();
        match list.iter().any(String::is_empty) {
            true => Err(Fault::instruction("VOLUME specified can not be an empty string")),
            false => Ok(Command::Volume(list)),
        }
    }

    fn shell(self) -> Result<Command, Fault> {
        match words::json_list(self.rest)? {
            Some(list) if list.is_empty() => Err(self.at_least_one()),
            Some(list) => Ok(Command::Shell(list)),
            None if self.rest.is_empty() => Err(self.at_least_one()),
            None => Err(Fault::instruction("SHELL requires the arguments to be in JSON form")),
        }
    }

    fn onbuild(self) -> Result<Command, Fault> {
        let trigger = self.rest.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        match trigger.as_str() {
            "" => return Err(self.at_least_one()),
            "ONBUILD" => {
                return Err(Fault::instruction("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"));
            }
            "FROM" | "MAINTAINER" => {
                return Err(Fault::instruction(format!("{trigger} isn't allowed as an ONBUILD trigger")));
            }
            _ => {}
        }
        let bodies = self.heredocs.iter().map(|h| format!("\n{}{}", h.content, h.name));
        let whole: String = std::iter::once(self.rest.to_owned()).chain(bodies).collect();
        // What cannot be triggered later is refused now.
        let line = Line { number: 1, text: self.rest.to_owned(), heredocs: self.heredocs.to_vec() };
        parse(&line, self.escape)?;
        Ok(Command::Onbuild(Onbuild(whole)))
    }

    fn one(&self) -> Result<String, Fault> {
        match self.rest {
            "" => Err(Fault::instruction(format!("{} requires exactly one argument", self.name))),
            rest => Ok(rest.to_owned()),
        }
    }

    fn words(&self, least: usize) -> Result<Vec<String>, Fault> {
        let words: Vec<String> = self.rest.split_whitespace().map(str::to_owned).collect();
        if words.len() < least { Err(self.at_least_one()) } else { Ok(words) }
    }

    fn at_least_one(&self) -> Fault {
        Fault::instruction(format!("{} requires at least one argument", self.name))
    }
}

impl Run {
    /// The one heredoc that is the whole command.
    pub fn script(&self) -> Option<&Heredoc> {
        match (&self.program, &self.heredocs[..]) {
            (Program::Shell(line), [only]) if heredoc::parse(line).is_some() => Some(only),
            _ => None,
        }
    }
}

fn stage_name(given: &str) -> Result<String, Fault> {
    let name = given.to_ascii_lowercase();
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    let sound = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase()) && name.bytes().all(inner);
    let text = format!("invalid name for build stage: {given:?}, name can't start with a number or contain symbols");
    if sound { Ok(name) } else { Err(Fault::instruction(text)) }
}

fn unknown(word: &str) -> Fault {
    let near = NAMES.iter().map(|name| (distance(&word.to_ascii_uppercase(), name), name)).min();
    Fault::instruction(match near {
        Some((0..=2, name)) => format!("unknown instruction: {word} (did you mean {name}?)"),
        _ => format!("unknown instruction: {word}"),
    })
}

/// Levenshtein's, of what may be a misspelling; a long word is none.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 20 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = before + usize::from(x != *y);
            before = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(before + 1);
        }
    }
    row[b.len()]
}
