//! RUN: a container of the tenant, run to its end and committed.

use serde_json::json;

use crate::{
    builder::Builder,
    dockerfile::{Program, Run},
    hands::{Failure, Hands, Step},
};

/// Runs a script that names its own interpreter: the script is the first argument.
const WITH_INTERPRETER: &str =
    "f=$(mktemp) && printf '%s' \"$1\" > \"$f\" && chmod 700 \"$f\" || exit 125; \"$f\"; c=$?; rm -f \"$f\"; exit $c";

impl<H: Hands> Builder<'_, H> {
    pub(crate) async fn run_step(&mut self, run: &Run) -> Result<(), Failure> {
        let args = self.command_line(run);
        let env = self.image.env();
        let extra = self.arguments.environment(&env);
        let counted: Vec<&String> = extra.iter().filter(|pair| self.arguments.counts(pair)).collect();
        let mut words: Vec<&str> = Vec::new();
        let mark = format!("|{}", counted.len());
        if !extra.is_empty() {
            words.push(&mark);
            words.extend(counted.iter().map(|pair| pair.as_str()));
        }
        words.extend(args.iter().map(String::as_str));
        let created_by = words.join(" ");
        let facts = json!({ "args": args, "network": run.network });
        let step = Step {
            base: self.image.base.clone(),
            config: self.image.config.clone(),
            args: args.clone(),
            env: env.into_iter().chain(extra.iter().cloned()).collect(),
            network: run.network.clone(),
        };
        let Some(missed) = self.reuse(created_by, facts).await? else { return Ok(()) };
        let layer = self.run_container(&step).await?;
        self.keep(missed, layer).await
    }

    async fn run_container(&mut self, step: &Step) -> Result<Option<domain::Layer>, Failure> {
        let container = self.hands.create(step).await?;
        self.out(format!(" ---> Running in {}\n", container.short())).await;
        let code = self.hands.run(&container).await?;
        if code != 0 {
            let message = format!("The command '{}' returned a non-zero code: {code}", step.args.join(" "));
            return Err(Failure::Exit { code, message });
        }
        let layer = self.hands.commit(&container).await?;
        if self.prepared.request.remove {
            self.hands.remove(&container).await?;
            self.out(format!(" ---> Removed intermediate container {}\n", container.short())).await;
        }
        Ok(layer)
    }

    fn command_line(&self, run: &Run) -> Vec<String> {
        let shell = self.image.shell();
        let with_shell = |line: String| shell.iter().cloned().chain((!line.is_empty()).then_some(line)).collect();
        if let Some(script) = run.script() {
            let text = script.text();
            return match text.starts_with("#!") {
                true => ["/bin/sh", "-c", WITH_INTERPRETER, "sh", &text].map(str::to_owned).to_vec(),
                false => with_shell(text),
            };
        }
        match &run.program {
            Program::Exec(words) => words.clone(),
            // The shell understands heredocs itself, once it has their bodies.
            Program::Shell(line) => with_shell(
                run.heredocs
                    .iter()
                    .fold(line.clone(), |text, heredoc| format!("{text}\n{}{}", heredoc.content, heredoc.name)),
            ),
        }
    }
}
