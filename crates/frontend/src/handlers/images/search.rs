//! `GET /images/search`: repositories of the operator's index (policy I08).

use axum::extract::State;
use docker_api::filters::{FilterError, Filters};
use domain::{Error, Result};
use images::Found;
use serde_json::{Value, json};

use crate::{error::Answer, extract::Caller, json, query::Params, state::App};

/// dockerd's, where the client does not say.
const DEFAULT_LIMIT: usize = 25;
const LIMIT_MAX: i64 = 100;

pub(crate) async fn search(State(app): State<App>, _: Caller, params: Params) -> Answer {
    params.only(&["filters", "limit", "term"])?;
    let limit = limit(&params)?;
    let filter = Filter::read(&params)?;
    let found = app.registries.search(params.get("term").unwrap_or_default().trim(), limit).await?;
    Ok(json::ok(&found.iter().filter(|f| filter.wants(f)).map(line).collect::<Vec<_>>()))
}

fn line(found: &Found) -> Value {
    json!({
        "star_count": found.star_count,
        "is_official": found.is_official,
        "name": found.name,
        "is_automated": false, // nothing is, since Docker Hub gave it up
        "description": found.description,
    })
}

/// 0 means the default, as in dockerd.
fn limit(params: &Params) -> Result<usize> {
    let Some(text) = params.filled("limit") else { return Ok(DEFAULT_LIMIT) };
    let invalid =
        |_| Error::invalid(format!("invalid limit specified: strconv.Atoi: parsing {text:?}: invalid syntax"));
    match text.parse::<i64>().map_err(invalid)? {
        0 => Ok(DEFAULT_LIMIT),
        limit @ 1..=LIMIT_MAX => Ok(limit.unsigned_abs() as usize),
        limit => Err(Error::invalid(format!("limit {limit} is outside the range of [1, {LIMIT_MAX}]"))),
    }
}

#[derive(Debug)]
struct Filter {
    is_official: Option<bool>,
    is_automated: Option<bool>,
    stars_least: u64,
}

impl Filter {
    fn read(params: &Params) -> Result<Self> {
        let invalid = |e: FilterError| Error::invalid(e.to_string());
        let filters = Filters::parse(params.get("filters").unwrap_or_default()).map_err(invalid)?;
        filters.check(&["is-automated", "is-official", "stars"]).map_err(invalid)?;
        let mut stars_least = 0;
        for text in filters.get("stars") {
            let stars = text.parse::<u64>().map_err(|_| {
                Error::invalid(format!("invalid filter 'stars={text}': strconv.Atoi: parsing {text:?}: invalid syntax"))
            })?;
            stars_least = stars_least.max(stars);
        }
        Ok(Self {
            is_official: filters.flag("is-official").map_err(invalid)?,
            is_automated: filters.flag("is-automated").map_err(invalid)?,
            stars_least,
        })
    }

    fn wants(&self, found: &Found) -> bool {
        found.star_count >= self.stars_least
            && self.is_official.is_none_or(|wanted| wanted == found.is_official)
            && self.is_automated != Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        let query = query.replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
        Params::of(&format!("/images/search?{query}").parse().expect("uri")).expect("query")
    }

    #[test]
    fn limits_are_dockerds() {
        assert_eq!((limit(&params("")).expect("none"), limit(&params("limit=0")).expect("zero")), (25, 25));
        assert_eq!(limit(&params("limit=100")).expect("most"), 100);
        for (query, wanted) in [
            ("limit=101", "limit 101 is outside the range of [1, 100]"),
            ("limit=-1", "limit -1 is outside the range of [1, 100]"),
            ("limit=x", "invalid limit specified: strconv.Atoi: parsing \"x\": invalid syntax"),
        ] {
            assert_eq!(limit(&params(query)).expect_err(query).to_string(), wanted);
        }
    }

    #[test]
    fn filters_choose() {
        let wants = |json: &str, stars: u64, official: bool| {
            let filter = Filter::read(&params(&format!("filters={json}"))).expect(json);
            filter.wants(&Found { star_count: stars, is_official: official, ..Found::default() })
        };
        assert!(wants("{\"stars\":[\"3\"]}", 3, false) && !wants("{\"stars\":[\"3\"]}", 2, true));
        assert!(wants("{\"is-official\":[\"true\"]}", 0, true) && !wants("{\"is-official\":[\"true\"]}", 0, false));
        assert!(!wants("{\"is-automated\":[\"true\"]}", 9, true));
        for (json, wanted) in [
            ("{\"bogus\":[\"1\"]}", "invalid filter 'bogus'"),
            ("{\"stars\":[\"x\"]}", "invalid filter 'stars=x': strconv.Atoi: parsing \"x\": invalid syntax"),
            ("{\"is-official\":[\"x\"]}", "invalid filter 'is-official=[x]'"),
        ] {
            assert_eq!(Filter::read(&params(&format!("filters={json}"))).expect_err(json).to_string(), wanted);
        }
    }
}
