//! Brings a database to the schema that this daemon writes.

use std::error::Error as _;

use postgres::Client;

use super::cluster::MAJOR_MIN;
use super::error::is_outage;

mod embedded {
    refinery::embed_migrations!("../migrations");
}

/// Whoever holds this advisory lock migrates; the number says nothing but "divisor" in ASCII.
const LOCK: i64 = 0x64_69_76_69_73_6f_72;

/// How long one start waits for another's migration.
const LOCK_TIMEOUT: &str = "60s";

/// Why a database could not be brought to the schema.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The user's own server is too old.
    #[error("use PostgreSQL {found}: version {MAJOR_MIN} or newer is needed")]
    TooOld {
        /// The version as the server tells it.
        found: String,
    },
    /// A migration failed, or the database holds one that this daemon does not know.
    #[error("migrate the database: {0}")]
    Refused(String),
    /// The connection broke, or the server went away, in the middle of a migration.
    #[error("migrate the database: {0}")]
    Outage(String),
    /// The connection or a statement around the migrations failed.
    #[error("migrate the database")]
    Postgres(#[from] postgres::Error),
}

/// What a migration did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The migrations applied now, like `V1__core`; none when the schema was current.
    pub applied: Vec<String>,
}

/// Applies the migrations that the database lacks, all in one transaction.
///
/// Several daemons may start at once: the first migrates, the others wait and find it done. (The
/// crate refinery alone takes no lock: of four concurrent starts three failed.)
///
/// # Errors
/// [`MigrateError`]; the database is then as it was.
pub fn migrate(client: &mut Client) -> Result<Report, MigrateError> {
    check_version(client)?;
    client.batch_execute(&format!("set lock_timeout = '{LOCK_TIMEOUT}'"))?;
    client.execute("select pg_advisory_lock($1)", &[&LOCK])?;
    client.batch_execute("reset lock_timeout")?;
    let outcome = embedded::migrations::runner().set_grouped(true).run(client);
    // On a broken connection the unlock fails too; the session's end has then released the lock.
    let unlocked = client.execute("select pg_advisory_unlock($1)", &[&LOCK]);
    let report = outcome.map_err(explain)?;
    unlocked?;
    Ok(Report {
        applied: report
            .applied_migrations()
            .iter()
            .map(ToString::to_string)
            .collect(),
    })
}

fn check_version(client: &mut Client) -> Result<(), MigrateError> {
    let row = client.query_one(
        "select current_setting('server_version_num')::int, current_setting('server_version')",
        &[],
    )?;
    let number: i32 = row.get(0);
    // The number is 150018 for 15.18.
    match u32::try_from(number / 10_000) {
        Ok(major) if major >= MAJOR_MIN => Ok(()),
        Ok(_) | Err(_) => Err(MigrateError::TooOld { found: row.get(1) }),
    }
}

/// refinery boxes the driver's error. It is looked for here, because an outage in the middle of a
/// migration must be told from a migration that is wrong.
fn explain(error: refinery::Error) -> MigrateError {
    let cause = error.source();
    let outage = cause
        .and_then(|c| c.downcast_ref::<postgres::Error>())
        .is_some_and(is_outage);
    let mut text = error.to_string();
    let mut deeper = cause.and_then(std::error::Error::source);
    while let Some(cause) = deeper {
        text = format!("{text}: {cause}");
        deeper = cause.source();
    }
    if outage {
        MigrateError::Outage(text)
    } else {
        MigrateError::Refused(text)
    }
}
