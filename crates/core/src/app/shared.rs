//! What all parts of a running app share.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ShutdownError;
use crate::aggregate::load::Loader;
use crate::clock::Clock;
use crate::config::Config;
use crate::health::{Monitor, Phase};
use crate::middleware::Middleware;
use crate::projection::InlineAppend;
use crate::store::EventStore;

/// What all parts of a running app share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn EventStore>,
    /// Appends events together with the read models that are to be current at once.
    pub(crate) inline: Option<Arc<dyn InlineAppend>>,
    pub(crate) loader: Loader,
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) health: Monitor,
    pub(crate) middleware: Vec<Arc<dyn Middleware>>,
    pub(crate) snapshot_permits: Arc<Semaphore>,
    /// Owns every task of the app.
    pub(crate) tracker: TaskTracker,
    /// Ends what the app does by itself, when a shutdown begins.
    pub(crate) stopping: CancellationToken,
    /// Ends every task of the app.
    pub(crate) cut_off: CancellationToken,
}

impl Shared {
    /// Begins nothing more, waits until all tasks have ended, and cuts off those that do not in time.
    pub(super) async fn stop(&self) -> Result<(), ShutdownError> {
        self.health.enter(Phase::Stopping);
        self.stopping.cancel();
        self.tracker.close();
        let drained = tokio::time::timeout(self.config.drain, self.tracker.wait()).await;
        let unfinished = self.tracker.len();
        self.cut_off.cancel();
        self.tracker.wait().await;
        self.health.enter(Phase::Stopped);
        match drained {
            Ok(()) => Ok(()),
            Err(_) => Err(ShutdownError { unfinished }),
        }
    }

    /// Runs a task that ends, at the latest, when the app is cut off.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cut_off = self.cut_off.clone();
        // Boxed, since every wrapper would hold and move it once more.
        let task = Box::pin(task);
        self.tracker.spawn(async move {
            cut_off.run_until_cancelled(task).await;
        });
    }
}
