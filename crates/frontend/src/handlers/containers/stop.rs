//! `POST /containers/{id}/stop`: 204, or 304 when it does not run.

use std::time::Duration;

use axum::extract::State;
use domain::{Result, Signal};
use http::StatusCode;
use inventory::Container;
use rpc::v1;
use tonic::Request;

use super::verb::{Target, within};
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    json,
    query::Params,
    state::App,
};

/// Above the grace period: SIGKILL, the runtime's clean-up.
const MARGIN: Duration = Duration::from_secs(60);

pub(crate) async fn stop(State(app): State<App>, caller: Caller, Reference(id): Reference, params: Params) -> Answer {
    let wish = Wish::of(&params)?;
    let target = Target::find(&app, &caller, &id).await?;
    let reply = target.agent.clone().stop(wish.request(&target, Vec::new())).await?.into_inner();
    Ok(json::empty(match target.store(reply).await?.0 {
        v1::Outcome::Already => StatusCode::NOT_MODIFIED,
        v1::Outcome::Done | v1::Outcome::Unspecified => StatusCode::NO_CONTENT,
    }))
}

/// How to stop; also of `restart`.
pub(super) struct Wish {
    signal: Option<Signal>,
    timeout_s: Option<i32>,
}

impl Wish {
    pub(super) fn of(params: &Params) -> Result<Self> {
        params.only(&["t", "signal"])?;
        let timeout_s = params.number("t", -1..=i64::from(i32::MAX))?.and_then(|t| i32::try_from(t).ok());
        Ok(Self { signal: params.filled("signal").map(str::parse).transpose()?, timeout_s })
    }

    /// With the ports that a restart publishes.
    pub(super) fn request(&self, target: &Target, ports: Vec<v1::HostPort>) -> Request<v1::StopRequest> {
        let message = v1::StopRequest {
            container: Some(target.key.clone()),
            signal: self.signal.map(|s| s.0),
            timeout_s: self.timeout_s,
            ports,
        };
        match self.grace(&target.container) {
            Some(grace) => within(grace + MARGIN, message),
            None => Request::new(message),
        }
    }

    /// None: for ever.
    fn grace(&self, container: &Container) -> Option<Duration> {
        let seconds = self.timeout_s.unwrap_or(container.spec.stop_timeout_s);
        u64::try_from(seconds).ok().map(Duration::from_secs)
    }
}
