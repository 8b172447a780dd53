//! What all parts of a running app share.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::aggregate::load::Loader;
use crate::clock::Clock;
use crate::config::Config;
use crate::health::Monitor;
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
