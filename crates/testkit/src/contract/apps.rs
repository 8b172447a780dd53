//! What the scenarios do with apps.

use std::time::{Duration, Instant};

use ordain::store::SubscriptionStore;
use ordain::subscription::{SubscriptionStatus, WaitError};
use ordain::{App, AppBuilder, Config};

/// How long something may take that is to come.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A lease that no scenario outlives.
pub(super) const LONG: Duration = Duration::from_secs(600);

/// A lease whose end a scenario waits for.
pub(super) const SHORT: Duration = Duration::from_millis(500);

/// A configuration under which nothing waits for long, but leases last for so long.
pub(super) fn config(lease: Duration) -> Config {
    Config::new()
        .lease(lease)
        .beat(Duration::from_millis(20))
        .poll(Duration::from_millis(50))
        .drain(Duration::from_secs(30))
}

pub(super) async fn start<S: SubscriptionStore>(builder: AppBuilder<S>) -> App {
    builder.start().await.expect("the app starts")
}

pub(super) async fn shut_down(app: App) {
    app.shutdown().await.expect("the app shuts down");
}

/// Within the time a scenario has, or it fails.
#[track_caller]
pub(super) fn soon<T>(what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let what = what.to_owned();
    async move {
        let ended = tokio::time::timeout(PATIENCE, future).await;
        ended.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
    }
}

/// Waits until a subscription stands as told.
pub(super) async fn status_when(
    app: &App,
    name: &str,
    is: impl Fn(&SubscriptionStatus) -> bool,
) -> SubscriptionStatus {
    let begun = Instant::now();
    loop {
        let status = app.subscriptions().status(name).await;
        let status = status.expect("the status can be read");
        if is(&status) {
            return status;
        }
        assert!(begun.elapsed() < PATIENCE, "{status:#?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a subscription has come to a position.
pub(super) async fn wait(app: &App, name: &str, position: u64) -> Result<(), WaitError> {
    app.wait_until(name, position, Instant::now() + PATIENCE)
        .await
}

/// Waits until a subscription has come to the end of the log.
pub(super) async fn caught_up(app: &App, name: &str) {
    let head = app.store().head().await.expect("head");
    let waited = wait(app, name, head.get()).await;
    if let Err(error) = waited {
        let status = app.subscriptions().status(name).await;
        panic!("{error}: {status:#?}");
    }
}
