//! `POST /images/{name}/push`: progress, line by line; ends when its client goes away.

use axum::extract::State;
use domain::{Error, Event, EventType, ImageRef, Result};
use http::HeaderMap;

use super::{credential::credential, lines};
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    query::Params,
    state::App,
};

pub(crate) async fn push(
    State(app): State<App>,
    caller: Caller,
    Reference(name): Reference,
    params: Params,
    headers: HeaderMap,
) -> Answer {
    params.only(&["tag", "platform"])?;
    let (repository, tag) = target(&name, params.filled("tag"))?;
    if !headers.contains_key("x-registry-auth") {
        let text = "bad parameters and missing X-Registry-Auth: invalid X-Registry-Auth header: EOF";
        return Err(Error::invalid(text).into());
    }
    let auth = credential(&headers)?;
    let rows = app.rows(&caller.tenant);
    let platform = params.filled("platform").map(str::to_owned);
    lines::streamed(move |progress| async move {
        app.images.push(&rows, &repository, tag.as_deref(), platform.as_deref(), auth, progress).await?;
        let name = repository.familiar_name();
        let pushed = tag.map_or_else(|| name.clone(), |tag| format!("{name}:{tag}"));
        rows.record_event(Event::new(EventType::Image, "push", pushed).with("name", name)).await?;
        Ok(Vec::new())
    })
    .await
}

/// A tag in the name is not looked at, as in dockerd.
fn target(name: &str, tag: Option<&str>) -> Result<(ImageRef, Option<String>)> {
    let given: ImageRef = name.parse()?;
    if given.digest().is_some() {
        return Err(Error::invalid("cannot import digest reference"));
    }
    let repository: ImageRef = given.canonical_name().parse()?;
    let tagged = tag.map(|tag| repository.clone().with_tag(tag)).transpose()?;
    Ok((repository, tagged.and_then(|t| t.tag().map(str::to_owned))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_comes_from_the_query() {
        let (repository, tag) = target("127.0.0.1:5000/a:v1", Some("v2")).expect("target");
        assert_eq!((repository.to_string().as_str(), tag.as_deref()), ("127.0.0.1:5000/a", Some("v2")));
        assert_eq!(target("busybox:v1", None).expect("all tags").1, None);
        assert!(target("a", Some("b c")).is_err() && target("A", None).is_err());
    }
}
