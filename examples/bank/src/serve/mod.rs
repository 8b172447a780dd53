//! The bank over HTTP.

mod accounts;
mod body;
mod headers;
mod health;
mod history;
mod preference;
mod problem;
mod routes;
mod subscriptions;
mod transfers;

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::bank::Bank;

/// How long requests that are under way may go on when the bank is to stop.
const DRAIN_MAX: Duration = Duration::from_secs(35);

/// Answers requests until it is to stop; those that are under way then are answered too.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    bank: Bank,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let told = watch::Sender::new(false);
    let is_told = told.subscribe();
    let stop = async move {
        stop.await;
        told.send_replace(true);
    };
    let server = axum::serve(listener, routes::of(bank)).with_graceful_shutdown(stop);
    tokio::select! {
        ended = server => ended,
        () = overdue(is_told) => Ok(()),
    }
}

/// Ends when the bank is to stop and the requests have had their time.
async fn overdue(mut is_told: watch::Receiver<bool>) {
    // An error says that nobody will tell any more.
    let _ = is_told.wait_for(|told| *told).await;
    tokio::time::sleep(DRAIN_MAX).await;
}
