//! Channels to other roles: made at first use, kept, and reconnected by tonic when the peer comes back.
//!
//! Each channel expects the DNS name of one peer in its certificate, so a host cannot answer for another one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{Error, HostId, Result};
use tonic::{
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};

use crate::{
    request_id::Carry,
    tls::{CONNECTION_WINDOW_BYTES, KEEPALIVE, KEEPALIVE_TIMEOUT, STREAM_WINDOW_BYTES, TlsFiles},
    v1,
};

/// A channel that carries the request id.
type Wire = InterceptedService<Channel, Carry>;
pub type Agent = v1::agent_client::AgentClient<Wire>;
pub type Blobs = v1::blobs_client::BlobsClient<Wire>;
pub type Edge = v1::edge_client::EdgeClient<Wire>;
pub type Files = v1::files_client::FilesClient<Wire>;
pub type Layers = v1::layers_client::LayersClient<Wire>;
pub type Measure = v1::measure_client::MeasureClient<Wire>;
pub type Networks = v1::networks_client::NetworksClient<Wire>;
pub type Scheduler = v1::scheduler_client::SchedulerClient<Wire>;

/// How long a connection may take; verbs on a host that is down answer fast.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Specs of containers with big environments fit; streams send far smaller messages.
const MESSAGE_MAX_BYTES: usize = 16 << 20;

#[derive(Clone)]
pub struct Channels {
    tls: TlsFiles,
    known: Arc<Mutex<HashMap<(String, String), Channel>>>,
}

impl Channels {
    pub fn new(tls: TlsFiles) -> Self {
        Self { tls, known: Arc::default() }
    }

    /// The agent of `host` at `endpoint` (`https://address:port`).
    pub fn agent(&self, host: HostId, endpoint: &str) -> Result<Agent> {
        let wire = self.wire(endpoint, format!("{host}.host.wharfinger"))?;
        Ok(v1::agent_client::AgentClient::with_interceptor(wire, Carry)
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES))
    }

    /// The files of `host`'s containers.
    pub fn files(&self, host: HostId, endpoint: &str) -> Result<Files> {
        let wire = self.wire(endpoint, format!("{host}.host.wharfinger"))?;
        Ok(v1::files_client::FilesClient::with_interceptor(wire, Carry).max_decoding_message_size(MESSAGE_MAX_BYTES))
    }

    /// The layers of `host`'s containers.
    pub fn layers(&self, host: HostId, endpoint: &str) -> Result<Layers> {
        let wire = self.wire(endpoint, format!("{host}.host.wharfinger"))?;
        Ok(v1::layers_client::LayersClient::with_interceptor(wire, Carry).max_decoding_message_size(MESSAGE_MAX_BYTES))
    }

    /// The networks of `host`.
    pub fn networks(&self, host: HostId, endpoint: &str) -> Result<Networks> {
        let wire = self.wire(endpoint, format!("{host}.host.wharfinger"))?;
        Ok(v1::networks_client::NetworksClient::with_interceptor(wire, Carry)
            .max_decoding_message_size(MESSAGE_MAX_BYTES))
    }

    /// What the agent of `host` measures.
    pub fn measure(&self, host: HostId, endpoint: &str) -> Result<Measure> {
        let wire = self.wire(endpoint, format!("{host}.host.wharfinger"))?;
        Ok(v1::measure_client::MeasureClient::with_interceptor(wire, Carry))
    }

    /// One of the edges.
    pub fn edge(&self, endpoint: &str) -> Result<Edge> {
        let wire = self.wire(endpoint, "edge.wharfinger".to_owned())?;
        Ok(v1::edge_client::EdgeClient::with_interceptor(wire, Carry).max_encoding_message_size(MESSAGE_MAX_BYTES))
    }

    pub fn scheduler(&self, endpoint: &str) -> Result<Scheduler> {
        let wire = self.wire(endpoint, "scheduler.wharfinger".to_owned())?;
        Ok(v1::scheduler_client::SchedulerClient::with_interceptor(wire, Carry)
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES))
    }

    pub fn blobs(&self, endpoint: &str) -> Result<Blobs> {
        let wire = self.wire(endpoint, "frontend.wharfinger".to_owned())?;
        Ok(v1::blobs_client::BlobsClient::with_interceptor(wire, Carry).max_decoding_message_size(MESSAGE_MAX_BYTES))
    }

    fn wire(&self, endpoint: &str, server_name: String) -> Result<Channel> {
        let key = (endpoint.to_owned(), server_name);
        let mut known = self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(channel) = known.get(&key) {
            return Ok(channel.clone());
        }
        let channel = self.connect_lazy(endpoint, &key.1)?;
        known.insert(key, channel.clone());
        Ok(channel)
    }

    fn connect_lazy(&self, endpoint: &str, server_name: &str) -> Result<Channel> {
        let tls = self.tls.client(server_name)?;
        let endpoint = Endpoint::from_shared(endpoint.to_owned())
            .and_then(|e| e.tls_config(tls))
            .map_err(|e| Error::because(format!("endpoint {endpoint}"), e))?;
        Ok(endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_lazy())
    }
}
