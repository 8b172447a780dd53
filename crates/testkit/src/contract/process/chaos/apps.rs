//! The apps of a case: they start, stop, halt and die.

use std::sync::Arc;
use std::time::Duration;

use ordain::store::SubscriptionStore;
use ordain::{App, AppBuilder};

use super::super::super::SubscriptionFixture;
use super::super::super::read_side::Timed;
use super::super::support::{Probe, leased};
use super::handling::{Batching, Watching};
use super::projecting::{Tally, Trail};
use super::world::{StoreOf, World};
use crate::{Call, FaultyStore, Gate, Halt};

/// How long a call of an app may take whose store may have halted.
const BRIEF: Duration = Duration::from_millis(50);

/// How long a shutdown may take.
const SHUTDOWN: Duration = Duration::from_secs(20);

/// An app that may fail, halt and die.
pub(super) struct Mortal<S> {
    pub(super) app: App,
    pub(super) store: FaultyStore<S>,
    pub(super) gates: Vec<Gate>,
}

impl<F: SubscriptionFixture + Send + Sync + 'static> World<F> {
    pub(super) async fn start(&mut self, slot: usize, version: u32) {
        if self.slots[slot].is_some() {
            return;
        }
        let store = FaultyStore::new(self.timed.store.clone());
        let lease = self.timed.lease();
        let app = self.builder(&store, version, lease).start().await;
        // A version that was replaced cannot start.
        let Ok(app) = app else { return };
        self.newest = self.newest.max(version);
        let gates = Vec::new();
        self.slots[slot] = Some(Mortal { app, store, gates });
    }

    pub(super) fn builder(
        &self,
        store: &FaultyStore<StoreOf<F>>,
        version: u32,
        lease: Duration,
    ) -> AppBuilder<FaultyStore<StoreOf<F>>> {
        let builder = on(&self.timed, store, lease)
            .event_handler(Watching(self.watching.clone()))
            .batch_handler(Batching(self.batching.clone()))
            .projection(Tally { book: self.book() })
            .process_manager::<Probe>();
        match version {
            1 => builder.projection(Trail::<F, 1> { book: self.book() }),
            _ => builder.projection(Trail::<F, 2> { book: self.book() }),
        }
    }

    pub(super) async fn shut_down(&mut self, slot: usize) {
        let Some(mortal) = self.slots[slot].take() else {
            return;
        };
        // What has halted would hold up the shutdown.
        drop(mortal.gates);
        mortal.store.faults().disarm();
        let ended = tokio::time::timeout(SHUTDOWN, mortal.app.shutdown()).await;
        let ended = ended.unwrap_or_else(|_| panic!("no shutdown within {SHUTDOWN:?}"));
        ended.expect("the app shuts down");
    }

    pub(super) async fn kill(&mut self, slot: usize) {
        let Some(mortal) = self.slots[slot].take() else {
            return;
        };
        mortal.store.faults().cut_off();
        drop(mortal.gates);
        // What is under way might renew a lease when the clock has moved.
        mortal.store.faults().until_idle().await;
        drop(mortal.app);
        self.timed.end_leases();
    }

    /// What comes of a call of an app; none if it may have halted.
    pub(super) async fn within<T>(
        &self,
        slot: Option<usize>,
        call: impl Future<Output = T>,
    ) -> Option<T> {
        let mortal = slot.and_then(|slot| self.slots[slot].as_ref());
        match mortal.is_some_and(|mortal| !mortal.gates.is_empty()) {
            true => tokio::time::timeout(BRIEF, call).await.ok(),
            false => Some(call.await),
        }
    }

    pub(super) fn freeze(&mut self, slot: usize, call: Call, halt: Halt) {
        // A transaction that halts open would hold up all others of its process.
        let halt = match call {
            Call::CommitWork | Call::CommitChange => Halt::AtReply,
            _ => halt,
        };
        if let Some(mortal) = &mut self.slots[slot] {
            let gate = mortal.store.faults().halt_next(call, halt);
            mortal.gates.push(gate);
            self.has_frozen = true;
        }
    }

    pub(super) fn thaw(&mut self, slot: usize, is_cut: bool) {
        let mortal = self.slots[slot].as_mut();
        let gates = mortal.map(|it| std::mem::take(&mut it.gates));
        for gate in gates.into_iter().flatten() {
            if !is_cut {
                gate.release();
            }
        }
    }
}

/// An app that takes its time from the store's clock, where the case moves that.
pub(super) fn on<S, T>(timed: &Timed<S>, store: &T, lease: Duration) -> AppBuilder<T>
where
    S: SubscriptionStore,
    T: SubscriptionStore + Clone,
{
    let builder = leased(store, lease);
    match timed.clock() {
        Some(clock) => builder.clock(Arc::new(clock)),
        None => builder,
    }
}
