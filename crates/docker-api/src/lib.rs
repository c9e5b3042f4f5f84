//! Docker's wire format: JSON types, strict parsing, filters, stream framing, progress lines, API versions.
//!
//! Only the format. What a field may do is `policy`'s affair; who may see what is `frontend`'s and `inventory`'s.
//! The truth is the Engine API document; where it is silent, dockerd's behaviour is kept, to the wording.

pub mod detach_keys;
pub mod filters;
pub mod human;
pub mod names;
pub mod progress;
pub mod stdcopy;
pub mod strict;
pub mod time;
pub mod types;
pub mod version;
