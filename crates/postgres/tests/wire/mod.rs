//! What tests of schedules need: a proxy that withholds what is sent, and the order lock.
#![allow(dead_code, reason = "not every test file needs all of it")]

pub(crate) mod read_side;

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ordain::store::{Append, StreamWrite};
use ordain::{EventId, EventStore, ExpectedVersion, NewEvent, StreamId};
use ordain_postgres::{PostgresOptions, PostgresStore};
use ordain_testkit::postgres::{Connection, Database};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn stream(name: &str) -> StreamId {
    name.parse().unwrap()
}

pub(crate) fn event(number: u64) -> NewEvent {
    NewEvent::new("counted", format!("{{\"n\":{number}}}"))
}

/// One event for any version of a stream.
pub(crate) fn one(name: &str, number: u64) -> Append {
    Append::new(stream(name), ExpectedVersion::Any, vec![event(number)])
}

/// One event after this entry, at a version that the caller knows itself.
pub(crate) fn after(name: &str, version: u64, entry: Option<EventId>, event: NewEvent) -> Append {
    let write = StreamWrite::new(stream(name), ExpectedVersion::exact(version), vec![event]);
    Append::several(vec![write.building_on(entry).trusted(true)])
}

/// Waits for a condition, and says what did not come true.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let end = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < end, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What ends within a time, or the test fails.
pub(crate) async fn within<T>(what: &str, time: Duration, future: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(time, future).await;
    ended.unwrap_or_else(|_| panic!("after {time:?} still not: {what}"))
}

pub(crate) fn options(database: &Database) -> PostgresOptions {
    PostgresStore::options()
        .url(&database.url())
        .migrate_on_connect(true)
        .pool_size(4)
}

pub(crate) async fn number(database: &Database, sql: &str) -> i64 {
    database.value(sql).await.unwrap().unwrap().parse().unwrap()
}

/// The data of the entries of a stream, by version.
pub(crate) async fn entries(database: &Database, name: &str) -> Vec<String> {
    let sql = format!(
        "SELECT e.data FROM ordain.events AS e JOIN ordain.streams AS s ON s.key = e.stream_key \
         WHERE s.name = '{name}' ORDER BY e.stream_version"
    );
    let rows = database.query(&sql).await.unwrap();
    rows.into_iter()
        .map(|mut row| row.remove(0).unwrap_or_default())
        .collect()
}

/// The order lock, held by a session beside the store.
pub(crate) struct OrderLock(Connection);

impl OrderLock {
    pub(crate) async fn take(database: &Database) -> Self {
        Self::take_in(database, "ordain").await
    }

    /// That of the store in this schema.
    pub(crate) async fn take_in(database: &Database, schema: &str) -> Self {
        let connection = database.connect().await.unwrap();
        let lock = format!(
            "BEGIN; SELECT pg_advisory_xact_lock(1869767777, '\"{schema}\".log_head'::regclass::oid::integer)"
        );
        connection.execute(&lock).await.unwrap();
        Self(connection)
    }

    /// The process of the server that holds it.
    pub(crate) async fn holder(&self) -> i64 {
        let pid = self.0.value("SELECT pg_backend_pid()").await;
        pid.unwrap().unwrap().parse().unwrap()
    }

    pub(crate) async fn release(self) {
        self.0.execute("COMMIT").await.unwrap();
    }
}

const WAITERS: &str = "FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = \
    (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Waits until so many sessions wait for the order lock.
pub(crate) async fn until_waiting(database: &Database, count: i64) {
    let connection = database.connect().await.unwrap();
    let sql = format!("SELECT count(*) {WAITERS}");
    until("sessions wait for the order lock", || async {
        connection
            .value(&sql)
            .await
            .unwrap()
            .unwrap()
            .parse::<i64>()
            .unwrap()
            == count
    })
    .await;
}

/// Ends the sessions that wait for the order lock.
pub(crate) async fn end_waiters(database: &Database) {
    database
        .query(&format!("SELECT pg_terminate_backend(pid) {WAITERS}"))
        .await
        .unwrap();
}

/// Stands between a store and its server.
pub(crate) struct Proxy {
    port: u16,
    /// Where new connections lead.
    target: Arc<Mutex<String>>,
    wires: Arc<Mutex<Vec<Arc<Wire>>>>,
    listening: JoinHandle<()>,
}

/// One connection through the proxy.
struct Wire {
    /// Whether what the client, and what the server says is withheld.
    requests: watch::Sender<bool>,
    answers: watch::Sender<bool>,
    /// Whether the client was cut off; the server does not notice.
    cut: watch::Sender<bool>,
    /// Whether the answers are withheld from the next COMMIT on.
    until_commit: AtomicBool,
    /// Whether the next COMMIT is withheld.
    before_commit: AtomicBool,
    withheld: AtomicUsize,
    answered: AtomicUsize,
}

impl Proxy {
    pub(crate) async fn before(database: &Database) -> Self {
        let target = Arc::new(Mutex::new(authority(&database.url()).to_owned()));
        let server = Arc::clone(&target);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let wires = Arc::<Mutex<Vec<Arc<Wire>>>>::default();
        let kept = Arc::clone(&wires);
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = server.lock().unwrap().clone();
                let Ok(server) = TcpStream::connect(server).await else {
                    continue;
                };
                let wire = Arc::new(Wire {
                    requests: watch::channel(false).0,
                    answers: watch::channel(false).0,
                    cut: watch::channel(false).0,
                    until_commit: AtomicBool::new(false),
                    before_commit: AtomicBool::new(false),
                    withheld: AtomicUsize::new(0),
                    answered: AtomicUsize::new(0),
                });
                kept.lock().unwrap().push(Arc::clone(&wire));
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(carry_requests(Arc::clone(&wire), from_client, to_server));
                tokio::spawn(carry_answers(wire, from_server, to_client));
            }
        });
        Self {
            port,
            target,
            wires,
            listening,
        }
    }

    /// Has new connections lead to the server of this database.
    pub(crate) fn lead_to(&self, database: &Database) {
        *self.target.lock().unwrap() = authority(&database.url()).to_owned();
    }

    /// The database's URL, through the proxy.
    pub(crate) fn url(&self, database: &Database) -> String {
        let url = database.url();
        url.replace(authority(&url), &format!("127.0.0.1:{}", self.port))
    }

    pub(crate) fn options(&self, database: &Database) -> PostgresOptions {
        PostgresStore::options()
            .url(&self.url(database))
            .migrate_on_connect(true)
            .pool_size(4)
    }

    fn all(&self) -> Vec<Arc<Wire>> {
        self.wires.lock().unwrap().clone()
    }

    /// Withholds what is said on the connections that there are.
    pub(crate) fn withhold_requests(&self) -> Withheld {
        let wires = self.all();
        wires
            .iter()
            .for_each(|wire| _ = wire.requests.send_replace(true));
        Withheld(wires)
    }

    /// Withholds what the server answers on the connections that there are.
    pub(crate) fn withhold_answers(&self) -> Withheld {
        let wires = self.all();
        wires
            .iter()
            .for_each(|wire| _ = wire.answers.send_replace(true));
        Withheld(wires)
    }

    /// Withholds what the server answers to COMMIT, and later, on the connections that there are.
    pub(crate) fn withhold_answers_to_commit(&self) -> Withheld {
        let wires = self.all();
        wires
            .iter()
            .for_each(|wire| wire.until_commit.store(true, Ordering::SeqCst));
        Withheld(wires)
    }

    /// Withholds the next COMMIT, and what is said later, on the connections that there are.
    pub(crate) fn withhold_commit(&self) -> Withheld {
        let wires = self.all();
        wires
            .iter()
            .for_each(|wire| wire.before_commit.store(true, Ordering::SeqCst));
        Withheld(wires)
    }

    /// The connections that there are.
    pub(crate) fn connections(&self) -> Withheld {
        Withheld(self.all())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Connections on which something is withheld; later ones pass.
pub(crate) struct Withheld(Vec<Arc<Wire>>);

impl Withheld {
    /// Waits until something is withheld.
    pub(crate) async fn until_something(&self) {
        let some = || {
            self.0
                .iter()
                .any(|wire| wire.withheld.load(Ordering::SeqCst) > 0)
        };
        until("something is withheld", || async { some() }).await;
    }

    /// Lets the clients have what the servers answered.
    pub(crate) fn pass_on(&self) {
        self.0
            .iter()
            .for_each(|wire| _ = wire.answers.send_replace(false));
    }

    /// Cuts the clients off; their servers go on.
    pub(crate) fn cut(&self) {
        self.0
            .iter()
            .for_each(|wire| _ = wire.cut.send_replace(true));
    }

    /// Lets the servers have what was withheld, and waits until they have answered it.
    pub(crate) async fn deliver(&self) {
        let wires: Vec<_> = self
            .0
            .iter()
            .filter(|it| it.withheld.load(Ordering::SeqCst) > 0)
            .collect();
        assert!(!wires.is_empty(), "nothing was withheld");
        let before: Vec<_> = wires
            .iter()
            .map(|it| it.answered.load(Ordering::SeqCst))
            .collect();
        wires
            .iter()
            .for_each(|wire| _ = wire.requests.send_replace(false));
        until("the server answers what was withheld", || async {
            wires
                .iter()
                .zip(&before)
                .all(|(it, before)| it.answered.load(Ordering::SeqCst) > *before)
        })
        .await;
    }
}

fn authority(url: &str) -> &str {
    let rest = url.split_once("://").unwrap().1;
    let rest = rest.split(['/', '?']).next().unwrap();
    rest.rsplit_once('@').map_or(rest, |(_, place)| place)
}

async fn carry_requests(wire: Arc<Wire>, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let (mut gate, mut cut) = (wire.requests.subscribe(), wire.cut.subscribe());
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            _ = cut.wait_for(|cut| *cut) => 0,
        };
        let said = buffer[..read].to_vec();
        if said.windows(7).any(|it| it == b"COMMIT\0") {
            if wire.until_commit.load(Ordering::SeqCst) {
                wire.answers.send_replace(true);
            }
            if wire.before_commit.load(Ordering::SeqCst) {
                wire.requests.send_replace(true);
            }
        }
        if *gate.borrow() {
            wire.withheld.fetch_add(read, Ordering::SeqCst);
        }
        if read == 0 {
            if *cut.borrow() {
                drop(from);
                // The server notices nothing as long as the test lives.
                std::future::pending::<()>().await;
            }
            return;
        }
        if gate.wait_for(|closed| !*closed).await.is_err() || to.write_all(&said).await.is_err() {
            return;
        }
    }
}

async fn carry_answers(wire: Arc<Wire>, mut from: OwnedReadHalf, to: OwnedWriteHalf) {
    let (mut gate, mut cut) = (wire.answers.subscribe(), wire.cut.subscribe());
    let mut buffer = vec![0; 1 << 16];
    let mut to = Some(to);
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            _ = cut.wait_for(|cut| *cut), if to.is_some() => {
                to = None;
                continue;
            }
        };
        if read == 0 {
            return;
        }
        wire.answered.fetch_add(read, Ordering::SeqCst);
        if *gate.borrow() {
            wire.withheld.fetch_add(read, Ordering::SeqCst);
        }
        tokio::select! {
            _ = gate.wait_for(|closed| !*closed) => {}
            _ = cut.wait_for(|cut| *cut) => to = None,
        }
        if let Some(client) = &mut to {
            drop(client.write_all(&buffer[..read]).await);
        }
    }
}

/// The number of the last event.
pub(crate) async fn head(store: &PostgresStore) -> u64 {
    store.head().await.unwrap().get()
}
