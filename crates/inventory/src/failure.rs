//! What went wrong in PostgreSQL, in the terms of `domain::Error`; and a second try where that can help.
//!
//! Only statements that may run twice go through [`retrying`]: after a broken connection nobody knows whether the first
//! run was committed.

use std::{
    future::Future,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use domain::{Error, Result};

const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(20);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);
/// Microseconds after `START` at which a connection was last found broken; 0 = never.
static LAST_BREAK_US: AtomicU64 = AtomicU64::new(0);

fn now_us() -> u64 {
    u64::try_from(START.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Where one connection broke, the others probably did: true for one that has rested since before the last break.
pub(crate) fn is_suspect(idle_for: Duration) -> bool {
    let rested_at = now_us().saturating_sub(u64::try_from(idle_for.as_micros()).unwrap_or(u64::MAX));
    rested_at < LAST_BREAK_US.load(Ordering::Relaxed)
}

fn note_break(cause: &sqlx::Error) {
    let broken = match code(cause) {
        Some(c) => c.starts_with("57P") || c.starts_with("08"),
        None => matches!(cause, sqlx::Error::Io(_)),
    };
    if broken {
        LAST_BREAK_US.store(now_us() + 1, Ordering::Relaxed);
    }
}

/// Runs an idempotent piece of work, again if the connection broke or a lock circle was cut.
pub(crate) async fn retrying<T, F, Fut>(context: &'static str, run: F) -> Result<T>
where
    F: Fn() -> Fut,
    Fut: Future<Output = sqlx::Result<T>>,
{
    let mut attempt = 1;
    loop {
        match run().await {
            Err(cause) if attempt < ATTEMPTS && may_pass(&cause) => {
                note_break(&cause);
                tracing::debug!(context, attempt, error = %cause, "trying again");
                tokio::time::sleep(PAUSE * attempt).await;
                attempt += 1;
            }
            outcome => return outcome.map_err(|cause| translate(context, cause)),
        }
    }
}

/// `context` is for operators: what was being done.
pub(crate) fn translate(context: &'static str, cause: sqlx::Error) -> Error {
    note_break(&cause);
    if is_trouble(&cause) {
        Error::unavailable_because("the inventory cannot be reached now, try again", Detail { context, cause })
    } else {
        Error::because(context, cause)
    }
}

/// A message about a URL could hold its password.
pub(crate) fn without_url(cause: &sqlx::Error) -> String {
    match cause {
        sqlx::Error::Configuration(_) => "it is not a valid postgres:// URL".to_owned(),
        other => other.to_string(),
    }
}

/// The name of the constraint that was violated, if that is what happened.
pub(crate) fn violated(cause: &sqlx::Error) -> Option<&str> {
    cause.as_database_error().and_then(|e| e.constraint())
}

fn code(cause: &sqlx::Error) -> Option<String> {
    cause.as_database_error().and_then(|e| e.code()).map(|c| c.into_owned())
}

/// Gone with the next connection or the next try. Not the pool's own time-out: it has waited long enough.
pub(crate) fn may_pass(cause: &sqlx::Error) -> bool {
    // A volume got another user behind the statement's snapshot: the next one sees it.
    if violated(cause) == Some("volume_mounts_volume_fkey") {
        return true;
    }
    match code(cause) {
        // deadlock_detected, serialization_failure, and the server going down under a statement
        Some(c) => matches!(c.as_str(), "40P01" | "40001" | "57P01" | "57P02") || c.starts_with("08"),
        None => matches!(cause, sqlx::Error::Io(_)),
    }
}

fn is_trouble(cause: &sqlx::Error) -> bool {
    match code(cause) {
        // too_many_connections, cannot_connect_now, read_only_sql_transaction, query_canceled, lock_not_available,
        // idle_in_transaction_session_timeout, disk_full
        Some(c) => {
            may_pass(cause) || matches!(c.as_str(), "53300" | "57P03" | "25006" | "57014" | "55P03" | "25P03" | "53100")
        }
        None => matches!(
            cause,
            sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::BeginFailed
                | sqlx::Error::Configuration(_)
        ),
    }
}

#[derive(Debug)]
struct Detail {
    context: &'static str,
    cause: sqlx::Error,
}

impl std::fmt::Display for Detail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.context)
    }
}

impl std::error::Error for Detail {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}
