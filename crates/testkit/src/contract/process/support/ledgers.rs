//! Ledgers that the commands of a process manager go to.

use std::time::{Duration, Instant};

use ordain::prelude::*;
use ordain::store::SubscriptionStore;
use ordain::{App, RecordedEvent};
use serde::{Deserialize, Serialize};

use super::super::super::support::{json_of, log};
use super::PATIENCE;

/// Writes a text into a ledger: `reject..` is refused, `empty..` changes nothing, `panic..` panics; `closed..`
/// is refused while the ledger is not open.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub(crate) struct Write {
    #[command(id)]
    pub(crate) ledger: String,
    pub(crate) text: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub(crate) struct OpenLedger {
    #[command(id)]
    pub(crate) ledger: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub(crate) struct CloseLedger {
    #[command(id)]
    pub(crate) ledger: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub(crate) struct Written {
    pub(crate) text: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub(crate) struct LedgerOpened {}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub(crate) struct LedgerClosed {}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum LedgerError {
    #[error("`{text}` is refused")]
    Refused { text: String },
}

#[derive(Debug, Default, Clone, Aggregate)]
#[aggregate(
    category = "ledger",
    commands(Write, OpenLedger, CloseLedger),
    events(Written, LedgerOpened, LedgerClosed),
    error = LedgerError
)]
pub(crate) struct Ledger {
    pub(crate) texts: Vec<String>,
    pub(crate) open: bool,
}

impl Execute<Write> for Ledger {
    fn execute(&self, command: &Write) -> Decision<Self> {
        let text = command.text.clone();
        assert!(!text.starts_with("panic"), "told to panic");
        if text.starts_with("reject") || text.starts_with("closed") && !self.open {
            return Err(LedgerError::Refused { text });
        }
        Ok((!text.starts_with("empty"))
            .then_some(Written { text })
            .into())
    }
}

impl Execute<OpenLedger> for Ledger {
    fn execute(&self, _: &OpenLedger) -> Decision<Self> {
        Ok(LedgerOpened {}.into())
    }
}

impl Execute<CloseLedger> for Ledger {
    fn execute(&self, _: &CloseLedger) -> Decision<Self> {
        Ok(LedgerClosed {}.into())
    }
}

impl Apply<Written> for Ledger {
    fn apply(&mut self, event: &Written) {
        self.texts.push(event.text.clone());
    }
}

impl Apply<LedgerOpened> for Ledger {
    fn apply(&mut self, _: &LedgerOpened) {
        self.open = true;
    }
}

impl Apply<LedgerClosed> for Ledger {
    fn apply(&mut self, _: &LedgerClosed) {
        self.open = false;
    }
}
pub(crate) async fn texts(app: &App, ledger: &str) -> Vec<String> {
    let ledger = app.load::<Ledger>(&ledger.to_owned()).await;
    ledger.map_or_else(|_| Vec::new(), |ledger| ledger.texts.clone())
}

pub(crate) async fn until_texts(app: &App, ledger: &str, expected: &[&str]) {
    let mut found = Vec::new();
    let begun = Instant::now();
    while found != expected {
        assert!(begun.elapsed() < PATIENCE, "{ledger}: {found:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
        found = texts(app, ledger).await;
    }
}

pub(crate) async fn open_ledger(app: &App, ledger: &str) {
    let ledger = ledger.to_owned();
    let opened = app.dispatch(OpenLedger { ledger }).await;
    opened.expect("a ledger can be opened");
}

/// Every event of the log that came from a command to a ledger.
pub(crate) async fn written(store: &impl SubscriptionStore) -> Vec<RecordedEvent> {
    let mut events = log(store).await;
    events.retain(|event| event.event_type == "Written");
    events
}

/// What such an event has written.
pub(crate) fn text_of(event: &RecordedEvent) -> String {
    let text = &json_of(&event.data)["text"];
    text.as_str().unwrap_or_default().to_owned()
}
