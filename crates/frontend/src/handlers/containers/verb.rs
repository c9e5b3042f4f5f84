//! What the verbs share: find the container in the tenant's rows, ask its agent, store what the agent saw.
//!
//! One look-up, one call, one store. The store comes before the answer, so that the tenant's next `ps` shows the result
//! through whichever frontend.

use std::time::{Duration, Instant};

use domain::{Error, Observation, Result};
use inventory::{Container, TenantView};
use rpc::v1;
use tonic::Request;

use crate::{extract::Caller, state::App};

/// For verbs that do not wait for the container's own doings.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// How long a restart of the database may take.
const PERSIST: Duration = Duration::from_secs(20);

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
        let observation = observation(&reply)?;
        if observation.removed || observation.generation > self.container.observation.generation {
            persist(|| self.rows.observe(&observation)).await?;
        }
        Ok((outcome, observation))
    }
}

/// What the agent saw.
pub(crate) fn observation(reply: &v1::VerbReply) -> Result<Observation> {
    let seen = reply.observation.clone();
    seen.ok_or_else(|| Error::internal("an agent's reply without its observation"))?.try_into()
}

/// Stores what a host has done already. A database that restarts meanwhile is waited for: the deed cannot be taken back,
/// and its outcome (an exit code) might not be had a second time.
pub(crate) async fn persist<T, F: Future<Output = Result<T>>>(store: impl Fn() -> F) -> Result<T> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(50);
    loop {
        match store().await {
            Err(Error::Unavailable { .. }) if begun.elapsed() < PERSIST => tokio::time::sleep(pause).await,
            outcome => return outcome,
        }
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// `message` with a deadline that travels with the call.
pub(crate) fn within<T>(deadline: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_restart_of_the_database_is_waited_for_and_a_refusal_is_not() {
        let tries = AtomicU32::new(0);
        let flaky = || async {
            match tries.fetch_add(1, Ordering::Relaxed) {
                0..3 => Err(Error::unavailable("restarting")),
                n => Ok(n),
            }
        };
        assert_eq!(persist(flaky).await.expect("stored"), 3);
        let refused = || async { Err::<(), _>(Error::conflict("no")) };
        assert!(matches!(persist(refused).await, Err(Error::Conflict(_))));
    }
}
