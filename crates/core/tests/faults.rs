//! Dispatch on a store that fails, halts, or loses its replies.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod account;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use account::*;
use futures::future::join_all;
use ordain::store::ReadStream;
use ordain::{
    App, CommandId, Config, DispatchError, EventStore, Loaded, MemoryStore, Phase, StreamId,
};
use ordain_testkit::{Call, Fault, Faults, FaultyStore, Halt};

struct Bank {
    app: App,
    faults: Faults,
    log: MemoryStore,
}

impl Bank {
    /// An app with an open account on a store that fails when told.
    async fn open() -> Self {
        Self::with(Config::default()).await
    }

    async fn with(config: Config) -> Self {
        let log = MemoryStore::new();
        let store = FaultyStore::new(log.clone());
        let faults = store.faults();
        let builder = App::builder(store).aggregate::<Account>().config(config);
        let app = builder.start().await.unwrap();
        app.dispatch(open("a")).await.unwrap();
        Self { app, faults, log }
    }

    async fn stored(&self) -> Loaded<Account> {
        app_on(&self.log)
            .await
            .load::<Account>(&"a".to_owned())
            .await
            .unwrap()
    }

    /// The live instance is equal to the log: it answers as the log says, and goes on from there.
    async fn check_live(&self) {
        let stored = self.stored().await;
        let live = self
            .app
            .dispatch(deposit("a", 0))
            .with_state()
            .await
            .unwrap();
        assert_eq!((live.version, &live.state), (stored.version, &stored.state));
        let next = self.app.dispatch(deposit("a", 1)).await.unwrap();
        assert_eq!((next.version, next.retries), (stored.version.next(), 0));
    }
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn a_dropped_dispatch_leaves_its_command_done_or_not_done_and_the_instance_true() {
    for (halt, release) in [
        (Halt::BeforeCommit, true),
        (Halt::BeforeCommit, false),
        (Halt::AfterCommit, true),
        (Halt::AfterCommit, false),
        (Halt::AtReply, true),
        (Halt::AtReply, false),
    ] {
        let bank = Bank::open().await;
        let mut gate = bank.faults.halt_next(Call::Append, halt);
        let mut dispatch = bank.app.dispatch(deposit("a", 10));
        assert!(poll_once(&mut dispatch).is_pending());
        gate.reached().await;
        assert!(poll_once(&mut dispatch).is_pending());
        drop(dispatch);
        if release {
            gate.release();
        } else {
            gate.cut();
        }
        let behind = bank.app.dispatch(deposit("a", 1)).await.unwrap();
        let stored = bank.stored().await;
        let done = release || halt != Halt::BeforeCommit;
        assert_eq!(
            stored.balance,
            if done { 11 } else { 1 },
            "{halt:?}, {release}"
        );
        assert_eq!(behind.version, stored.version);
        bank.check_live().await;
    }
}

#[tokio::test]
async fn a_dispatch_dropped_before_its_turn_is_not_done() {
    let bank = Bank::open().await;
    let mut never = bank.app.dispatch(deposit("a", 100));
    drop(bank.app.dispatch(deposit("a", 100)));
    assert!(poll_once(&mut never).is_pending());
    drop(never);
    bank.app.dispatch(deposit("a", 1)).await.unwrap();
    assert_eq!(bank.stored().await.balance, 1);
}

#[tokio::test]
async fn an_append_whose_reply_was_lost_is_found_and_takes_effect_once() {
    for fault in [Fault::AfterCommit, Fault::ReplyLost] {
        let bank = Bank::open().await;
        bank.faults.fail_next(Call::Append, fault);
        let receipt = bank.app.dispatch(deposit("a", 10)).await.unwrap();
        assert_eq!((receipt.version.get(), receipt.position.get()), (2, 2));
        assert!(!receipt.repeated);
        assert_eq!(bank.stored().await.balance, 10);
        bank.check_live().await;
    }
}

#[tokio::test]
async fn a_withdrawal_whose_reply_was_lost_is_not_answered_by_its_own_effect() {
    let bank = Bank::open().await;
    bank.app.dispatch(deposit("a", 10)).await.unwrap();
    bank.faults.fail_next(Call::Append, Fault::AfterCommit);
    let receipt = bank.app.dispatch(withdraw("a", 10)).await.unwrap();
    assert_eq!((receipt.version.get(), receipt.events.len()), (3, 1));
    bank.check_live().await;
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_stays_unknown_is_said_and_the_command_can_be_sent_again() {
    let config = Config::new().resends(2);
    let bank = Bank::with(config).await;
    let id = CommandId::new();
    bank.faults.fail_next(Call::Append, Fault::AfterCommit);
    bank.faults
        .fail_next_n(2, Call::Append, Fault::BeforeCommit);
    let error = bank
        .app
        .dispatch(deposit("a", 10))
        .command_id(id)
        .await
        .unwrap_err();
    assert!(
        error.is_outcome_unknown() && error.is_transient(),
        "{error}"
    );
    let again = bank
        .app
        .dispatch(deposit("a", 10))
        .command_id(id)
        .await
        .unwrap();
    assert!(again.repeated);
    assert_eq!(bank.stored().await.balance, 10);
    bank.check_live().await;
}

#[tokio::test]
async fn commands_queued_behind_a_failed_append_are_redone_without_counting_as_retries() {
    for fault in [Fault::BeforeCommit, Fault::Conflict, Fault::AfterCommit] {
        let bank = Bank::open().await;
        let mut gate = bank.faults.halt_next(Call::Append, Halt::BeforeCommit);
        let blocked = tokio::spawn(bank.app.dispatch(deposit("a", 1)));
        gate.reached().await;
        bank.faults.fail_next(Call::Append, fault);
        let failing = tokio::spawn(bank.app.dispatch(deposit("a", 10)));
        let behind: Vec<_> = (0..20)
            .map(|_| tokio::spawn(bank.app.dispatch(deposit("a", 100))))
            .collect();
        while bank.faults.calls(Call::Append) < 10 {
            tokio::task::yield_now().await;
        }
        gate.release();
        blocked.await.unwrap().unwrap();
        let failed = failing.await.unwrap();
        let lost = if fault == Fault::BeforeCommit {
            assert!(matches!(failed, Err(DispatchError::Unavailable(_))));
            10
        } else {
            failed.unwrap();
            0
        };
        for receipt in join_all(behind).await {
            assert_eq!(receipt.unwrap().unwrap().retries, 0, "{fault:?}");
        }
        assert_eq!(bank.stored().await.balance, 2_011 - lost);
        bank.check_live().await;
    }
}

#[tokio::test]
async fn a_refusal_waits_for_the_commands_before_it_and_is_redone_with_them() {
    let bank = Bank::open().await;
    bank.app.dispatch(deposit("a", 10)).await.unwrap();
    let mut gate = bank.faults.halt_next(Call::Append, Halt::BeforeCommit);
    let first = tokio::spawn(bank.app.dispatch(withdraw("a", 10)));
    gate.reached().await;
    // Refused on a state that will turn out never to have been.
    let second = tokio::spawn(bank.app.dispatch(withdraw("a", 10)));
    tokio::task::yield_now().await;
    gate.cut();
    assert!(matches!(
        first.await.unwrap(),
        Err(DispatchError::Unavailable(_))
    ));
    second.await.unwrap().unwrap();
    assert_eq!(bank.stored().await.balance, 0);
    bank.check_live().await;
}

#[tokio::test(start_paused = true)]
async fn a_remembered_refusal_whose_reply_was_lost_is_given_all_the_same() {
    let bank = Bank::open().await;
    let id = CommandId::new();
    bank.faults
        .fail_next(Call::RecordOutcome, Fault::AfterCommit);
    for _ in 0..2 {
        let error = bank
            .app
            .dispatch(withdraw("a", 1))
            .command_id(id)
            .await
            .unwrap_err();
        assert!(error.is_rejected(), "{error}");
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_read_fails_the_command_and_not_the_instance() {
    let bank = Bank::open().await;
    let fresh = FaultyStore::new(bank.log.clone());
    let faults = fresh.faults();
    let app = App::builder(fresh)
        .aggregate::<Account>()
        .start()
        .await
        .unwrap();
    faults.fail_next(Call::ReadSnapshot, Fault::BeforeCommit);
    let error = app.dispatch(deposit("a", 1)).await.unwrap_err();
    assert!(matches!(error, DispatchError::Unavailable(_)), "{error}");
    app.dispatch(deposit("a", 1)).await.unwrap();
}

#[tokio::test]
async fn a_cache_full_of_busy_instances_takes_more() {
    let config = Config::new().instances_max(1);
    let bank = Bank::with(config).await;
    let mut gate = bank.faults.halt_next(Call::Append, Halt::BeforeCommit);
    let busy = tokio::spawn(bank.app.dispatch(deposit("a", 1)));
    gate.reached().await;
    for account in ["b", "c", "d"] {
        bank.app.dispatch(open(account)).await.unwrap();
    }
    gate.release();
    busy.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_cache_that_had_to_grow_shrinks_to_its_bound() {
    let bank = Bank::with(Config::new().instances_max(4)).await;
    let names: Vec<_> = (0..20).map(|number| format!("busy {number}")).collect();
    let gates: Vec<_> = names
        .iter()
        .map(|_| bank.faults.halt_next(Call::Append, Halt::BeforeCommit))
        .collect();
    let busy: Vec<_> = names
        .iter()
        .map(|name| tokio::spawn(bank.app.dispatch(open(name))))
        .collect();
    for mut gate in gates {
        gate.reached().await;
        gate.release();
    }
    for opened in join_all(busy).await {
        opened.unwrap().unwrap();
    }
    for attempt in 0.. {
        bank.app
            .dispatch(open(&format!("next {attempt}")))
            .await
            .unwrap();
        if bank.app.instances() <= 5 {
            break;
        }
        assert!(attempt < 100, "{} instances stay", bank.app.instances());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_answer_without_events_has_the_state_it_was_given_on() {
    let bank = Bank::open().await;
    let (none, added) = tokio::join!(
        bank.app.dispatch(deposit("a", 0)).with_state(),
        bank.app.dispatch(deposit("a", 100)).with_state()
    );
    let (none, added) = (none.unwrap(), added.unwrap());
    assert_eq!((none.version.get(), none.state.balance), (1, 0));
    assert_eq!((added.version.get(), added.state.balance), (2, 100));
    let misbehave = Misbehave {
        account: "a".into(),
        in_apply: true,
    };
    let (none, panicked) = tokio::join!(
        bank.app.dispatch(deposit("a", 0)).with_state(),
        bank.app.dispatch(misbehave)
    );
    assert_eq!(none.unwrap().state.balance, 100);
    assert!(matches!(panicked, Err(DispatchError::Panicked { .. })));
    bank.check_live().await;
}

#[tokio::test]
async fn commands_without_other_writers_keep_their_order_and_meet_no_conflict() {
    let bank = Bank::open().await;
    for round in 0..3 {
        let id = (round == 1).then(CommandId::new);
        let refused = bank.app.dispatch(withdraw("a", 1_000)).retries(0);
        let refused = match id {
            Some(id) => refused.command_id(id),
            None => refused,
        };
        let deposits = join_all((0..20).map(|_| bank.app.dispatch(deposit("a", 100)).retries(0)));
        let (refused, deposits) = tokio::join!(refused, deposits);
        assert!(refused.unwrap_err().is_rejected());
        assert!(
            deposits
                .into_iter()
                .all(|receipt| !receipt.unwrap().repeated)
        );
        bank.app.dispatch(withdraw("a", 2_000)).await.unwrap();
    }
    bank.check_live().await;
}

#[tokio::test]
async fn losing_the_store_degrades_and_recovers_by_itself() {
    let bank = Bank::open().await;
    let mut health = bank.app.watch_health();
    bank.faults.fail_next_n(3, Call::Head, Fault::BeforeCommit);
    bank.faults.fail_next(Call::Append, Fault::BeforeCommit);
    bank.app.dispatch(deposit("a", 1)).await.unwrap_err();
    let degraded = bank.app.health();
    assert!(degraded.is_live() && !degraded.is_ready());
    assert!(degraded.degraded.unwrap().reason.contains("unavailable"));
    tokio::time::timeout(
        Duration::from_secs(20),
        health.wait_for(|health| health.is_ready()),
    )
    .await
    .unwrap()
    .unwrap();
    assert_eq!(bank.app.health().phase, Phase::Running);
    bank.faults.fail_next(Call::Append, Fault::BeforeCommit);
    bank.app.dispatch(deposit("a", 1)).await.unwrap_err();
    bank.app.dispatch(deposit("a", 1)).await.unwrap();
    assert!(bank.app.health().is_ready());
}

#[tokio::test]
async fn a_shutdown_waits_for_what_was_begun() {
    let bank = Bank::open().await;
    let mut gate = bank.faults.halt_next(Call::Append, Halt::AtReply);
    let begun = tokio::spawn(bank.app.dispatch(deposit("a", 1)));
    gate.reached().await;
    let app = bank.app.clone();
    let shutdown = tokio::spawn(async move { app.shutdown().await });
    while bank.app.health().phase != Phase::Stopping {
        tokio::task::yield_now().await;
    }
    gate.release();
    shutdown.await.unwrap().unwrap();
    begun.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_shutdown_cuts_off_what_does_not_end_and_says_so() {
    let config = Config::new().drain(Duration::from_millis(10));
    let bank = Bank::with(config).await;
    let mut gate = bank.faults.halt_next(Call::Append, Halt::BeforeCommit);
    let stuck = tokio::spawn(bank.app.dispatch(deposit("a", 1)));
    gate.reached().await;
    let error = bank.app.shutdown().await.unwrap_err();
    assert_eq!(error.unfinished, 1);
    assert!(stuck.await.unwrap().unwrap_err().is_outcome_unknown());
    assert!(!bank.app.health().is_live());
}

#[tokio::test]
async fn dropping_the_app_ends_its_tasks() {
    let log = MemoryStore::new();
    let store = Arc::new(());
    let held = Arc::downgrade(&store);
    let app = App::builder(log.clone())
        .aggregate::<Account>()
        .middleware(Holding { _store: store })
        .start()
        .await
        .unwrap();
    app.dispatch(open("a")).await.unwrap();
    drop(app);
    let deadline = Instant::now() + Duration::from_secs(10);
    while held.upgrade().is_some() {
        assert!(
            Instant::now() < deadline,
            "something still holds the app's parts"
        );
        tokio::task::yield_now().await;
    }
    let stream = StreamId::new("account", "a").unwrap();
    assert_eq!(
        log.read_stream(ReadStream::forward(stream))
            .await
            .unwrap()
            .events
            .len(),
        1
    );
}

struct Holding {
    _store: Arc<()>,
}

#[async_trait::async_trait]
impl ordain::middleware::Middleware for Holding {
    async fn dispatch(
        &self,
        request: &mut ordain::middleware::Request,
        next: ordain::middleware::Next<'_>,
    ) -> Result<ordain::middleware::Outcome, ordain::middleware::Halt> {
        next.run(request).await
    }
}
