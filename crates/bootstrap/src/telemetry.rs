//! Logs: one line for each thing worth knowing, to stderr, as text or JSON.

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// Environment variable with the filter, in `tracing`'s syntax; default `info`.
pub const FILTER_VARIABLE: &str = "WHARFINGER_LOG";
/// `json` for one JSON object a line; anything else is text.
pub const FORMAT_VARIABLE: &str = "WHARFINGER_LOG_FORMAT";

/// Call once, first. Lines carry the role, so that a merged log can be read.
pub fn init(role: &'static str) {
    let filter = EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let started = if std::env::var(FORMAT_VARIABLE).is_ok_and(|v| v == "json") {
        registry.with(fmt::layer().json().with_writer(std::io::stderr)).try_init()
    } else {
        registry.with(fmt::layer().with_ansi(false).with_writer(std::io::stderr)).try_init()
    };
    if started.is_ok() {
        tracing::info!(role, version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "starting");
    }
}
