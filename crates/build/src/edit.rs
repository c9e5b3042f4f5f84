//! Instructions that change an image's config and nothing else: steps of a build, and `--change` of commit and import.

use domain::{Error, Result, Signal};
use serde_json::{Value, json};

use crate::{
    arguments::Arguments,
    builder::Stages,
    copy,
    dockerfile::{Command, Onbuild, Program},
    expand::expand,
    image::Image,
};

/// Of one EXPOSE.
const PORTS_MAX: usize = 70_000;

/// An image whose config is being changed.
pub(crate) struct Edit<'a> {
    pub(crate) image: &'a mut Image,
    pub(crate) arguments: &'a mut Arguments,
    pub(crate) escape: char,
}

impl Edit<'_> {
    /// What the history says of it.
    pub(crate) fn apply(&mut self, command: &Command) -> Result<String> {
        match command {
            Command::Arg(pairs) => self.arg(pairs),
            Command::Env(pairs) => {
                // All words of one instruction see the environment before it.
                let pairs = self.pairs(pairs)?;
                pairs.iter().for_each(|(key, value)| self.image.set_env(key, value));
                Ok(told("ENV", &pairs))
            }
            Command::Label { pairs, literal } => {
                let pairs = if *literal { pairs.clone() } else { self.pairs(pairs)? };
                for (key, value) in &pairs {
                    self.image.insert("Labels", key.clone(), json!(value));
                }
                Ok(told("LABEL", &pairs))
            }
            Command::Cmd(program) => {
                let args = self.arguments_of(program);
                let comment = format!("CMD {}", quoted(&args));
                self.image.command_set = true;
                self.image.set("Cmd", json!(args));
                Ok(comment)
            }
            Command::Entrypoint(program) => {
                let args = self.arguments_of(program);
                let comment = format!("ENTRYPOINT {}", quoted(&args));
                self.image.set("Entrypoint", json!(args));
                // The image's old command was meant for the old entrypoint.
                if !self.image.command_set {
                    self.image.set("Cmd", Value::Null);
                }
                Ok(comment)
            }
            Command::Expose(words) => self.expose(words),
            Command::User(user) => {
                let user = self.expand(user)?;
                self.image.set("User", json!(user));
                Ok(format!("USER {user}"))
            }
            Command::Volume(paths) => {
                let paths = self.expand_all(paths)?;
                if paths.iter().any(|path| path.trim().is_empty()) {
                    return Err(Error::invalid("VOLUME specified can not be an empty string"));
                }
                paths.iter().for_each(|path| self.image.insert("Volumes", path.clone(), json!({})));
                Ok(format!("VOLUME [{}]", paths.join(" ")))
            }
            Command::Stopsignal(signal) => {
                let signal = self.expand(signal)?;
                signal.parse::<Signal>()?;
                self.image.set("StopSignal", json!(signal));
                Ok(format!("STOPSIGNAL {signal}"))
            }
            Command::Healthcheck(check) => {
                self.image.set("Healthcheck", check.clone());
                Ok(format!("HEALTHCHECK {check}"))
            }
            Command::Shell(words) => {
                self.image.set("Shell", json!(words));
                Ok(format!("SHELL [{}]", words.join(" ")))
            }
            Command::Onbuild(Onbuild(text)) => {
                let mut triggers = self.image.list("OnBuild");
                triggers.push(text.clone());
                self.image.set("OnBuild", json!(triggers));
                Ok(format!("ONBUILD {text}"))
            }
            Command::Maintainer(name) => {
                self.image.set_author(name);
                Ok(format!("MAINTAINER {name}"))
            }
            Command::Workdir(path) => self.workdir(path).map(|path| format!("WORKDIR /{path}")),
            Command::From { .. } | Command::Run(_) | Command::Copy(_) => {
                Err(Error::internal("an instruction of another kind"))
            }
        }
    }

    fn arg(&mut self, pairs: &[(String, Option<String>)]) -> Result<String> {
        let mut comment = "ARG".to_owned();
        for (name, default) in pairs {
            let name = self.expand(name)?;
            let default = default.as_ref().map(|text| self.expand(text)).transpose()?;
            comment.push_str(&format!(" {name}"));
            if let Some(default) = &default {
                comment.push_str(&format!("={default}"));
            }
            self.arguments.declare(&name, default);
        }
        Ok(comment)
    }

    fn expose(&mut self, words: &[String]) -> Result<String> {
        let expanded = self.expand_all(words)?;
        let mut ports: Vec<&str> = expanded.iter().flat_map(|word| word.split_whitespace()).collect();
        ports.sort_unstable();
        let mut opened = 0;
        for port in &ports {
            let (range, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
            let protocol = protocol.to_ascii_lowercase();
            if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
                return Err(Error::invalid(format!("invalid proto: {protocol}")));
            }
            let bad = || Error::invalid(format!("Invalid containerPort: {range}"));
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u16, u16) = (first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?);
            opened += usize::from(last.saturating_sub(first)) + 1;
            if first > last || opened > PORTS_MAX {
                return Err(bad());
            }
            (first..=last).for_each(|p| self.image.insert("ExposedPorts", format!("{p}/{protocol}"), json!({})));
        }
        Ok(format!("EXPOSE {}", ports.join(" ")))
    }

    fn pairs(&self, pairs: &[(String, String)]) -> Result<Vec<(String, String)>> {
        pairs.iter().map(|(key, value)| Ok((self.expand(key)?, self.expand(value)?))).collect()
    }

    /// The exec form, or the shell form with the image's shell.
    fn arguments_of(&self, program: &Program) -> Vec<String> {
        match program {
            Program::Exec(words) => words.clone(),
            Program::Shell(line) if line.is_empty() => Vec::new(),
            Program::Shell(line) => self.image.shell().into_iter().chain([line.clone()]).collect(),
        }
    }

    /// Without the slash in front.
    pub(crate) fn workdir(&mut self, given: &str) -> Result<String> {
        let given = self.expand(given)?;
        let (path, _) = copy::destination(self.image.working_dir(), &given);
        self.image.set("WorkingDir", json!(format!("/{path}")));
        Ok(path)
    }

    fn expand(&self, text: &str) -> Result<String> {
        expand(text, self.escape, &Stages::of(self.image, self.arguments))
    }

    fn expand_all(&self, words: &[String]) -> Result<Vec<String>> {
        words.iter().map(|word| self.expand(word)).collect()
    }
}

fn told(name: &str, pairs: &[(String, String)]) -> String {
    pairs.iter().fold(name.to_owned(), |text, (key, value)| format!("{text} {key}={value}"))
}

/// As Go prints a list with `%q`.
fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(" "))
}
