//! `POST /containers/{id}/exec`: E02, E03.

use docker_api::{detach_keys, types::ExecConfig};
use domain::{ContainerSpec, Error, ExecSpec, Result};

use crate::{
    env,
    host_config::console,
    names::{clean_path, is_in},
    refuse::{forbidden, malformed},
    user,
};

/// Checks an exec against the container that it shall run in.
pub fn exec(body: ExecConfig, container: &ContainerSpec) -> Result<ExecSpec> {
    let ExecConfig {
        attach_stdin,
        attach_stdout,
        attach_stderr,
        console_size,
        detach_keys,
        tty,
        env: given_env,
        cmd,
        privileged,
        user,
        working_dir,
    } = body;
    if privileged == Some(true) {
        return Err(forbidden("Privileged", true, "E02"));
    }
    let args = cmd.filter(|c| !c.is_empty()).ok_or_else(|| Error::invalid("No exec command specified"))?;
    let mut env = given_env.unwrap_or_default();
    env.iter().try_for_each(|e| with_value(e))?;
    env::check_total(env::check_words("Cmd", &args)? + env.iter().map(|e| e.len() + 1).sum::<usize>())?;
    let tty = tty.unwrap_or(false);
    let has_term = |list: &[String]| list.iter().any(|e| env::key(e) == "TERM");
    if tty && !has_term(&env) && !has_term(&container.process.env) {
        env.push("TERM=xterm".to_owned());
    }
    let user = user.unwrap_or_default();
    user::user("User", &user)?;
    let detach_keys = detach_keys.unwrap_or_default();
    detach_keys::parse(&detach_keys).map_err(|e| Error::invalid(e.to_string()))?;
    let (console_height, console_width) = console("ConsoleSize", console_size.as_deref())?;
    Ok(ExecSpec {
        args,
        env,
        cwd: cwd(working_dir.unwrap_or_default())?,
        user,
        tty,
        attach_stdin: attach_stdin.unwrap_or(false),
        attach_stdout: attach_stdout.unwrap_or(false),
        attach_stderr: attach_stderr.unwrap_or(false),
        detach_keys,
        console_height,
        console_width,
    })
}

/// An exec only adds to the container's environment: a bare key has nothing to take away.
fn with_value(entry: &str) -> Result<()> {
    env::check(entry)?;
    if entry.contains('=') { Ok(()) } else { Err(malformed("Env", entry, "needs a =", "P20")) }
}

fn cwd(given: String) -> Result<String> {
    if given.is_empty() {
        return Ok(given);
    }
    clean_path(&given)
        .filter(|path| !is_in(path, &["/proc", "/dev"]))
        .ok_or_else(|| malformed("WorkingDir", given, "not a legal working directory", "P17"))
}

#[cfg(test)]
mod tests {
    use docker_api::strict;

    use super::*;

    fn run(body: &str, container: &ContainerSpec) -> Result<ExecSpec> {
        exec(strict::parse(body.as_bytes()).expect("JSON"), container)
    }

    #[test]
    fn an_exec_of_the_cli() {
        let container = crate::create::tests::plain();
        let spec = run(
            r#"{"User":"nobody","Tty":true,"ConsoleSize":[24,80],"AttachStdout":true,"Env":["Q=1"],"WorkingDir":"/etc/",
            "Cmd":["id"],"DetachKeys":"ctrl-a","Privileged":false}"#,
            &container,
        )
        .expect("legal");
        assert_eq!((spec.cwd.as_str(), spec.user.as_str()), ("/etc", "nobody"));
        assert_eq!((spec.env, spec.console_height), (vec!["Q=1".to_owned(), "TERM=xterm".to_owned()], 24));
    }

    #[test]
    fn hostile_execs_are_refused() {
        let container = crate::create::tests::plain();
        assert!(matches!(run(r#"{"Cmd":["id"],"Privileged":true}"#, &container), Err(Error::Forbidden(_))));
        assert_eq!(run("{}", &container).expect_err("none").to_string(), "No exec command specified");
        for field in [
            r#""User":"4294967296:0""#,
            r#""DetachKeys":"ctrl-@-@-@,\u0000""#,
            r#""WorkingDir":"/proc/self/fd/3""#,
            r#""WorkingDir":"a""#,
            r#""Env":["=x"]"#,
            r#""Env":["X"]"#,
            r#""ConsoleSize":[1]"#,
            r#""Cmd":["a\u0000"]"#,
        ] {
            let cmd = if field.contains("Cmd") { "" } else { r#","Cmd":["id"]"# };
            assert!(run(&format!("{{{field}{cmd}}}"), &container).is_err(), "{field}");
        }
    }
}
