//! `os[/architecture[/variant]]`, and which entry of a manifest list it means.

use domain::{Error, Result};
use oci_spec::image::Descriptor;

/// Normalised: Go's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    /// Empty: any.
    pub variant: String,
}

impl Platform {
    /// Of the hosts: Linux on the frontend's own architecture.
    pub fn native() -> Self {
        let (architecture, variant) = normalise(std::env::consts::ARCH, "");
        Self { os: "linux".to_owned(), architecture, variant }
    }

    /// `linux/arm64`, `arm64`, `linux`, `linux/arm/v7`; an empty text is the native one.
    pub fn parse(text: &str) -> Result<Self> {
        let native = Self::native();
        let parts: Vec<&str> = text.split('/').collect();
        if text.is_empty() {
            return Ok(native);
        }
        let word =
            |p: &&str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if parts.len() > 3 || !parts.iter().all(word) {
            return Err(Error::invalid(format!("{text:?}: cannot parse platform specifier: invalid argument")));
        }
        match parts.as_slice() {
            ["linux" | "windows" | "darwin" | "freebsd"] => Ok(Self { os: text.to_owned(), ..native }),
            [architecture] => Ok(Self::of("linux", architecture, "")),
            [os, architecture] => Ok(Self::of(os, architecture, "")),
            _ => Ok(Self::of(parts[0], parts[1], parts[2])),
        }
    }

    pub(crate) fn of(os: &str, architecture: &str, variant: &str) -> Self {
        let (architecture, variant) = normalise(architecture, variant);
        Self { os: os.to_ascii_lowercase(), architecture, variant }
    }

    /// An image of this kind is what was asked for.
    pub fn is_of(&self, os: &str, architecture: &str, variant: &str) -> bool {
        self.fits(&Self::of(os, architecture, variant)).is_some()
    }

    /// The entry for this platform; an exact variant before one without, and one without before another.
    pub(crate) fn choose<'a>(&self, entries: &'a [Descriptor]) -> Option<&'a Descriptor> {
        let fit = |d: &&Descriptor| d.platform().as_ref().and_then(|p| self.fitness(p));
        entries.iter().filter(|d| fit(d).is_some()).max_by_key(fit)
    }

    fn fitness(&self, offered: &oci_spec::image::Platform) -> Option<u8> {
        let variant = offered.variant().clone().unwrap_or_default();
        self.fits(&Self::of(&offered.os().to_string(), &offered.architecture().to_string(), &variant))
    }

    fn fits(&self, offered: &Self) -> Option<u8> {
        if offered.os != self.os || offered.architecture != self.architecture {
            return None;
        }
        match (self.variant.as_str(), offered.variant.as_str()) {
            (wanted, given) if wanted == given => Some(2),
            ("", _) | (_, "") => Some(1),
            // A 32-bit ARM runs what older ones ran.
            (wanted, given) if self.architecture == "arm" && given < wanted => Some(0),
            _ => None,
        }
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

/// The names that uname, Rust and Go have for one thing; variants that say nothing are dropped.
fn normalise(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = match (architecture.to_ascii_lowercase().as_str(), variant) {
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64".to_owned(), String::new()),
        ("x86_64" | "x86-64", v) => ("amd64".to_owned(), v.to_owned()),
        ("aarch64" | "arm64", "8" | "v8" | "") => ("arm64".to_owned(), String::new()),
        ("aarch64", v) => ("arm64".to_owned(), v.to_owned()),
        ("x86" | "i386", _) => ("386".to_owned(), String::new()),
        ("armhf", _) => ("arm".to_owned(), "v7".to_owned()),
        ("armel", _) => ("arm".to_owned(), "v6".to_owned()),
        (a, v) => (a.to_owned(), v.to_owned()),
    };
    (architecture, variant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_normalised() {
        for (given, shown) in [
            ("linux/x86_64", "linux/amd64"),
            ("arm64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm/v7", "linux/arm/v7"),
        ] {
            assert_eq!(Platform::parse(given).expect(given).to_string(), shown);
        }
        assert!(Platform::parse("a/b/c/d").is_err() && Platform::parse("linux/").is_err());
    }
}
