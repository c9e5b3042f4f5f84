//! P16: `User` and `GroupAdd`. Names are looked up later, in the image's files, by the agent.
//!
//! A string of digits is always a number, never a name: looking it up would let an image's `/etc/passwd` turn `1000` into 0.

use domain::{Result, tenant::UID_RANGE};

use crate::refuse::malformed;

/// `""`, `user` or `user:group`.
pub(crate) fn user(field: &str, given: &str) -> Result<()> {
    let (user, group) = match given.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (given, None),
    };
    let legal = given.is_empty() || (is_member(user) && group.is_none_or(is_member));
    if legal { Ok(()) } else { Err(malformed(field, given, &why(), "P16")) }
}

/// Additional groups.
pub(crate) fn groups(given: &[String]) -> Result<()> {
    match given.iter().find(|g| !is_member(g)) {
        Some(bad) => Err(malformed("HostConfig.GroupAdd", bad, &why(), "P16")),
        None => Ok(()),
    }
}

fn why() -> String {
    format!("must be a name or a number below {UID_RANGE}")
}

/// A number of the tenant's range (higher ones are not mapped, so a process could not even start), or a name.
fn is_member(given: &str) -> bool {
    if given.bytes().all(|b| b.is_ascii_digit()) {
        return given.parse::<u32>().is_ok_and(|id| id < UID_RANGE);
    }
    let first = |b: u8| b.is_ascii_lowercase() || b == b'_';
    let inner = |b: u8| first(b) || b.is_ascii_digit() || b == b'.' || b == b'-';
    given.len() <= 64 && given.bytes().next().is_some_and(first) && given.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_range_and_plain_names() {
        for good in ["", "0", "1000:1000", "nobody", "nobody:65533", "_apt", "www-data:users", "65535"] {
            assert!(user("User", good).is_ok(), "{good}");
        }
        for bad in ["2147483648:2147483648", "65536", "99999999999", "root\n0:0", "a:b:c", ":0", "0:", "-1", "Ä", "a b"]
        {
            assert!(user("User", bad).is_err(), "{bad:?}");
        }
    }
}
