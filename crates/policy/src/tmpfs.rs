//! R08, M06: tmpfs mounts, in either of Docker's two forms.
//!
//! What is not on the list is refused, not passed on: tmpfs takes options (`nr_inodes=0`, `huge=`, `mpol=`) that undo limits.

use domain::{Result, spec::Tmpfs};

use crate::{
    Package,
    names::{clean_path, is_in},
    package::size_text,
    refuse::malformed,
};

const FORBIDDEN_TREES: [&str; 3] = ["/proc", "/sys", "/dev"];

/// `options` as in `--tmpfs target:options`. At most half of `memory_bytes`.
pub(crate) fn from_options(
    field: &str,
    target: &str,
    options: &str,
    package: &Package,
    memory_bytes: i64,
    warnings: &mut Vec<String>,
) -> Result<Tmpfs> {
    let bad = |why: &str| malformed(field, format!("{target}:{options}"), why, "R08");
    let target = clean_path(target)
        .filter(|t| t != "/" && !is_in(t, &FORBIDDEN_TREES))
        .ok_or_else(|| bad("not a legal place for a tmpfs"))?;
    let mut exec = false;
    let mut size = None;
    let mut kept = Vec::new();
    for option in options.split(',').filter(|o| !o.is_empty()) {
        match option.split_once('=') {
            None if matches!(option, "rw" | "nosuid" | "nodev" | "noexec") => {}
            None if option == "ro" => kept.push("ro".to_owned()),
            None if option == "exec" && package.tmpfs_exec => exec = true,
            Some(("size", value)) => size = Some(bytes(value).ok_or_else(|| bad("not a size"))?),
            Some(("mode", value)) if is_mode(value) => kept.push(option.to_owned()),
            Some(("uid" | "gid", value)) if is_id(value) => kept.push(option.to_owned()),
            _ => return Err(bad(&format!("option {option:?} is not allowed"))),
        }
    }
    let size = limited(field, &target, size, memory_bytes / 2, warnings);
    let mut all = vec!["nosuid".to_owned(), "nodev".to_owned()];
    all.extend((!exec).then(|| "noexec".to_owned()));
    all.push(format!("size={size}"));
    all.extend(kept);
    Ok(Tmpfs { target, options: all })
}

fn limited(field: &str, target: &str, size: Option<i64>, max: i64, warnings: &mut Vec<String>) -> i64 {
    match size {
        None | Some(0) => max,
        Some(asked) if asked > max => {
            warnings.push(format!(
                "{field}: the tmpfs at {target} was limited to {}, half of the container's memory (policy R08)",
                size_text(max)
            ));
            max
        }
        Some(asked) => asked,
    }
}

/// `64m`, `1G`, `4096`; no percentages: they are of the host's memory.
fn bytes(text: &str) -> Option<i64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return None,
    };
    let number: i64 = if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok()? } else { return None };
    number.checked_mul(1 << shift)
}

fn is_mode(text: &str) -> bool {
    (1..=5).contains(&text.len()) && u32::from_str_radix(text, 8).is_ok_and(|m| m <= 0o7777) && !text.starts_with('+')
}

/// Inside the tenant's range of 65,536.
fn is_id(text: &str) -> bool {
    !text.starts_with('+') && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: i64 = 512 << 20;

    fn parse(target: &str, options: &str) -> Result<(Tmpfs, usize)> {
        let mut warnings = Vec::new();
        let tmpfs = from_options("HostConfig.Tmpfs", target, options, &Package::standard(), MEMORY, &mut warnings)?;
        Ok((tmpfs, warnings.len()))
    }

    #[test]
    fn options_as_the_kernel_takes_them() {
        let (tmpfs, warnings) = parse("/t", "size=1m,mode=1777").expect("golden");
        assert_eq!(tmpfs.options, ["nosuid", "nodev", "noexec", "size=1048576", "mode=1777"]);
        assert_eq!(warnings, 0);
        let (tmpfs, warnings) = parse("/run/", "size=100g,exec").expect("clamped");
        assert_eq!((tmpfs.target.as_str(), warnings), ("/run", 1));
        assert_eq!(tmpfs.options, ["nosuid", "nodev", "size=268435456"]);
        assert!(parse("/t", "").expect("no options").0.options.contains(&"size=268435456".to_owned()));
    }

    #[test]
    fn what_is_not_listed_is_refused() {
        for options in [
            "suid",
            "dev",
            "nr_inodes=0",
            "size=10%",
            "size=-1",
            "mode=99",
            "uid=65536",
            "mpol=bind:0",
            "size=9999999999999g",
        ] {
            assert!(parse("/t", options).is_err(), "{options}");
        }
        for target in ["/", "/proc", "/dev/shm", "t", "/a/../dev", "/sys/fs"] {
            assert!(parse(target, "").is_err(), "{target}");
        }
    }
}
