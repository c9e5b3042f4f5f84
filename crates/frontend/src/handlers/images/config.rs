//! What Docker's answers show of an image's config.

use std::collections::BTreeMap;

use domain::{Error, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Shown {
    pub(super) author: String,
    pub(super) comment: String,
    pub(super) docker_version: String,
    pub(super) variant: String,
    pub(super) config: Option<Map<String, Value>>,
    pub(super) history: Option<Vec<Step>>,
    pub(super) rootfs: Rootfs,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Step {
    pub(super) created: Option<chrono::DateTime<chrono::Utc>>,
    pub(super) created_by: String,
    pub(super) comment: String,
    pub(super) empty_layer: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Rootfs {
    pub(super) diff_ids: Vec<String>,
}

impl Shown {
    pub(super) fn of(image: &inventory::Image) -> Result<Self> {
        serde_json::from_slice(&image.config).map_err(|e| Error::because("reading a stored image config", e))
    }

    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let labels = self.config.as_ref().and_then(|c| c.get("Labels")).and_then(Value::as_object);
        let text = |(k, v): (&String, &Value)| v.as_str().map(|v| (k.clone(), v.to_owned()));
        labels.into_iter().flatten().filter_map(text).collect()
    }

    /// Docker's `Config`; up to API 1.49 with the fields that only containers use.
    pub(super) fn docker_config(&self, with_container_fields: bool) -> Value {
        let mut shown = json!({
            "User": "", "Env": null, "Cmd": null, "Volumes": null, "WorkingDir": "", "Entrypoint": null,
            "OnBuild": null, "Labels": null,
        });
        let container_only = json!({
            "Hostname": "", "Domainname": "", "AttachStdin": false, "AttachStdout": false, "AttachStderr": false,
            "Tty": false, "OpenStdin": false, "StdinOnce": false, "Image": "",
        });
        let (Some(fields), Value::Object(container_only)) = (shown.as_object_mut(), container_only) else {
            return shown;
        };
        for (key, value) in self.config.iter().flatten() {
            if with_container_fields || !container_only.contains_key(key) {
                fields.insert(key.clone(), value.clone());
            }
        }
        if with_container_fields {
            for (key, value) in container_only {
                fields.entry(key).or_insert(value);
            }
        }
        shown
    }
}
