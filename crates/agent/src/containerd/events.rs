//! containerd's event stream, narrowed to what a reducer needs.
//!
//! Events are not replayed: whoever subscribes must list the tasks afterwards to see what happened in between.

use std::pin::Pin;

use chrono::{DateTime, Utc};
use containerd_client::{
    events::{TaskExit, TaskOom},
    services::v1::{SubscribeRequest, events_client::EventsClient},
    types::Envelope,
};
use domain::Result;
use futures::{Stream, StreamExt, future};
use prost::Message;

use super::{Containerd, Exit, NAMESPACE, failed, tasks::time};

#[derive(Debug, Clone)]
pub enum Event {
    /// `exec` is None for the container's first process.
    Exited { container: String, exec: Option<String>, pid: u32, exit: Exit },
    OutOfMemory { container: String },
}

/// Ends with the connection to containerd.
pub type Events = Pin<Box<dyn Stream<Item = Event> + Send>>;

impl Containerd {
    /// Exits and out-of-memory kills from now on.
    pub async fn subscribe(&self) -> Result<Events> {
        // Values must be quoted, or containerd fails to parse the filter.
        let filters = ["/tasks/exit", "/tasks/oom"].map(|topic| format!("namespace==\"{NAMESPACE}\",topic==\"{topic}\""));
        let request = self.request(SubscribeRequest { filters: filters.into() });
        let stream = EventsClient::new(self.channel.clone()).subscribe(request).await;
        let stream = stream.map_err(|s| failed("events.subscribe", s))?.into_inner();
        let good = stream.take_while(|e| future::ready(e.is_ok())).filter_map(|e| future::ready(e.ok().and_then(event)));
        Ok(Box::pin(good))
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
