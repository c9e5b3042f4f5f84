//! What runs: the image's program under the request's.

use docker_api::types::{ContainerConfig, HealthConfig};
use domain::{Healthcheck, Result};

use crate::{env, health, merge};

/// As the request has it; the environment without placement wishes.
pub(super) struct Wanted {
    pub env: Vec<String>,
    pub cmd: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    pub shell: Option<Vec<String>>,
    pub healthcheck: Option<HealthConfig>,
}

pub(super) struct Program {
    /// Never empty.
    pub args: Vec<String>,
    /// As `inspect` shows it.
    pub env: Vec<String>,
    pub command: merge::Command,
    pub shell: Option<Vec<String>>,
    pub healthcheck: Option<HealthConfig>,
    pub health: Option<Healthcheck>,
}

pub(super) fn resolve(wanted: Wanted, image: &ContainerConfig) -> Result<Program> {
    let Wanted { env, cmd, entrypoint, shell, healthcheck } = wanted;
    let env = env::merge(env, image.env.as_deref().unwrap_or_default());
    env.iter().try_for_each(|e| env::check(e))?;
    let command = merge::command(cmd, entrypoint, image)?;
    let shell = shell.filter(|s| !s.is_empty()).or_else(|| image.shell.clone());
    let args = command.args();
    let shell_words = shell.as_deref().unwrap_or_default();
    let bytes = env::check_words("Cmd", &args)? + env::check_words("Shell", shell_words)?;
    env::check_total(bytes + env.iter().map(|e| e.len() + 1).sum::<usize>())?;
    let healthcheck = health::merge(healthcheck, image.healthcheck.as_ref());
    let health = health::resolve(healthcheck.as_ref(), shell_words)?;
    Ok(Program { args, env, command, shell, healthcheck, health })
}
