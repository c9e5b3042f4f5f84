//! What the verbs share: find the container in the tenant's rows, ask its agent, store what the agent saw.
//!
//! One look-up, one call, one store. The store comes before the answer, so that the tenant's next `ps` shows the result
//! through whichever frontend.

use std::time::Duration;

use domain::{Error, Observation, Result};
use inventory::{Container, TenantView};
use rpc::v1;
use tonic::Request;

use crate::{extract::Caller, state::App};

/// For verbs that do not wait for the container's own doings.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A container of the caller and the way to its host.
pub(crate) struct Target {
    pub(crate) rows: TenantView,
    pub(crate) container: Container,
    pub(crate) agent: rpc::Agent,
    pub(crate) key: v1::ContainerKey,
}

impl Target {
    pub(crate) async fn find(app: &App, caller: &Caller, reference: &str) -> Result<Self> {
        let rows = app.rows(&caller.tenant);
        let container = rows.container(reference).await?;
        let agent = app.agent(&container)?;
        let key = rpc::container_key(caller.tenant.id(), &container.id);
        Ok(Self { rows, container, agent, key })
    }

    /// Stores the reply's observation if it is news.
    pub(crate) async fn store(&self, reply: v1::VerbReply) -> Result<(v1::Outcome, Observation)> {
        let outcome = reply.outcome();
        let observation: Observation =
            reply.observation.ok_or_else(|| Error::internal("an agent's reply without its observation"))?.try_into()?;
        if observation.removed || observation.generation > self.container.observation.generation {
            self.rows.observe(&observation).await?;
        }
        Ok((outcome, observation))
    }
}

/// `message` with a deadline that travels with the call.
pub(crate) fn within<T>(deadline: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}
