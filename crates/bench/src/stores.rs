//! The stores that are measured.

use ordain::{BoxError, EventStore, MemoryStore};
use ordain_sqlite::SqliteStore;

use crate::cli::{Clients, On, Options, Store};
use crate::figures::{Figures, Measured};
use crate::postgres::Server;
use crate::workload::{Run, Workload};

pub(crate) async fn measure(
    workload: Workload,
    on: &On,
    options: &Options,
) -> Result<Figures, BoxError> {
    check(on, options)?;
    let run = options.run(on.concurrency);
    let (store, measured) = match on.store {
        Store::Memory => {
            let measured = workload.run(MemoryStore::new(), &run).await?;
            ("memory", measured)
        }
        Store::Sqlite => ("sqlite", on_sqlite(workload, on, &run).await?),
        Store::Postgres => {
            let server = Server::open(&options.postgres).await?;
            (server.store_name(), server.measure(workload, &run).await?)
        }
    };
    Ok(Figures::new(
        workload.name(),
        store,
        run.concurrency,
        measured,
    ))
}

/// Measures inserts without a store.
pub(crate) async fn pgbench(clients: &Clients, options: &Options) -> Result<Figures, BoxError> {
    let run = options.run(clients.concurrency);
    let server = Server::open(&options.postgres).await?;
    let measured = server.pgbench(&run).await?;
    Ok(Figures::new(
        "pgbench",
        server.store_name(),
        run.concurrency,
        measured,
    ))
}

fn check(on: &On, options: &Options) -> Result<(), BoxError> {
    if options.postgres.is_told() && on.store != Store::Postgres {
        return Err("`--url` and `--payload` go with `--store postgres`".into());
    }
    if on.path.is_some() && on.store != Store::Sqlite {
        return Err("`--path` goes with `--store sqlite`".into());
    }
    Ok(())
}

async fn on_sqlite(workload: Workload, on: &On, run: &Run) -> Result<Measured, BoxError> {
    let folder = tempfile::tempdir()?;
    let temporary = || folder.path().join("bench.db");
    let store = SqliteStore::open(on.path.clone().unwrap_or_else(temporary)).await?;
    let measured = workload.run(store.clone(), run).await;
    store.close().await;
    measured
}
