//! Docker's JSON of an event, and the three ways of putting several of them into one body.

use std::collections::BTreeMap;

use bytes::{BufMut, BytesMut};
use domain::{Event, EventType};
use http::{HeaderMap, HeaderValue, header::ACCEPT};
use serde::Serialize;

use super::filter::SCOPE;

#[derive(Serialize)]
struct Message<'a> {
    /// These three are of API versions before 1.22, and dockerd has kept them.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(rename = "Type")]
    kind: &'a str,
    #[serde(rename = "Action")]
    action: &'a str,
    #[serde(rename = "Actor")]
    actor: Actor<'a>,
    scope: &'a str,
    time: i64,
    #[serde(rename = "timeNano")]
    time_nano: i64,
}

#[derive(Serialize)]
struct Actor<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    #[serde(rename = "Attributes")]
    attributes: &'a BTreeMap<String, String>,
}

impl<'a> From<&'a Event> for Message<'a> {
    fn from(event: &'a Event) -> Self {
        let old = matches!(event.kind, EventType::Container | EventType::Image);
        let filled = |text: &'a str| Some(text).filter(|t| old && !t.is_empty());
        let from = event.attributes.get("image").map_or("", String::as_str);
        Self {
            status: filled(&event.action),
            id: filled(&event.actor),
            from: filled(from).filter(|_| event.kind == EventType::Container),
            kind: event.kind.as_str(),
            action: &event.action,
            actor: Actor { id: &event.actor, attributes: &event.attributes },
            scope: SCOPE,
            time: event.at.timestamp(),
            time_nano: event.at.timestamp_nanos_opt().unwrap_or(0),
        }
    }
}

/// How a body holds several messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// A line each; what dockerd calls `application/json`.
    Json,
    /// The same, by its name.
    JsonLines,
    NdJson,
    /// RFC 7464: each begins with a record separator.
    JsonSeq,
}

const RECORD_SEPARATOR: u8 = 0x1e;

impl Framing {
    /// What the client would like to have; JSON lines if it does not say.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok());
        let kinds = accepted.flat_map(|v| v.split(',')).map(|v| v.split(';').next().unwrap_or("").trim());
        for kind in kinds {
            match kind.to_ascii_lowercase().as_str() {
                "application/json-seq" => return Self::JsonSeq,
                "application/x-ndjson" => return Self::NdJson,
                "application/jsonl" => return Self::JsonLines,
                "application/json" | "*/*" => return Self::Json,
                _ => (),
            }
        }
        Self::Json
    }

    pub(crate) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json",
            Self::JsonLines => "application/jsonl",
            Self::NdJson => "application/x-ndjson",
            Self::JsonSeq => "application/json-seq",
        })
    }

    pub(crate) fn put(self, body: &mut BytesMut, event: &Event) {
        if self == Self::JsonSeq {
            body.put_u8(RECORD_SEPARATOR);
        }
        body.extend_from_slice(&crate::json::bytes(&Message::from(event)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(framing: Framing, event: &Event) -> String {
        let mut body = BytesMut::new();
        framing.put(&mut body, event);
        String::from_utf8(body.to_vec()).expect("text")
    }

    #[test]
    fn the_json_is_dockerds() {
        let mut event = Event::new(EventType::Container, "die", "abc").with("image", "busybox").with("exitCode", 3);
        event.at = chrono::DateTime::from_timestamp_nanos(1_795_564_537_201_467_294);
        assert_eq!(
            text(Framing::Json, &event),
            concat!(
                r#"{"status":"die","id":"abc","from":"busybox","Type":"container","Action":"die","Actor":{"ID":"abc","#,
                r#""Attributes":{"exitCode":"3","image":"busybox"}},"scope":"local","time":1795564537,"#,
                r#""timeNano":1795564537201467294}"#,
                "\n"
            )
        );
        event.kind = EventType::Network;
        assert!(text(Framing::JsonSeq, &event).starts_with("\u{1e}{\"Type\":\"network\""));
    }

    #[test]
    fn the_client_chooses_the_framing() {
        let of =
            |accept: &'static str| Framing::of(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]));
        assert_eq!(Framing::of(&HeaderMap::new()), Framing::Json);
        assert_eq!(of("text/html, application/json-seq;q=0.9"), Framing::JsonSeq);
        assert_eq!(of("application/x-ndjson"), Framing::NdJson);
        assert_eq!(of("application/jsonl"), Framing::JsonLines);
    }
}
