//! Projections: every event once, whatever fails, and versions that replace each other.

use std::sync::Arc;

use futures::future::join_all;
use ordain::store::SubscriptionState;
use ordain::subscription::{SubscriptionStatus, Subscriptions};
use ordain::{App, EventStore};

use super::super::SubscriptionFixture;
use super::super::read_side::eventually;
use super::super::support::*;
use super::support::*;
use crate::{Call, Fault, FaultyStore, Halt};

const ACCOUNTS: u64 = 4;

/// The sums of all accounts after so many rounds.
async fn assert_sums<F: SubscriptionFixture>(
    fixture: &F,
    store: &F::Store,
    page: u32,
    rounds: &[u64],
) {
    let expected: u64 = rounds.iter().map(|rounds| rounds * (rounds + 1) / 2).sum();
    for account in 0..ACCOUNTS {
        let sum = sum(fixture, store, page, account).await;
        assert_eq!(sum, expected as i64, "account {account} on page {page}");
    }
}

/// Every event is taken in once, the first too, also where many are not wanted, across processes that stop and
/// die.
pub async fn c109_every_event_is_taken_in_once<F>(fixture: &Arc<F>)
where
    F: SubscriptionFixture + Send + Sync + 'static,
{
    let store = opened(&**fixture).await;
    for round in 1..=4 {
        let sums = Sums::<F>::new(fixture).options(quick().partitions(3).batch_max(3));
        let app = start(leased(&store, SHORT).projection(sums)).await;
        rounds(&store, ACCOUNTS, 5).await;
        let ignored = event("SomethingElse", &serde_json::json!({}));
        append(&store, &account("1"), ANY, vec![ignored])
            .await
            .expect("appended");
        if round % 2 == 0 {
            shut_down(app).await;
        }
    }
    let app = start(leased(&store, SHORT).projection(Sums::<F>::new(fixture))).await;
    caught_up(&app, "sums").await;
    assert_sums(&**fixture, &store, 1, &[5; 4]).await;
    shut_down(app).await;
}

/// Whatever becomes of a transaction, its events are taken in once.
pub async fn c109_a_transaction_without_an_answer_counts_once<F>(fixture: &Arc<F>)
where
    F: SubscriptionFixture + Send + Sync + 'static,
{
    let inner = opened(&**fixture).await;
    let store = FaultyStore::new(inner.clone());
    let faults = store.faults();
    let app = start(on(&store).projection(Sums::<F>::new(fixture))).await;
    for call in [Call::BeginWork, Call::CommitWork, Call::Commit] {
        for fault in [Fault::BeforeCommit, Fault::AfterCommit] {
            faults.fail_next(call, fault);
            rounds(&inner, ACCOUNTS, 3).await;
            caught_up(&app, "sums").await;
        }
    }
    faults.disarm();
    assert_sums(&**fixture, &inner, 1, &[3; 6]).await;
    shut_down(app).await;
}

/// What fails after it has written is undone, tried again, and counts once; given up, it waits with its key.
pub async fn c109_d15_what_fails_is_undone_and_tried_again<F>(fixture: &Arc<F>)
where
    F: SubscriptionFixture + Send + Sync + 'static,
{
    let store = opened(&**fixture).await;
    let sums = Sums::<F>::new(fixture);
    let failing = sums.failing.clone();
    failing.set("1", 2);
    failing.set("2", u32::MAX);
    rounds(&store, ACCOUNTS, 3).await;
    let app = start(on(&store).projection(sums)).await;
    caught_up(&app, "sums").await;
    for (account, expected) in [(0, 6), (1, 6), (2, 0), (3, 6)] {
        assert_eq!(sum(&**fixture, &store, 1, account).await, expected);
    }
    failing.set("2", 0);
    app.subscriptions().retry_all("sums").await.expect("asked");
    status_when(&app, "sums", |status| status.dead_letters == 0).await;
    assert_sums(&**fixture, &store, 1, &[3]).await;
    shut_down(app).await;
}

/// A reset empties the read model together with the checkpoint, and fills it again.
pub async fn c107_c109_a_reset_fills_the_read_model_again<F>(fixture: &Arc<F>)
where
    F: SubscriptionFixture + Send + Sync + 'static,
{
    let store = opened(&**fixture).await;
    let app = start(on(&store).projection(Sums::<F>::new(fixture))).await;
    let elsewhere = start(on(&store)).await;
    for round in 1..=3 {
        rounds(&store, ACCOUNTS, 4).await;
        caught_up(&app, "sums").await;
        let reset = elsewhere.subscriptions().reset("sums", 0).await;
        reset.expect("asked");
        status_when(&app, "sums", |status| {
            status.state == SubscriptionState::Active && status.lag == 0
        })
        .await;
        assert_sums(&**fixture, &store, 1, &vec![4; round]).await;
    }
    shut_down(elsewhere).await;
    shut_down(app).await;
}

/// An owner that freezes in the middle of its transaction commits nothing after another has taken over.
pub async fn a_transaction_of_an_owner_that_freezes_is_not_committed<F>(fixture: &Arc<F>)
where
    F: SubscriptionFixture + Send + Sync + 'static,
{
    for (book, halt) in (1..).zip([Halt::BeforeCommit, Halt::AfterCommit]) {
        let sums = || Sums::<F>::new(fixture).book(book);
        let store = opened(&**fixture).await;
        let freezing = FaultyStore::new(store.clone());
        let faults = freezing.faults();
        let frozen = leased(&freezing, SHORT).projection(sums());
        let frozen = start(frozen).await;
        rounds(&store, ACCOUNTS, 2).await;
        caught_up(&frozen, "sums").await;
        let mut signs = faults.halt_next(Call::KeepAlive, Halt::BeforeCommit);
        let mut commit = faults.halt_next(Call::CommitWork, halt);
        rounds(&store, ACCOUNTS, 2).await;
        signs.reached().await;
        commit.reached().await;
        let other = leased(&store, SHORT).projection(sums());
        let other = start(other).await;
        caught_up(&other, "sums").await;
        commit.release();
        signs.release();
        rounds(&store, ACCOUNTS, 2).await;
        caught_up(&other, "sums").await;
        assert_sums(&**fixture, &store, page(book, 1), &[2; 3]).await;
        shut_down(frozen).await;
        shut_down(other).await;
    }
}

/// Where a process is cut off: at the nth call of this kind.
type Cut = (Call, usize, Halt);

fn cuts(calls: &[(Call, usize)]) -> Vec<Cut> {
    let cut = |halt| calls.iter().map(move |(call, nth)| (*call, *nth, halt));
    cut(Halt::BeforeCommit)
        .chain(cut(Halt::AfterCommit))
        .collect()
}

fn armed<S>(store: &FaultyStore<S>, (call, nth, halt): Cut) -> crate::Gate {
    let faults = store.faults();
    (1..nth).for_each(|_| faults.pass_next(call));
    faults.halt_next(call, halt)
}

/// Partitions are replaced although the process that does it is cut off at any step; every event counts once.
pub async fn replacing_partitions_survives_a_cut_at_every_step<F>(fixture: &Arc<F>)
where
    F: SubscriptionFixture + Send + Sync + 'static,
{
    let cuts = cuts(&[
        (Call::ChangeSubscriptions, 1),
        (Call::ChangeSubscriptions, 2),
        (Call::Claim, 1),
        (Call::Release, 1),
        (Call::KeepAlive, 3),
        (Call::CommitWork, 2),
    ]);
    at_every(fixture, cuts, |store, book, cut| {
        replaced(fixture, store, book, cut)
    })
    .await;
}

/// How many stores are open at once: each has connections of its own.
const STORES_AT_ONCE: usize = 3;

/// Runs a scenario in a store and a book of its own for every cut, several at the same time.
async fn at_every<F, Fut>(
    fixture: &Arc<F>,
    cuts: Vec<Cut>,
    scenario: impl Fn(F::Store, u32, Cut) -> Fut,
) where
    F: SubscriptionFixture,
    Fut: Future<Output = ()>,
{
    let cuts: Vec<_> = (1..).zip(cuts).collect();
    for cuts in cuts.chunks(STORES_AT_ONCE) {
        let (mut stores, mut under_way) = (Vec::new(), Vec::new());
        for (book, cut) in cuts {
            let store = opened(&**fixture).await;
            stores.push(store.clone());
            under_way.push(scenario(store, *book, *cut));
        }
        join_all(under_way).await;
        join_all(stores.iter().map(EventStore::close)).await;
    }
}

async fn replaced<F>(fixture: &Arc<F>, store: F::Store, book: u32, cut: Cut)
where
    F: SubscriptionFixture + Send + Sync + 'static,
{
    let options = || quick().partitions(2).batch_max(3);
    let sums = || Sums::<F>::new(fixture).book(book).options(options());
    let faulty = FaultyStore::new(store.clone());
    let app = start(leased(&faulty, SHORT).projection(sums())).await;
    rounds(&store, ACCOUNTS, 3).await;
    caught_up(&app, "sums").await;
    let mut gate = armed(&faulty, cut);
    let subscriptions = app.subscriptions();
    let asking = tokio::spawn(async move { subscriptions.repartition("sums", 3).await });
    rounds(&store, ACCOUNTS, 3).await;
    // A commit that is dropped, because its lease is taken for the new partitions, is cut off as well.
    gate.reached_unless_dropped().await;
    drop(app);
    asking.abort();
    drop(gate);

    let app = start(leased(&store, SHORT).projection(sums())).await;
    rounds(&store, ACCOUNTS, 3).await;
    app.subscriptions()
        .repartition("sums", 3)
        .await
        .expect("asked");
    status_when(&app, "sums", |status| status.partitions.len() == 3).await;
    rounds(&store, ACCOUNTS, 3).await;
    caught_up(&app, "sums").await;
    assert_sums(&**fixture, &store, page(book, 1), &[3; 4]).await;
    shut_down(app).await;
}

fn states(list: &[SubscriptionStatus]) -> Vec<(u32, SubscriptionState)> {
    let own = list.iter().filter(|one| one.name == "sums");
    own.map(|one| (one.version, one.state)).collect()
}

async fn assert_replaced<F>(fixture: &Arc<F>, store: &F::Store, book: u32, app: &App)
where
    F: SubscriptionFixture + Send + Sync + 'static,
{
    status_when(app, "sums", |status| status.version == 2).await;
    let list = app.subscriptions().list().await.expect("the list");
    let replaced = [
        (1, SubscriptionState::Retired),
        (2, SubscriptionState::Active),
    ];
    assert_eq!(states(&list), replaced);
    let current = number(&**fixture, store, &current(book)).await;
    assert_eq!(current, Some(2));
}

/// A new version is built beside the old one, which goes on meanwhile, and takes its place under load.
pub async fn a_new_version_takes_the_place_of_the_old_one<F>(fixture: &Arc<F>)
where
    F: SubscriptionFixture + Send + Sync + 'static,
{
    let store = opened(&**fixture).await;
    let old = start(on(&store).projection(Sums::<F, 1>::new(fixture))).await;
    rounds(&store, ACCOUNTS, 10).await;
    caught_up(&old, "sums").await;
    let sums = Sums::<F, 2>::new(fixture).options(quick().partitions(3).page(11));
    let new = start(on(&store).projection(sums)).await;
    let waiting = async {
        for _ in 0..10 {
            rounds(&store, ACCOUNTS, 2).await;
            // Whichever version is the active one.
            caught_up(&old, "sums").await;
        }
    };
    tokio::join!(waiting, assert_replaced(fixture, &store, 0, &new));
    let expected: Vec<_> = std::iter::once(10).chain([2; 10]).collect();
    assert_sums(&**fixture, &store, 2, &expected).await;
    // The old program, started again, leaves it alone.
    shut_down(old).await;
    let old = start(on(&store).projection(Sums::<F, 1>::new(fixture))).await;
    let before = sum(&**fixture, &store, 1, 0).await;
    rounds(&store, ACCOUNTS, 1).await;
    caught_up(&old, "sums").await;
    assert_eq!(sum(&**fixture, &store, 1, 0).await, before);
    shut_down(old).await;
    shut_down(new).await;
}

/// A version that is given up does not take over in between, and the old one goes on.
pub async fn a_version_that_is_given_up_does_not_take_over<F>(fixture: &Arc<F>)
where
    F: SubscriptionFixture + Send + Sync + 'static,
{
    let store = opened(&**fixture).await;
    let old = start(on(&store).projection(Sums::<F, 1>::new(fixture))).await;
    rounds(&store, ACCOUNTS, 1).await;
    caught_up(&old, "sums").await;
    let sums = Sums::<F, 2>::new(fixture).options(quick().batch_max(1));
    // So that it does not take over before.
    sums.failing.set("0", 3);
    let faulty = FaultyStore::new(store.clone());
    let new = start(on(&faulty).projection(sums)).await;
    let subscriptions = old.subscriptions();
    let letters = async || {
        let letters = subscriptions.dead_letters("sums").await;
        letters.expect("dead letters can be read").len()
    };
    eventually("an account is put aside", async || {
        (letters().await == 1).then_some(())
    })
    .await;

    let operators = FaultyStore::new(store.clone());
    let mut gate = operators
        .faults()
        .halt_next(Call::RemoveSubscription, Halt::BeforeCommit);
    let giving_up = tokio::spawn(async move {
        let subscriptions = Subscriptions::of(operators);
        subscriptions.cancel_rebuild("sums").await
    });
    gate.reached().await;
    subscriptions.retry_all("sums").await.expect("asked");
    eventually("nothing is put aside", async || {
        (letters().await == 0).then_some(())
    })
    .await;
    let beats = || faulty.faults().calls(Call::KeepAlive);
    let before = beats();
    eventually("it could take over", async || {
        (beats() > before + 10).then_some(())
    })
    .await;
    gate.release();
    let given_up = soon("it is given up", giving_up).await;
    given_up.expect("no panic").expect("it can be given up");
    let status = subscriptions.status("sums").await;
    assert_eq!(status.expect("one is active").version, 1);
    rounds(&store, ACCOUNTS, 1).await;
    caught_up(&old, "sums").await;
    assert_sums(&**fixture, &store, 1, &[1, 1]).await;
    shut_down(new).await;
    shut_down(old).await;
}

/// A new version that has put something aside waits until that is handled, and then takes over.
pub async fn dead_letters_of_a_new_version_are_retried<F>(fixture: &Arc<F>)
where
    F: SubscriptionFixture + Send + Sync + 'static,
{
    let store = opened(&**fixture).await;
    rounds(&store, ACCOUNTS, 2).await;
    let old = start(on(&store).projection(Sums::<F, 1>::new(fixture))).await;
    caught_up(&old, "sums").await;
    let sums = Sums::<F, 2>::new(fixture);
    let failing = sums.failing.clone();
    failing.set("0", u32::MAX);
    let new = start(on(&store).projection(sums)).await;
    let letters = eventually("something is put aside", async || {
        let letters = new.subscriptions().dead_letters("sums").await;
        let letters = letters.expect("dead letters");
        (!letters.is_empty()).then_some(letters)
    })
    .await;
    assert_eq!((letters.len(), letters[0].version), (1, 2));
    assert_eq!(status_when(&old, "sums", |_| true).await.version, 1);
    failing.set("0", 0);
    let asked = old.subscriptions().retry_all("sums").await;
    assert_eq!(asked.expect("asked"), 1);
    assert_replaced(fixture, &store, 0, &new).await;
    assert_sums(&**fixture, &store, 2, &[2]).await;
    shut_down(old).await;
    shut_down(new).await;
}

/// A version takes over although the process that builds it is cut off at any step.
pub async fn a_switch_of_versions_survives_a_cut_at_every_step<F>(fixture: &Arc<F>)
where
    F: SubscriptionFixture + Send + Sync + 'static,
{
    let cuts = cuts(&[
        // It is made beside the active one, which is held.
        (Call::ChangeSubscriptions, 1),
        (Call::ChangeSubscriptions, 2),
        // The tables are made, and then put in the place of the others.
        (Call::CommitChange, 1),
        (Call::CommitChange, 2),
        (Call::Claim, 1),
        (Call::CommitWork, 2),
    ]);
    at_every(fixture, cuts, |store, book, cut| {
        switched(fixture, store, book, cut)
    })
    .await;
}

async fn switched<F>(fixture: &Arc<F>, store: F::Store, book: u32, cut: Cut)
where
    F: SubscriptionFixture + Send + Sync + 'static,
{
    let old = || Sums::<F, 1>::new(fixture).book(book);
    let next = || Sums::<F, 2>::new(fixture).book(book);
    let old = start(leased(&store, SHORT).projection(old())).await;
    rounds(&store, ACCOUNTS, 3).await;
    caught_up(&old, "sums").await;
    let faulty = FaultyStore::new(store.clone());
    let mut gate = armed(&faulty, cut);
    let starting = leased(&faulty, SHORT).projection(next()).start();
    let starting = tokio::spawn(starting);
    gate.reached().await;
    starting.abort();
    // What was started ends with this.
    drop(starting.await);
    drop(gate);
    // The old one goes on, held or not, or is replaced already.
    rounds(&store, ACCOUNTS, 3).await;

    let new = start(leased(&store, SHORT).projection(next())).await;
    rounds(&store, ACCOUNTS, 3).await;
    assert_replaced(fixture, &store, book, &new).await;
    caught_up(&new, "sums").await;
    assert_sums(&**fixture, &store, page(book, 2), &[3; 3]).await;
    shut_down(old).await;
    shut_down(new).await;
}
