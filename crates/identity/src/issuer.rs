//! Certificates of the endpoint for tenants' own addresses, made when a client first dials one.
//!
//! A data centre has as many addresses as tenants, and a client checks that the certificate names the one that it dialled.
//! The key that signs is of an authority for servers only, so that a frontend which is broken into makes no client.

use std::{
    collections::HashMap,
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::{Error, Result};
use rcgen::{Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::sign::any_supported_type,
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::{
    endpoint::certificates,
    leaf::{self, Names, Use},
};

const DAYS: u32 = 30;
/// Made anew long before it ends: a connection checks it once.
const RENEW: Duration = Duration::from_secs(24 * 3600);
/// Addresses whose certificates are kept at the most.
const KEPT_MAX: usize = 65_536;

pub struct EndpointIssuer {
    issuer: Issuer<'static, KeyPair>,
    chain: Vec<CertificateDer<'static>>,
    /// With whom clients must be signed by, and everything else but the certificate.
    base: Arc<ServerConfig>,
    made: Mutex<HashMap<IpAddr, (Instant, Arc<ServerConfig>)>>,
}

impl EndpointIssuer {
    /// `cert` and `key` are those of the authority for endpoints; `base` as from [`crate::endpoint_server_config`].
    ///
    /// # Errors
    /// Files that cannot be read, or are no authority.
    pub fn open(cert: &Path, key: &Path, base: Arc<ServerConfig>) -> Result<Self> {
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|e| Error::because(format!("reading {}", path.display()), e))
        };
        let (cert_pem, key_pem) = (read(cert)?, read(key)?);
        let issuer = KeyPair::from_pem(&key_pem).and_then(|key| Issuer::from_ca_cert_pem(&cert_pem, key));
        let issuer = issuer.map_err(|e| Error::because("the authority for endpoints", e))?;
        Ok(Self { issuer, chain: certificates(cert)?, base, made: Mutex::default() })
    }

    /// What a client sees that has dialled `address`.
    ///
    /// # Errors
    /// A defect: signing fails.
    pub fn config(&self, address: IpAddr) -> Result<Arc<ServerConfig>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = made.get(&address).filter(|(at, _)| at.elapsed() < RENEW) {
            return Ok(config.clone());
        }
        if made.len() >= KEPT_MAX {
            made.clear();
        }
        let config = self.make(address)?;
        made.insert(address, (Instant::now(), config.clone()));
        Ok(config)
    }

    fn make(&self, address: IpAddr) -> Result<Arc<ServerConfig>> {
        let names = Names { ips: vec![address], ..Names::default() };
        let (params, _) = leaf::leaf(&address.to_string(), names, Use::Server, DAYS)?;
        let signed = KeyPair::generate().and_then(|key| Ok((params.signed_by(&key, &self.issuer)?, key)));
        let (certificate, key) = signed.map_err(|e| Error::because("signing a certificate", e))?;
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes())
            .map_err(|e| Error::because("a key that was just made", e))?;
        let key = any_supported_type(&key).map_err(|e| Error::because("a key that was just made", e))?;
        let chain = [certificate.der().clone()].into_iter().chain(self.chain.iter().cloned());
        let mut config = ServerConfig::clone(&self.base);
        config.cert_resolver = Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain.collect(), key)));
        Ok(Arc::new(config))
    }
}
