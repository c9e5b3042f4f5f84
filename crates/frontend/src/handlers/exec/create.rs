//! `POST /containers/{id}/exec`: 201 with an id. Only a row is made; `start` runs it.

use axum::extract::State;
use docker_api::types::ExecConfig;
use domain::{ExecId, Result};
use serde::Serialize;
use serde_json::Value;

use super::{check_status, parse_without};
use crate::{
    error::Answer,
    extract::{Caller, Json, Reference},
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
    Json(body): Json<Value>,
) -> Answer {
    let rows = app.rows(&caller.tenant);
    let container = rows.container(&reference).await?;
    let spec = policy::exec(parse(body)?, &container.spec)?;
    check_status(&container, &reference)?;
    let id = ExecId::random();
    rows.add_exec(&container.id, &id, &spec).await?;
    Ok(json::created(&Created { id: &id }))
}

/// The CLI says `Detach` (but `start` decides), docker-py repeats the container of the path.
fn parse(body: Value) -> Result<ExecConfig> {
    parse_without(body, |name, value| {
        matches!((name, value), ("Detach", Value::Bool(_)) | ("Container", Value::String(_)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<ExecConfig> {
        parse(crate::extract::parse(text.as_bytes()).expect("JSON"))
    }

    #[test]
    fn detach_says_nothing_and_what_is_unknown_is_refused() {
        let body = parsed(r#"{"Cmd":["true"],"Detach":true,"Container":"x"}"#).expect("valid");
        assert_eq!(body.cmd, Some(vec!["true".to_owned()]));
        let error = parsed(r#"{"Cmd":["true"],"Bogus":true}"#).expect_err("refused");
        assert_eq!(error.to_string(), "unsupported field \"Bogus\"");
    }
}
