//! `GET /containers/{id}/changes`: what the container adds to its image. Written as it comes: a container may change a
//! million files.

use axum::{body::Body, extract::State, response::Response};
use domain::Error;
use futures::{Stream, StreamExt};
use http::StatusCode;
use rpc::v1;
use serde::Serialize;

use crate::{
    error::Answer,
    extract::{Caller, Reference},
    files::Files,
    json,
    query::Params,
    state::App,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    path: String,
    kind: i32,
}

pub(crate) async fn changes(
    State(app): State<App>,
    caller: Caller,
    Reference(id): Reference,
    params: Params,
) -> Answer<Response> {
    params.only(&[])?;
    let container = app.rows(&caller.tenant).container(&id).await?;
    let mut batches = Files::of(&app, caller.tenant.id(), &container)?.changes().await?;
    let first = batches.next().await.transpose()?.unwrap_or_default();
    if first.is_empty() {
        return Ok(json::ok(&()));
    }
    Ok(json::with(StatusCode::OK, Body::from_stream(array(first, batches))))
}

/// One JSON array of all batches.
fn array(
    first: Vec<v1::Change>,
    rest: impl Stream<Item = Result<Vec<v1::Change>, Error>>,
) -> impl Stream<Item = Result<Vec<u8>, Error>> {
    let all = futures::stream::iter([Ok(first)]).chain(rest).enumerate();
    let texts = all.map(|(index, batch)| batch.map(|batch| text(if index == 0 { b'[' } else { b',' }, batch)));
    texts.chain(futures::stream::iter([Ok(b"]\n".to_vec())]))
}

/// `before` stands in front of the first one, commas between the others; an empty batch is nothing.
fn text(before: u8, batch: Vec<v1::Change>) -> Vec<u8> {
    let mut text = Vec::new();
    for change in batch {
        text.push(if text.is_empty() { before } else { b',' });
        let path = String::from_utf8_lossy(&change.path).into_owned();
        text.extend_from_slice(&rpc::to_json(&Change { path, kind: change.kind }));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn batches_become_one_array() {
        let change = |path: &'static str, kind| v1::Change { path: path.into(), kind };
        let rest = futures::stream::iter([Ok(vec![]), Ok(vec![change("/c", 2)])]);
        let pieces: Vec<_> = array(vec![change("/a", 0), change("/b\"", 1)], rest).collect().await;
        let whole: Vec<u8> = pieces.into_iter().flat_map(|piece| piece.expect("no error")).collect();
        let expected = r#"[{"Path":"/a","Kind":0},{"Path":"/b\"","Kind":1},{"Path":"/c","Kind":2}]"#;
        assert_eq!(String::from_utf8(whole).expect("UTF-8").trim_end(), expected);
    }
}
