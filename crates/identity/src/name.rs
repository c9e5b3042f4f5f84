//! The name in a client certificate: `wharfinger://tenant/<tenant id>/user/<user>/credential/<credential id>`.
//!
//! The name alone proves nothing: [`crate::Gate`] compares it with the credential's row, found by fingerprint.

use std::{fmt, str::FromStr};

use domain::{CredentialId, Error, Result, TenantId};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// What a client certificate says of its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientName {
    pub tenant: TenantId,
    pub user: String,
    pub credential: CredentialId,
}

impl ClientName {
    /// Reads the URI out of a certificate, whose signature the TLS layer has checked.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| refused())?;
        let names = parsed.subject_alternative_name().map_err(|_| refused())?.ok_or_else(refused)?;
        let mut uris = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        // Exactly one: with several it would be open to debate whom the certificate names.
        match (uris.next(), uris.next()) {
            (Some(uri), None) => uri.parse(),
            _ => Err(refused()),
        }
    }
}

/// A user's name must stand in a URI, a path and a log line as it is: letters, digits, `.`, `_`, `-`; 64 at the most.
pub(crate) fn check_user(user: &str) -> Result<()> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if user.is_empty() || user.len() > 64 || !user.bytes().all(legal) {
        return Err(Error::invalid(format!(
            "invalid user name {user:?}: use a-z, A-Z, 0-9, '.', '_' and '-', 64 at the most"
        )));
    }
    Ok(())
}

fn refused() -> Error {
    Error::Unauthenticated("the client certificate names no tenant".into())
}

impl FromStr for ClientName {
    type Err = Error;

    fn from_str(uri: &str) -> Result<Self> {
        let path = uri.strip_prefix("wharfinger://").ok_or_else(refused)?;
        let [kind, tenant, user_key, user, credential_key, credential] =
            path.split('/').collect::<Vec<_>>().try_into().map_err(|_| refused())?;
        if (kind, user_key, credential_key) != ("tenant", "user", "credential") || check_user(user).is_err() {
            return Err(refused());
        }
        Ok(Self {
            tenant: tenant.parse().map_err(|_| refused())?,
            user: user.to_owned(),
            credential: credential.parse().map_err(|_| refused())?,
        })
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant, user, credential } = self;
        write!(f, "wharfinger://tenant/{tenant}/user/{user}/credential/{credential}")
    }
}
