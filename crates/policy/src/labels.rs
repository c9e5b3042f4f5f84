//! P15: labels. Those of the image first, the request's over them.

use std::collections::{BTreeMap, HashMap};

use domain::{Error, Result};

/// Bytes of all keys and values of the request.
const TOTAL_MAX: usize = 64 << 10;
/// Ours: no tenant may set one, and an image's are taken off.
const RESERVED: &str = "com.wharfinger.system.";

pub(crate) fn merge(
    user: HashMap<String, String>,
    image: Option<&HashMap<String, String>>,
    warnings: &mut Vec<String>,
) -> Result<BTreeMap<String, String>> {
    if let Some(key) = user.keys().find(|k| k.starts_with(RESERVED)) {
        return Err(crate::refuse::malformed("Labels", key, "the prefix is reserved", "P15"));
    }
    if user.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>() > TOTAL_MAX {
        return Err(Error::invalid(format!("Labels are longer than {TOTAL_MAX} bytes (policy P15)")));
    }
    let mut merged: BTreeMap<String, String> =
        image.into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    let before = merged.len();
    merged.retain(|key, _| !key.starts_with(RESERVED));
    if merged.len() != before {
        warnings.push(format!("labels of the image with the prefix {RESERVED} were left out (policy P15)"));
    }
    merged.extend(user);
    if merged.iter().any(|(k, v)| k.contains('\0') || v.contains('\0')) {
        return Err(Error::invalid("Labels contain a NUL byte (policy P15)"));
    }
    Ok(merged)
}
