//! Input and output of containers and execs.
//!
//! Output of a container goes to its logger, a process of its own, which writes *segments* (see `record`) and wakes us
//! through a socket (`link`). So `attach`, `logs` and `logs -f` are one thing: read segments from a place on, and wait
//! for more. An agent that dies loses nothing, and a client that is slow holds up nobody until it is 64 MiB behind.
//! Execs are another matter: they live and die with their client, so their output comes through FIFOs (`exec`).

mod attach;
mod backward;
mod exec;
mod fifo_logger;
mod follow;
mod lines;
mod link;
mod logs;
mod paths;
mod reader;
mod record;
mod shape;
mod start;
mod stdin;

pub use attach::{Attach, attach};
pub use exec::{ExecPipes, ExecStreams, drain_leftovers};
pub use fifo_logger::{FifoLogger, start_logger};
pub use follow::Output;
pub use logs::logs;
pub use paths::{Paths, log_uri, paths};
pub use stdin::Stdin;

#[cfg(test)]
mod tests;
