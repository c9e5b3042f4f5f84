//! A Dockerfile's text becomes instructions.
//!
//! A parser of our own: the crate `parse-dockerfile` gives spans of BuildKit's grammar, but neither dockerd's errors with
//! their line numbers, nor the words of ONBUILD triggers, flags of instructions and `escape` as the classic builder takes
//! them; what was left to write around it was more than this.

mod change;
mod flags;
mod health;
mod heredoc;
mod instruction;
mod lines;
mod stages;
mod words;

pub use change::change;
pub use heredoc::Heredoc;
pub use instruction::{Command, Copy, Instruction, Onbuild, Program, Run, trigger};
pub use stages::{Dockerfile, Stage};

use domain::Error;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Found while the file was cut into lines and words: dockerd names no line.
    Syntax(String),
    Instruction(String),
}

impl Fault {
    fn at(self, line: usize) -> Error {
        Error::invalid(match self {
            Self::Syntax(text) => format!("failed to parse Dockerfile: {text}"),
            Self::Instruction(text) => format!("dockerfile parse error on line {line}: {text}"),
        })
    }

    /// Where there is no file that has lines.
    fn plain(self) -> Error {
        match self {
            Self::Syntax(text) | Self::Instruction(text) => Error::invalid(text),
        }
    }

    fn instruction(text: impl Into<String>) -> Self {
        Self::Instruction(text.into())
    }

    fn syntax(text: impl Into<String>) -> Self {
        Self::Syntax(text.into())
    }
}
