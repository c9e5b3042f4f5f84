//! Registry credentials as Docker clients send them, in `X-Registry-Auth` or in the body of `POST /auth`.
//!
//! They live as long as one request, are never logged (`Debug` hides them), and go to the registry that they name alone.

use std::fmt;

use base64::Engine as _;
use domain::{Error, Result};
use serde::Deserialize;

/// Policy I02.
const HEADER_MAX_BYTES: usize = 32 * 1024;

/// A string that `Debug` does not show.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(empty)" } else { "Secret(..)" })
    }
}

/// Docker's `AuthConfig`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RegistryAuth {
    #[serde(default, deserialize_with = "or_nothing")]
    pub username: String,
    #[serde(default, deserialize_with = "or_nothing")]
    pub password: Secret,
    /// base64 of `user:password`, from clients that pass on their configuration file.
    #[serde(default, deserialize_with = "or_nothing")]
    auth: Secret,
    /// A refresh token, which a token realm takes instead of a password.
    #[serde(default, deserialize_with = "or_nothing", rename = "identitytoken")]
    pub identity_token: Secret,
    /// A bearer token for the registry itself.
    #[serde(default, deserialize_with = "or_nothing", rename = "registrytoken")]
    pub registry_token: Secret,
    #[serde(default, deserialize_with = "or_nothing", rename = "serveraddress")]
    pub server_address: String,
}

/// SDKs write `null` for what they do not have.
fn or_nothing<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

impl RegistryAuth {
    /// From `X-Registry-Auth`: base64 (URL-safe, padded or not) of JSON. None where it holds no credential.
    pub fn from_header(value: &str) -> Result<Option<Self>> {
        if value.len() > HEADER_MAX_BYTES {
            return Err(Error::invalid("invalid X-Registry-Auth header: more than 32 KiB"));
        }
        if value.is_empty() {
            return Ok(None);
        }
        let json = decode(value).ok_or_else(|| {
            Error::invalid("invalid X-Registry-Auth header: must be a valid base64url-encoded string")
        })?;
        let invalid = |_| Error::invalid("invalid X-Registry-Auth header: invalid JSON");
        let auth: Option<Self> = serde_json::from_slice(&json).map_err(invalid)?;
        Ok(auth.map(Self::unfolded).filter(Self::holds_something))
    }

    /// From the body of `POST /auth`.
    pub fn from_json(body: &[u8]) -> Result<Self> {
        let auth: Self =
            serde_json::from_slice(body).map_err(|_| Error::invalid("invalid JSON in the request body"))?;
        Ok(auth.unfolded())
    }

    /// `auth` taken apart, where there is no username.
    fn unfolded(mut self) -> Self {
        if self.username.is_empty() && !self.auth.is_empty() {
            let text = decode(self.auth.expose()).and_then(|bytes| String::from_utf8(bytes).ok());
            if let Some((user, password)) = text.as_deref().and_then(|t| t.split_once(':')) {
                self.username = user.to_owned();
                self.password = Secret::new(password);
            }
        }
        self
    }

    fn holds_something(&self) -> bool {
        !self.username.is_empty() || !self.identity_token.is_empty() || !self.registry_token.is_empty()
    }

    /// The registry's name, as in references: `docker.io`, `127.0.0.1:5000`; empty where none is given.
    pub fn registry(&self) -> &str {
        let address = self.server_address.split_once("://").map_or(self.server_address.as_str(), |(_, rest)| rest);
        match address.split('/').next().unwrap_or_default() {
            "index.docker.io" | "registry-1.docker.io" => "docker.io",
            other => other,
        }
    }

    /// Policy I02: a credential that names a registry is for that one.
    pub(crate) fn check_for(&self, domain: &str) -> Result<()> {
        if self.registry().is_empty() || self.registry() == domain {
            return Ok(());
        }
        Err(Error::forbidden(format!("the credential is for another registry than {domain} (policy I02)")))
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let plain: String = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace() && *c != '=')
        .map(|c| match c {
            '+' => '-',
            '/' => '_',
            c => c,
        })
        .collect();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(plain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &str) -> String {
        base64::engine::general_purpose::URL_SAFE.encode(text)
    }

    #[test]
    fn a_header_holds_a_credential_or_nothing() {
        let header = encode(r#"{"username":"u","password":"p","serveraddress":"https://index.docker.io/v1/"}"#);
        let auth = RegistryAuth::from_header(&header).expect("valid").expect("some");
        assert_eq!((auth.username.as_str(), auth.password.expose(), auth.registry()), ("u", "p", "docker.io"));
        assert!(auth.check_for("docker.io").is_ok() && auth.check_for("evil.example").is_err());
        assert!(!format!("{auth:?}").contains("\"p\""));
        for empty in ["", "e30=", "e30", "bnVsbA=="] {
            assert!(RegistryAuth::from_header(empty).expect(empty).is_none(), "{empty}");
        }
        assert!(RegistryAuth::from_header("!!").is_err());
        let with_nulls = encode(
            r#"{"username":"u","password":"p","auth":null,"email":null,"serveraddress":null,"identitytoken":null}"#,
        );
        assert_eq!(RegistryAuth::from_header(&with_nulls).expect("valid").expect("some").username, "u");
    }

    #[test]
    fn a_folded_credential_is_unfolded() {
        let header = encode(&format!(r#"{{"auth":"{}"}}"#, encode("me:se:cret")));
        let auth = RegistryAuth::from_header(&header).expect("valid").expect("some");
        assert_eq!((auth.username.as_str(), auth.password.expose()), ("me", "se:cret"));
    }
}
