//! Reading a request body: what Go's decoder would forgive is refused.
//!
//! Go matches keys without regard to case, lets the last duplicate win and skips unknown fields; each of these lets a
//! request mean one thing to a filter and another to the engine. Here keys are exact, duplicates are an error, and a field
//! that no type knows must have Go's zero value (newer clients send whole structs) or the request is refused by its name.

use std::fmt;

use serde::{
    Deserialize,
    de::{self, DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// Objects and arrays inside each other.
pub const DEPTH_MAX: usize = 64;

/// Always 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A field that is not known here has a value other than `null, false, 0, "", [], {}`.
    #[error("unsupported field {path:?}")]
    Unsupported { path: String },
    #[error("{message}")]
    Malformed { message: String },
}

/// One JSON document that fills the whole of `bytes`.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ParseError> {
    let document = document(bytes)?;
    let mut unknown = None;
    let parsed = serde_ignored::deserialize(&document, |path| {
        let steps = steps(&path);
        if unknown.is_none() && !lookup(&document, &steps).is_none_or(is_zero) {
            unknown = Some(steps.join("."));
        }
    });
    // The unknown field first: its name says more than a type error elsewhere.
    match unknown {
        Some(path) => Err(ParseError::Unsupported { path }),
        None => parsed.map_err(|e| malformed(&e)),
    }
}

/// As [`parse`], for routes whose body may be missing: no bytes (or only white space) give the default.
pub fn parse_or_default<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, ParseError> {
    if bytes.iter().all(u8::is_ascii_whitespace) { Ok(T::default()) } else { parse(bytes) }
}

fn document(bytes: &[u8]) -> Result<Value, ParseError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ParseError::Malformed { message: "invalid JSON: got EOF while reading request body".to_owned() });
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Node { depth: 0 }.deserialize(&mut reader).map_err(|e| malformed(&e))?;
    match reader.end() {
        Ok(()) => Ok(value),
        Err(_) => Err(ParseError::Malformed { message: "unexpected content after JSON".to_owned() }),
    }
}

fn malformed(error: &serde_json::Error) -> ParseError {
    let text = error.to_string();
    match unknown_restart_policy(&text) {
        Some(message) => ParseError::Malformed { message },
        None => ParseError::Malformed { message: format!("invalid JSON: {text}") },
    }
}

/// Docker's type has a closed list of names, and dockerd an error of its own for others.
fn unknown_restart_policy(text: &str) -> Option<String> {
    let (name, expected) = text.strip_prefix("unknown variant `")?.split_once("`, expected one of ")?;
    let is_policy = expected.contains("`unless-stopped`");
    is_policy.then(|| {
        format!(
            "invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', 'on-failure', or \
             'unless-stopped'"
        )
    })
}

fn steps(path: &serde_ignored::Path<'_>) -> Vec<String> {
    use serde_ignored::Path;
    let (parent, step) = match path {
        Path::Root => return Vec::new(),
        Path::Seq { parent, index } => (parent, Some(index.to_string())),
        Path::Map { parent, key } => (parent, Some(key.clone())),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => (parent, None),
    };
    let mut all = steps(parent);
    all.extend(step);
    all
}

fn lookup<'v>(mut value: &'v Value, steps: &[String]) -> Option<&'v Value> {
    for step in steps {
        value = match value {
            Value::Object(map) => map.get(step)?,
            Value::Array(items) => items.get(step.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(value)
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// Builds a [`Value`] as serde_json would, but counts the depth and refuses a key that comes twice.
struct Node {
    depth: usize,
}

impl Node {
    fn deeper<E: de::Error>(&self) -> Result<usize, E> {
        if self.depth < DEPTH_MAX { Ok(self.depth + 1) } else { Err(E::custom("exceeded max depth")) }
    }
}

impl<'de> DeserializeSeed<'de> for Node {
    type Value = Value;
    fn deserialize<D: de::Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Node { depth })? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(Node { depth })?;
            if map.contains_key(&key) {
                return Err(de::Error::custom(format!("duplicate key {key:?}")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// Any document, with the checks on depth, duplicates and trailing content only.
pub fn value(bytes: &[u8]) -> Result<Value, ParseError> {
    document(bytes)
}

/// From a document that was read before.
pub fn from_value<T: for<'de> Deserialize<'de>>(document: &Value) -> Result<T, ParseError> {
    T::deserialize(document).map_err(|e| malformed(&e))
}

#[cfg(test)]
mod tests;
