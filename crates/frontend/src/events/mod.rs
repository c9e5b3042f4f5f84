//! `docker events`: one tail of the log for the whole process, and a stream for each client.
//!
//! A stream is first what is stored, then what the tail hands out; where they meet is a horizon (see
//! `inventory::Window`): below it everything is read from the log, above it everything comes from the tail, so that
//! nothing is missed and nothing comes twice. A client that falls behind the tail reads what it missed from the log; one
//! that does not read at all is cut.

pub(crate) mod filter;
pub(crate) mod message;
pub(crate) mod stream;
pub(crate) mod tail;

pub(crate) use filter::Filter;
pub(crate) use tail::Tail;
