//! `POST /images/create`: pull (`fromImage`) or import (`fromSrc=-`).

use axum::{body::Body, extract::State};
use docker_api::progress::Line;
use domain::{Digest, Error, ImageRef, Result};
use http::HeaderMap;
use inventory::TenantView;
use serde_json::json;

use super::{credential::credential, lines, told, upload};
use crate::{error::Answer, extract::Caller, query::Params, state::App};

const KNOWN: [&str; 7] = ["fromImage", "fromSrc", "repo", "tag", "message", "changes", "platform"];

pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    params: Params,
    body: Body,
) -> Answer {
    let from = upload::reader(body);
    params.only(&KNOWN)?;
    let rows = app.rows(&caller.tenant);
    if params.filled("fromImage").is_some() {
        return pull(app, rows, &headers, &params).await;
    }
    match params.filled("fromSrc") {
        Some("-") => {}
        Some(_) => {
            return Err(Error::forbidden("fromSrc: only an uploaded archive (-) is imported (policy I03)").into());
        }
        None => return Err(Error::invalid("fromImage or fromSrc is required").into()),
    }
    let reference = imported(&params)?;
    let mut config = json!({});
    let changes: Vec<String> = params.all("changes").map(str::to_owned).collect();
    build::dockerfile::change(&mut config, &changes)?;
    let (message, platform) = (owned(&params, "message"), owned(&params, "platform"));
    lines::streamed(|_| async move {
        let platform = Some(platform.as_str());
        let named = reference.clone().map(|r| r.with_default_tag().to_string());
        let id = app.images.import(&rows, from, reference, config, &message, platform).await?;
        told::imported(&rows, &id, named).await;
        Ok(vec![Line::status(None, id.as_str())])
    })
    .await
}

async fn pull(app: App, rows: TenantView, headers: &HeaderMap, params: &Params) -> Answer {
    let reference = pulled(params)?;
    let auth = credential(headers)?;
    let platform = owned(params, "platform");
    let every_tag = reference.tag().is_none() && reference.digest().is_none();
    lines::streamed(move |progress| async move {
        let id = match every_tag {
            true => app.images.pull_all(&rows, &reference, Some(&platform), auth, progress).await.map(|()| None)?,
            false => Some(app.images.pull(&rows, &reference, Some(&platform), auth, progress).await?.id),
        };
        told::pulled(&rows, &reference, id.as_ref()).await;
        Ok(Vec::new())
    })
    .await
}

/// `tag` wins over a tag in `fromImage`, and a digest in `fromImage` over both; `tag` may be a digest.
fn pulled(params: &Params) -> Result<ImageRef> {
    let given = params.get("fromImage").unwrap_or_default().trim();
    let reference: ImageRef = given.parse()?;
    match params.filled("tag") {
        Some(_) if reference.digest().is_some() => Ok(reference),
        Some(tag) => named(reference, tag),
        None => Ok(reference),
    }
}

/// The name for an imported image, if it gets one.
fn imported(params: &Params) -> Result<Option<ImageRef>> {
    let Some(repo) = params.filled("repo") else { return Ok(None) };
    let reference: ImageRef = repo.parse()?;
    if reference.digest().is_some() {
        return Err(Error::invalid("cannot import digest reference"));
    }
    params.filled("tag").map_or(Ok(reference.clone()), |tag| named(reference, tag)).map(Some)
}

fn named(reference: ImageRef, tag: &str) -> Result<ImageRef> {
    match tag.parse::<Digest>() {
        Ok(digest) => Ok(reference.with_digest(digest)),
        Err(_) => reference.with_tag(tag),
    }
}

fn owned(params: &Params, key: &str) -> String {
    params.get(key).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::of(&format!("/images/create?{query}").parse().expect("uri")).expect("query")
    }

    #[test]
    fn a_tag_may_come_in_three_places() {
        let digest = Digest::of(b"x");
        for (query, wanted) in [
            ("fromImage=busybox&tag=1".to_owned(), "busybox:1".to_owned()),
            ("fromImage=busybox:2&tag=1".to_owned(), "busybox:1".to_owned()),
            ("fromImage=busybox:2".to_owned(), "busybox:2".to_owned()),
            ("fromImage=busybox".to_owned(), "busybox".to_owned()),
            (format!("fromImage=a/b&tag={digest}"), format!("a/b@{digest}")),
            (format!("fromImage=a/b@{digest}&tag=1"), format!("a/b@{digest}")),
        ] {
            assert_eq!(pulled(&params(&query)).expect(&query).to_string(), wanted);
        }
        assert!(pulled(&params("fromImage=UP")).is_err() && pulled(&params("fromImage=a&tag=b%20c")).is_err());
    }

    #[test]
    fn an_import_may_stay_without_a_name() {
        assert!(imported(&params("fromSrc=-")).expect("none").is_none());
        let named = imported(&params("repo=root:v1")).expect("named").expect("some");
        assert_eq!(named.to_string(), "root:v1");
        assert!(imported(&params(&format!("repo=root@{}", Digest::of(b"x")))).is_err());
    }
}
