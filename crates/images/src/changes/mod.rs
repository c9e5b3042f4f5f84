//! `--change` of `docker import` and `docker commit`: Dockerfile instructions that change an image's config.
//!
//! The config is Docker's JSON (`Cmd`, `Env`, ...). Only instructions that run nothing are allowed.

mod health;
mod words;

use domain::{Error, Result, Signal};
use serde_json::{Map, Value, json};

/// Of all changes of one request.
const CHANGES_MAX_BYTES: usize = 1 << 20;

/// Applies the instructions in order; `Invalid` in dockerd's words, and `config` is then half changed.
pub fn apply(config: &mut Value, changes: &[String]) -> Result<()> {
    if changes.iter().map(String::len).sum::<usize>() > CHANGES_MAX_BYTES {
        return Err(Error::invalid("the changes are larger than 1 MiB"));
    }
    if !config.is_object() {
        *config = Value::Object(Map::new());
    }
    let mut change = Change { config, command_set: false };
    for line in changes.iter().flat_map(|text| lines(text)) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line.as_str(), ""));
        change.instruction(word, rest.trim())?;
    }
    Ok(())
}

/// Continuations joined; comments and empty lines dropped.
fn lines(text: &str) -> Vec<String> {
    let joined = text.replace("\\\r\n", " ").replace("\\\n", " ");
    joined.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).map(str::to_owned).collect()
}

struct Change<'a> {
    config: &'a mut Value,
    /// `CMD` was among the changes: a later `ENTRYPOINT` leaves it.
    command_set: bool,
}

impl Change<'_> {
    fn instruction(&mut self, word: &str, rest: &str) -> Result<()> {
        let name = word.to_ascii_uppercase();
        let known = [
            "CMD",
            "ENTRYPOINT",
            "ENV",
            "LABEL",
            "EXPOSE",
            "WORKDIR",
            "USER",
            "VOLUME",
            "ONBUILD",
            "STOPSIGNAL",
            "HEALTHCHECK",
            "SHELL",
        ];
        if !known.contains(&name.as_str()) {
            return Err(Error::invalid(format!("{word} is not a valid change command")));
        }
        if rest.is_empty() && name != "CMD" && name != "ENTRYPOINT" {
            return Err(Error::invalid(format!("{name} requires at least one argument")));
        }
        match name.as_str() {
            "CMD" => self.command(rest),
            "ENTRYPOINT" => self.entrypoint(rest),
            "ENV" => self.env(rest)?,
            "LABEL" => self.label(rest)?,
            "EXPOSE" => self.expose(rest)?,
            "WORKDIR" => self.workdir(rest)?,
            "USER" => self.set("User", words::expand(rest, &self.environment())?.into()),
            "VOLUME" => self.volume(rest)?,
            "ONBUILD" => self.on_build(rest)?,
            "STOPSIGNAL" => self.stop_signal(rest)?,
            "HEALTHCHECK" => self.set("Healthcheck", health::parse(rest)?),
            _ => self.shell(rest)?,
        }
        Ok(())
    }

    fn command(&mut self, rest: &str) {
        let command = self.arguments(rest);
        self.command_set = true;
        self.set("Cmd", command);
    }

    fn entrypoint(&mut self, rest: &str) {
        let entrypoint = self.arguments(rest);
        self.set("Entrypoint", entrypoint);
        // The image's old command was meant for the old entrypoint.
        if !self.command_set {
            self.set("Cmd", Value::Null);
        }
    }

    /// The exec form, or the shell form with the image's shell.
    fn arguments(&self, rest: &str) -> Value {
        if let Some(list) = json_list(rest) {
            return json!(list);
        }
        let shell: Vec<String> = self.list("Shell");
        let mut arguments = if shell.is_empty() { vec!["/bin/sh".to_owned(), "-c".to_owned()] } else { shell };
        arguments.push(rest.to_owned());
        json!(arguments)
    }

    fn env(&mut self, rest: &str) -> Result<()> {
        let mut env = self.environment();
        // All words of one instruction see the environment before it.
        for (key, value) in pairs("ENV", rest, &self.environment())? {
            env.retain(|pair| pair.split_once('=').map_or(pair.as_str(), |(k, _)| k) != key);
            env.push(format!("{key}={value}"));
        }
        self.set("Env", json!(env));
        Ok(())
    }

    fn label(&mut self, rest: &str) -> Result<()> {
        for (key, value) in pairs("LABEL", rest, &self.environment())? {
            self.entry("Labels").insert(key, value.into());
        }
        Ok(())
    }

    fn expose(&mut self, rest: &str) -> Result<()> {
        for word in words::split(rest) {
            let port = words::expand(&word, &self.environment())?;
            let (range, protocol) = port.split_once('/').unwrap_or((port.as_str(), "tcp"));
            let protocol = protocol.to_ascii_lowercase();
            if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
                return Err(Error::invalid(format!("invalid proto: {protocol}")));
            }
            let bad = || Error::invalid(format!("invalid containerPort: {range}"));
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u16, u16) = (first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?);
            if first > last {
                return Err(bad());
            }
            for port in first..=last {
                self.entry("ExposedPorts").insert(format!("{port}/{protocol}"), json!({}));
            }
        }
        Ok(())
    }

    fn workdir(&mut self, rest: &str) -> Result<()> {
        let path = words::expand(rest, &self.environment())?;
        let old = self.config["WorkingDir"].as_str().unwrap_or_default();
        let whole = if path.starts_with('/') { path } else { format!("/{old}/{path}") };
        let mut parts: Vec<&str> = Vec::new();
        for part in whole.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        let clean = format!("/{}", parts.join("/"));
        self.set("WorkingDir", clean.into());
        Ok(())
    }

    fn volume(&mut self, rest: &str) -> Result<()> {
        let env = self.environment();
        let given = json_list(rest).unwrap_or_else(|| words::split(rest));
        for word in given {
            let path = words::expand(&word, &env)?;
            if path.trim().is_empty() {
                return Err(Error::invalid("VOLUME specified can not be an empty string"));
            }
            self.entry("Volumes").insert(path, json!({}));
        }
        Ok(())
    }

    fn on_build(&mut self, rest: &str) -> Result<()> {
        let trigger = rest.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        if trigger == "ONBUILD" {
            return Err(Error::invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"));
        }
        if ["FROM", "MAINTAINER"].contains(&trigger.as_str()) {
            return Err(Error::invalid(format!("{trigger} isn't allowed as an ONBUILD trigger")));
        }
        let mut triggers = self.list("OnBuild");
        triggers.push(rest.to_owned());
        self.set("OnBuild", json!(triggers));
        Ok(())
    }

    fn stop_signal(&mut self, rest: &str) -> Result<()> {
        let signal = words::expand(rest, &self.environment())?;
        signal.parse::<Signal>()?;
        self.set("StopSignal", signal.into());
        Ok(())
    }

    fn shell(&mut self, rest: &str) -> Result<()> {
        let list = json_list(rest).filter(|l| !l.is_empty());
        let list = list.ok_or_else(|| Error::invalid("SHELL requires the arguments to be in JSON form"))?;
        self.set("Shell", json!(list));
        Ok(())
    }

    fn set(&mut self, key: &str, value: Value) {
        self.config[key] = value;
    }

    fn entry(&mut self, key: &str) -> &mut Map<String, Value> {
        let slot = &mut self.config[key];
        if !slot.is_object() {
            *slot = Value::Object(Map::new());
        }
        match slot {
            Value::Object(map) => map,
            _ => unreachable!("it was made an object above"),
        }
    }

    fn list(&self, key: &str) -> Vec<String> {
        let items = self.config.get(key).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(|v| v.as_str().map(str::to_owned)).collect()
    }

    fn environment(&self) -> Vec<String> {
        self.list("Env")
    }
}

/// An array of strings; anything else is the shell form.
fn json_list(text: &str) -> Option<Vec<String>> {
    if text.starts_with('[') { serde_json::from_str(text).ok() } else { None }
}

/// `k=v k2="v 2"`, or the old form `k all the rest`.
fn pairs(instruction: &str, rest: &str, env: &[String]) -> Result<Vec<(String, String)>> {
    let given = words::split(rest);
    let first = given.first().map(String::as_str).unwrap_or_default();
    if !first.contains('=') {
        let (key, value) = rest
            .split_once(char::is_whitespace)
            .ok_or_else(|| Error::invalid(format!("{instruction} must have two arguments")))?;
        return Ok(vec![(words::expand(key, env)?, words::expand(value.trim(), env)?)]);
    }
    given.iter().map(|word| pair(instruction, word, env)).collect()
}

fn pair(instruction: &str, word: &str, env: &[String]) -> Result<(String, String)> {
    let (key, value) = word.split_once('=').ok_or_else(|| {
        Error::invalid(format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value"))
    })?;
    let key = words::expand(key, env)?;
    if key.is_empty() {
        return Err(Error::invalid(format!("{instruction} names can not be blank")));
    }
    Ok((key, words::expand(value, env)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(start: Value, changes: &[&str]) -> Result<Value> {
        let mut config = start;
        let changes: Vec<String> = changes.iter().map(|c| (*c).to_owned()).collect();
        apply(&mut config, &changes).map(|()| config)
    }

    #[test]
    fn every_instruction_changes_its_field() {
        let config = applied(
            json!({"Env": ["PATH=/bin", "A=1"], "Cmd": ["old"], "WorkingDir": "/srv"}),
            &[
                "ENTRYPOINT [\"/init\"]",
                "env A=2 B=\"x $A\"",
                "ENV C the rest",
                "LABEL a=b 'c d'=e",
                "EXPOSE 80 53/udp 90-91",
                "WORKDIR sub/../dir",
                "USER me:us",
                "VOLUME [\"/a\"]",
                "VOLUME /b /c",
                "ONBUILD RUN x",
                "STOPSIGNAL SIGINT",
                "HEALTHCHECK --interval=1m --retries=2 CMD curl -f x",
            ],
        )
        .expect("applied");
        assert_eq!(
            config,
            json!({
                "Env": ["PATH=/bin", "A=2", "B=x 1", "C=the rest"], "Cmd": null, "WorkingDir": "/srv/dir",
                "Entrypoint": ["/init"], "Labels": {"a": "b", "c d": "e"},
                "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "90/tcp": {}, "91/tcp": {}}, "User": "me:us",
                "Volumes": {"/a": {}, "/b": {}, "/c": {}}, "OnBuild": ["RUN x"], "StopSignal": "SIGINT",
                "Healthcheck": {"Test": ["CMD-SHELL", "curl -f x"], "Interval": 60_000_000_000i64, "Retries": 2},
            })
        );
    }

    #[test]
    fn commands_in_both_forms() {
        let config = applied(json!({}), &["CMD echo hi", "ENTRYPOINT [\"e\"]"]).expect("applied");
        assert_eq!(config, json!({"Cmd": ["/bin/sh", "-c", "echo hi"], "Entrypoint": ["e"]}));
        let config = applied(Value::Null, &["SHELL [\"/bin/ash\",\"-ec\"]\nCMD a \\\n b"]).expect("applied");
        assert_eq!(config["Cmd"], json!(["/bin/ash", "-ec", "a   b"]));
    }

    #[test]
    fn what_cannot_be_applied_is_told_as_dockerd_tells_it() {
        for (change, wanted) in [
            ("BOGUS x", "BOGUS is not a valid change command"),
            ("RUN x", "RUN is not a valid change command"),
            ("ENV", "ENV requires at least one argument"),
            ("ENV a", "ENV must have two arguments"),
            ("EXPOSE x", "invalid containerPort: x"),
            ("EXPOSE 1/icmp", "invalid proto: icmp"),
            ("STOPSIGNAL nope", "invalid signal: nope"),
            ("ENV a=b c", "Syntax error - can't find = in \"c\". Must be of the form: name=value"),
        ] {
            assert_eq!(applied(json!({}), &[change]).expect_err(change).to_string(), wanted);
        }
    }
}
