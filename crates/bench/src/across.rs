//! From an append in one process to a handler in another.

use std::process::Stdio;
use std::time::{Duration, Instant};

use ordain::store::SubscriptionStore;
use ordain::{App, BoxError, EventStore};
use ordain_postgres::PostgresStore;
use ordain_sqlite::SqliteStore;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;

use crate::cli::{On, Options, Store};
use crate::figures::{Figures, Measured, latencies};
use crate::postgres::Server;
use crate::reading::{Seeing, append, note, now};
use crate::workload::Run;

/// How long the other process may take for one event.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures from the call of an append to the handler in another process, one after the other.
pub(crate) async fn measure(on: &On, options: &Options) -> Result<Figures, BoxError> {
    let run = options.run(1);
    let (store, measured) = match on.store {
        Store::Memory => return Err("a store in memory is one process's own".into()),
        Store::Sqlite => {
            let folder = tempfile::tempdir()?;
            let path = folder.path().join("bench.db");
            let store = SqliteStore::open(&path).await?;
            let place = ["--path".into(), path.display().to_string()];
            let measured = from_here(&store, "sqlite", place, &run).await;
            store.close().await;
            ("sqlite", measured?)
        }
        Store::Postgres => {
            let server = Server::open(&options.postgres).await?;
            let measured = server
                .on_store(async |url, store| {
                    from_here(&store, "postgres", ["--url".into(), url], &run).await
                })
                .await;
            ("postgres", measured?)
        }
    };
    Ok(Figures::new("react-across", store, 1, measured))
}

/// The process that handles.
struct Other {
    lines: Lines<BufReader<ChildStdout>>,
    child: Child,
}

impl Other {
    async fn start(store: &str, place: [String; 2]) -> Result<Self, BoxError> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["listen", "--store", store])
            .args(place)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().ok_or("there is no output")?;
        let lines = BufReader::new(out).lines();
        let mut other = Self { lines, child };
        other.line().await?;
        Ok(other)
    }

    async fn line(&mut self) -> Result<String, BoxError> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await??;
        Ok(line.ok_or("the other process has ended")?)
    }

    /// When the other process saw the event of this number.
    async fn saw(&mut self, number: u64) -> Result<u64, BoxError> {
        loop {
            let line = self.line().await?;
            let (seen, at) = line.split_once(' ').ok_or("not understood")?;
            if seen.parse() == Ok(number) {
                return Ok(at.parse()?);
            }
        }
    }

    async fn end(mut self) -> Result<(), BoxError> {
        drop(self.child.stdin.take());
        self.child.wait().await?;
        Ok(())
    }
}

async fn from_here<S: SubscriptionStore>(
    store: &S,
    name: &str,
    place: [String; 2],
    run: &Run,
) -> Result<Measured, BoxError> {
    let mut other = Other::start(name, place).await?;
    let mut latency = latencies()?;
    let begin = Instant::now() + run.warm_up;
    for number in 0.. {
        if Instant::now() >= begin + run.seconds {
            break;
        }
        let called = now()?;
        append(store, number).await?;
        let seen = other.saw(number).await?;
        if Instant::now() >= begin {
            note(
                &mut latency,
                Duration::from_micros(seen.saturating_sub(called)),
            )?;
        }
    }
    other.end().await?;
    Ok(Measured {
        elapsed: run.seconds,
        events: latency.len(),
        latency,
    })
}

/// Handles, and tells when, until the standard input ends.
pub(crate) async fn listen(on: &On, options: &Options) -> Result<(), BoxError> {
    match (on.store, &on.path, &options.postgres.url) {
        (Store::Sqlite, Some(path), _) => tell(SqliteStore::open(path.clone()).await?).await,
        (Store::Postgres, _, Some(url)) => tell(PostgresStore::connect(url).await?).await,
        _ => Err("there is no place to listen to".into()),
    }
}

async fn tell<S: SubscriptionStore + Clone>(store: S) -> Result<(), BoxError> {
    let (sender, mut seen) = mpsc::channel(1_000);
    let builder = App::builder(store.clone());
    let app = builder.event_handler(Seeing(sender)).start().await?;
    let mut out = tokio::io::stdout();
    out.write_all(b"ready\n").await?;
    out.flush().await?;
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    loop {
        let number = tokio::select! {
            number = seen.recv() => number.ok_or("the handler has ended")?,
            _ = input.next_line() => break,
        };
        out.write_all(format!("{number} {}\n", now()?).as_bytes())
            .await?;
        out.flush().await?;
    }
    app.shutdown().await?;
    store.close().await;
    Ok(())
}
