//! Signals by Docker's names and Linux's numbers (`signal(7)`, x86 and ARM).

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

const NAMES: [(&str, i32); 35] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("UNUSED", 31),
];

/// A number that the kernel knows, 1..=64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signal(pub i32);

impl Signal {
    pub const KILL: Self = Self(9);
    pub const TERM: Self = Self(15);
}

impl FromStr for Signal {
    type Err = Error;
    /// `9`, `KILL`, `SIGKILL`, `sigkill`, `RTMIN+3`, `SIGRTMAX-2`.
    fn from_str(given: &str) -> Result<Self> {
        let bad = || Error::invalid(format!("invalid signal: {given}"));
        if let Ok(number) = given.parse::<i32>() {
            return if (1..=64).contains(&number) { Ok(Self(number)) } else { Err(bad()) };
        }
        let upper = given.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((_, number)) = NAMES.iter().find(|(n, _)| *n == name) {
            return Ok(Self(*number));
        }
        // glibc keeps 32 and 33 for itself: RTMIN is 34.
        let real_time = if name == "RTMIN" {
            Some(34)
        } else if name == "RTMAX" {
            Some(64)
        } else if let Some(n) = name.strip_prefix("RTMIN+") {
            n.parse::<i32>().ok().filter(|n| (1..=15).contains(n)).map(|n| 34 + n)
        } else if let Some(n) = name.strip_prefix("RTMAX-") {
            n.parse::<i32>().ok().filter(|n| (1..=14).contains(n)).map(|n| 64 - n)
        } else {
            None
        };
        real_time.map(Self).ok_or_else(bad)
    }
}
