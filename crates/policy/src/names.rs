//! Grammars of names that come from tenants: host names, labels of DNS, volumes, networks.

/// A DNS name: labels of letters, digits, `-` and `_` (which RFC 1123 lacks and Compose uses), at most `max` bytes.
pub(crate) fn is_dns_name(name: &str, max: usize) -> bool {
    !name.is_empty() && name.len() <= max && name.trim_end_matches('.').split('.').all(is_dns_label)
}

fn is_dns_label(label: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !label.is_empty()
        && label.len() <= 63
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(inner)
}

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, at most 255 bytes: names of volumes, networks and containers, and ids.
pub(crate) fn is_object_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    name.len() <= 255 && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()) && name.bytes().all(inner)
}

pub(crate) fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// `/a/b` of `/a//./b/`; None if it is not absolute, has a `..` or a control character, or is too long for the kernel.
pub(crate) fn clean_path(given: &str) -> Option<String> {
    if !given.starts_with('/') || has_control(given) || given.len() >= 4096 {
        return None;
    }
    let steps: Vec<&str> = given.split('/').filter(|s| !s.is_empty() && *s != ".").collect();
    if steps.contains(&"..") { None } else { Some(format!("/{}", steps.join("/"))) }
}

/// `path` is one of `trees`, or below one.
pub(crate) fn is_in(path: &str, trees: &[&str]) -> bool {
    trees.iter().any(|t| path.strip_prefix(t).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammars() {
        assert!(is_dns_name("a-b.c_d", 64) && is_dns_name("x.", 64));
        for bad in ["", "-a", "a..b", "a b", "a\n", &"a".repeat(64)] {
            assert!(!is_dns_name(bad, 253), "{bad:?}");
        }
        assert!(is_object_name("a") && is_object_name("0_.-"));
        assert!(!is_object_name(".a") && !is_object_name("") && !is_object_name("a/b"));
    }

    #[test]
    fn paths() {
        assert_eq!(clean_path("/a//./b/").as_deref(), Some("/a/b"));
        assert_eq!(clean_path("//").as_deref(), Some("/"));
        for bad in ["a", "", "/a/../b", "/a\0", "/a\n"] {
            assert_eq!(clean_path(bad), None, "{bad:?}");
        }
        assert!(is_in("/proc/1", &["/proc"]) && is_in("/dev", &["/proc", "/dev"]) && !is_in("/process", &["/proc"]));
    }
}
