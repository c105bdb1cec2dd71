//! A few connections that only read, lent one question at a time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, Row};

use crate::http::problem::Problem;
use crate::store::is_outage;

/// How long a new connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// PostgreSQL ends a question that takes too long with this.
const CANCELLED: &str = "57014";

/// A parameter with its type, so that no round trip asks for it.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// The way to history.
#[derive(Debug)]
pub(crate) struct Pool {
    config: Config,
    idle: Mutex<Vec<Client>>,
    permits: Semaphore,
    timeout: Duration,
}

impl Pool {
    /// At most so many connections to this server, made when they are needed.
    pub(crate) fn new(mut config: Config, connections: usize, timeout: Duration) -> Self {
        config
            .connect_timeout(CONNECT_MAX)
            .application_name("divisord history");
        Self {
            config,
            idle: Mutex::default(),
            permits: Semaphore::new(connections),
            timeout,
        }
    }

    /// The rows of a question.
    ///
    /// # Errors
    /// A problem that says whether PostgreSQL is away, slow, or something is wrong.
    pub(super) async fn query(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Problem> {
        // What waits here is given up with its request.
        let permit = self.permits.acquire().await;
        let _permit = permit.map_err(|error| Problem::internal(&error))?;
        let idle = self.idle().pop().filter(|client| !client.is_closed());
        let fresh = idle.is_none();
        let client = match idle {
            Some(client) => client,
            None => self.connect().await?,
        };
        let mut outcome = client.query_typed(sql, parameters).await;
        let mut client = client;
        if outcome.is_err() && client.is_closed() && !fresh {
            // The server was started anew since; reading twice does no harm.
            client = self.connect().await?;
            outcome = client.query_typed(sql, parameters).await;
        }
        if !client.is_closed() {
            self.idle().push(client);
        }
        outcome.map_err(|error| explain(&error))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Client>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Client, Problem> {
        let connecting = self.config.connect(NoTls);
        let connected = tokio::time::timeout(CONNECT_MAX, connecting).await;
        let (client, connection) = connected
            .map_err(|_| away())?
            .map_err(|error| explain(&error))?;
        tokio::spawn(async move {
            // How it ends, the client notices.
            let _ = connection.await;
        });
        let session = format!(
            "set default_transaction_read_only = on; set timezone = 'UTC'; set jit = off; \
             set statement_timeout = {}; set search_path = public",
            self.timeout.as_millis()
        );
        let set = client.batch_execute(&session).await;
        set.map_err(|error| explain(&error))?;
        Ok(client)
    }
}

fn away() -> Problem {
    Problem::unavailable("PostgreSQL is away: there is no history now, everything live goes on")
}

fn explain(error: &tokio_postgres::Error) -> Problem {
    if error.code().is_some_and(|code| code.code() == CANCELLED) {
        return Problem::unavailable("PostgreSQL took too long: ask for less");
    }
    if is_outage(error) {
        return away();
    }
    // A schema that is older or newer than this program is on its way to be changed.
    if error.code().is_some_and(|code| code.code() == "42P01") {
        return Problem::unavailable("PostgreSQL has no tables yet");
    }
    match error.as_db_error() {
        Some(db) => Problem::internal(&format!("{} [{}]", db.message(), db.code().code())),
        None => Problem::internal(error),
    }
}
