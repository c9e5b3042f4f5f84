//! `--change` of `docker import` and `docker commit`: instructions that change an image's config, by the builder's own
//! rules, as in dockerd.
//!
//! The config is Docker's JSON (`Cmd`, `Env`, ...). Only instructions that run nothing are allowed.

use domain::{Error, Result};
use serde_json::Value;

use super::{Fault, Instruction, instruction::parse, lines};
use crate::{arguments::Arguments, edit::Edit, image::Image};

/// Of all changes of one request.
const CHANGES_MAX_BYTES: usize = 1 << 20;
const ALLOWED: [&str; 12] = [
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Applies the instructions in order. `Invalid` in dockerd's words, and `config` is then as it was.
pub fn change(config: &mut Value, changes: &[String]) -> Result<()> {
    if changes.iter().map(String::len).sum::<usize>() > CHANGES_MAX_BYTES {
        return Err(Error::invalid("the changes are larger than 1 MiB"));
    }
    let mut image = Image::of(config.as_object().cloned().unwrap_or_default());
    let text = changes.join("\n");
    // Clients send an empty parameter for no change at all.
    if !text.trim().is_empty() {
        let (instructions, escape) = read(&text)?;
        let mut edit = Edit { image: &mut image, arguments: &mut Arguments::default(), escape };
        for instruction in &instructions {
            edit.apply(&instruction.command)?;
        }
    }
    *config = Value::Object(image.config);
    Ok(())
}

/// And the character that escapes in them.
fn read(text: &str) -> Result<(Vec<Instruction>, char)> {
    let lines = lines::split(text).map_err(Fault::plain)?;
    for line in &lines.lines {
        let word = line.text.split_whitespace().next().unwrap_or_default();
        if !ALLOWED.iter().any(|name| name.eq_ignore_ascii_case(word)) {
            return Err(Error::invalid(format!("{word} is not a valid change command")));
        }
    }
    let all = lines.lines.iter().map(|line| parse(line, lines.escape));
    let all = all.collect::<std::result::Result<Vec<_>, Fault>>().map_err(Fault::plain)?;
    Ok((all, lines.escape))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn applied(start: Value, changes: &[&str]) -> Result<Value> {
        let mut config = start;
        let changes: Vec<String> = changes.iter().map(|c| (*c).to_owned()).collect();
        change(&mut config, &changes).map(|()| config)
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
                "Env": ["PATH=/bin", "A=2", "B=x 1", "C=the rest"], "WorkingDir": "/srv/dir",
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
        assert_eq!(config["Cmd"], json!(["/bin/ash", "-ec", "a  b"]));
    }

    #[test]
    fn what_cannot_be_applied_is_told_as_dockerd_tells_it() {
        for (change, wanted) in [
            ("BOGUS x", "BOGUS is not a valid change command"),
            ("RUN x", "RUN is not a valid change command"),
            ("ENV", "ENV requires at least one argument"),
            ("ENV a", "ENV must have two arguments"),
            ("EXPOSE x", "Invalid containerPort: x"),
            ("EXPOSE 1/icmp", "invalid proto: icmp"),
            ("STOPSIGNAL nope", "invalid signal: nope"),
            ("ENV a=b c", "Syntax error - can't find = in \"c\". Must be of the form: name=value"),
        ] {
            assert_eq!(applied(json!({}), &[change]).expect_err(change).to_string(), wanted);
        }
    }

    #[test]
    fn a_change_that_is_refused_changes_nothing_and_no_change_makes_an_object() {
        let mut config = json!({"User": "me"});
        assert!(change(&mut config, &["USER you".to_owned(), "ENV a".to_owned()]).is_err());
        assert_eq!(config, json!({"User": "me"}));
        assert_eq!(applied(Value::Null, &[""]).expect("nothing to do"), json!({}));
    }
}
