//! Derived handlers and projections, end to end.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod account;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use account::*;
use ordain::prelude::*;
use ordain::subscription::SubscriptionOptions;
use ordain::{
    App, AppBuilder, Backoff, Config, Failure, FailureAction, MemoryStore, Ordering, ReadModels,
};

/// Events of another aggregate, one of them with the name of an account's.
mod loans {
    use ordain::prelude::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Serialize, Deserialize, Event)]
    #[event(name = "LoanGranted")]
    pub(crate) struct MoneyDeposited {
        pub(crate) amount: u64,
    }

    #[derive(Debug, Serialize, Deserialize, Command)]
    pub(crate) struct Grant {
        #[command(id)]
        pub(crate) loan: String,
        pub(crate) amount: u64,
    }

    #[derive(Debug, Clone, Default, Aggregate)]
    #[aggregate(category = "loan", commands(Grant), events(MoneyDeposited))]
    pub(crate) struct Loan;

    impl Execute<Grant> for Loan {
        fn execute(&self, command: &Grant) -> Decision<Self> {
            let amount = command.amount;
            Ok(MoneyDeposited { amount }.into())
        }
    }

    impl Apply<MoneyDeposited> for Loan {
        fn apply(&mut self, _: &MoneyDeposited) {}
    }
}

/// Sends receipts: keeps them, that is.
#[derive(Clone, Default, EventHandler)]
#[event_handler(
    name = "receipts",
    events(MoneyDeposited, MoneyWithdrawn, loans::MoneyDeposited as Lent),
    options = Receipts::options,
    ordering = Receipts::ordering,
    on_failure = Receipts::skip
)]
struct Receipts<const UNREADABLE: u64> {
    sent: Arc<Mutex<Vec<String>>>,
}

impl<const UNREADABLE: u64> Receipts<UNREADABLE> {
    fn options(&self) -> SubscriptionOptions {
        let retry = Backoff::new(Duration::from_millis(1), Duration::from_millis(2));
        SubscriptionOptions::new().retry(retry)
    }

    fn ordering(&self, event: &ReceiptsEvent, context: &EventContext) -> Ordering {
        match event {
            ReceiptsEvent::Lent(_) => Ordering::Key("loans".to_owned()),
            _ => Ordering::Key(context.id().to_owned()),
        }
    }

    fn skip(&self, failure: &Failure) -> FailureAction {
        match failure.attempts {
            1 => FailureAction::Retry,
            _ => FailureAction::Skip,
        }
    }

    fn send(&self, text: String) {
        self.sent.lock().unwrap().push(text);
    }
}

impl<const UNREADABLE: u64> Handle<MoneyDeposited> for Receipts<UNREADABLE> {
    async fn handle(&self, event: &MoneyDeposited, context: &EventContext) -> Result<(), BoxError> {
        if event.amount == UNREADABLE {
            self.send(format!("attempt {}", context.attempt()));
            return Err("it cannot be read aloud".into());
        }
        self.send(format!("{} +{}", context.id(), event.amount));
        Ok(())
    }
}

impl<const UNREADABLE: u64> Handle<MoneyWithdrawn> for Receipts<UNREADABLE> {
    async fn handle(&self, event: &MoneyWithdrawn, context: &EventContext) -> Result<(), BoxError> {
        self.send(format!("{} -{}", context.id(), event.amount));
        Ok(())
    }
}

impl<const UNREADABLE: u64> Handle<loans::MoneyDeposited> for Receipts<UNREADABLE> {
    async fn handle(
        &self,
        event: &loans::MoneyDeposited,
        context: &EventContext,
    ) -> Result<(), BoxError> {
        self.send(format!("{} lent {}", context.id(), event.amount));
        Ok(())
    }
}

#[derive(Projection)]
#[projection(name = "balances", events(MoneyDeposited, MoneyWithdrawn), tables)]
struct Balances;

impl Balances {
    fn add(db: &mut ReadModels, account: &str, amount: i64) {
        let before: i64 = db.get(Self::NAME, account).unwrap_or_default();
        db.put(Self::NAME, account, before + amount);
    }

    fn of(store: &MemoryStore, account: &str) -> Option<i64> {
        store.read_models().get(Self::NAME, account)
    }
}

impl Project<MoneyDeposited, ReadModels> for Balances {
    async fn project(
        &self,
        event: &MoneyDeposited,
        context: &EventContext,
        db: &mut ReadModels,
    ) -> Result<(), BoxError> {
        Self::add(db, context.id(), event.amount.try_into()?);
        Ok(())
    }
}

impl Project<MoneyWithdrawn, ReadModels> for Balances {
    async fn project(
        &self,
        event: &MoneyWithdrawn,
        context: &EventContext,
        db: &mut ReadModels,
    ) -> Result<(), BoxError> {
        let amount: i64 = event.amount.try_into()?;
        Self::add(db, context.id(), -amount);
        Ok(())
    }
}

impl ReadModel<ReadModels> for Balances {
    async fn setup(&self, db: &mut ReadModels) -> Result<(), BoxError> {
        db.put("tables", Self::NAME, ());
        Ok(())
    }

    async fn reset(&self, db: &mut ReadModels) -> Result<(), BoxError> {
        db.clear(Self::NAME);
        Ok(())
    }
}

fn on(store: &MemoryStore) -> AppBuilder<MemoryStore> {
    let config = Config::new().beat(Duration::from_millis(20));
    App::builder(store.clone())
        .aggregate::<Account>()
        .aggregate::<loans::Loan>()
        .config(config)
}

#[tokio::test]
async fn a_derived_handler_gets_what_it_lists_and_decides_about_failures() {
    let store = MemoryStore::new();
    let receipts = Receipts::<7>::default();
    let sent = Arc::clone(&receipts.sent);
    let app = on(&store).event_handler(receipts).start().await.unwrap();
    app.dispatch(open("a")).await.unwrap();
    app.dispatch(deposit("a", 7)).await.unwrap();
    app.dispatch(deposit("a", 5)).await.unwrap();
    let loan = "l".to_owned();
    let grant = loans::Grant { loan, amount: 3 };
    app.dispatch(grant)
        .wait_for([Receipts::<7>::NAME])
        .await
        .unwrap();
    let mut sent = sent.lock().unwrap().clone();
    // The loan does not wait for what is tried again under another key.
    sent.sort();
    assert_eq!(sent, ["a +5", "attempt 1", "attempt 2", "l lent 3"]);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_derived_projection_takes_in_what_it_lists_and_resets_its_tables() {
    let store = MemoryStore::new();
    let app = on(&store).projection(Balances).start().await.unwrap();
    assert!(
        store
            .read_models()
            .get::<()>("tables", Balances::NAME)
            .is_some()
    );
    app.dispatch(open("a")).await.unwrap();
    app.dispatch(deposit("a", 5)).await.unwrap();
    app.dispatch(withdraw("a", 2))
        .wait_for([Balances::NAME])
        .await
        .unwrap();
    assert_eq!(Balances::of(&store, "a"), Some(3));

    app.subscriptions().reset(Balances::NAME, 0).await.unwrap();
    app.dispatch(deposit("a", 1))
        .wait_for([Balances::NAME])
        .await
        .unwrap();
    assert_eq!(Balances::of(&store, "a"), Some(4));
    app.shutdown().await.unwrap();
}
