//! Where each instruction is done. Those that change the config only are a step without a container and without a layer.

use serde_json::Value;

use crate::{
    builder::Builder,
    dockerfile::{Command, Instruction},
    edit::Edit,
    hands::{Failure, Hands},
};

impl<H: Hands> Builder<'_, H> {
    pub(crate) async fn dispatch(&mut self, instruction: &Instruction) -> Result<(), Failure> {
        match &instruction.command {
            Command::Run(run) => self.run_step(run).await,
            Command::Copy(copy) => self.copy_step(copy).await,
            Command::Workdir(path) => self.workdir(path).await,
            other => {
                let shell = self.image.shell();
                let comment = self.edit().apply(other)?;
                // The shell that the image had before, as dockerd's own comment container.
                let shell = if matches!(other, Command::Shell(_)) { self.image.shell() } else { shell };
                let created_by = format!("{} #(nop)  {comment}", shell.join(" "));
                match self.reuse(created_by, Value::Null).await? {
                    Some(missed) => self.keep(missed, None).await,
                    None => Ok(()),
                }
            }
        }
    }

    fn edit(&mut self) -> Edit<'_> {
        Edit { escape: self.prepared.dockerfile.escape, image: &mut self.image, arguments: &mut self.arguments }
    }

    /// The directory is made where it is missing, so that a container can start in it.
    async fn workdir(&mut self, given: &str) -> Result<(), Failure> {
        let path = self.edit().workdir(given)?;
        let created_by = format!("{} #(nop) WORKDIR /{path}", self.image.shell().join(" "));
        let Some(missed) = self.reuse(created_by, Value::Null).await? else { return Ok(()) };
        let layer = self.make_directory(&path).await?;
        self.keep(missed, layer).await
    }
}
