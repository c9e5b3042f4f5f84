//! `POST /images/prune`: images without a name, or with `dangling=false` all that no container uses.

use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::Result;
use inventory::Image;
use serde_json::{Value, json};

use super::{config::Shown, list::moment, remove::Removal, told};
use crate::{error::Answer, extract::Caller, handlers::pruning::Pruning, json, query::Params, state::App};

pub(crate) async fn prune(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    params.only(&["filters"])?;
    let filter = Filter::read(&params)?;
    let rows = app.rows(&caller.tenant);
    let (mut deleted, mut reclaimed_bytes) = (Vec::<Value>::new(), 0);
    for image in rows.images().await? {
        if filter.wants(&image)? && rows.image_users(&image.id).await?.is_empty() {
            let (lines, freed_bytes) = Removal::whole(&rows, image).await?;
            reclaimed_bytes += freed_bytes;
            deleted.extend(lines);
        }
    }
    told::pruned(&rows, reclaimed_bytes).await;
    let deleted = if deleted.is_empty() { Value::Null } else { Value::Array(deleted) };
    Ok(json::ok(&json!({ "ImagesDeleted": deleted, "SpaceReclaimed": reclaimed_bytes })))
}

struct Filter {
    pruning: Pruning,
    named_too: bool,
    until: Option<DateTime<Utc>>,
}

impl Filter {
    fn read(params: &Params) -> Result<Self> {
        let pruning = Pruning::read(params, &["dangling", "label", "label!", "until"])?;
        let until = pruning.until_by(moment)?;
        let named_too = !pruning.flag("dangling")?.unwrap_or(true);
        Ok(Self { pruning, named_too, until })
    }

    fn wants(&self, image: &Image) -> Result<bool> {
        let labels = Shown::of(image)?.labels();
        Ok((self.named_too || image.tags.is_empty())
            && self.until.is_none_or(|until| image.created_at.unwrap_or_default() < until)
            && self.pruning.wants(&labels))
    }
}
