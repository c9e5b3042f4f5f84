//! The pool of connections, and the migrations.
//!
//! A connection that was idle is tested before it is used, a hot one is not (a test is a round trip): what breaks under a
//! hot one is tried again by `failure::retrying`, and makes all others suspect. Together they get over a restart of PostgreSQL without ours.

use std::{str::FromStr, time::Duration};

use domain::{Error, Result};
use sqlx::{
    Connection, PgConnection,
    pool::PoolConnectionMetadata,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{Inventory, event, failure};

/// A caller that gets no connection within this answers 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection that rested longer than this is tested before use.
const TRUSTED_IDLE: Duration = Duration::from_millis(250);
/// Connections above the minimum are closed after this.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// Session settings. One generic plan for each statement: every query here names its tenant or its key, so planning anew
/// could only cost time; no sequential scans, because a table that is small while it is planned does not stay so.
const SESSION: [(&str, &str); 6] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("jit", "off"),
    ("statement_timeout", "10s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "15s"),
];

impl Inventory {
    /// Opens the pool, with one connection to show that the URL is good. Refuses a primary that became read-only.
    pub async fn connect(url: &str, max_connections: u32) -> Result<Self> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|cause| Error::because("parse the database URL", failure::without_url(&cause)))?;
        Self::open(options, max_connections).await
    }

    pub(crate) async fn open(options: PgConnectOptions, max_connections: u32) -> Result<Self> {
        let options = options.application_name("wharfinger").statement_cache_capacity(200).options(SESSION);
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(IDLE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|connection, rest| Box::pin(test_if_rested(connection, rest)))
            .after_connect(|connection, _| Box::pin(refuse_read_only(connection)))
            .connect_with(options)
            .await
            .map_err(|e| failure::translate("connect to the database", e))?;
        Ok(Self { bell: event::Bell::hang(pool.clone()), pool })
    }

    /// Brings the schema up to date; several processes may do so at once.
    pub async fn migrate(&self) -> Result<()> {
        sqlx::migrate!("../../migrations")
            .run(&self.pool)
            .await
            .map_err(|cause| Error::because("migrate the database", cause))?;
        let adopted = sqlx::query(event::ADOPT).execute(&self.pool).await;
        adopted.map(|_| ()).map_err(|cause| failure::translate("adopt the events of another server", cause))
    }

    /// One round trip: is the database there?
    pub async fn ping(&self) -> Result<()> {
        failure::retrying("ping", || sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(&self.pool)).await.map(|_| ())
    }

    /// Waits until connections in use are given back, then closes them.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

async fn test_if_rested(connection: &mut PgConnection, rest: PoolConnectionMetadata) -> sqlx::Result<bool> {
    if rest.idle_for > TRUSTED_IDLE || failure::is_suspect(rest.idle_for) {
        connection.ping().await?;
    }
    Ok(true)
}

/// After a failover the old primary may still answer; what it would acknowledge is lost.
async fn refuse_read_only(connection: &mut PgConnection) -> sqlx::Result<()> {
    let read_only: String = sqlx::query_scalar("SHOW transaction_read_only").fetch_one(connection).await?;
    if read_only == "on" {
        return Err(sqlx::Error::Configuration("the database is read-only".into()));
    }
    Ok(())
}
