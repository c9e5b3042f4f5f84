//! The TLS settings of the Docker endpoint.
//!
//! Tickets let a client resume without a second round of signatures; the client's chain travels in the ticket, and
//! [`crate::Gate`] looks at it again for each request, so a ticket outlives no revocation.

use std::{path::Path, sync::Arc};

use domain::{Error, Result};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs::{Ticketer, default_provider},
    server::WebPkiClientVerifier,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

/// A client certificate below `client_ca` is required; HTTP/1.1 only, since Docker's streams need upgrades.
pub fn endpoint_server_config(cert: &Path, key: &Path, client_ca: &Path) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(default_provider());
    let roots = Arc::new(roots(client_ca)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
        .build()
        .map_err(|e| Error::because("client verifier", e))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::because("TLS versions", e))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(cert)?, private_key(key)?)
        .map_err(|e| Error::because("the endpoint's certificate", e))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = Ticketer::new().map_err(|e| Error::because("session tickets", e))?;
    Ok(Arc::new(config))
}

fn roots(path: &Path) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|e| Error::because(format!("{}", path.display()), e))?;
    }
    Ok(store)
}

pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|e| Error::because(format!("reading {}", path.display()), e))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).map_err(|e| Error::because(format!("reading {}", path.display()), e))
}
