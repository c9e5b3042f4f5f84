//! `POST /commit`: 201 with the new image's id.
//!
//! The image's config is the container's, changes applied. With a body it is the body's, and the container's only fills in
//! what that leaves open, as in dockerd.

use axum::{
    body::Body,
    extract::{FromRequest as _, Request, State},
};
use docker_api::types::{ContainerConfig, container_config_json};
use domain::{Error, Event, EventType, ImageRef, Result};
use images::NewChild;
use inventory::Container;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    commit::{Committed as MadeImage, commit as make_image},
    error::Answer,
    extract::{Caller, OptionalJson},
    json,
    query::Params,
    state::App,
};

const KNOWN: [&str; 7] = ["container", "repo", "tag", "comment", "author", "pause", "changes"];
/// Of author and comment each.
const TEXT_MAX_BYTES: usize = 64 << 10;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Committed {
    id: domain::Digest,
}

pub(crate) async fn commit(State(app): State<App>, caller: Caller, params: Params, request: Request<Body>) -> Answer {
    params.only(&KNOWN)?;
    // Clients without a config send `null`.
    let OptionalJson(body) = OptionalJson::<Option<ContainerConfig>>::from_request(request, &()).await?;
    let rows = app.rows(&caller.tenant);
    let container = rows.container(params.get("container").unwrap_or_default()).await?;
    let name = name(&params)?;
    let changes: Vec<String> = params.all("changes").map(str::to_owned).collect();
    let own: Value = serde_json::from_str(container.docker_config.get())
        .map_err(|e| Error::because("reading a container's config", e))?;
    let child = NewChild {
        config: config(body.flatten(), &own, &changes)?,
        author: text(&params, "author")?,
        comment: text(&params, "comment")?,
        created_by: words(&own, "Cmd").join(" "),
        names: name.iter().cloned().collect(),
        ..NewChild::default()
    };
    let comment = child.comment.clone();
    let made = make_image(&app, &rows, &container, child, params.flag_or("pause", true)).await?;
    rows.record_events(&events(&container, &made, name.as_ref(), &comment)).await?;
    Ok(json::created(&Committed { id: made.id }))
}

/// As dockerd tells it. That the container stood still is told afterwards: it was too short for anybody to act on.
fn events(container: &Container, made: &MadeImage, name: Option<&ImageRef>, comment: &str) -> Vec<Event> {
    let id = made.id.as_str();
    let mut events: Vec<Event> = made.paused.then(|| container.event("pause")).into_iter().collect();
    events.extend(name.map(|name| Event::new(EventType::Image, "tag", id).with("name", name)));
    let reference = name.map(ToString::to_string).unwrap_or_default();
    events.push(container.event("commit").with("comment", comment).with("imageID", id).with("imageRef", reference));
    events.extend(made.paused.then(|| container.event("unpause")));
    events
}

/// The name for the image, if it gets one.
fn name(params: &Params) -> Result<Option<ImageRef>> {
    let Some(repo) = params.filled("repo") else { return Ok(None) };
    let reference: ImageRef = repo.parse()?;
    if reference.digest().is_some() {
        return Err(Error::invalid("cannot import digest reference"));
    }
    match params.filled("tag") {
        Some(tag) => reference.with_tag(tag).map(Some),
        None => Ok(Some(reference.with_default_tag())),
    }
}

fn text(params: &Params, key: &str) -> Result<String> {
    let text = params.get(key).unwrap_or_default();
    if text.len() > TEXT_MAX_BYTES {
        return Err(Error::invalid(format!("{key} is longer than {TEXT_MAX_BYTES} bytes")));
    }
    Ok(text.to_owned())
}

/// Checked as any image's config that a tenant writes (policy G5).
fn config(given: Option<ContainerConfig>, own: &Value, changes: &[String]) -> Result<Value> {
    let broken = |e| Error::because("Docker's JSON of an image's config", e);
    let mut config = match &given {
        Some(given) => container_config_json(given).map_err(broken)?,
        None => own.clone(),
    };
    build::dockerfile::change(&mut config, changes)?;
    if given.is_some()
        && let (Some(config), Some(own)) = (config.as_object_mut(), own.as_object())
    {
        fill_in(config, own);
    }
    policy::image_config(serde_json::from_value(config.clone()).map_err(broken)?)?;
    Ok(config)
}

/// dockerd's merge of a given config over the container's.
fn fill_in(config: &mut Map<String, Value>, own: &Map<String, Value>) {
    for key in ["User", "WorkingDir", "StopSignal", "Healthcheck"] {
        if is_empty(config.get(key)) {
            copy(config, own, key);
        }
    }
    for key in ["ExposedPorts", "Labels", "Volumes"] {
        let mut all = own.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
        all.extend(config.get(key).and_then(Value::as_object).cloned().unwrap_or_default());
        if !all.is_empty() {
            config.insert(key.to_owned(), Value::Object(all));
        }
    }
    let mut env = words(&Value::Object(config.clone()), "Env");
    for pair in words(&Value::Object(own.clone()), "Env") {
        let key = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
        if !env.iter().any(|e| key(e) == key(&pair)) {
            env.push(pair);
        }
    }
    config.insert("Env".to_owned(), json!(env));
    if is_empty(config.get("Entrypoint")) {
        if is_empty(config.get("Cmd")) {
            copy(config, own, "Cmd");
        }
        if config.get("Entrypoint").is_none_or(Value::is_null) {
            copy(config, own, "Entrypoint");
        }
    }
}

fn copy(to: &mut Map<String, Value>, from: &Map<String, Value>, key: &str) {
    if let Some(value) = from.get(key) {
        to.insert(key.to_owned(), value.clone());
    }
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        Some(_) => false,
    }
}

fn words(config: &Value, key: &str) -> Vec<String> {
    let list = config.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Value {
        json!({"User": "", "Env": ["A=1", "B=2"], "Cmd": ["sleep", "9"], "Entrypoint": null, "WorkingDir": "/w",
            "Labels": {"x": "own", "y": "own"}, "Hostname": "h"})
    }

    #[test]
    fn changes_go_over_the_containers_config() {
        let changes = ["CMD [\"cat\"]".to_owned(), "ENV B=3 C=4".to_owned()];
        let made = config(None, &own(), &changes).expect("config");
        assert_eq!(made["Cmd"], json!(["cat"]));
        assert_eq!(made["Env"], json!(["A=1", "B=3", "C=4"]));
        assert_eq!((&made["WorkingDir"], &made["Hostname"]), (&json!("/w"), &json!("h")));
        assert!(config(None, &own(), &["RUN x".to_owned()]).is_err());
        assert!(config(None, &own(), &["WORKDIR /proc/1".to_owned()]).is_err(), "the policy looks at it");
    }

    #[test]
    fn a_given_config_goes_first() {
        let given = ContainerConfig {
            env: Some(vec!["B=9".to_owned()]),
            labels: Some([("x".to_owned(), "given".to_owned())].into()),
            ..ContainerConfig::default()
        };
        let made = config(Some(given), &own(), &[]).expect("config");
        assert_eq!(made["Env"], json!(["B=9", "A=1"]));
        assert_eq!(made["Labels"], json!({"x": "given", "y": "own"}));
        assert_eq!((&made["Cmd"], &made["WorkingDir"]), (&json!(["sleep", "9"]), &json!("/w")));
        let given = ContainerConfig { entrypoint: Some(vec!["e".to_owned()]), ..ContainerConfig::default() };
        let made = config(Some(given), &own(), &[]).expect("config");
        assert_eq!((&made["Entrypoint"], is_empty(made.get("Cmd"))), (&json!(["e"]), true));
    }

    #[test]
    fn a_name_is_one_or_none() {
        let params = |query: &str| Params::of(&format!("/commit?{query}").parse().expect("uri")).expect("query");
        assert!(name(&params("container=c&tag=v1")).expect("none").is_none());
        assert_eq!(name(&params("repo=a/b")).expect("name").expect("some").to_string(), "a/b:latest");
        assert_eq!(name(&params("repo=a:v1&tag=v2")).expect("name").expect("some").to_string(), "a:v2");
        assert!(name(&params("repo=A")).is_err() && name(&params("repo=a&tag=b%20c")).is_err());
    }
}
