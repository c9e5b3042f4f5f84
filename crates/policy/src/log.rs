//! R13: log drivers. Only those that keep the log here: the others read files of the host or dial from it.
//!
//! Options and errors are dockerd's; it tells of most of them only at the start, we at the create. Two of them have nothing
//! to do here: a full buffer never blocks a container (`mode`, `max-buffer-size`: the log is written by a process of its
//! own), and `compress` would only change a file that nobody sees, which its warning says.

use std::collections::{BTreeMap, HashMap};

use docker_api::types::HostConfigLogConfig;
use domain::{
    Error, Result,
    spec::{LogDriver, LogSpec},
};
use regex::{Regex, RegexBuilder};

use crate::refuse::{forbidden, malformed};

const MIB: u64 = 1 << 20;
const SIZE_MAX: u64 = 100 * MIB;
const SIZE_MIN: u64 = 1 << 10;
const FILES_MAX: u32 = 10;
/// dockerd's for `local`.
const LOCAL_SIZE: u64 = 20 * MIB;
const LOCAL_FILES: u32 = 5;
/// A tenant's expression may take this much memory.
const REGEX_MAX_BYTES: usize = 1 << 20;
const REFUSED: [&str; 9] =
    ["awslogs", "etwlogs", "fluentd", "gcplogs", "gelf", "journald", "logentries", "splunk", "syslog"];
const JSON_FILE_OPTIONS: [&str; 8] =
    ["compress", "env", "env-regex", "labels", "labels-regex", "max-file", "max-size", "tag"];
const LOCAL_OPTIONS: [&str; 3] = ["compress", "max-file", "max-size"];
/// Of every driver.
const DELIVERY_OPTIONS: [&str; 2] = ["max-buffer-size", "mode"];

type Options = BTreeMap<String, String>;

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
    let options: Options = config.unwrap_or_default().into_iter().collect();
    check_delivery(&options)?;
    check_names(driver, &options)?;
    let (max_size_bytes, max_files) = files(driver, &options, warnings)?;
    check_compress(driver, &options, warnings)?;
    let attributes = if driver == LogDriver::JsonFile { attributes(&options, source)? } else { BTreeMap::new() };
    Ok(LogSpec { driver, max_size_bytes, max_files, attributes })
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

/// As dockerd puts it, where its driver fails.
fn failed(why: impl std::fmt::Display) -> Error {
    Error::invalid(format!("failed to initialize logging driver: {why}"))
}

fn field(name: &str) -> String {
    format!("HostConfig.LogConfig.Config.{name}")
}

fn check_delivery(options: &Options) -> Result<()> {
    let mode = options.get("mode").map_or("", String::as_str);
    if !matches!(mode, "" | "blocking" | "non-blocking") {
        return Err(Error::invalid(format!("logger: logging mode not supported: {}", mode.escape_debug())));
    }
    match options.get("max-buffer-size") {
        Some(_) if mode != "non-blocking" => {
            Err(Error::invalid("logger: max-buffer-size option is only supported with 'mode=non-blocking'"))
        }
        Some(size) if bytes(size).is_none() => Err(Error::invalid(format!(
            "error parsing option max-buffer-size: invalid size: '{}'",
            size.escape_debug()
        ))),
        _ => Ok(()),
    }
}

/// `none` takes whatever it is given, in dockerd too: there is no log that it could change.
fn check_names(driver: LogDriver, options: &Options) -> Result<()> {
    let known: &[&str] = match driver {
        LogDriver::JsonFile => &JSON_FILE_OPTIONS,
        LogDriver::Local => &LOCAL_OPTIONS,
        LogDriver::None => return Ok(()),
    };
    let unknown = |name: &&String| !known.contains(&name.as_str()) && !DELIVERY_OPTIONS.contains(&name.as_str());
    let Some(name) = options.keys().find(unknown) else { return Ok(()) };
    let name = name.escape_debug();
    Err(Error::invalid(match driver {
        LogDriver::Local => format!("unknown log opt '{name}' for log driver local"),
        _ => format!("unknown log opt '{name}' for json-file log driver"),
    }))
}

/// Bytes of a file, and number of files. A size alone means one file, as with dockerd; nothing at all means as much as is
/// kept here.
fn files(driver: LogDriver, options: &Options, warnings: &mut Vec<String>) -> Result<(u64, u32)> {
    let size = options.get("max-size").filter(|_| driver != LogDriver::None);
    let count = options.get("max-file").filter(|_| driver != LogDriver::None);
    let (default_size, default_files) = match (driver, size) {
        (LogDriver::Local, _) => (LOCAL_SIZE, LOCAL_FILES),
        (_, Some(text)) if text != "-1" => (SIZE_MAX, 1),
        _ => (SIZE_MAX, FILES_MAX),
    };
    let size = size.map(|text| max_size(driver, text, warnings)).transpose()?;
    let count = count.map(|text| max_files(text, warnings)).transpose()?;
    Ok((size.unwrap_or(default_size), count.unwrap_or(default_files)))
}

/// `10m`, `1g`, `500k`, `4096`; `-1` is json-file's "without limit".
fn max_size(driver: LogDriver, text: &str, warnings: &mut Vec<String>) -> Result<u64> {
    let shown = text.escape_debug();
    let asked = match (driver, text) {
        (LogDriver::JsonFile, "-1") => u64::MAX,
        (LogDriver::Local, _) => bytes(text)
            .ok_or_else(|| failed(format!("invalid value for max-size: {shown}: invalid size: '{shown}'")))?,
        _ => bytes(text).ok_or_else(|| failed(format!("invalid size: '{shown}'")))?,
    };
    if asked == 0 {
        return Err(failed("max-size must be a positive number"));
    }
    let kept = asked.clamp(SIZE_MIN, SIZE_MAX);
    if kept != asked {
        warnings.push(format!("{}={shown} was set to {kept} bytes (policy R13)", field("max-size")));
    }
    Ok(kept)
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
    Some(number.saturating_mul(1 << shift))
}

fn max_files(text: &str, warnings: &mut Vec<String>) -> Result<u32> {
    let number: Option<i64> = text.parse().ok();
    let asked = number.ok_or_else(|| failed(format!("strconv.Atoi: parsing {text:?}: invalid syntax")))?;
    if asked < 1 {
        return Err(failed("max-file cannot be less than 1"));
    }
    let kept = u32::try_from(asked).unwrap_or(u32::MAX).min(FILES_MAX);
    if i64::from(kept) != asked {
        warnings.push(format!("{}={asked} was lowered to {FILES_MAX} (policy R13)", field("max-file")));
    }
    Ok(kept)
}

fn check_compress(driver: LogDriver, options: &Options, warnings: &mut Vec<String>) -> Result<()> {
    let Some(text) = options.get("compress").filter(|_| driver != LogDriver::None) else { return Ok(()) };
    let wanted = match text.as_str() {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => true,
        "0" | "f" | "F" | "FALSE" | "false" | "False" => false,
        _ => return Err(failed(format!("strconv.ParseBool: parsing {text:?}: invalid syntax"))),
    };
    let several = options.get("max-file").and_then(|n| n.parse::<i64>().ok()).is_some_and(|n| n > 1);
    if wanted && driver == LogDriver::JsonFile && !(several && options.contains_key("max-size")) {
        return Err(failed("compress cannot be true when max-file is less than 2 or max-size is not set"));
    }
    if wanted {
        warnings.push(format!("{}: old log files are kept as they are (policy R13)", field("compress")));
    }
    Ok(())
}

/// What `logs --details` shows.
fn attributes(options: &Options, source: &Source<'_>) -> Result<BTreeMap<String, String>> {
    let get = |name: &str| options.get(name).map_or("", String::as_str);
    let mut chosen = BTreeMap::new();
    let labels = Choice::of(get("labels"), options.get("labels-regex"))?;
    chosen.extend(source.labels.iter().filter(|(k, _)| labels.takes(k)).map(|(k, v)| (k.clone(), v.clone())));
    let variables = Choice::of(get("env"), options.get("env-regex"))?;
    let env = source.env.iter().filter_map(|e| e.split_once('=')).filter(|(k, _)| variables.takes(k));
    chosen.extend(env.map(|(k, v)| (k.to_owned(), v.to_owned())));
    if let Some(template) = options.get("tag").filter(|t| !t.is_empty()) {
        let bad = || malformed(&field("tag"), template, "only {{.ID}} and {{.Name}} can be used", "R13");
        chosen.insert("tag".to_owned(), tag(template, source).ok_or_else(bad)?);
    }
    Ok(chosen)
}

/// Keys by name, and by a pattern that any part of a key may match.
struct Choice<'a> {
    names: Vec<&'a str>,
    pattern: Option<Regex>,
}

impl<'a> Choice<'a> {
    fn of(names: &'a str, pattern: Option<&String>) -> Result<Self> {
        let compile = |text: &String| {
            let compiled = RegexBuilder::new(text).size_limit(REGEX_MAX_BYTES).build();
            compiled.map_err(|_| failed(format!("error parsing regexp: `{}`", text.escape_debug())))
        };
        let pattern = pattern.filter(|text| !text.is_empty()).map(compile).transpose()?;
        Ok(Self { names: names.split(',').map(str::trim).filter(|n| !n.is_empty()).collect(), pattern })
    }

    fn takes(&self, key: &str) -> bool {
        self.names.contains(&key) || self.pattern.as_ref().is_some_and(|p| p.is_match(key))
    }
}

/// Never a template engine: Go's would call methods of its argument.
fn tag(template: &str, source: &Source<'_>) -> Option<String> {
    let short = source.id.get(..12).unwrap_or(source.id);
    let filled = template.replace("{{.ID}}", short).replace("{{.Name}}", source.name);
    (!filled.contains("{{") && !crate::names::has_control(&filled)).then_some(filled)
}

/// As `inspect` shows it: the driver by name, the options as given, but the limits that hold where they were lowered.
pub(crate) fn shown(spec: &LogSpec, config: Option<HashMap<String, String>>) -> HostConfigLogConfig {
    let name = match spec.driver {
        LogDriver::JsonFile => "json-file",
        LogDriver::Local => "local",
        LogDriver::None => "none",
    };
    let mut config = config.unwrap_or_default();
    if spec.driver != LogDriver::None {
        if let Some(size) = config.get_mut("max-size").filter(|s| bytes(s) != Some(spec.max_size_bytes)) {
            *size = spec.max_size_bytes.to_string();
        }
        if let Some(count) = config.get_mut("max-file").filter(|c| c.parse::<u32>() != Ok(spec.max_files)) {
            *count = spec.max_files.to_string();
        }
    }
    HostConfigLogConfig { typ: Some(name.to_owned()), config: Some(config) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(typ: &str, options: &[(&str, &str)]) -> Result<(LogSpec, usize)> {
        let labels = BTreeMap::from([("a", "1"), ("xy", "2")].map(|(k, v)| (k.to_owned(), v.to_owned())));
        let env = ["E=2".to_owned(), "FOO=4".to_owned(), "BARE".to_owned()];
        let source = Source { id: &"ab".repeat(32), name: "web", labels: &labels, env: &env };
        let config = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let given = HostConfigLogConfig { typ: Some(typ.to_owned()), config: Some(config) };
        let mut warnings = Vec::new();
        resolve(Some(given), LogDriver::JsonFile, &source, &mut warnings).map(|l| (l, warnings.len()))
    }

    fn files(typ: &str, options: &[(&str, &str)]) -> (u64, u32, usize) {
        let (spec, warnings) = log(typ, options).expect("legal");
        (spec.max_size_bytes, spec.max_files, warnings)
    }

    #[test]
    fn sizes_are_read_and_bounded() {
        assert_eq!(files("", &[]), (100 * MIB, 10, 0));
        assert_eq!(files("", &[("max-size", "10k")]), (10 << 10, 1, 0));
        assert_eq!(files("", &[("max-size", "1m"), ("max-file", "3"), ("compress", "true")]), (MIB, 3, 1));
        assert_eq!(files("json-file", &[("max-size", "-1"), ("max-file", "1000000000")]), (100 * MIB, 10, 2));
        assert_eq!(files("local", &[]), (20 * MIB, 5, 0));
        assert_eq!(files("local", &[("max-size", "1m"), ("compress", "false")]), (MIB, 5, 0));
        assert_eq!(log("none", &[("max-size", "x")]).expect("nothing to bound").0.driver, LogDriver::None);
    }

    #[test]
    fn limits_are_shown_as_they_hold() {
        let show = |options: &[(&str, &str)]| {
            let (spec, _) = log("json-file", options).expect("legal");
            let given = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let config = super::shown(&spec, Some(given)).config.unwrap_or_default();
            (config.get("max-size").cloned().unwrap_or_default(), config.get("max-file").cloned().unwrap_or_default())
        };
        assert_eq!(show(&[("max-size", "-1"), ("max-file", "1000")]), ("104857600".to_owned(), "10".to_owned()));
        assert_eq!(show(&[("max-size", "10m"), ("max-file", "3")]), ("10m".to_owned(), "3".to_owned()));
        assert_eq!(show(&[("max-size", "1g")]), ("104857600".to_owned(), String::new()));
    }

    #[test]
    fn attributes_are_chosen_by_name_and_pattern() {
        let (spec, _) = log(
            "json-file",
            &[
                ("labels", "a,b"),
                ("labels-regex", "^x"),
                ("env", "E"),
                ("env-regex", "OO$"),
                ("tag", "{{.Name}}/{{.ID}}"),
            ],
        )
        .expect("all");
        let got: Vec<_> = spec.attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(got, ["E=2", "FOO=4", "a=1", "tag=web/abababababab", "xy=2"]);
        assert!(
            log("", &[("mode", "non-blocking"), ("max-buffer-size", "4m")]).expect("no effect").0.attributes.is_empty()
        );
    }

    #[test]
    fn other_drivers_and_templates_are_refused() {
        for driver in REFUSED {
            assert!(matches!(log(driver, &[]), Err(Error::Forbidden(_))), "{driver}");
        }
        assert!(log("../../plugin", &[]).is_err());
        assert!(log("json-file", &[("tag", "{{.ExtraAttributes nil}}")]).is_err());
        assert!(log("json-file", &[("labels-regex", &"(a{1000}){1000}".repeat(9))]).is_err());
    }

    #[test]
    fn errors_are_dockerds() {
        for (driver, options, text) in [
            ("json-file", &[("foo", "1")][..], "unknown log opt 'foo' for json-file log driver"),
            ("local", &[("labels", "a")], "unknown log opt 'labels' for log driver local"),
            (
                "json-file",
                &[("max-size", "0")],
                "failed to initialize logging driver: max-size must be a positive number",
            ),
            ("json-file", &[("max-size", "x")], "failed to initialize logging driver: invalid size: 'x'"),
            (
                "local",
                &[("max-size", "-1")],
                "failed to initialize logging driver: invalid value for max-size: -1: invalid size: '-1'",
            ),
            ("json-file", &[("max-file", "0")], "failed to initialize logging driver: max-file cannot be less than 1"),
            (
                "json-file",
                &[("max-file", "x")],
                "failed to initialize logging driver: strconv.Atoi: parsing \"x\": invalid syntax",
            ),
            (
                "json-file",
                &[("compress", "maybe")],
                "failed to initialize logging driver: strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
            ("json-file", &[("mode", "foo")], "logger: logging mode not supported: foo"),
            (
                "json-file",
                &[("max-buffer-size", "1m")],
                "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
            ),
        ] {
            assert_eq!(log(driver, options).expect_err(text).to_string(), text);
        }
    }
}
