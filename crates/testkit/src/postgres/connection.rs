//! SQL for tests.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::error::Error;
use super::search::ServerUrl;

const PATIENCE: Duration = Duration::from_secs(30);

/// A connection, for SQL that tests say in plain words.
///
/// Ends with the value.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    task: JoinHandle<()>,
}

/// A row: a text per column, or `None` for null.
pub type Row = Vec<Option<String>>;

impl Connection {
    /// Connects to the database of a URL.
    ///
    /// # Errors
    ///
    /// [`Error::Sql`] if nobody answers within 30 s, or the server refuses; [`Error::Server`] if the
    /// URL asks for TLS, which is not spoken here.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let config = configure(url)?;
        let (client, connection) = config.connect(NoTls).await.map_err(error)?;
        let task = tokio::spawn(async move {
            // The client's next call says what happened.
            drop(connection.await);
        });
        Ok(Self { client, task })
    }

    /// Runs statements, separated by semicolons, and drops what they answer.
    ///
    /// Dropped, it leaves the server to finish what it had begun.
    ///
    /// # Errors
    ///
    /// [`Error::Sql`], with the SQLSTATE if the server refused.
    pub async fn execute(&self, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await.map_err(error)
    }

    /// Runs statements and gives back all rows.
    ///
    /// Dropped, it leaves the server to finish what it had begun.
    ///
    /// # Errors
    ///
    /// [`Error::Sql`], with the SQLSTATE if the server refused.
    pub async fn query(&self, sql: &str) -> Result<Vec<Row>, Error> {
        let messages = self.client.simple_query(sql).await.map_err(error)?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let texts = rows.map(|row| (0..row.len()).map(|at| row.get(at).map(str::to_owned)));
        Ok(texts.map(Iterator::collect).collect())
    }

    /// Runs statements and gives back the first column of the only row; `None` for null.
    ///
    /// # Errors
    ///
    /// [`Error::Sql`], with the SQLSTATE if the server refused; [`Error::Server`] if there is not
    /// exactly one row.
    pub async fn value(&self, sql: &str) -> Result<Option<String>, Error> {
        let mut rows = self.query(sql).await?;
        match (rows.pop(), rows.len()) {
            (Some(row), 0) => Ok(row.into_iter().next().flatten()),
            (last, rest) => {
                let found = rest + usize::from(last.is_some());
                Err(Error::Server(format!("{found} rows instead of one: {sql}")))
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn configure(url: &str) -> Result<Config, Error> {
    let wants_tls = ServerUrl::parse(url).is_some_and(|url| url.wants_tls());
    let config = match wants_tls {
        true => None,
        false => Some(url.parse::<Config>().map_err(error)?),
    };
    let config = config.filter(|config| config.get_ssl_mode() != SslMode::Require);
    let mut config = config.ok_or_else(|| {
        let advice = "the URL asks for TLS (sslmode), which the test kit does not speak: \
                      use a server that needs none, or unset DATABASE_URL";
        Error::Server(advice.into())
    })?;
    config.connect_timeout(PATIENCE);
    Ok(config)
}

fn error(error: tokio_postgres::Error) -> Error {
    let state = error.code().map(|state| state.code().to_owned());
    let message = match (error.as_db_error(), std::error::Error::source(&error)) {
        (Some(refusal), _) => refusal.to_string(),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    };
    Error::Sql { message, state }
}
