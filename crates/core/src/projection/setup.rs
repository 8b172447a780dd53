//! Making the tables of projections.

use std::time::Duration;

use crate::StartError;
use crate::retry::Backoff;

/// How often it is tried to make the tables.
const ATTEMPTS: u32 = 5;

const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(50),
    longest: Duration::from_millis(500),
    factor: 2.0,
    jitter: 0.2,
};

/// Makes the tables of a projection. Processes that start at the same time may get in each other's way: a table is not
/// there, and there when it is to be made. So it is tried again.
pub(super) async fn persistently<Making>(
    projection: &'static str,
    make: impl Fn() -> Making,
) -> Result<(), StartError>
where
    Making: Future<Output = Result<(), StartError>>,
{
    for attempt in 1..ATTEMPTS {
        match make().await {
            Ok(()) => return Ok(()),
            Err(error) => {
                tracing::debug!(projection, %error, "the tables cannot be made; it is tried again");
            }
        }
        tokio::time::sleep(BACKOFF.pause(attempt)).await;
    }
    make().await
}
