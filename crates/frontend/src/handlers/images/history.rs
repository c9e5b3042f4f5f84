//! `GET /images/{name}/history`: the config's history, newest first.

use axum::extract::State;
use serde_json::{Value, json};

use super::{config::Shown, inspect::names, platform};
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    json,
    query::Params,
    state::App,
};

pub(crate) async fn history(
    State(app): State<App>,
    caller: Caller,
    Reference(name): Reference,
    params: Params,
) -> Answer {
    params.only(&["platform"])?;
    let wanted = platform::wanted(&params)?;
    let image = app.rows(&caller.tenant).image(&name).await?;
    platform::check(&image, wanted.as_ref(), &name)?;
    let shown = Shown::of(&image)?;
    let mut sizes = app.images.layer_sizes(&image.layers).await?.into_iter();
    let mut lines: Vec<Value> = Vec::new();
    for step in shown.history.iter().flatten() {
        lines.push(json!({
            "Comment": step.comment,
            "Created": step.created.map_or(0, |at| at.timestamp()),
            "CreatedBy": step.created_by,
            // Only the newest step is an image of its own.
            "Id": "<missing>",
            "Size": if step.empty_layer { 0 } else { sizes.next().unwrap_or(0) },
            "Tags": null,
        }));
    }
    lines.reverse();
    if let Some(newest) = lines.first_mut() {
        let tags = names(&image.tags, ":");
        newest["Id"] = json!(image.id);
        newest["Tags"] = if tags.is_empty() { Value::Null } else { json!(tags) };
    }
    Ok(json::ok(&lines))
}
