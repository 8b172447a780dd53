//! Serves the bank over HTTP.

use std::future::Future;
use std::io::{self, Write};

use bank::{Bank, BankOptions, StoreChoice};
use tokio::net::TcpListener;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::Serve;
use crate::progress::say;
use crate::{Ending, Failure};

/// In the working directory, and there again the next time.
const DEFAULT: &str = "sqlite:bank.db";

pub(crate) async fn run(serve: &Serve) -> Result<Ending, Failure> {
    log(&serve.log);
    // Before anything is begun, so that it is never missed.
    let stop = told_to_stop()?;
    let choice = match &serve.store {
        Some(choice) => choice.clone(),
        None => DEFAULT.parse::<StoreChoice>()?,
    };
    let listener = TcpListener::bind(&serve.listen).await;
    let listener =
        listener.map_err(|problem| format!("{} cannot be listened on: {problem}", serve.listen))?;
    let bank = Bank::open(&choice, &options(serve)).await?;
    say(&format!("store {choice}"));
    announce(&listener)?;
    let served = bank::serve(bank.clone(), listener, stop).await;
    let closed = bank.close().await;
    served?;
    closed?;
    Ok(Ending::Fine)
}

fn log(filter: &Targets) {
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_filter(filter.clone());
    tracing_subscriber::registry().with(layer).init();
}

fn options(serve: &Serve) -> BankOptions {
    let mut options = BankOptions::default();
    options.receipts.clone_from(&serve.receipts);
    options.lease = serve.lease();
    options.next = serve.next;
    options
}

fn announce(listener: &TcpListener) -> io::Result<()> {
    let address = listener.local_addr()?;
    let mut out = io::stdout().lock();
    writeln!(out, "listening on http://{address}")?;
    out.flush()
}

#[cfg(unix)]
fn told_to_stop() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn told_to_stop() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        // If it cannot be heard, the bank goes on until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
