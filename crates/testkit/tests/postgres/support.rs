use std::time::Duration;

use tokio::time::{interval, timeout};

/// A shared server waits 10 s for another user before it ends.
const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let mut ticks = interval(Duration::from_millis(2));
    let wait = async {
        while !is_so() {
            ticks.tick().await;
        }
    };
    let in_time = timeout(DEADLINE, wait).await;
    in_time.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"));
}
