//! containerd's event stream, narrowed to what a reducer needs.
//!
//! Events are not replayed: whoever subscribes must list the tasks afterwards to see what happened in between. And
//! containerd answers a subscription only with its first event, so we make one: see `knock`.

use std::{collections::HashMap, pin::Pin, time::Duration};

use chrono::{DateTime, Utc};
use containerd_client::{
    events::{TaskExit, TaskOom},
    services::v1::{
        CreateNamespaceRequest, Namespace, SubscribeRequest, UpdateNamespaceRequest, events_client::EventsClient,
        namespaces_client::NamespacesClient,
    },
    tonic::Code,
    types::Envelope,
};
use domain::{Error, Result};
use futures::{Stream, StreamExt, future};
use prost::Message;

use super::{Containerd, Exit, NAMESPACE, failed, tasks::time};

/// Far above what a subscription takes to register.
const KNOCK_EVERY: Duration = Duration::from_millis(20);

#[derive(Debug, Clone)]
pub enum Event {
    /// `exec` is None for the container's first process.
    Exited {
        container: String,
        exec: Option<String>,
        pid: u32,
        exit: Exit,
    },
    OutOfMemory {
        container: String,
    },
}

/// Ends with the connection to containerd.
pub type Events = Pin<Box<dyn Stream<Item = Event> + Send>>;

impl Containerd {
    /// Exits and out-of-memory kills from now on.
    pub async fn subscribe(&self) -> Result<Events> {
        // Values must be quoted, or containerd fails to parse the filter.
        let topics = ["/tasks/exit", "/tasks/oom", "/namespaces/create", "/namespaces/update"];
        let filters = topics.map(|topic| format!("namespace==\"{NAMESPACE}\",topic==\"{topic}\""));
        let request = self.request(SubscribeRequest { filters: filters.into() });
        let mut client = EventsClient::new(self.channel.clone());
        let stream = tokio::select! {
            answered = client.subscribe(request) => answered.map_err(|s| failed("events.subscribe", s))?.into_inner(),
            error = self.knock() => return Err(error),
        };
        let good =
            stream.take_while(|e| future::ready(e.is_ok())).filter_map(|e| future::ready(e.ok().and_then(event)));
        Ok(Box::pin(good))
    }

    /// Touches our namespace until the subscription has seen it; returns only when containerd refuses.
    async fn knock(&self) -> Error {
        let mut client = NamespacesClient::new(self.channel.clone());
        loop {
            let labels = HashMap::from([("wharfinger".to_owned(), "agent".to_owned())]);
            let namespace = Some(Namespace { name: NAMESPACE.to_owned(), labels });
            let update = UpdateNamespaceRequest { namespace: namespace.clone(), update_mask: None };
            let known = client.update(self.request(update)).await;
            let touched = match known {
                Err(status) if status.code() == Code::NotFound => {
                    client.create(self.request(CreateNamespaceRequest { namespace })).await.map(|_| ())
                }
                other => other.map(|_| ()),
            };
            if let Err(status) = touched {
                return failed("namespaces.update", status);
            }
            tokio::time::sleep(KNOCK_EVERY).await;
        }
    }
}

fn event(envelope: Envelope) -> Option<Event> {
    let any = envelope.event?;
    match any.type_url.rsplit('.').next()? {
        "TaskExit" => {
            let e = TaskExit::decode(&any.value[..]).ok()?;
            let at = e.exited_at.as_ref().map_or_else(Utc::now, |t| time(t).unwrap_or_else(Utc::now));
            let exec = (e.id != e.container_id).then_some(e.id);
            Some(Event::Exited { container: e.container_id, exec, pid: e.pid, exit: Exit::new(e.exit_status, at) })
        }
        "TaskOOM" => {
            let e = TaskOom::decode(&any.value[..]).ok()?;
            Some(Event::OutOfMemory { container: e.container_id })
        }
        _ => None,
    }
}

impl Exit {
    pub(super) fn new(status: u32, at: DateTime<Utc>) -> Self {
        Self { code: i32::try_from(status).unwrap_or(255), at }
    }
}
