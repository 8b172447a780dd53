//! The faulty store fails as it is told, and otherwise keeps the contract.

use std::sync::Arc;

use ordain::store::{Append, MemoryOptions, NewOutcome};
use ordain::{Clock, EventStore, ExpectedVersion, MemoryStore, NewEvent, StoreError, StreamId};
use ordain_testkit::contract::StoreFixture;
use ordain_testkit::{Call, Fault, Faults, FaultyStore, Halt};

mod contract {
    use super::*;

    struct Faultless;

    impl StoreFixture for Faultless {
        type Store = FaultyStore<MemoryStore>;

        async fn open(&self) -> Self::Store {
            FaultyStore::new(MemoryStore::with_options(
                MemoryOptions::new().hard_deletes(true),
            ))
        }

        async fn open_without_hard_deletes(&self) -> Self::Store {
            FaultyStore::new(MemoryStore::new())
        }

        async fn open_with_clock(&self, clock: Arc<dyn Clock>) -> Option<Self::Store> {
            let options = MemoryOptions::new().hard_deletes(true).clock(clock);
            Some(FaultyStore::new(MemoryStore::with_options(options)))
        }
    }

    ordain_testkit::store_contract!(Faultless);
}

fn store() -> (Arc<FaultyStore<MemoryStore>>, Faults) {
    let store = FaultyStore::new(MemoryStore::new());
    let faults = store.faults();
    (Arc::new(store), faults)
}

fn stream() -> StreamId {
    "account-1".parse().expect("a stream name")
}

fn append() -> Append {
    let events = vec![NewEvent::new("Opened", "{}")];
    Append::new(stream(), ExpectedVersion::Any, events)
}

async fn stored(store: &FaultyStore<MemoryStore>) -> u64 {
    store.inner().head().await.expect("head").get()
}

#[tokio::test]
async fn faults_meet_the_next_calls_in_order() {
    let (store, faults) = store();
    faults.fail_next(Call::Append, Fault::BeforeCommit);
    faults.pass_next(Call::Append);
    faults.fail_next(Call::Append, Fault::AfterCommit);
    faults.fail_next(Call::Append, Fault::Conflict);
    assert!(store.append(append()).await.unwrap_err().is_unavailable());
    assert_eq!(stored(&store).await, 0);
    store.append(append()).await.unwrap();
    assert!(
        store
            .append(append())
            .await
            .unwrap_err()
            .is_outcome_unknown()
    );
    assert_eq!(stored(&store).await, 2);
    assert!(store.append(append()).await.unwrap_err().is_conflict());
    assert_eq!((stored(&store).await, faults.armed(Call::Append)), (2, 0));
    store.append(append()).await.unwrap();
    assert_eq!(faults.calls(Call::Append), 5);
}

#[tokio::test]
async fn a_lost_reply_hides_a_refusal_too() {
    let (store, faults) = store();
    store.append(append()).await.unwrap();
    let stale = || {
        Append::new(
            stream(),
            ExpectedVersion::NoStream,
            append().writes.remove(0).events,
        )
    };
    faults.fail_next(Call::Append, Fault::AfterCommit);
    assert!(store.append(stale()).await.unwrap_err().is_conflict());
    faults.fail_next(Call::Append, Fault::ReplyLost);
    assert!(
        store
            .append(stale())
            .await
            .unwrap_err()
            .is_outcome_unknown()
    );
}

#[tokio::test]
async fn other_calls_fail_too() {
    let (store, faults) = store();
    faults.fail_next_n(2, Call::ReadAll, Fault::BeforeCommit);
    for _ in 0..2 {
        assert!(
            store
                .read_all(ordain::store::ReadAll::forward())
                .await
                .is_err()
        );
    }
    store
        .read_all(ordain::store::ReadAll::forward())
        .await
        .unwrap();
    let command = ordain::store::CommandKey::new(ordain::CommandId::new(), stream());
    let outcome = NewOutcome {
        command: command.clone(),
        version: 0.into(),
        entry: None,
        data: "no".into(),
    };
    faults.fail_next(Call::RecordOutcome, Fault::AfterCommit);
    assert!(
        store
            .record_outcome(outcome)
            .await
            .unwrap_err()
            .is_outcome_unknown()
    );
    assert!(store.find_repeat(&command).await.unwrap().is_some());
}

#[tokio::test]
async fn a_halted_call_waits_at_its_gate() {
    for (halt, stored_at_gate) in [
        (Halt::BeforeCommit, 0),
        (Halt::AfterCommit, 1),
        (Halt::AtReply, 1),
    ] {
        let (store, faults) = store();
        let mut gate = faults.halt_next(Call::Append, halt);
        let call = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.append(append()).await }
        });
        gate.reached().await;
        assert!(gate.is_reached());
        assert_eq!(stored(&store).await, stored_at_gate);
        gate.release();
        call.await.unwrap().unwrap();
        assert_eq!(stored(&store).await, 1);
    }
}

#[tokio::test]
async fn a_call_is_cut_off_at_its_gate() {
    for (halt, stored_at_end) in [
        (Halt::BeforeCommit, 0),
        (Halt::AfterCommit, 1),
        (Halt::AtReply, 1),
    ] {
        let (store, faults) = store();
        let mut gate = faults.halt_next(Call::Append, halt);
        let call = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.append(append()).await }
        });
        gate.reached().await;
        gate.cut();
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(error.is_outcome_unknown(), stored_at_end == 1, "{error}");
        assert_eq!(stored(&store).await, stored_at_end);
    }
}

#[tokio::test]
async fn nothing_reaches_a_store_that_is_cut_off() {
    let (store, faults) = store();
    let mut gate = faults.halt_next(Call::Append, Halt::AfterCommit);
    let call = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.append(append()).await }
    });
    gate.reached().await;
    faults.cut_off();
    let refused = store.append(append()).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })));
    assert!(futures::FutureExt::now_or_never(faults.until_idle()).is_none());
    gate.release();
    faults.until_idle().await;
    call.await.unwrap().unwrap();
    faults.disarm();
    assert_eq!(stored(&store).await, 1);
}

#[tokio::test]
async fn a_disarmed_fault_meets_nobody() {
    let (store, faults) = store();
    faults.fail_next(Call::Append, Fault::BeforeCommit);
    faults.disarm();
    store.append(append()).await.unwrap();
    assert!(!matches!(
        store.append(append()).await,
        Err(StoreError::Unavailable { .. })
    ));
}
