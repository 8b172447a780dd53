//! A process manager, as the work of a subscription.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::events::keys_of;
use super::runner::{End, Runner};
use super::{ProcessManager, ProcessOptions};
use crate::RecordedEvent;
use crate::app::WeakApp;
use crate::handler::Decoder;
use crate::store::{Filter, SubscriptionKey};
use crate::subscription::{Partition, Work};

/// How long a partition that a newer program should have is left alone.
const GIVEN_BACK_FOR: Duration = Duration::from_secs(5);

/// The pause before what is stored is read anew.
const BEFORE_READING_ANEW: Duration = Duration::from_millis(20);

/// A process manager, as the work of a subscription.
pub(crate) struct Managing<P> {
    pub(crate) options: ProcessOptions,
    pub(crate) filter: Filter,
    pub(crate) decoder: Decoder,
    pub(crate) app: WeakApp,
    manager: PhantomData<fn() -> P>,
}

impl<P: ProcessManager> Managing<P> {
    pub(crate) fn new(app: WeakApp, decoder: Decoder) -> Self {
        Self {
            options: P::options(),
            filter: decoder.filter::<P::Events>(),
            decoder,
            app,
            manager: PhantomData,
        }
    }
}

#[async_trait]
impl<P: ProcessManager> Work for Managing<P> {
    async fn run(self: Arc<Self>, partition: Partition) -> Duration {
        let held = partition.held.clone();
        let run = async {
            match Runner::load(self, partition).await {
                Ok(mut runner) => runner.run().await,
                Err(end) => end,
            }
        };
        let end = tokio::select! {
            biased;
            () = held.until_lost() => End::Lost,
            end = Box::pin(run) => end,
        };
        match end {
            End::GivenBack => return GIVEN_BACK_FOR,
            End::Anew => tokio::time::sleep(BEFORE_READING_ANEW).await,
            End::Lost | End::Stopped => {}
        }
        Duration::ZERO
    }

    fn retention(&self) -> (Option<Duration>, Option<Duration>) {
        let dead_letters = self.options.subscription.dead_letters_kept;
        (dead_letters, Some(self.options.finished_kept))
    }

    fn keys_of(&self, _: &SubscriptionKey, event: &RecordedEvent) -> Option<Vec<String>> {
        Some(keys_of::<P>(&self.decoder, event))
    }
}
