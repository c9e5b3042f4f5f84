//! `POST /containers/{id}/start`: 204, or 304 when it already runs.

use axum::extract::State;
use domain::Error;
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use rpc::v1;

use super::{
    announce::announce,
    ports::Ports,
    verb::{DEADLINE, Target, within},
};
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    handlers::system::checkpoints,
    json,
    query::Params,
    state::App,
};

pub(crate) async fn start(
    State(app): State<App>,
    caller: Caller,
    Reference(id): Reference,
    params: Params,
    headers: HeaderMap,
) -> Answer {
    check(&params, &headers)?;
    let target = Target::find(&app, &caller, &id).await?;
    let ports = match Ports::take(&target).await {
        Ok(ports) => ports,
        Err(error) => return refused(&target, error).await,
    };
    let request =
        v1::StartRequest { container: Some(target.key.clone()), ports: ports.of_host.clone(), refused: String::new() };
    // Whoever hears that the container runs must be able to reach it from every host.
    let (started, (), ()) = tokio::join!(
        async { target.agent.clone().start(within(DEADLINE, request)).await },
        announce(&app, &target, &target.container.endpoints),
        ports.announce(&app),
    );
    match started {
        Ok(reply) => {
            let outcome = target.store(reply.into_inner()).await?.0;
            ports.settle(&target).await?;
            Ok(json::empty(match outcome {
                v1::Outcome::Already => StatusCode::NOT_MODIFIED,
                v1::Outcome::Done | v1::Outcome::Unspecified => StatusCode::NO_CONTENT,
            }))
        }
        Err(status) => {
            store_failure(&target).await;
            // A start that may still succeed keeps them until its host tells.
            if !matches!(status.code(), tonic::Code::DeadlineExceeded | tonic::Code::Unavailable) {
                ports.settle(&target).await?;
            }
            Err(status.into())
        }
    }
}

/// A port is somebody else's: the host tells of a start that failed, and lets a container of `--rm` go.
async fn refused(target: &Target, error: Error) -> Answer {
    if let Error::Conflict(why) = &error {
        let request =
            v1::StartRequest { container: Some(target.key.clone()), refused: why.clone(), ..Default::default() };
        match target.agent.clone().start(within(DEADLINE, request)).await {
            // It runs already, with the ports that it has.
            Ok(_) => return Ok(json::empty(StatusCode::NOT_MODIFIED)),
            Err(status) => {
                store_failure(target).await;
                return Err(status.into());
            }
        }
    }
    Err(error.into())
}

/// A start that failed has changed the container (exit code 127, `State.Error`); the error itself carries no observation, so
/// it is asked for. Best effort: the agent reports it as well.
async fn store_failure(target: &Target) {
    let request = v1::WaitRequest {
        container: Some(target.key.clone()),
        condition: v1::WaitCondition::NotRunning.into(),
        after_generation: 0,
    };
    let asked = target.agent.clone().wait(within(std::time::Duration::from_secs(1), request)).await;
    if let Ok(reply) = asked
        && let Err(error) = target.store(reply.into_inner()).await
    {
        tracing::warn!(cause = error.operator_text(), "the state after a failed start was not stored");
    }
}

fn check(params: &Params, headers: &HeaderMap) -> Result<(), Error> {
    params.only(&["detachKeys", "checkpoint", "checkpoint-dir"])?;
    if params.filled("checkpoint").is_some() || params.filled("checkpoint-dir").is_some() {
        return Err(Error::unsupported(checkpoints::DISABLED));
    }
    // Docker's bound: an object that says something has at least 7 characters.
    let length: u64 = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok()).unwrap_or(0);
    if length > 7 || headers.contains_key(TRANSFER_ENCODING) {
        return Err(Error::invalid(
            "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_host_config_at_start_is_refused() {
        let headers = HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from_static("20"))]);
        assert!(matches!(check(&Params::default(), &headers), Err(Error::Invalid(_))));
        let headers = HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from_static("2"))]);
        assert!(check(&Params::default(), &headers).is_ok());
    }
}
