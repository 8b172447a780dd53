//! A store with one defect.

mod reading;
mod writing;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use ordain::store::Change;
use ordain::{Clock, MemoryStore, ReadModels};
use ordain_testkit::contract::{MemoryFixture, StoreFixture, SubscriptionFixture};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Defect {
    None,
    /// No defect: appends only wait for their turn, so that they are under way for a while.
    Queues,
    LosesEventInLog,
    IgnoresBuildsOn,
    AcceptsAnyVersion,
    ForgetsOutcome,
    StoresHalfOfSeveral,
    IgnoresFilter,
    EndsPageEarly,
    KeepsDuplicates,
    ErasesLinkedEvents,
    ShowsPositionsEarly,
    ReordersAppends,
    ReopensErasedNames,
    IgnoresDeadline,
    KeepsOldSnapshot,
    DropsTimers,
    DropsInstances,
    DropsBlocks,
    /// Commands are written with what is committed next.
    DelaysCommands,
    /// What an append settles is not looked at.
    IgnoresSettled,
    IgnoresRequirements,
    IgnoresEpoch,
    /// A partition that somebody holds is given to who claims it.
    IgnoresOwner,
    IgnoresRequests,
    /// What was taken back once is said to be taken back again.
    CancelsTwice,
    /// A checkpoint is committed without its read model.
    DropsReadModel,
}

#[derive(Debug, Clone)]
pub(crate) struct Store {
    inner: MemoryStore,
    defect: Defect,
    turn: Arc<tokio::sync::Mutex<()>>,
    appends: Arc<AtomicU64>,
    delayed: Arc<Mutex<Vec<Change>>>,
}

impl Store {
    fn is(&self, defect: Defect) -> bool {
        self.defect == defect
    }
}

#[derive(Debug)]
pub(crate) struct With(pub(crate) Defect);

impl With {
    fn wrap(&self, inner: MemoryStore) -> Store {
        Store {
            inner,
            defect: self.0,
            turn: Arc::default(),
            appends: Arc::default(),
            delayed: Arc::default(),
        }
    }
}

impl StoreFixture for With {
    type Store = Store;

    async fn open(&self) -> Store {
        self.wrap(MemoryFixture.open().await)
    }

    async fn open_without_hard_deletes(&self) -> Store {
        self.wrap(MemoryFixture.open_without_hard_deletes().await)
    }

    async fn open_with_clock(&self, clock: Arc<dyn Clock>) -> Option<Store> {
        let inner = MemoryFixture.open_with_clock(clock).await?;
        Some(self.wrap(inner))
    }
}

impl SubscriptionFixture for With {
    async fn put(&self, models: &mut ReadModels, key: &str, number: i64) {
        MemoryFixture.put(models, key, number).await;
    }

    async fn get(&self, models: &mut ReadModels, key: &str) -> Option<i64> {
        MemoryFixture.get(models, key).await
    }
}
