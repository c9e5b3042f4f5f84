use std::collections::BTreeMap;

use chrono::{TimeDelta, Utc};
use domain::{HostId, Observation, TenantId};

use super::*;

fn container(name: &str, age_s: i64, status: Status) -> ContainerSummary {
    let (id, now) = (ContainerId::random(), Utc::now());
    ContainerSummary {
        id: id.clone(),
        name: name.parse().expect("name"),
        host: HostId::random(),
        host_endpoint: String::new(),
        host_reachable: true,
        image_id: Digest::of(b"image"),
        image_reference: "busybox".into(),
        command: "true".into(),
        network_mode: "none".into(),
        labels: BTreeMap::from([("k".to_owned(), name.to_owned())]),
        observation: Observation {
            tenant: TenantId::random(),
            container: id,
            generation: 1,
            status,
            removed: false,
            pid: 0,
            exit_code: if status == Status::Exited { 7 } else { 0 },
            oom_killed: false,
            error: String::new(),
            started_at: None,
            finished_at: (status == Status::Exited).then_some(now),
            restart_count: 0,
            health: None,
            size_rw_bytes: None,
            happenings: Vec::new(),
        },
        volumes: Vec::new(),
        endpoints: Vec::new(),
        exposed_ports: Vec::new(),
        ports: Vec::new(),
        created_at: now - TimeDelta::seconds(age_s),
    }
}

/// Newest first, as the inventory gives them.
fn all() -> Vec<ContainerSummary> {
    vec![
        container("web-2", 1, Status::Running),
        container("web-1", 2, Status::Exited),
        container("db", 3, Status::Paused),
        container("old", 4, Status::Created),
    ]
}

fn names(filter: &Filter, all: &[ContainerSummary]) -> Vec<String> {
    filter.between(all).iter().filter(|c| filter.matches(c)).map(|c| c.name.to_string()).collect()
}

fn shown(json: &str, everything: bool) -> Vec<String> {
    names(&Filter::parse(json, everything).expect(json), &all())
}

#[test]
fn running_ones_unless_all_are_asked_for() {
    assert_eq!(shown("", false), ["web-2", "db"]);
    assert_eq!(shown("", true), ["web-2", "web-1", "db", "old"]);
}

#[test]
fn a_name_is_a_regular_expression_or_itself() {
    assert_eq!(shown(r#"{"name":["web-"]}"#, true), ["web-2", "web-1"]);
    assert_eq!(shown(r#"{"name":["^/?db$","old"]}"#, true), ["db", "old"]);
    assert_eq!(shown(r#"{"name":["/web-1"]}"#, true), ["web-1"]);
    assert!(shown(r#"{"name":["("]}"#, true).is_empty());
}

#[test]
fn a_status_filter_looks_at_stopped_ones_too() {
    assert_eq!(shown(r#"{"status":["exited","created"]}"#, false), ["web-1", "old"]);
    assert_eq!(shown(r#"{"exited":["7"]}"#, true), ["web-1"]);
    assert!(shown(r#"{"exited":["0"]}"#, true).is_empty());
}

#[test]
fn labels_must_all_hold() {
    assert_eq!(shown(r#"{"label":["k=db"]}"#, true), ["db"]);
    assert!(shown(r#"{"label":["k=db","other"]}"#, true).is_empty());
}

#[test]
fn unknown_filters_and_values_are_dockerds_400() {
    let text = |json: &str| Filter::parse(json, false).err().expect(json).to_string();
    assert_eq!(text(r#"{"bogus":["1"]}"#), "invalid filter 'bogus'");
    assert_eq!(text(r#"{"status":["up"]}"#), "invalid filter 'status=up'");
    assert_eq!(text(r#"{"exited":["x"]}"#), "invalid filter 'exited=x'");
}

#[test]
fn before_and_since_bound_the_order_of_creation() {
    let all = all();
    let mut filter = Filter::parse("", true).expect("empty");
    filter.before = Some(all[1].id.clone());
    assert_eq!(names(&filter, &all), ["db", "old"]);
    filter.since = Some(all[3].id.clone());
    assert_eq!(names(&filter, &all), ["db"]);
}

#[test]
fn ports_match_with_ranges_and_protocols() {
    assert!(port_matches("80", "80/tcp") && port_matches("79-81/tcp", "80/tcp"));
    assert!(!port_matches("80/udp", "80/tcp") && !port_matches("81", "80/tcp") && !port_matches("x", "80/tcp"));
}
