//! The image's config under the request's, as dockerd merges them.

use std::collections::BTreeSet;

use docker_api::types::ContainerConfig;
use domain::{Error, Result};

/// Entrypoint and command, as `inspect` shows them; at least one has a word.
///
/// An entrypoint in the request takes the image's command away; `[""]` takes the image's entrypoint away.
pub(crate) struct Command {
    pub entrypoint: Option<Vec<String>>,
    pub cmd: Option<Vec<String>>,
}

pub(crate) fn command(
    mut cmd: Option<Vec<String>>,
    mut entrypoint: Option<Vec<String>>,
    image: &ContainerConfig,
) -> Result<Command> {
    let is_empty = |words: &Option<Vec<String>>| words.as_ref().is_none_or(Vec::is_empty);
    if is_empty(&entrypoint) {
        if is_empty(&cmd) {
            cmd.clone_from(&image.cmd);
        }
        if entrypoint.is_none() {
            entrypoint.clone_from(&image.entrypoint);
        }
    }
    if entrypoint.as_ref().is_some_and(|words| matches!(&words[..], [only] if only.is_empty())) {
        entrypoint = None;
    }
    if is_empty(&entrypoint) && is_empty(&cmd) {
        return Err(Error::invalid("no command specified"));
    }
    Ok(Command { entrypoint, cmd })
}

impl Command {
    /// What is executed.
    pub(crate) fn args(&self) -> Vec<String> {
        self.entrypoint.iter().chain(&self.cmd).flatten().cloned().collect()
    }
}

/// What `ps` shows: words with a space in quotes.
pub(crate) fn command_text(args: &[String]) -> String {
    let mut words = args.iter();
    let path = words.next().cloned().unwrap_or_default();
    words
        .fold(path, |text, word| if word.contains(' ') { format!("{text} '{word}'") } else { format!("{text} {word}") })
}

/// The request's value, or the image's where that is empty.
pub(crate) fn text(user: Option<String>, image: Option<&String>) -> String {
    user.filter(|v| !v.is_empty()).or_else(|| image.cloned()).unwrap_or_default()
}

/// Both, each once, sorted (`ExposedPorts`, `Volumes`).
pub(crate) fn set(user: Option<Vec<String>>, image: Option<&Vec<String>>) -> Option<Vec<String>> {
    let all: BTreeSet<String> = user.into_iter().flatten().chain(image.into_iter().flatten().cloned()).collect();
    (!all.is_empty()).then(|| all.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(v: &[&str]) -> Option<Vec<String>> {
        Some(v.iter().map(|s| (*s).to_owned()).collect())
    }

    #[test]
    fn entrypoint_and_command() {
        let image = ContainerConfig { cmd: own(&["c"]), entrypoint: own(&["e"]), ..ContainerConfig::default() };
        let args = |cmd, entry| command(cmd, entry, &image).map(|c| c.args().join(" ")).map_err(|e| e.to_string());
        assert_eq!(args(None, None).as_deref(), Ok("e c"));
        assert_eq!(args(own(&["x"]), None).as_deref(), Ok("e x"));
        assert_eq!(args(None, own(&["y"])).as_deref(), Ok("y"));
        assert_eq!(args(own(&["x"]), own(&[""])).as_deref(), Ok("x"));
        assert_eq!(args(None, own(&[""])), Err("no command specified".to_owned()));
        let nothing = command(None, None, &ContainerConfig::default()).map(|c| c.args());
        assert_eq!(nothing.expect_err("nothing").to_string(), "no command specified");
    }

    #[test]
    fn ps_quotes_words_with_spaces() {
        let args = ["sh", "-c", "echo started; sleep 300"].map(str::to_owned);
        assert_eq!(command_text(&args), "sh -c 'echo started; sleep 300'");
    }
}
