//! Transactions in which read models and checkpoints move together.

use std::future::Future;

use super::super::{Append, Appended, StoreError};
use super::{Committed, Progress, SubscriptionChange, SubscriptionStore};
use crate::BoxError;

/// A store with transactions for read models.
///
/// A transaction that is dropped is rolled back. While one is open, others may go on: what the store
/// needs for that, and how long it may stay open, is the adapter's to say.
pub trait ProjectionStore: SubscriptionStore + Clone {
    /// What read models are written with.
    type Connection: Send + 'static;

    /// An open transaction.
    type Work: Send + 'static;

    /// Whether an error that a user's statement met is not the statement's fault: a lost connection, a
    /// deadlock, a server that goes down. What met it is tried again, as often as it takes.
    fn is_transient(error: &BoxError) -> bool {
        let _ = error;
        false
    }

    /// Opens a transaction.
    ///
    /// # Errors
    /// Only if the store cannot work.
    fn begin_work(&self) -> impl Future<Output = Result<Self::Work, StoreError>> + Send;

    /// What read models are written with in this transaction.
    fn connection(work: &mut Self::Work) -> &mut Self::Connection;

    /// Commits what was written together with a partition's progress, which is made last; what was
    /// written is undone unless the answer is [`Committed::Done`].
    ///
    /// # Errors
    /// If the store cannot work, or does not take what was written.
    fn commit_work(
        &self,
        work: Self::Work,
        progress: Progress,
    ) -> impl Future<Output = Result<Committed, StoreError>> + Send;

    /// Commits what was written together with changes of subscriptions, as
    /// [`change_subscriptions`](SubscriptionStore::change_subscriptions); with none of them, what was
    /// written alone.
    ///
    /// # Errors
    /// If the store cannot work, or does not take what was written.
    fn commit_change(
        &self,
        work: Self::Work,
        changes: Vec<SubscriptionChange>,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Commits what was written together with an append, which is decided last.
    ///
    /// # Errors
    /// As [`append`](super::super::EventStore::append); what was written is undone then.
    fn commit_append(
        &self,
        work: Self::Work,
        append: Append,
    ) -> impl Future<Output = Result<Appended, StoreError>> + Send;
}
