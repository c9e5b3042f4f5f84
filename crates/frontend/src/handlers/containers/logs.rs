//! `GET /containers/{id}/logs`: the log, framed unless the container has a terminal.

use axum::extract::State;
use chrono::{DateTime, Utc};
use docker_api::time::parse_timestamp;
use domain::{Error, Result, spec::LogDriver};
use futures::StreamExt as _;
use rpc::v1;

use super::verb::Target;
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    hijack,
    query::Params,
    state::App,
    stream,
};

const KNOWN: [&str; 8] = ["follow", "stdout", "stderr", "since", "until", "timestamps", "tail", "details"];

pub(crate) async fn logs(State(app): State<App>, caller: Caller, Reference(id): Reference, params: Params) -> Answer {
    params.only(&KNOWN)?;
    let mut request = request(&params)?;
    let mut target = Target::find(&app, &caller, &id).await?;
    if target.container.spec.log.driver == LogDriver::None {
        return Err(Error::unsupported("configured logging driver does not support reading").into());
    }
    let follow = request.follow;
    request.container = Some(target.key.clone());
    // The agent's refusals come here, before the headers; a stream that says nothing at all is no empty log.
    let mut output = target.agent.logs(request).await?.into_inner();
    hijack::attached(&mut output).await?;
    let tty = target.container.spec.process.tty;
    Ok(hijack::streamed(hijack::content_type(tty, caller.version), stream::logs_body(output.boxed(), tty, follow)))
}

fn request(params: &Params) -> Result<v1::LogsRequest> {
    let (stdout, stderr) = (params.flag("stdout"), params.flag("stderr"));
    if !stdout && !stderr {
        return Err(Error::invalid("Bad parameters: you must choose at least one stream"));
    }
    Ok(v1::LogsRequest {
        container: None,
        stdout,
        stderr,
        follow: params.flag("follow"),
        timestamps: params.flag("timestamps"),
        details: params.flag("details"),
        since: moment(params, "since")?,
        until: moment(params, "until")?,
        // As dockerd: what is no number (`all`) and what is negative means everything.
        tail: params.filled("tail").and_then(|t| t.parse().ok()),
    })
}

fn moment(params: &Params, key: &str) -> Result<Option<prost_types::Timestamp>> {
    // Clients send 0 for "not given".
    let Some(text) = params.filled(key).filter(|text| *text != "0") else { return Ok(None) };
    let at: DateTime<Utc> = parse_timestamp(text, Utc::now()).map_err(|e| Error::invalid(e.to_string()))?;
    let nanos = i32::try_from(at.timestamp_subsec_nanos()).unwrap_or(0);
    Ok(Some(prost_types::Timestamp { seconds: at.timestamp(), nanos }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(query: &str) -> Result<v1::LogsRequest> {
        request(&Params::of(&format!("/logs?{query}").parse().expect("uri")).expect("query"))
    }

    #[test]
    fn one_stream_must_be_chosen() {
        let error = parsed("follow=1").expect_err("refused").to_string();
        assert_eq!(error, "Bad parameters: you must choose at least one stream");
    }

    #[test]
    fn tail_and_times() {
        let request = parsed("stdout=1&tail=all&since=0&until=1136073600.5").expect("valid");
        assert_eq!((request.tail, request.since), (None, None));
        let until = request.until.expect("until");
        assert_eq!((until.seconds, until.nanos), (1_136_073_600, 500_000_000));
        assert_eq!(parsed("stderr=1&tail=3").expect("valid").tail, Some(3));
        assert_eq!(parsed("stderr=1&tail=-1").expect("valid").tail, None);
    }
}
