//! R13: log drivers. Only those that keep the log here: the others read files of the host or dial from it.

use std::collections::{BTreeMap, HashMap};

use docker_api::types::HostConfigLogConfig;
use domain::{
    Error, Result,
    spec::{LogDriver, LogSpec},
};

use crate::refuse::{forbidden, malformed};

const MIB: u64 = 1 << 20;
const SIZE_DEFAULT: u64 = 100 * MIB;
const SIZE_MAX: u64 = 100 * MIB;
const SIZE_MIN: u64 = 1 << 10;
const FILES_MAX: u32 = 10;
const REFUSED: [&str; 9] =
    ["awslogs", "etwlogs", "fluentd", "gcplogs", "gelf", "journald", "logentries", "splunk", "syslog"];

/// What attributes are taken from.
pub(crate) struct Source<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub labels: &'a BTreeMap<String, String>,
    pub env: &'a [String],
}

pub(crate) fn resolve(
    given: Option<HostConfigLogConfig>,
    default: LogDriver,
    source: &Source<'_>,
    warnings: &mut Vec<String>,
) -> Result<LogSpec> {
    let HostConfigLogConfig { typ, config } = given.unwrap_or_default();
    let driver = driver(typ.as_deref().unwrap_or_default(), default)?;
    let mut log = LogSpec { driver, max_size_bytes: SIZE_DEFAULT, max_files: FILES_MAX, attributes: BTreeMap::new() };
    let options: BTreeMap<String, String> = config.unwrap_or_default().into_iter().collect();
    for (name, value) in &options {
        apply(&mut log, name, value, source, warnings)?;
    }
    Ok(log)
}

fn driver(given: &str, default: LogDriver) -> Result<LogDriver> {
    match given {
        "" => Ok(default),
        "json-file" => Ok(LogDriver::JsonFile),
        "local" => Ok(LogDriver::Local),
        "none" => Ok(LogDriver::None),
        known if REFUSED.contains(&known) => Err(forbidden("HostConfig.LogConfig.Type", known, "R13")),
        unknown => {
            Err(Error::invalid(format!("logger: no log driver named '{}' is registered", unknown.escape_debug())))
        }
    }
}

fn apply(log: &mut LogSpec, name: &str, value: &str, source: &Source<'_>, warnings: &mut Vec<String>) -> Result<()> {
    let field = format!("HostConfig.LogConfig.Config.{name}");
    let bad = |why: &str| malformed(&field, value, why, "R13");
    match name {
        "max-size" => log.max_size_bytes = max_size(&field, value, warnings).ok_or_else(|| bad("not a size"))?,
        "max-file" => log.max_files = max_files(&field, value, warnings).ok_or_else(|| bad("not a number above 0"))?,
        "compress" if matches!(value, "true" | "false") => {}
        "labels" => log.attributes.extend(list(value).filter_map(|k| source.labels.get_key_value(k)).map(owned)),
        "env" => log.attributes.extend(list(value).filter_map(|k| variable(source.env, k))),
        "tag" => {
            let tag = tag(value, source).ok_or_else(|| bad("only {{.ID}} and {{.Name}} can be used"))?;
            log.attributes.insert("tag".to_owned(), tag);
        }
        "compress" => return Err(bad("not true or false")),
        _ => return Err(Error::invalid(format!("unknown log opt '{name}' for json-file log driver"))),
    }
    Ok(())
}

fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|v| !v.is_empty())
}

fn owned((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

fn variable(env: &[String], key: &str) -> Option<(String, String)> {
    env.iter().filter_map(|e| e.split_once('=')).find(|(k, _)| *k == key).map(|(k, v)| (k.to_owned(), v.to_owned()))
}

/// `10m`, `1g`, `500k`, `4096`; `-1` is Docker's "without limit".
fn max_size(field: &str, value: &str, warnings: &mut Vec<String>) -> Option<u64> {
    let asked = if value == "-1" { u64::MAX } else { bytes(value)? };
    let kept = asked.clamp(SIZE_MIN, SIZE_MAX);
    if kept != asked {
        warnings.push(format!("{field}={value} was set to {kept} bytes (policy R13)"));
    }
    Some(kept)
}

fn bytes(value: &str) -> Option<u64> {
    let lower = value.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &lower[digits.len()..] {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return None,
    };
    let number: u64 = if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok()? } else { return None };
    Some(number.saturating_mul(1 << shift)).filter(|n| *n > 0)
}

fn max_files(field: &str, value: &str, warnings: &mut Vec<String>) -> Option<u32> {
    let asked: u32 = value.parse().ok().filter(|n| *n > 0)?;
    if asked > FILES_MAX {
        warnings.push(format!("{field}={value} was lowered to {FILES_MAX} (policy R13)"));
    }
    Some(asked.min(FILES_MAX))
}

/// Never a template engine: Go's would call methods of its argument.
fn tag(template: &str, source: &Source<'_>) -> Option<String> {
    let short = source.id.get(..12).unwrap_or(source.id);
    let filled = template.replace("{{.ID}}", short).replace("{{.Name}}", source.name);
    (!filled.contains("{{") && !crate::names::has_control(&filled)).then_some(filled)
}

/// As `inspect` shows it: the driver by name, the options as given.
pub(crate) fn shown(driver: LogDriver, config: Option<HashMap<String, String>>) -> HostConfigLogConfig {
    let name = match driver {
        LogDriver::JsonFile => "json-file",
        LogDriver::Local => "local",
        LogDriver::None => "none",
    };
    HostConfigLogConfig { typ: Some(name.to_owned()), config: Some(config.unwrap_or_default()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(typ: &str, options: &[(&str, &str)]) -> Result<(LogSpec, usize)> {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let env = ["E=2".to_owned()];
        let source = Source { id: &"ab".repeat(32), name: "web", labels: &labels, env: &env };
        let config = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let given = HostConfigLogConfig { typ: Some(typ.to_owned()), config: Some(config) };
        let mut warnings = Vec::new();
        resolve(Some(given), LogDriver::JsonFile, &source, &mut warnings).map(|l| (l, warnings.len()))
    }

    #[test]
    fn options_are_read_and_bounded() {
        let (spec, warnings) = log("", &[]).expect("default");
        assert_eq!(
            (spec.driver, spec.max_size_bytes, spec.max_files, warnings),
            (LogDriver::JsonFile, 100 * MIB, 10, 0)
        );
        let (spec, warnings) = log(
            "local",
            &[("max-size", "1m"), ("max-file", "3"), ("labels", "a,b"), ("env", "E"), ("tag", "{{.Name}}/{{.ID}}")],
        )
        .expect("all");
        assert_eq!((spec.max_size_bytes, spec.max_files, warnings), (MIB, 3, 0));
        assert_eq!((spec.attributes["a"].as_str(), spec.attributes["E"].as_str()), ("1", "2"));
        assert_eq!(spec.attributes["tag"], "web/abababababab");
        assert_eq!(log("json-file", &[("max-size", "-1"), ("max-file", "1000000000")]).expect("clamped").1, 2);
    }

    #[test]
    fn other_drivers_and_templates_are_refused() {
        for driver in REFUSED {
            assert!(matches!(log(driver, &[]), Err(Error::Forbidden(_))), "{driver}");
        }
        assert!(log("../../plugin", &[]).is_err());
        for (k, v) in [
            ("tag", "{{.ExtraAttributes nil}}"),
            ("unknown-opt", "1"),
            ("max-size", "x"),
            ("max-file", "0"),
            ("compress", "maybe"),
        ] {
            assert!(log("json-file", &[(k, v)]).is_err(), "{k}={v}");
        }
    }
}
