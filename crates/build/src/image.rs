//! The image under way: its config as each instruction leaves it, its layers, and the document that becomes its id.

use chrono::{SecondsFormat, Utc};
use domain::{Digest, Error, Layer, Result};
use serde_json::{Map, Value, json};

/// Docker's own, for images that have none.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An image that exists: in the tenant's catalogue, or as a step in its build cache.
#[derive(Debug, Clone)]
pub struct Base {
    /// Digest of `config`.
    pub id: Digest,
    /// The config document, byte for byte.
    pub config: Vec<u8>,
    /// From the bottom up; the tenant has a right to them.
    pub layers: Vec<Layer>,
}

#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// None: `FROM scratch`, and nothing was done yet.
    pub(crate) base: Option<Base>,
    document: Map<String, Value>,
    /// Docker's `Config`.
    pub(crate) config: Map<String, Value>,
    pub(crate) layers: Vec<Layer>,
    /// A CMD came in this stage: an ENTRYPOINT leaves it.
    pub(crate) command_set: bool,
}

impl Image {
    /// `architecture`: of hosts.
    pub(crate) fn scratch(architecture: &str) -> Self {
        let document = json!({ "architecture": architecture, "os": "linux", "history": [] });
        let mut image = Self {
            base: None,
            document: document.as_object().cloned().unwrap_or_default(),
            config: Map::new(),
            layers: Vec::new(),
            command_set: false,
        };
        image.set_default_path();
        image
    }

    /// A config alone, which belongs to no image yet.
    pub(crate) fn of(config: Map<String, Value>) -> Self {
        Self { base: None, document: Map::new(), config, layers: Vec::new(), command_set: false }
    }

    pub(crate) fn from(base: Base) -> Result<Self> {
        let unreadable = |e| Error::invalid(format!("invalid image config: {e}"));
        let mut document: Map<String, Value> = serde_json::from_slice(&base.config).map_err(unreadable)?;
        let config = match document.remove("config") {
            Some(Value::Object(config)) => config,
            _ => Map::new(),
        };
        // What an older builder left of its own container.
        document.remove("container");
        document.remove("container_config");
        let layers = base.layers.clone();
        let mut image = Self { base: Some(base), document, config, layers, command_set: false };
        image.set_default_path();
        Ok(image)
    }

    fn set_default_path(&mut self) {
        let mut env = self.env();
        if !env.iter().any(|pair| pair.starts_with("PATH=")) {
            env.push(DEFAULT_PATH.to_owned());
            self.set("Env", json!(env));
        }
    }

    /// Twelve digits, as it is shown; empty for `scratch`.
    pub(crate) fn short_id(&self) -> &str {
        self.base.as_ref().map_or("", |base| &base.id.hex()[..12])
    }

    pub(crate) fn set(&mut self, key: &str, value: Value) {
        match value {
            Value::Null => drop(self.config.remove(key)),
            value => drop(self.config.insert(key.to_owned(), value)),
        }
    }

    /// An object in the config, made where it is missing.
    pub(crate) fn insert(&mut self, key: &str, name: String, value: Value) {
        let slot = self.config.entry(key).or_insert_with(|| Value::Object(Map::new()));
        if !slot.is_object() {
            *slot = Value::Object(Map::new());
        }
        if let Some(map) = slot.as_object_mut() {
            map.insert(name, value);
        }
    }

    pub(crate) fn list(&self, key: &str) -> Vec<String> {
        let items = self.config.get(key).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(|v| v.as_str().map(str::to_owned)).collect()
    }

    pub(crate) fn env(&self) -> Vec<String> {
        self.list("Env")
    }

    pub(crate) fn set_env(&mut self, key: &str, value: &str) {
        let mut env = self.env();
        let pair = format!("{key}={value}");
        match env.iter_mut().find(|pair| pair.split('=').next() == Some(key)) {
            Some(old) => *old = pair,
            None => env.push(pair),
        }
        self.set("Env", json!(env));
    }

    pub(crate) fn working_dir(&self) -> &str {
        self.config.get("WorkingDir").and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn shell(&self) -> Vec<String> {
        let shell = self.list("Shell");
        if shell.is_empty() { vec!["/bin/sh".to_owned(), "-c".to_owned()] } else { shell }
    }

    pub(crate) fn set_author(&mut self, author: &str) {
        self.document.insert("author".to_owned(), author.into());
    }

    pub(crate) fn history(&self) -> &[Value] {
        self.document.get("history").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The image with one step more. `layer`: what the step changed in the file system.
    pub(crate) fn step(&mut self, created_by: &str, layer: Option<Layer>) -> Result<Base> {
        let now = Utc::now().to_rfc3339_opts(SecondsFormat::Nanos, true);
        let mut entry = json!({ "created": now, "created_by": created_by });
        if let Some(author) = self.document.get("author") {
            entry["author"] = author.clone();
        }
        if layer.is_none() {
            entry["empty_layer"] = true.into();
        }
        self.layers.extend(layer);
        match self.document.get_mut("history") {
            Some(Value::Array(history)) => history.push(entry),
            _ => drop(self.document.insert("history".to_owned(), json!([entry]))),
        }
        self.document.insert("created".to_owned(), now.into());
        let diff_ids: Vec<&Digest> = self.layers.iter().map(|layer| &layer.diff_id).collect();
        self.document.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": diff_ids }));
        let mut document = self.document.clone();
        document.insert("config".to_owned(), Value::Object(self.config.clone()));
        let config = serde_json::to_vec(&document).map_err(|e| Error::because("encoding an image config", e))?;
        let base = Base { id: Digest::of(&config), config, layers: self.layers.clone() };
        self.base = Some(base.clone());
        Ok(base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_an_image_of_its_own() {
        let mut image = Image::scratch("amd64");
        image.set_env("A", "1");
        let first = image.step("/bin/sh -c #(nop)  ENV A=1", None).expect("step");
        let mut again = Image::from(first.clone()).expect("read");
        assert_eq!(again.env(), [DEFAULT_PATH, "A=1"]);
        again.set_env("A", "2");
        let second = again.step("x", None).expect("step");
        assert_ne!(first.id, second.id);
        let document: Value = serde_json::from_slice(&second.config).expect("JSON");
        assert_eq!(document["config"]["Env"], json!([DEFAULT_PATH, "A=2"]));
        assert_eq!(document["history"].as_array().map(Vec::len), Some(2));
        assert_eq!(document["history"][1]["empty_layer"], true);
        assert_eq!((document["os"].as_str(), again.short_id().len()), (Some("linux"), 12));
    }
}
