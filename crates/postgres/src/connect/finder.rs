//! Finding the primary.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use ordain::StoreError;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::redact::redact;
use super::source::{Source, check_startup, place};
use crate::failure::{self, state};
use crate::settings::{Settings, refused};
use crate::sql;

/// How long to wait before the servers are asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// Of several servers each has this part of the time to answer, so that those that do not cannot keep
/// the others from being asked again.
const TRIES: u32 = 3;

/// What finds the primary.
#[derive(Debug, Clone)]
pub(crate) struct Finder {
    source: Source,
    pooled: bool,
    timeout: Duration,
    statement_timeout: Option<Duration>,
}

/// A connection, and how to make more of them.
pub(crate) struct Found {
    pub(crate) options: PgConnectOptions,
    pub(crate) connection: PgConnection,
}

/// Why a server is not the one.
struct Trouble {
    place: String,
    what: What,
}

enum What {
    Standby,
    Silent,
    Failed(sqlx::Error),
    Hook(String),
    Refused(StoreError),
}

impl Finder {
    pub(crate) fn new(source: Source, settings: &Settings) -> Self {
        Self {
            source,
            pooled: settings.pooled,
            timeout: settings.acquire_timeout,
            statement_timeout: (!settings.client_deadline).then_some(settings.statement_timeout),
        }
    }

    /// Past any pooler, for a session that waits.
    pub(crate) fn direct(source: Source, settings: &Settings) -> Self {
        Self {
            source,
            pooled: false,
            timeout: settings.acquire_timeout,
            statement_timeout: None,
        }
    }

    /// Whether the primary may be elsewhere after a loss.
    pub(crate) fn moves(&self) -> bool {
        self.source.moves()
    }

    /// When the time for a connection that is asked for now is over.
    pub(crate) fn end(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Connects to the primary.
    ///
    /// # Errors
    /// Says of each server what is wrong with it, when the time is over, or when waiting would not help.
    pub(crate) async fn find(&self, end: Instant) -> Result<Found, StoreError> {
        let mut troubles = Vec::new();
        loop {
            troubles = match self.ask_all(end).await {
                Ok(found) => return Ok(found),
                Err(latest) => telling(latest, troubles),
            };
            let again = Instant::now() + PAUSE;
            let passing = troubles.iter().any(|it| it.is_passing(self.moves()));
            if again >= end || !passing {
                return Err(unreachable(troubles));
            }
            sleep_until(again).await;
        }
    }

    /// Connects to the primary, with a connection from the caller's pool if there is one.
    pub(crate) async fn connect(&self) -> Result<PgConnection, StoreError> {
        let Source::Pool(pool) = &self.source else {
            return Ok(self.find(self.end()).await?.connection);
        };
        let connection = pool.acquire().await;
        let connection = connection.map_err(|error| failure::store_error(&error))?;
        Ok(connection.detach())
    }

    /// Connects to another database of the primary, for what takes as long as it takes.
    pub(crate) async fn find_in(&self, database: &str) -> Result<Found, StoreError> {
        let end = self.end();
        let servers = self
            .servers(end)
            .await
            .map_err(|it| unreachable(vec![it]))?;
        let servers = servers.into_iter().map(|it| it.database(database));
        let finder = Self {
            source: Source::Servers(servers.collect()),
            statement_timeout: None,
            ..self.clone()
        };
        finder.find(end).await
    }

    /// The name of the database.
    pub(crate) async fn database(&self) -> Result<String, StoreError> {
        let end = self.end();
        let servers = self
            .servers(end)
            .await
            .map_err(|it| unreachable(vec![it]))?;
        let names = servers
            .iter()
            .map(|it| it.get_database().unwrap_or(it.get_username()));
        let names: BTreeSet<_> = names.collect();
        match names.into_iter().collect::<Vec<_>>()[..] {
            [name] => Ok(name.to_owned()),
            _ => Err(refused("the servers name several databases", "name one")),
        }
    }

    async fn ask_all(&self, end: Instant) -> Result<Found, Vec<Trouble>> {
        let servers = self.servers(end).await.map_err(|it| vec![it])?;
        let end = match servers.len() {
            1 => end,
            _ => end.min(Instant::now() + self.timeout / TRIES),
        };
        let asked = servers.into_iter().map(|server| self.ask(server, end));
        let mut asked: FuturesUnordered<_> = asked.collect();
        let mut troubles = Vec::new();
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(found) => return Ok(found),
                Err(trouble) => troubles.push(trouble),
            }
        }
        Err(troubles)
    }

    /// The servers to ask.
    async fn servers(&self, end: Instant) -> Result<Vec<PgConnectOptions>, Trouble> {
        let hook = match &self.source {
            Source::Servers(servers) => return Ok(servers.clone()),
            Source::Pool(pool) => return Ok(vec![(*pool.connect_options()).clone()]),
            Source::Hook(hook) => hook,
        };
        let trouble = |what| Trouble {
            place: "the connect hook".into(),
            what,
        };
        let answer = timeout_at(end, hook.call()).await;
        let answer = answer.map_err(|_| trouble(What::Silent))?;
        let server = answer.map_err(|error| trouble(What::Hook(redact(&error.to_string()))))?;
        check_startup(&server, self.pooled).map_err(|error| trouble(What::Refused(error)))?;
        Ok(vec![server])
    }

    async fn ask(&self, server: PgConnectOptions, end: Instant) -> Result<Found, Trouble> {
        let place = place(&server);
        let options = self.equip(server);
        let what = match timeout_at(end, connect(&options)).await {
            Ok(Ok((connection, false))) => {
                return Ok(Found {
                    options,
                    connection,
                });
            }
            Ok(Ok((_, true))) => What::Standby,
            Ok(Err(error)) => What::Failed(error),
            Err(_) => What::Silent,
        };
        Err(Trouble { place, what })
    }

    /// What the store's sessions are started with.
    fn equip(&self, server: PgConnectOptions) -> PgConnectOptions {
        let mut server = server.disable_statement_logging();
        if server.get_application_name().is_none() {
            server = server.application_name("ordain");
        }
        if self.pooled {
            server = server.extra_float_digits(None);
        }
        match self.statement_timeout {
            Some(timeout) => server
                .options([("statement_timeout", timeout.as_millis())])
                .options(PLANNING),
            None => server,
        }
    }
}

/// A plan that was made while the tables were small is kept until they are analyzed again; it must not scan
/// them. Where only a scan will do, its cost would have it compiled first.
const PLANNING: [(&str, &str); 2] = [("enable_seqscan", "off"), ("jit", "off")];

async fn connect(options: &PgConnectOptions) -> Result<(PgConnection, bool), sqlx::Error> {
    let mut connection = options.connect().await?;
    let standby = is_standby(&mut connection).await?;
    Ok((connection, standby))
}

/// Whether the server is a standby, or starts as one.
pub(super) async fn is_standby(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let standby = sqlx::query_scalar(sql::IS_STANDBY)
        .persistent(false)
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(standby)
}

impl Trouble {
    fn is_passing(&self, moves: bool) -> bool {
        match &self.what {
            What::Standby | What::Hook(_) => moves,
            What::Silent => true,
            What::Failed(error) => failure::is_passing(error),
            What::Refused(_) => false,
        }
    }

    fn is_missing_database(&self) -> bool {
        matches!(&self.what, What::Failed(error) if failure::has_code(error, state::NO_SUCH_DATABASE))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.place;
        match &self.what {
            What::Standby => write!(f, "{place} is a standby"),
            What::Silent => write!(f, "{place} does not answer"),
            What::Failed(error) => write!(f, "{place}: {}", redact(&error.to_string())),
            What::Hook(error) => write!(f, "{place} failed: {error}"),
            What::Refused(error) => write!(f, "{place}: {error}"),
        }
    }
}

/// The latest troubles. Who had no time to answer once more is in the trouble he was in before.
fn telling(latest: Vec<Trouble>, mut before: Vec<Trouble>) -> Vec<Trouble> {
    let known = |it: Trouble| {
        let place = before.iter().position(|old| old.place == it.place);
        match (&it.what, place) {
            (What::Silent, Some(place)) => before.swap_remove(place),
            _ => it,
        }
    };
    latest.into_iter().map(known).collect()
}

fn unreachable(troubles: Vec<Trouble>) -> StoreError {
    let told: Vec<_> = troubles.iter().map(Trouble::to_string).collect();
    let told = told.join("; ");
    if troubles.iter().any(Trouble::is_missing_database) {
        return StoreError::Incompatible {
            problem: format!("the database is missing ({told})"),
            advice: "make it with `PostgresAdmin::create_database`".into(),
        };
    }
    for trouble in troubles {
        if let What::Refused(error) = trouble.what {
            return error;
        }
    }
    StoreError::unavailable(format!(
        "no primary can be reached ({told}); check the address, the user, the password and the server"
    ))
}
