//! `POST /containers/{id}/exec`: 201 with an id. Only a row is made; `start` runs it.

use axum::{body::Bytes, extract::State};
use docker_api::{strict, types::ExecConfig};
use domain::{Error, ExecId, Result};
use serde::Serialize;
use serde_json::Value;

use super::check_status;
use crate::{
    error::Answer,
    extract::{Caller, JsonBytes, Reference},
    json,
    state::App,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Created<'a> {
    id: &'a ExecId,
}

pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Reference(reference): Reference,
    JsonBytes(body): JsonBytes,
) -> Answer {
    let rows = app.rows(&caller.tenant);
    let container = rows.container(&reference).await?;
    let spec = policy::exec(parse(&body)?, &container.spec)?;
    check_status(&container, &reference)?;
    let id = ExecId::random();
    rows.add_exec(&container.id, &id, &spec).await?;
    Ok(json::created(&Created { id: &id }))
}

/// Two fields that clients send undocumented, and that have no effect in dockerd either: the CLI says `Detach` (but
/// `start` decides), docker-py repeats the container of the path.
fn parse(body: &Bytes) -> Result<ExecConfig> {
    let invalid = |e: strict::ParseError| Error::invalid(e.to_string());
    let mut document = strict::value(body).map_err(invalid)?;
    if let Value::Object(fields) = &mut document {
        fields.retain(|name, value| {
            !matches!((name.as_str(), value), ("Detach", Value::Bool(_)) | ("Container", Value::String(_)))
        });
    }
    strict::parse(&rpc::to_json(&document)).map_err(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detach_says_nothing_and_what_is_unknown_is_refused() {
        let body = parse(&Bytes::from_static(br#"{"Cmd":["true"],"Detach":true,"Container":"x"}"#)).expect("valid");
        assert_eq!(body.cmd, Some(vec!["true".to_owned()]));
        let error = parse(&Bytes::from_static(br#"{"Cmd":["true"],"Bogus":true}"#)).expect_err("refused");
        assert_eq!(error.to_string(), "unsupported field \"Bogus\"");
    }
}
