//! One TOML file, a section for each role. Everything is parsed before a port binds; a secret is the path of a file.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: {source}")]
    Parse { path: PathBuf, source: Box<toml::de::Error> },
    #[error("{path}: section [{section}] is missing")]
    Section { path: PathBuf, section: String },
}

/// The section `[name]` of the file at `path`. Other roles' sections may stand beside it; a key that the role does not
/// know is an error (`deny_unknown_fields` on the role's type).
pub fn section<T: DeserializeOwned>(path: &Path, name: &str) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
    let parse = |source| ConfigError::Parse { path: path.into(), source: Box::new(source) };
    let mut file: toml::Table = toml::from_str(&text).map_err(parse)?;
    let value =
        file.remove(name).ok_or_else(|| ConfigError::Section { path: path.into(), section: name.to_owned() })?;
    value.try_into().map_err(parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Role {
        listen: String,
    }

    fn read(text: &str) -> Result<Role, ConfigError> {
        let path = std::env::temp_dir().join(format!("wharfinger-config-{}-{}", std::process::id(), text.len()));
        std::fs::write(&path, text).expect("temporary file");
        let result = section(&path, "role");
        std::fs::remove_file(&path).expect("temporary file");
        result
    }

    #[test]
    fn a_role_reads_its_own_section_only() {
        assert_eq!(read("[role]\nlisten = 'a'\n[other]\nx = 1\n").expect("valid").listen, "a");
    }

    #[test]
    fn an_unknown_key_is_named() {
        let text = read("[role]\nlisten = 'a'\nlisen = 'b'\n").expect_err("unknown key").to_string();
        assert!(text.contains("lisen"), "{text}");
    }

    #[test]
    fn a_missing_section_is_named() {
        assert!(read("[other]\n").expect_err("no section").to_string().contains("[role]"));
    }
}
