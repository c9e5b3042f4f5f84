//! `GET /volumes`: by name, filtered by dockerd's rules.

use axum::extract::State;
use docker_api::filters::{FilterError, Filters};
use domain::{Error, Result};
use inventory::Volume;
use regex::Regex;
use serde_json::json;

use super::shown::Shown;
use crate::{error::Answer, extract::Caller, json as answer, query::Params, state::App};

const FILTERS: [&str; 4] = ["dangling", "driver", "label", "name"];

pub(crate) async fn list(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    params.only(&["filters"])?;
    let filter = Filter::read(params.get("filters").unwrap_or_default())?;
    let volumes = app.rows(&caller.tenant).volumes().await?;
    let shown: Vec<Shown<'_>> = volumes.iter().filter(|v| filter.keeps(v)).map(Shown::of).collect();
    Ok(answer::ok(&json!({ "Volumes": shown, "Warnings": null })))
}

struct Filter {
    filters: Filters,
    dangling: Option<bool>,
    /// Each with the regular expression that it is, if it is one; dockerd's match anywhere in the name.
    names: Vec<(String, Option<Regex>)>,
}

impl Filter {
    fn read(given: &str) -> Result<Self> {
        let invalid = |e: FilterError| Error::invalid(e.to_string());
        let filters = Filters::parse(given).map_err(invalid)?;
        filters.check(&FILTERS).map_err(invalid)?;
        Ok(Self {
            dangling: filters.flag("dangling").map_err(invalid)?,
            names: filters.get("name").iter().map(|n| (n.clone(), Regex::new(n).ok())).collect(),
            filters,
        })
    }

    fn keeps(&self, volume: &Volume) -> bool {
        let drivers = self.filters.get("driver");
        let named = |(text, pattern): &(String, Option<Regex>)| {
            *text == volume.name || pattern.as_ref().is_some_and(|p| p.is_match(&volume.name))
        };
        self.dangling.is_none_or(|dangling| dangling == volume.users.is_empty())
            && (drivers.is_empty() || drivers.iter().any(|d| d == volume.driver.as_str()))
            && self.filters.labels_match("label", &volume.labels)
            && (self.names.is_empty() || self.names.iter().any(named))
    }
}

#[cfg(test)]
mod tests {
    use domain::{ContainerId, VolumeDriver, VolumeId};

    use super::*;

    fn volume(name: &str, label: Option<&str>, users: usize) -> Volume {
        Volume {
            id: VolumeId::random(),
            name: name.to_owned(),
            driver: VolumeDriver::Local,
            labels: label.into_iter().map(|l| (l.to_owned(), "1".to_owned())).collect(),
            options: Default::default(),
            size_bytes: None,
            host: None,
            users: (0..users).map(|_| ContainerId::random()).collect(),
            created_at: Default::default(),
        }
    }

    #[test]
    fn filters_are_dockerds() {
        let all = [volume("db", Some("a"), 1), volume("web_db", None, 0), volume("other", Some("a"), 0)];
        for (filter, names) in [
            ("", &["db", "web_db", "other"][..]),
            (r#"{"name":["db"]}"#, &["db", "web_db"]),
            (r#"{"name":["^db$","oth"]}"#, &["db", "other"]),
            (r#"{"dangling":["true"]}"#, &["web_db", "other"]),
            (r#"{"dangling":{"false":true}}"#, &["db"]),
            (r#"{"label":["a=1"],"dangling":["1"]}"#, &["other"]),
            (r#"{"label":["a=2"]}"#, &[]),
            (r#"{"driver":["shared","local"]}"#, &["db", "web_db", "other"]),
            (r#"{"driver":["shared"]}"#, &[]),
        ] {
            let filter = Filter::read(filter).expect(filter);
            let kept: Vec<&str> = all.iter().filter(|v| filter.keeps(v)).map(|v| v.name.as_str()).collect();
            assert_eq!(kept, names);
        }
        for bad in [r#"{"foo":["bar"]}"#, r#"{"dangling":["maybe"]}"#, "[]"] {
            assert!(Filter::read(bad).is_err(), "{bad}");
        }
    }
}
