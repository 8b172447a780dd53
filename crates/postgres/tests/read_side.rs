//! What the read side rests on when connections break, programs freeze and rows are held.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod wire;

use std::time::{Duration, Instant};

use futures::FutureExt;
use ordain::prelude::*;
use ordain::store::{
    Append, Arrival, Chain, Change, Committed, Follower, LeaseKey, Progress, ProjectionStore,
    Refusal, Requirement, SubscriptionStore,
};
use ordain::{
    App, EventStore, ExpectedVersion, Failure, FailureAction, NewEvent, Projection, StoreError,
};
use ordain_postgres::{PostgresStore, PostgresWork};
use ordain_testkit::postgres::{Connection, Database, PgBouncer, PoolMode};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;
use wire::read_side::{claim, instance, leased, outgoing, timer};
use wire::{OrderLock, Proxy, event, number, one, options, stream, until, until_waiting, within};

const SOON: Duration = Duration::from_secs(20);

/// A row of a read model.
async fn count_up(database: &Database, work: &mut PostgresWork) {
    database
        .execute("CREATE TABLE IF NOT EXISTS numbers (n bigint PRIMARY KEY)")
        .await
        .unwrap();
    let insert = sqlx::query("INSERT INTO numbers SELECT coalesce(max(n), 0) + 1 FROM numbers");
    insert
        .execute(PostgresStore::connection(work))
        .await
        .unwrap();
}

async fn counted(database: &Database) -> i64 {
    number(database, "SELECT count(*) FROM numbers").await
}

async fn position(store: &PostgresStore, name: &str) -> u64 {
    let records = store.subscriptions(Some(name)).await.unwrap();
    records[0].partitions[0].position.get()
}

fn moved(lease: &LeaseKey) -> Progress {
    Progress::new(lease.clone(), 0.into(), 1.into())
}

#[tokio::test]
async fn an_owner_frozen_in_its_transaction_holds_up_nobody() {
    let database = Database::create().await;
    let frozen = options(&database).connect().await.unwrap();
    let other = options(&database).connect().await.unwrap();
    let lease = leased(&frozen, "balances").await.unwrap();
    let mut work = frozen.begin_work().await.unwrap();
    count_up(&database, &mut work).await;
    let over = "UPDATE ordain.subscription_partitions SET lease_until = now()";
    database.execute(over).await.unwrap();

    let claimed = other.claim(claim("balances", SOON));
    let claimed = within("the claim", SOON, claimed).await.unwrap();
    assert_eq!(claimed[0].key.epoch, lease.epoch + 1);
    let progress = other.commit(moved(&claimed[0].key));
    let progress = within("the progress", SOON, progress).await.unwrap();
    assert_eq!(progress, Committed::Done);

    let late = frozen.commit_work(work, moved(&lease)).await.unwrap();
    assert_eq!(late, Committed::LeaseLost);
    assert_eq!(counted(&database).await, 0);
    assert_eq!(position(&other, "balances").await, 1);
}

#[tokio::test]
async fn behind_a_pooler_an_owner_frozen_before_its_commit_does_not_keep_its_partition() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database).await;
    let frozen = proxy.options(&database).pooled(true).connect();
    let frozen = frozen.await.unwrap();
    let other = options(&database).connect().await.unwrap();
    let lease = leased(&frozen, "transfers").await.unwrap();
    let withheld = proxy.withhold_commit();
    let progress = moved(&lease);
    let committing = tokio::spawn(async move { frozen.commit(progress).await });
    withheld.until_something().await;

    let over = "UPDATE ordain.subscription_partitions SET lease_until = now()";
    within("the lease ends", SOON, database.execute(over))
        .await
        .unwrap();
    until("the partition is claimed", || async {
        let claimed = other.claim(claim("transfers", SOON)).await.unwrap();
        !claimed.is_empty()
    })
    .await;
    assert_eq!(position(&other, "transfers").await, 0);
    committing.abort();
}

#[tokio::test]
async fn a_transaction_whose_program_is_silent_is_ended() {
    let database = Database::create().await;
    let short = Duration::from_millis(200);
    let options = options(&database).work_idle_timeout(short);
    let store = options.connect().await.unwrap();
    let lease = leased(&store, "balances").await.unwrap();
    let mut work = store.begin_work().await.unwrap();
    count_up(&database, &mut work).await;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'";
    until("the transaction is ended", || async {
        number(&database, open).await == 0
    })
    .await;
    let ended = store.commit_work(work, moved(&lease)).await;
    let refusal = ended.unwrap_err();
    assert!(
        matches!(refusal, StoreError::Refused(Refusal::TransactionExpired { limit }) if limit == short),
        "{refusal}"
    );
    assert_eq!(counted(&database).await, 0);
}

#[tokio::test]
async fn a_transaction_that_its_user_has_ended_moves_no_checkpoint_and_appends_nothing() {
    let database = Database::create().await;
    let store = options(&database).connect().await.unwrap();
    let lease = leased(&store, "balances").await.unwrap();
    let mut noted = moved(&lease);
    noted.changes = vec![Change::PutInstance(instance("a"))];
    for ends in ["COMMIT", "ROLLBACK", "COMMIT AND CHAIN"] {
        for progress in [moved(&lease), noted.clone()] {
            let mut work = store.begin_work().await.unwrap();
            count_up(&database, &mut work).await;
            let connection = PostgresStore::connection(&mut work);
            sqlx::query(ends).execute(connection).await.unwrap();
            let refused = store.commit_work(work, progress).await.unwrap_err();
            assert!(refused.is_refused(), "{refused}");
            assert_eq!(position(&store, "balances").await, 0);
        }
    }
    for ends in ["COMMIT", "ROLLBACK"] {
        let mut work = store.begin_work().await.unwrap();
        let connection = PostgresStore::connection(&mut work);
        sqlx::query(ends).execute(connection).await.unwrap();
        let refused = store.commit_append(work, one("a-1", 1)).await;
        assert!(refused.unwrap_err().is_refused());
    }
    assert_eq!(store.head().await.unwrap(), 0);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database).await;
    let store = proxy.options(&database).connect().await.unwrap();
    let lease = leased(&store, "balances").await.unwrap();
    let mut work = store.begin_work().await.unwrap();
    count_up(&database, &mut work).await;
    let withheld = proxy.withhold_answers_to_commit();
    let committing = tokio::spawn({
        let (store, lease) = (store.clone(), lease.clone());
        async move { store.commit_work(work, moved(&lease)).await }
    });
    withheld.until_something().await;
    withheld.cut();
    let committed = within("the commit", SOON, committing).await.unwrap();
    assert_eq!(committed.unwrap(), Committed::Done);
    assert_eq!(counted(&database).await, 1);
    assert_eq!(position(&store, "balances").await, 1);
}

/// The server does not notice that its client is gone, and holds the partition until the transaction has idled
/// too long.
#[tokio::test]
async fn a_commit_that_never_arrives_is_known_not_to_be_made() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database).await;
    let short = Duration::from_millis(500);
    let options = proxy.options(&database).work_idle_timeout(short);
    let store = options.connect().await.unwrap();
    let lease = leased(&store, "balances").await.unwrap();
    let mut work = store.begin_work().await.unwrap();
    count_up(&database, &mut work).await;
    // The function's answer, so that the COMMIT behind it is never sent.
    let withheld = proxy.withhold_answers();
    let committing = tokio::spawn({
        let (store, lease) = (store.clone(), lease.clone());
        async move { store.commit_work(work, moved(&lease)).await }
    });
    withheld.until_something().await;
    withheld.cut();
    let committed = within("the commit", SOON, committing).await.unwrap();
    assert!(committed.unwrap_err().is_unavailable());
    assert_eq!(position(&store, "balances").await, 0);
    let again = within("the commit", SOON, store.commit(moved(&lease))).await;
    assert_eq!(again.unwrap(), Committed::Done);
    assert_eq!(counted(&database).await, 0);
}

/// Nothing but the id of the progress tells that it was made: the position stays, and what it requires is gone
/// because of itself.
#[tokio::test]
async fn a_progress_whose_answer_is_lost_is_made_once() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database).await;
    let store = proxy.options(&database).connect().await.unwrap();
    let lease = leased(&store, "transfers").await.unwrap();
    let set = store.set_timer(&lease.subscription, timer("a", "due"));
    set.await.unwrap();
    let required = Requirement::Timer {
        instance: "a".into(),
        key: "due".into(),
        generation: 1,
    };
    let fired = Progress {
        requires: vec![required],
        changes: vec![
            Change::RemoveTimer {
                instance: "a".into(),
                key: "due".into(),
            },
            Change::PutInstance(instance("a")),
            Change::PutOutgoing(outgoing("a", 1)),
        ],
        ..Progress::new(lease.clone(), 0.into(), 0.into())
    };
    let withheld = proxy.withhold_answers();
    let committing = tokio::spawn({
        let (store, fired) = (store.clone(), fired.clone());
        async move { store.commit(fired).await }
    });
    withheld.until_something().await;
    withheld.cut();
    let committed = within("the progress", SOON, committing).await.unwrap();
    assert_eq!(committed.unwrap(), Committed::Done);
    assert_eq!(store.commit(fired).await.unwrap(), Committed::Gone);
}

#[tokio::test]
async fn subscriptions_whose_change_is_not_answered_are_changed_once() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database).await;
    let store = proxy.options(&database).connect().await.unwrap();
    store.head().await.unwrap();
    let withheld = proxy.withhold_answers();
    let making = tokio::spawn({
        let store = store.clone();
        async move { leased(&store, "balances").await }
    });
    withheld.until_something().await;
    withheld.cut();
    let lease = within("the lease", SOON, making).await.unwrap().unwrap();
    assert_eq!(store.commit(moved(&lease)).await.unwrap(), Committed::Done);
    assert_eq!(store.subscriptions(None).await.unwrap()[0].generation, 1);
}

/// A command's row, held by a session beside the store.
async fn hold(database: &Database) -> Connection {
    let session = database.connect().await.unwrap();
    let hold = "BEGIN; SELECT FROM ordain.outgoing_commands FOR UPDATE";
    session.execute(hold).await.unwrap();
    session
}

#[tokio::test]
async fn a_command_that_is_held_holds_up_only_what_settles_it() {
    let database = Database::create().await;
    let store = options(&database).connect().await.unwrap();
    let lease = leased(&store, "transfers").await.unwrap();
    let command = outgoing("a", 1);
    let id = command.command_id;
    let mut issued = moved(&lease);
    issued.changes = vec![Change::PutOutgoing(command)];
    assert_eq!(store.commit(issued).await.unwrap(), Committed::Done);
    let holder = hold(&database).await;

    let mut chain = Chain::new();
    let settling = one("a-1", 1).settling(Some(id)).in_chain(chain.link());
    let chained = one("a-1", 2).in_chain(chain.link());
    let waiting = [settling, chained].map(|append| {
        let store = store.clone();
        tokio::spawn(async move { store.append(append).await })
    });
    let late = one("a-2", 1).settling(Some(id));
    let late = late.with_deadline(Some(Instant::now() + Duration::from_millis(100)));
    let late = within("the deadline", SOON, store.append(late)).await;
    assert!(matches!(late, Err(StoreError::DeadlinePassed)), "{late:?}");
    for n in 0..20 {
        let other = store.append(one("b-1", n));
        within("another append", SOON, other).await.unwrap();
    }
    let mut work = store.begin_work().await.unwrap();
    count_up(&database, &mut work).await;
    let refused = store.commit_append(work, one("a-3", 1).settling(Some(id)));
    let refused = within("the refusal", SOON, refused).await;
    assert!(refused.unwrap_err().is_unavailable());
    assert_eq!(counted(&database).await, 0);
    assert!(waiting.iter().all(|append| !append.is_finished()));

    holder.execute("COMMIT").await.unwrap();
    for (append, version) in waiting.into_iter().zip(1..) {
        let appended = within("what waited", SOON, append).await.unwrap().unwrap();
        assert_eq!(appended.versions[0], version);
    }
    assert!(!chain.is_broken());
}

#[tokio::test]
async fn of_a_held_command_that_is_settled_otherwise_nothing_is_appended() {
    let database = Database::create().await;
    let store = options(&database).connect().await.unwrap();
    let lease = leased(&store, "transfers").await.unwrap();
    let command = outgoing("a", 1);
    let settling = one("a-1", 1).settling(Some(command.command_id));
    let mut issued = moved(&lease);
    issued.changes = vec![Change::PutOutgoing(command)];
    store.commit(issued).await.unwrap();
    let holder = hold(&database).await;
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.append(settling).await }
    });
    store.append(one("b-1", 1)).await.unwrap();
    let settle = "DELETE FROM ordain.outgoing_commands; COMMIT";
    holder.execute(settle).await.unwrap();
    let settled = within("the append", SOON, waiting).await.unwrap();
    assert!(settled.unwrap_err().is_settled());
    assert_eq!(store.head().await.unwrap(), 1);
}

#[tokio::test]
async fn of_the_appends_of_one_batch_that_settle_a_command_one_is_stored() {
    let database = Database::create().await;
    let store = options(&database).connect().await.unwrap();
    let lease = leased(&store, "transfers").await.unwrap();
    let command = outgoing("a", 1);
    let id = command.command_id;
    let mut issued = moved(&lease);
    issued.changes = vec![Change::PutOutgoing(command)];
    store.commit(issued).await.unwrap();
    let lock = OrderLock::take(&database).await;
    let mut appends = vec![one("a-1", 1)];
    appends.extend((0..3).map(|n| one("b-1", n).settling(Some(id))));
    let appending = appends.into_iter().map(|append| {
        let store = store.clone();
        tokio::spawn(async move { store.append(append).await })
    });
    let appending: Vec<_> = appending.collect();
    until_waiting(&database, 1).await;
    lock.release().await;
    let mut settled = Vec::new();
    for append in appending {
        let appended = within("an append", SOON, append).await.unwrap();
        settled.push(appended.is_err_and(|error| error.is_settled()));
    }
    assert_eq!(settled, [false, false, true, true]);
    assert_eq!(store.head().await.unwrap(), 2);
}

/// The command is gone because it was this append that settled it.
#[tokio::test]
async fn an_append_that_settles_and_whose_answer_is_lost_is_found() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database).await;
    let store = proxy.options(&database).connect().await.unwrap();
    let lease = leased(&store, "transfers").await.unwrap();
    let command = outgoing("a", 1);
    let settling = one("a-1", 1).settling(Some(command.command_id));
    let mut issued = moved(&lease);
    issued.changes = vec![Change::PutOutgoing(command)];
    store.commit(issued).await.unwrap();
    store.append(one("b-1", 1)).await.unwrap();
    let withheld = proxy.withhold_answers();
    let appending = tokio::spawn({
        let store = store.clone();
        async move { store.append(settling).await }
    });
    withheld.until_something().await;
    withheld.cut();
    let appended = within("the append", SOON, appending).await.unwrap();
    assert_eq!(appended.unwrap().first_position, 2);
}

/// Waits until the follower is told that there may be something new.
async fn told(follower: &mut Follower) {
    let arrival = within("an arrival", SOON, follower.next()).await;
    assert!(matches!(arrival, Some(Arrival::Unknown)), "{arrival:?}");
    while follower.next().now_or_never().is_some() {}
}

const LISTENING: &str =
    "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";

async fn until_listening(database: &Database, sessions: i64) {
    let sql = format!("SELECT count(*) {LISTENING}");
    until("so many sessions listen", || async {
        number(database, &sql).await == sessions
    })
    .await;
}

#[tokio::test]
async fn two_processes_wake_each_other() {
    let database = Database::create().await;
    let stores = [
        options(&database).connect().await.unwrap(),
        options(&database).connect().await.unwrap(),
    ];
    until_listening(&database, 0).await;
    let mut followers = stores
        .each_ref()
        .map(|store| store.arrivals().unwrap().follow());
    for follower in &mut followers {
        told(follower).await;
    }
    for round in 0..3 {
        for (writer, reader) in [(0, 1), (1, 0)] {
            stores[writer].append(one("a-1", round)).await.unwrap();
            told(&mut followers[reader]).await;
            let own = within("its own", SOON, followers[writer].next()).await;
            assert!(matches!(own, Some(Arrival::Events(_))), "{own:?}");
        }
    }
    drop(followers);
    until_listening(&database, 0).await;
}

#[tokio::test]
async fn a_transaction_of_the_callers_wakes_others() {
    let database = Database::create().await;
    let writer = options(&database).connect().await.unwrap();
    let reader = options(&database).connect().await.unwrap();
    let mut follower = reader.arrivals().unwrap().follow();
    told(&mut follower).await;
    let mut transaction = writer.begin().await.unwrap();
    transaction.append(one("a-1", 1)).unwrap();
    transaction.commit().await.unwrap();
    told(&mut follower).await;
}

#[tokio::test]
async fn a_listener_that_is_cut_off_comes_back_and_says_so() {
    let database = Database::create().await;
    let writer = options(&database).connect().await.unwrap();
    let reader = options(&database).connect().await.unwrap();
    let mut follower = reader.arrivals().unwrap().follow();
    told(&mut follower).await;
    for round in 0..3 {
        let end = format!("SELECT pg_terminate_backend(pid) {LISTENING}");
        database.query(&end).await.unwrap();
        // It may have missed something.
        told(&mut follower).await;
        writer.append(one("a-1", round)).await.unwrap();
        told(&mut follower).await;
    }
}

#[tokio::test]
async fn behind_a_pooler_a_store_listens_to_the_server_itself() {
    let database = Database::create().await;
    let bouncer = PgBouncer::start(&database, PoolMode::Transaction, &[]).await;
    let bouncer = bouncer.unwrap_or_else(|error| panic!("{error}"));
    let pooled = || {
        PostgresStore::options()
            .url(&bouncer.url(&database.name()))
            .pooled(true)
            .migrate_on_connect(true)
    };
    let writer = pooled().connect().await.unwrap();
    let reader = pooled().listen_url(&database.url());
    let reader = reader.connect().await.unwrap();
    let mut follower = reader.arrivals().unwrap().follow();
    told(&mut follower).await;
    writer.append(one("a-1", 1)).await.unwrap();
    told(&mut follower).await;
    drop(follower);
    until_listening(&database, 0).await;

    // Without a way to the server it does not even try.
    let mut follower = writer.arrivals().unwrap().follow();
    writer.append(one("a-1", 2)).await.unwrap();
    let own = within("its own", SOON, follower.next()).await;
    assert!(matches!(own, Some(Arrival::Events(_))), "{own:?}");
    until_listening(&database, 0).await;
}

#[tokio::test]
async fn a_url_to_listen_by_names_a_server_and_nothing_else() {
    let database = Database::create().await;
    for (url, expected) in [
        ("mysql://a/b", "does not begin"),
        ("postgres://a/b?schema=other", "options of a store"),
    ] {
        let refused = options(&database).listen_url(url).connect().await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}

#[tokio::test]
async fn work_is_committed_with_an_append_and_undone_with_a_refused_one() {
    let database = Database::create().await;
    let store = options(&database).connect().await.unwrap();
    let first = event(1);
    let entry = first.event_id;
    let mut chain = Chain::new();
    let append = Append::new(stream("a-1"), ExpectedVersion::NoStream, vec![first]);
    for (append, stored) in [
        (append.clone(), true),
        (append.in_chain(chain.link()), false),
    ] {
        let mut work = store.begin_work().await.unwrap();
        count_up(&database, &mut work).await;
        let appended = store.commit_append(work, append).await;
        assert_eq!(appended.is_ok(), stored, "{appended:?}");
        assert_eq!(counted(&database).await, 1);
    }
    assert!(chain.is_broken());
    let head = store.stream_head(&stream("a-1")).await.unwrap();
    assert_eq!(head.entry, Some(entry));
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
struct Counted;

/// Makes its table as many do: the server does not guard against others who do so at the same time.
#[derive(Projection)]
#[projection(name = "numbers", events(Counted), tables)]
struct Numbers;

impl Project<Counted, PgConnection> for Numbers {
    async fn project(
        &self,
        _: &Counted,
        _: &EventContext,
        _: &mut PgConnection,
    ) -> Result<(), BoxError> {
        Ok(())
    }
}

impl ReadModel<PgConnection> for Numbers {
    async fn setup(&self, db: &mut PgConnection) -> Result<(), BoxError> {
        let table = "CREATE TABLE IF NOT EXISTS numbers (n bigint PRIMARY KEY)";
        sqlx::query(table).execute(db).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_process_starts_while_another_makes_the_tables() {
    let database = Database::create().await;
    let store = options(&database).connect().await.unwrap();
    let other = database.connect().await.unwrap();
    let table = "BEGIN; CREATE TABLE numbers (n bigint PRIMARY KEY)";
    other.execute(table).await.unwrap();
    let starting = tokio::spawn(App::builder(store).projection(Numbers).start());
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
        AND datname = current_database()";
    until("the table is waited for", || async {
        number(&database, waiting).await == 1
    })
    .await;
    other.execute("COMMIT").await.unwrap();
    let started = within("the start", SOON, starting).await.unwrap();
    started.unwrap().shutdown().await.unwrap();
}

#[derive(Debug, Clone, EventSet)]
enum Counts {
    Counted(Counted),
}

/// Sleeps in its transaction at every event of the stream `counter-slow`.
struct Sleepy(Duration);

impl Projection<PgConnection> for Sleepy {
    const NAME: &'static str = "sleepy";
    type Events = Counts;

    async fn project(
        &self,
        _: &Counts,
        context: &EventContext,
        db: &mut PgConnection,
    ) -> Result<(), BoxError> {
        if context.id() == "slow" {
            tokio::time::sleep(self.0).await;
        }
        sqlx::query("INSERT INTO numbers DEFAULT VALUES")
            .execute(db)
            .await?;
        Ok(())
    }

    fn on_failure(&self, _: &Failure) -> FailureAction {
        FailureAction::DeadLetter
    }
}

/// It is the event's fault, not an outage that is waited for.
#[tokio::test]
async fn an_event_that_outlasts_its_transaction_is_put_aside() {
    let database = Database::create().await;
    let table = "CREATE TABLE numbers (n bigserial)";
    database.execute(table).await.unwrap();
    let short = Duration::from_millis(100);
    let options = options(&database).work_idle_timeout(short);
    let store = options.connect().await.unwrap();
    for name in ["counter-1", "counter-slow", "counter-2"] {
        let event = NewEvent::new("Counted", "null");
        let append = Append::new(stream(name), ExpectedVersion::Any, vec![event]);
        store.append(append).await.unwrap();
    }
    let builder = App::builder(store.clone());
    let app = builder.projection(Sleepy(short * 4)).start().await.unwrap();
    until("all has been looked at", || async {
        let status = app.subscriptions().status("sleepy").await.unwrap();
        status.lag == 0
    })
    .await;
    let letters = app.subscriptions().dead_letters("sleepy").await.unwrap();
    let keys: Vec<_> = letters.iter().map(|letter| &*letter.key).collect();
    assert_eq!(keys, ["counter-slow"]);
    assert_eq!(counted(&database).await, 2);
    app.shutdown().await.unwrap();
}
