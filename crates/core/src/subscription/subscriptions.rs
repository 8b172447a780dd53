//! All subscriptions of a store: how they stand, and what they are told.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::control::{self, SubscriptionError, active_of, not_found};
use super::hub::Hub;
use super::rate::{RebuildProgress, Samples};
use super::rebuild;
use super::status::{self, DeadLetter, SubscriptionStatus};
use crate::GlobalPosition;
use crate::store::{BlockRequest, SubscriptionRecord, SubscriptionStore};

/// All subscriptions of a store: how they stand, and what they are told.
///
/// What it says is durable and holds for every process: those that work on a subscription notice within
/// a [beat](crate::Config#structfield.beat). Cheap to clone.
#[derive(Clone)]
pub struct Subscriptions {
    store: Arc<dyn SubscriptionStore>,
    /// What works in this process, which then notices at once.
    hub: Option<Arc<Hub>>,
    samples: Arc<Mutex<Samples>>,
}

impl Subscriptions {
    /// Those of this store. None of them is worked on here.
    pub fn of(store: impl SubscriptionStore) -> Self {
        Self {
            store: Arc::new(store),
            hub: None,
            samples: Arc::default(),
        }
    }

    pub(crate) fn with_hub(hub: &Arc<Hub>) -> Self {
        Self {
            store: Arc::clone(&hub.store),
            hub: Some(Arc::clone(hub)),
            samples: Arc::clone(&hub.samples),
        }
    }

    /// How all of them stand, by name and version; retired versions too. Those of the framework's own, whose names
    /// begin with `$`, are left out: they wait for nothing in the log.
    ///
    /// # Errors
    /// Only if the store cannot work.
    pub async fn list(&self) -> Result<Vec<SubscriptionStatus>, SubscriptionError> {
        let mut list = Vec::new();
        let all = self.store.subscriptions(None).await?;
        let head = self.store.head().await?;
        for record in all.iter().filter(|one| !one.key.name.starts_with('$')) {
            list.push(status::status_of(&*self.store, record, head).await?);
        }
        Ok(list)
    }

    /// How the active version of one stands.
    ///
    /// # Errors
    /// [`NotFound`](SubscriptionError::NotFound).
    pub async fn status(&self, name: &str) -> Result<SubscriptionStatus, SubscriptionError> {
        let active = self.active(name).await?;
        self.status_of(&active).await
    }

    /// Has it wait until it is resumed. What is being handled is finished first.
    ///
    /// # Errors
    /// [`NotFound`](SubscriptionError::NotFound), [`State`](SubscriptionError::State).
    pub async fn pause(&self, name: &str) -> Result<(), SubscriptionError> {
        control::pause(&*self.store, name, None).await?;
        self.wake();
        Ok(())
    }

    /// Has it go on, if it was paused or has stopped; so does the version that is built beside the active one.
    ///
    /// # Errors
    /// [`NotFound`](SubscriptionError::NotFound).
    pub async fn resume(&self, name: &str) -> Result<(), SubscriptionError> {
        control::resume(&*self.store, name).await?;
        self.wake();
        Ok(())
    }

    /// Has it begin anew after a position, as soon as a process that knows its code is there: a projection's
    /// tables are emptied in the same transaction. Dead letters beyond it are forgotten. What it had handled is a
    /// replay.
    ///
    /// # Errors
    /// [`NotFound`](SubscriptionError::NotFound), [`BeyondHead`](SubscriptionError::BeyondHead).
    pub async fn reset(
        &self,
        name: &str,
        to: impl Into<GlobalPosition>,
    ) -> Result<(), SubscriptionError> {
        control::reset(&*self.store, name, to.into(), None).await?;
        self.wake();
        Ok(())
    }

    /// Has it go on with another number of partitions, as soon as all have come to one position.
    ///
    /// # Errors
    /// [`NotFound`](SubscriptionError::NotFound), [`State`](SubscriptionError::State).
    pub async fn repartition(&self, name: &str, partitions: u32) -> Result<(), SubscriptionError> {
        control::repartition(&*self.store, name, partitions).await?;
        self.wake();
        Ok(())
    }

    /// Forgets all versions of it, with dead letters and all; `false` if there is none. Those who work on it
    /// stop.
    ///
    /// # Errors
    /// Only if the store cannot work.
    pub async fn remove(&self, name: &str) -> Result<bool, SubscriptionError> {
        let known = self.store.subscriptions(Some(name)).await?;
        for record in &known {
            self.store.remove_subscription(&record.key).await?;
        }
        self.wake();
        Ok(!known.is_empty())
    }

    /// The ordering keys whose events are passed over, because one of them could not be handled; also those of
    /// the version that is built beside the active one.
    ///
    /// # Errors
    /// [`NotFound`](SubscriptionError::NotFound).
    pub async fn dead_letters(&self, name: &str) -> Result<Vec<DeadLetter>, SubscriptionError> {
        let mut letters = Vec::new();
        for record in self.working(name).await? {
            letters.extend(status::dead_letters_of(&*self.store, &record).await?);
        }
        Ok(letters)
    }

    /// Has a dead letter handled again, and then what waits behind it; `false` if there is none of this key. The
    /// version that is built beside the active one is asked too.
    ///
    /// # Errors
    /// [`NotFound`](SubscriptionError::NotFound).
    pub async fn retry(&self, name: &str, key: &str) -> Result<bool, SubscriptionError> {
        let asked = self.ask(name, Some(key), BlockRequest::Retry).await?;
        Ok(asked > 0)
    }

    /// Has all dead letters handled again; returns how many. The version that is built beside the active one is
    /// asked too.
    ///
    /// # Errors
    /// [`NotFound`](SubscriptionError::NotFound).
    pub async fn retry_all(&self, name: &str) -> Result<u64, SubscriptionError> {
        self.ask(name, None, BlockRequest::Retry).await
    }

    /// Leaves out the event that could not be handled, and has what waits behind it handled; `false` if there
    /// is no dead letter of this key. The version that is built beside the active one is asked too.
    ///
    /// # Errors
    /// [`NotFound`](SubscriptionError::NotFound).
    pub async fn discard(&self, name: &str, key: &str) -> Result<bool, SubscriptionError> {
        let asked = self.ask(name, Some(key), BlockRequest::Discard).await?;
        Ok(asked > 0)
    }

    /// How far the version has come that is built beside the active one. The rate is that since the last
    /// time this was asked.
    ///
    /// # Errors
    /// [`NotFound`](SubscriptionError::NotFound) if none is being built.
    pub async fn rebuild(&self, name: &str) -> Result<RebuildProgress, SubscriptionError> {
        let building = rebuild::find(&*self.store, name).await?;
        let status = self.status_of(&building).await?;
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(samples.progress_of(&status))
    }

    /// Gives up the version that is built beside the active one; what it has made is the user's to remove. A
    /// process with its code builds it anew when it starts.
    ///
    /// # Errors
    /// [`NotFound`](SubscriptionError::NotFound) if none is being built.
    pub async fn cancel_rebuild(&self, name: &str) -> Result<(), SubscriptionError> {
        rebuild::cancel(&*self.store, name).await?;
        self.wake();
        Ok(())
    }

    /// Has the version that is built beside the active one take its place in spite of its dead letters, as
    /// soon as it has caught up. Without dead letters it does so by itself.
    ///
    /// # Errors
    /// [`NotFound`](SubscriptionError::NotFound) if none is being built; [`State`](SubscriptionError::State) if it
    /// has stopped.
    pub async fn consent_to_take_over(&self, name: &str) -> Result<(), SubscriptionError> {
        rebuild::consent(&*self.store, name).await?;
        self.wake();
        Ok(())
    }

    async fn status_of(
        &self,
        record: &SubscriptionRecord,
    ) -> Result<SubscriptionStatus, SubscriptionError> {
        let head = self.store.head().await?;
        Ok(status::status_of(&*self.store, record, head).await?)
    }

    async fn ask(
        &self,
        name: &str,
        key: Option<&str>,
        request: BlockRequest,
    ) -> Result<u64, SubscriptionError> {
        let mut asked = 0;
        for record in self.working(name).await? {
            asked += self.store.request_blocks(&record.key, key, request).await?;
        }
        self.wake();
        Ok(asked)
    }

    /// The active version, and the one that is built beside it.
    async fn working(&self, name: &str) -> Result<Vec<SubscriptionRecord>, SubscriptionError> {
        let known = self.store.subscriptions(Some(name)).await?;
        let active = active_of(&known).ok_or_else(|| not_found(name))?;
        let both = std::iter::once(active).chain(rebuild::building_of(&known));
        Ok(both.cloned().collect())
    }

    async fn active(&self, name: &str) -> Result<SubscriptionRecord, SubscriptionError> {
        let known = self.store.subscriptions(Some(name)).await?;
        let active = active_of(&known).cloned();
        active.ok_or_else(|| not_found(name))
    }

    fn wake(&self) {
        if let Some(hub) = &self.hub {
            hub.wake.notify_one();
        }
    }
}

impl fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriptions")
            .field("works", &self.hub.is_some())
            .finish_non_exhaustive()
    }
}
