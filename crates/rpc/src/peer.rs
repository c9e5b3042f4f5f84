//! Who calls: read from the URI SAN of the certificate that the TLS layer has verified.

use domain::{Error, HostId, Result};
use tonic::Request;
use x509_parser::{extensions::GeneralName, prelude::FromDer};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Frontend,
    Scheduler,
    Edge,
    Agent(HostId),
}

impl Peer {
    /// The caller of `request`; `Unauthenticated` without a certificate that names a role.
    pub fn of<T>(request: &Request<T>) -> Result<Self> {
        let certificates = request.peer_certs().ok_or_else(|| unknown("no certificate"))?;
        let leaf = certificates.first().ok_or_else(|| unknown("no certificate"))?;
        let (_, parsed) =
            x509_parser::certificate::X509Certificate::from_der(leaf).map_err(|_| unknown("unreadable certificate"))?;
        let names = parsed.subject_alternative_name().ok().flatten().ok_or_else(|| unknown("no SAN"))?;
        let uri = names.value.general_names.iter().find_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        Self::from_uri(uri.ok_or_else(|| unknown("no URI SAN"))?)
    }

    fn from_uri(uri: &str) -> Result<Self> {
        match uri.strip_prefix("wharfinger://") {
            Some("role/frontend") => Ok(Self::Frontend),
            Some("role/scheduler") => Ok(Self::Scheduler),
            Some("role/edge") => Ok(Self::Edge),
            Some(rest) => match rest.strip_prefix("host/") {
                Some(id) => Ok(Self::Agent(id.parse()?)),
                None => Err(unknown(uri)),
            },
            None => Err(unknown(uri)),
        }
    }
}

fn unknown(what: &str) -> Error {
    Error::Unauthenticated(format!("not a role of this data centre: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_from_the_uri() {
        let host = HostId::random();
        assert_eq!(Peer::from_uri("wharfinger://role/frontend").expect("frontend"), Peer::Frontend);
        assert_eq!(Peer::from_uri(&format!("wharfinger://host/{host}")).expect("host"), Peer::Agent(host));
        assert!(Peer::from_uri("wharfinger://tenant/x/user/y").is_err());
        assert!(Peer::from_uri("https://role/frontend").is_err());
    }
}
