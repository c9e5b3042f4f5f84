//! `GET /events`: the tenant's log, from `since` to `until`, or for as long as the client listens.

use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use docker_api::time::parse_timestamp;
use domain::{Error, Result};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};

use crate::{
    error::{Answer, ApiError},
    events::{
        Filter,
        message::Framing,
        stream::{Stream, Wish},
    },
    extract::Caller,
    query::Params,
    state::App,
};

pub(crate) async fn events(State(app): State<App>, caller: Caller, params: Params, headers: HeaderMap) -> Answer {
    let wish = wish(&params, &headers, Utc::now())?;
    let content_type = wish.framing.content_type();
    let Some(stream) = Stream::begin(app.tail.clone(), app.rows(&caller.tenant), wish).await? else {
        let text = "too many streams of events are open".to_owned();
        return Err(ApiError::Http(StatusCode::TOO_MANY_REQUESTS, text));
    };
    let mut response = Response::new(stream.body(app.stop.clone()));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    Ok(response)
}

fn wish(params: &Params, headers: &HeaderMap, now: DateTime<Utc>) -> Result<Wish> {
    params.only(&["since", "until", "filters"])?;
    let (since, until) = (time(params, "since", now)?, time(params, "until", now)?);
    if let (Some(from), Some(to)) = (since, until)
        && to < from
    {
        let (from, to) = (params.get("since").unwrap_or_default(), params.get("until").unwrap_or_default());
        return Err(Error::invalid(format!("`since` time ({from}) cannot be after `until` time ({to})")));
    }
    let filter = Filter::parse(params.get("filters").unwrap_or_default())?;
    Ok(Wish { since, until, filter, framing: Framing::of(headers) })
}

fn time(params: &Params, key: &str, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
    let given = params.filled(key);
    given.map(|text| parse_timestamp(text, now)).transpose().map_err(|e| Error::invalid(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Result<Wish> {
        let params = Params::of(&format!("/events?{query}").parse().expect("uri")).expect("query");
        wish(&params, &HeaderMap::new(), DateTime::from_timestamp(10_000, 0).expect("time"))
    }

    #[test]
    fn times_come_in_all_forms() {
        let wish = asked("since=5000&until=1h").map(|w| (w.since, w.until)).expect("valid");
        assert_eq!(wish, (DateTime::from_timestamp(5000, 0), DateTime::from_timestamp(6400, 0)));
        assert!(asked("since=1970-01-01T00:00:00Z&until=0s").is_ok() && asked("").expect("none").since.is_none());
        assert!(asked("since=yesterday").is_err());
    }

    #[test]
    fn an_end_before_the_beginning_is_refused_in_dockerds_words() {
        let error = asked("since=5000&until=200").expect_err("refused");
        assert_eq!(error.to_string(), "`since` time (5000) cannot be after `until` time (200)");
    }

    #[test]
    fn an_unknown_filter_is_refused() {
        assert!(asked("filters=%7B%22foo%22%3A%5B%22x%22%5D%7D").is_err());
    }
}
