//! Plain SQL, beside the store.

use std::str::FromStr;

use ordain::BoxError;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection};

/// What a url may say to other clients of PostgreSQL; the rest is for the store.
const OPTIONS: [&str; 12] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// A database, as clients other than the store see it.
pub(super) struct Database {
    url: String,
    options: PgConnectOptions,
}

impl Database {
    pub(super) fn of(url: &str) -> Result<Self, BoxError> {
        let url = without_options_of_store(url);
        let options = PgConnectOptions::from_str(&url);
        let options = options.map_err(|error| format!("`--url` does not fit: {error}"))?;
        Ok(Self { url, options })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) async fn execute(&self, sql: String) -> Result<(), BoxError> {
        let mut connection = PgConnection::connect_with(&self.options).await?;
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
        Ok(())
    }

    /// The only column of the only row.
    pub(super) async fn value(&self, sql: &'static str) -> Result<String, BoxError> {
        let mut connection = PgConnection::connect_with(&self.options).await?;
        let value = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(value)
    }
}

fn without_options_of_store(url: &str) -> String {
    let Some((start, options)) = url.split_once('?') else {
        return url.to_owned();
    };
    let name = |option: &str| option.split('=').next().unwrap_or_default().to_owned();
    let kept: Vec<_> = options
        .split('&')
        .filter(|option| OPTIONS.contains(&&*name(option)))
        .collect();
    format!("{start}?{}", kept.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_clients_do_not_see_the_options_of_the_store() {
        let url = "postgres://u@h/d?pool_size=3&sslmode=disable&schema=s";
        let expected = "postgres://u@h/d?sslmode=disable";
        assert_eq!(without_options_of_store(url), expected);
        assert_eq!(without_options_of_store("postgres://h/d"), "postgres://h/d");
    }
}
