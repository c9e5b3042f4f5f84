use super::*;
use crate::types::{ContainerCreateBody, ExecConfig};

fn create(json: &str) -> Result<ContainerCreateBody, ParseError> {
    parse(json.as_bytes())
}

fn refusal(json: &str) -> String {
    create(json).expect_err(json).to_string()
}

#[test]
fn a_command_may_be_a_string_or_an_array() {
    assert_eq!(create(r#"{"Cmd":"true"}"#).expect("string").cmd, Some(vec!["true".to_owned()]));
    assert_eq!(create(r#"{"Cmd":["a","b"]}"#).expect("array").cmd.map(|c| c.len()), Some(2));
    assert_eq!(create(r#"{"Cmd":null}"#).expect("null").cmd, None);
    assert!(create(r#"{"Cmd":7}"#).is_err());
}

#[test]
fn sets_are_sorted_and_their_values_are_empty() {
    let body = create(r#"{"ExposedPorts":{"90/tcp":{},"80/tcp":null}}"#).expect("ports");
    assert_eq!(body.exposed_ports, Some(vec!["80/tcp".to_owned(), "90/tcp".to_owned()]));
}

#[test]
fn unknown_fields_are_refused_by_name_unless_zero() {
    assert_eq!(refusal(r#"{"HostConfig":{"NewThing":1}}"#), r#"unsupported field "HostConfig.NewThing""#);
    assert_eq!(refusal(r#"{"hostConfig":{"Privileged":true}}"#), r#"unsupported field "hostConfig""#);
    assert_eq!(
        refusal(r#"{"HostConfig":{"Mounts":[{"Type":"volume","X":"y"}]}}"#),
        r#"unsupported field "HostConfig.Mounts.0.X""#
    );
    for zero in ["null", "false", "0", "0.0", "\"\"", "[]", "{}"] {
        create(&format!(r#"{{"HostConfig":{{"NewThing":{zero}}}}}"#)).expect(zero);
    }
}

#[test]
fn duplicates_trailing_content_and_depth_are_refused() {
    assert!(refusal(r#"{"User":"a","User":"b"}"#).contains("duplicate key \"User\""));
    assert!(refusal(r#"{"HostConfig":{"Privileged":false,"Privileged":true}}"#).contains("duplicate key"));
    assert_eq!(refusal("{} {}"), "unexpected content after JSON");
    assert_eq!(refusal("  "), "invalid JSON: got EOF while reading request body");
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    assert!(value(deep.as_bytes()).expect_err("deep").to_string().contains("max depth"));
    let legal = format!("{}{}", "[".repeat(64), "]".repeat(64));
    value(legal.as_bytes()).expect("64 levels");
    assert!(refusal(r#"{"User":"a""#).starts_with("invalid JSON: "));
}

#[test]
fn a_missing_body_may_be_the_default() {
    assert_eq!(parse_or_default::<ExecConfig>(b" \n").expect("empty"), ExecConfig::default());
    assert!(parse::<ExecConfig>(b"").is_err());
}
