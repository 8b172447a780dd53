//! What operators tell subscriptions. It may be out of place.

use ordain::Projection;
use ordain::store::{ProjectionStore, SubscriptionState};

use super::super::super::SubscriptionFixture;
use super::projecting::{Trail, page_of};
use super::steps::Step;
use super::world::{StoreOf, World};

impl<F: SubscriptionFixture + Send + Sync + 'static> World<F> {
    pub(super) async fn operate(&mut self, step: Step) {
        let subscriptions = self.operator.subscriptions();
        match step {
            Step::Pause(name) => {
                self.paused.insert(name);
                drop(subscriptions.pause(name).await);
            }
            Step::Resume(name) => drop(subscriptions.resume(name).await),
            Step::Reset { name, hundredths } => self.reset(name, hundredths).await,
            Step::Repartition { name, partitions } => {
                drop(subscriptions.repartition(name, partitions).await);
            }
            Step::CancelRebuild => self.cancel_rebuild().await,
            Step::Retry { name, which } => self.retry(name, which).await,
            Step::Discard { name, which } => self.discard(name, which).await,
            step => unreachable!("{step:?} is not for an operator"),
        }
    }

    /// Back to a place that all partitions have passed: what lies before it has been handled.
    async fn reset(&mut self, name: &'static str, hundredths: u64) {
        let Ok(status) = self.operator.subscriptions().status(name).await else {
            return;
        };
        // What a projection has put aside before the place it is reset to would be in its tables afterwards.
        let is_projection = self.begun.contains_key(&(name, 1));
        let has_letters = is_projection && status.dead_letters > 0;
        if status.state == SubscriptionState::Resetting || has_letters {
            return;
        }
        // From the middle on, its instances would be others.
        let to = match name {
            "probe" => 0,
            _ => status.position.get() * hundredths / 100,
        };
        // Before it is asked, so that who looks at it knows that it may have begun.
        *self.resets.entry(name).or_default() += 1;
        let reset = self.operator.subscriptions().reset(name, to).await;
        if reset.is_err() {
            return;
        }
        self.doubt_discards(name, status.version, to);
        // Another version may have taken its place in between.
        for (_, begun) in self
            .begun
            .range_mut((name, status.version)..=(name, u32::MAX))
        {
            begun.insert(to);
        }
    }

    /// Gives up the version that is being built, and removes what it has made.
    async fn cancel_rebuild(&mut self) {
        let subscriptions = self.operator.subscriptions();
        if subscriptions.cancel_rebuild("trail").await.is_err() {
            return;
        }
        self.forget_discards("trail", 2);
        let store = &self.timed.store;
        let mut work = store.begin_work().await.expect("a transaction");
        let book = self.book();
        let page = page_of(Trail::<F, 2>::NAME, 2);
        book.empty(StoreOf::<F>::connection(&mut work), &page).await;
        let committed = store.commit_change(work, Vec::new()).await;
        assert!(committed.expect("committed"));
    }
}
