//! mTLS between roles. The infrastructure CA is not the tenants' CA: a tenant's certificate opens no door here.

use std::{path::PathBuf, time::Duration};

use domain::{Error, Result};
use serde::Deserialize;
use tonic::transport::{Certificate, ClientTlsConfig, Identity, Server, ServerTlsConfig};

/// A stream's flow-control window in bytes: bounds what one slow reader makes its sender buffer, and is enough for
/// 1 GiB/s at 0.5 ms of round trip.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 512 << 10;
/// The largest that HTTP/2 has: many slow streams on one connection must not starve the others of its window.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;
/// A peer that answers no ping for this long plus the timeout is gone.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(10);
pub(crate) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// PEM files of a role: the infrastructure CA, and the role's own certificate (with its chain) and key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl TlsFiles {
    fn read(path: &PathBuf) -> Result<Vec<u8>> {
        std::fs::read(path).map_err(|e| Error::because(format!("cannot read {}", path.display()), e))
    }

    fn identity(&self) -> Result<Identity> {
        Ok(Identity::from_pem(Self::read(&self.cert)?, Self::read(&self.key)?))
    }

    fn ca(&self) -> Result<Certificate> {
        Ok(Certificate::from_pem(Self::read(&self.ca)?))
    }

    pub(crate) fn client(&self, server_name: &str) -> Result<ClientTlsConfig> {
        Ok(ClientTlsConfig::new().domain_name(server_name).ca_certificate(self.ca()?).identity(self.identity()?))
    }
}

/// A gRPC server that only roles with a certificate of the infrastructure CA can reach.
pub fn server(tls: &TlsFiles) -> Result<Server> {
    let config = ServerTlsConfig::new().identity(tls.identity()?).client_ca_root(tls.ca()?);
    let server = Server::builder().tls_config(config).map_err(|e| Error::because("TLS configuration", e))?;
    Ok(server
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(256 << 10)
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT)))
}
