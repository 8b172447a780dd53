//! Opening a store.

use ordain::StoreError;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::connect::{self, Finder, Pool, Server, Source};
use crate::options::PostgresOptions;
use crate::schema::{self, Facts, Runner};
use crate::settings::Settings;
use crate::{PostgresStore, failure};

pub(crate) async fn open(options: PostgresOptions) -> Result<PostgresStore, StoreError> {
    let listen_url = options.listen_url.clone();
    let (settings, source) = Settings::check(options)?;
    let ear = ear(listen_url.as_deref(), &source, &settings)?;
    let finder = Finder::new(source.clone(), &settings);
    let (pool, facts) = match source {
        Source::Pool(pool) => {
            let facts = look_at(finder.connect().await?, &settings).await?;
            (Pool::of_caller(pool), facts)
        }
        Source::Servers(_) | Source::Hook(_) => {
            let found = finder.find(finder.end()).await?;
            let facts = look_at(found.connection, &settings).await?;
            let pool = Pool::open(finder, found.options, &settings).await?;
            (pool, facts)
        }
    };
    Ok(PostgresStore::start(settings, pool, &facts, ear))
}

/// How the server itself is found, to listen to; `None` if only a pooler is known.
fn ear(
    url: Option<&str>,
    source: &Source,
    settings: &Settings,
) -> Result<Option<Finder>, StoreError> {
    let source = match url {
        Some(url) => Source::direct(url)?,
        None if settings.pooled => return Ok(None),
        None => source.clone(),
    };
    Ok(Some(Finder::direct(source, settings)))
}

async fn look_at(mut connection: PgConnection, settings: &Settings) -> Result<Facts, StoreError> {
    let looked = prepare(&mut connection, settings).await;
    connect::close(connection).await;
    looked
}

async fn prepare(connection: &mut PgConnection, settings: &Settings) -> Result<Facts, StoreError> {
    let server = Server::inspect(connection).await?;
    server.check_sessions(settings)?;
    if settings.migrate_on_connect {
        Runner::new(settings).init(connection).await?;
    }
    // A pooler may hand the session on between statements, but not within a transaction.
    let begun = connection.begin().await;
    let mut transaction = begun.map_err(|error| failure::store_error(&error))?;
    schema::inspect(&mut transaction, settings).await
}
