//! `attach` and `logs`: the output comes from the logger's segments; here is what ties it to the container's life, and
//! the way of stdin.

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use domain::{ContainerId, Result, TenantId};
use futures::{Stream, StreamExt};
use rpc::v1;
use tokio::sync::Notify;

use super::{Container, Engine};
use crate::stdio::{self, Attach};

/// `attached`, then chunks; ends with the run.
pub type Outputs = Pin<Box<dyn Stream<Item = Result<v1::StreamOutput>> + Send>>;

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    Bytes(Bytes),
    /// The end of its input; the client still reads.
    Close,
}

/// Ends when the client has left.
pub type Inputs = Pin<Box<dyn Stream<Item = Input> + Send>>;

impl Engine {
    /// Works in every state: on a container that does not run it waits for the next start.
    pub fn attach(
        self: &Arc<Self>,
        tenant: TenantId,
        id: &ContainerId,
        start: &v1::AttachStart,
        input: Inputs,
    ) -> Result<Outputs> {
        let container = self.find(tenant, id)?;
        let (files, failed) = (container.hold_files(), container.next_start_failed());
        let request = Attach { tty: container.accepted.spec.process.tty, ..start.into() };
        let output = stdio::attach(&container.paths(), request, container.starts());
        let attached = Arc::new(Notify::new());
        if start.stdin && start.stream {
            let (engine, attached) = (self.clone(), attached.clone());
            tokio::spawn(async move {
                // Its answer must come after the place from which the client reads.
                attached.notified().await;
                engine.feed(&container, input).await;
            });
        }
        let until_failed = output.take_until(async move { failed.cancelled().await });
        Ok(Box::pin(until_failed.inspect(move |_| {
            let _ = &files;
            attached.notify_one();
        })))
    }

    pub fn logs(self: &Arc<Self>, tenant: TenantId, id: &ContainerId, request: &v1::LogsRequest) -> Result<Outputs> {
        let container = self.find(tenant, id)?;
        let files = container.hold_files();
        let spec = &container.accepted.spec;
        let output = stdio::logs(&container.paths(), request, &spec.log, spec.process.tty)?;
        Ok(Box::pin(output.inspect(move |_| {
            let _ = &files;
        })))
    }

    /// Docker's rule: the container's stdin ends with the first client's only for `StdinOnce` without a terminal.
    async fn feed(self: &Arc<Self>, container: &Arc<Container>, mut input: Inputs) {
        let Some(stdin) = container.stdin() else { return };
        while let Some(Input::Bytes(bytes)) = input.next().await {
            if stdin.write(&bytes).await.is_err() {
                return;
            }
        }
        let spec = &container.accepted.spec;
        if spec.stdin_once && !spec.process.tty && stdin.close().await {
            self.close_stdin(container, None).await;
        }
    }

    /// The run has begun; input that ended before it ends now.
    pub(super) async fn stdin_started(self: &Arc<Self>, container: &Arc<Container>) {
        if let Some(stdin) = container.stdin()
            && stdin.started().await
        {
            self.close_stdin(container, None).await;
        }
    }

    pub(super) async fn close_stdin(&self, container: &Container, exec: Option<&str>) {
        if let Err(error) = self.containerd.close_stdin(container.id(), exec).await {
            tracing::debug!(container = container.id(), error = error.operator_text(), "stdin of a process that ended");
        }
    }
}
