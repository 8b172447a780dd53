//! The apps that the scenarios of process managers run, and how they wait for them.

mod ledgers;
mod probe;
mod signals;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ordain::store::{SubscriptionState, SubscriptionStore};
use ordain::subscription::{DeadLetter, SubscriptionStatus};
use ordain::{App, AppBuilder};

pub(super) use self::ledgers::{
    CloseLedger, Ledger, LedgerClosed, LedgerOpened, OpenLedger, Write, Written, open_ledger,
    text_of, texts, until_texts, written,
};
pub(super) use self::probe::{Probe, find, instance, quick, seen, until_seen};
pub(super) use self::signals::{
    Kind, Note, OnFailure, Panics, Send, Sent, Signal, begin, cancel, go_on, note, send, send_from,
    stop,
};
use super::super::apps::config;
pub(super) use super::super::apps::{LONG, PATIENCE, SHORT, shut_down, start, status_when};
use super::super::read_side::Timed;
use crate::{Call, FaultyStore, Gate, Halt};

/// An app whose leases do not end by themselves.
pub(super) fn on<S: SubscriptionStore + Clone>(store: &S) -> AppBuilder<S> {
    leased(store, LONG)
}

/// An app whose leases last for so long.
pub(super) fn leased<S: SubscriptionStore + Clone>(store: &S, lease: Duration) -> AppBuilder<S> {
    App::builder(store.clone())
        .aggregate::<Signal>()
        .aggregate::<Ledger>()
        .config(config(lease))
}

/// An app that takes its time from the store's clock, where the scenario moves that.
pub(super) fn timed<S: SubscriptionStore + Clone>(timed: &Timed<S>) -> AppBuilder<S> {
    match timed.clock() {
        Some(clock) => on(&timed.store).clock(Arc::new(clock)),
        None => on(&timed.store),
    }
}

pub(super) async fn probing<S: SubscriptionStore + Clone>(store: &S) -> App {
    start(on(store).process_manager::<Probe>()).await
}

/// Asks again until it is so.
pub(super) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(super) async fn head(app: &App) -> u64 {
    app.store().head().await.expect("head").get()
}

/// Waits until the process manager has come to the end of the log, and nothing of it is under way.
pub(super) async fn settled(app: &App) {
    settled_of(app, None).await;
}

/// The same, looking at these instances only.
pub(super) async fn settled_of(app: &App, ids: Option<&[String]>) {
    until("it settles", async || {
        is_settled(app, ids).await.then_some(())
    })
    .await;
}

async fn is_settled(app: &App, ids: Option<&[String]>) -> bool {
    // Before the instances: what is handled by now has begun them.
    let status = status(app).await;
    if status.lag > 0 || status.parked > 0 {
        return false;
    }
    let ids = match ids {
        Some(ids) => ids.to_vec(),
        None => {
            let ids = app.processes(Probe::NAME).list(None, 1_000).await;
            ids.expect("instances can be listed")
        }
    };
    for id in ids {
        let instance = instance(app, &id).await;
        if !instance.outgoing.is_empty() && instance.dead_letter.is_none() {
            return false;
        }
    }
    head(app).await == status.head.get()
}

pub(super) async fn status(app: &App) -> SubscriptionStatus {
    let status = app.subscriptions().status(Probe::NAME).await;
    status.expect("the status can be read")
}

/// Waits until so many instances of the probe are put aside.
pub(super) async fn aside(app: &App, count: usize) -> Vec<DeadLetter> {
    until("they are put aside", async || {
        let letters = app.subscriptions().dead_letters(Probe::NAME).await;
        let letters = letters.expect("dead letters can be read");
        (letters.len() == count).then_some(letters)
    })
    .await
}

/// Asks for another attempt of an instance; says whether it is put aside.
pub(super) async fn retry(app: &App, id: &str) -> bool {
    let asked = app.subscriptions().retry(Probe::NAME, id).await;
    asked.expect("a retry can be asked for")
}

/// Has an instance leave out what it failed with; says whether it is put aside.
pub(super) async fn discard(app: &App, id: &str) -> bool {
    let asked = app.subscriptions().discard(Probe::NAME, id).await;
    asked.expect("discarding can be asked for")
}

/// Resets the probe, and waits until it has come to the end again.
pub(super) async fn reset(app: &App, position: u64) {
    let asked = app.subscriptions().reset(Probe::NAME, position).await;
    asked.expect("a reset can be asked for");
    status_when(app, Probe::NAME, |status| {
        status.state == SubscriptionState::Active && status.lag == 0
    })
    .await;
}

/// Waits for some signs of life: a process has seen by then how its subscriptions stand.
pub(super) async fn beats<S>(store: &FaultyStore<S>) {
    let beats = || store.faults().calls(Call::KeepAlive);
    let begun = beats();
    until("signs of life", async || {
        (beats() > begun + 5).then_some(())
    })
    .await;
}

/// Has a process die: nothing of it reaches the store any more, and its leases end.
pub(super) async fn kill<S: SubscriptionStore>(
    timed: &Timed<S>,
    store: &FaultyStore<S>,
    app: App,
    gate: Gate,
) {
    store.faults().cut_off();
    gate.cut();
    // What is under way might renew a lease when the clock has moved.
    store.faults().until_idle().await;
    drop(app);
    timed.end_leases();
}

/// Holds the append after the next one: that of the command which the next signal issues.
pub(super) fn hold_command<S>(store: &FaultyStore<S>) -> Gate {
    store.faults().pass_next(Call::Append);
    store.faults().halt_next(Call::Append, Halt::BeforeCommit)
}
