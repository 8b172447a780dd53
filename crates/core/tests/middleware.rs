//! What wraps a dispatch, and handlers outside the aggregate.

mod account;

use std::sync::{Arc, Mutex};

use account::*;
use async_trait::async_trait;
use ordain::middleware::{
    Attempt, Audit, AuditOutcome, AuditRecord, AuditSink, Halt, Middleware, Next, Outcome, Request,
    Trace, Validation,
};
use ordain::prelude::*;
use ordain::store::{Append, ReadStream};
use ordain::{
    App, BoxError, DispatchError, EventStore, ExpectedVersion, MemoryStore, NewEvent, StartError,
    StreamId,
};
use serde::{Deserialize, Serialize};

type Notes = Arc<Mutex<Vec<String>>>;

struct Noting {
    name: &'static str,
    notes: Notes,
}

impl Noting {
    fn note(&self, text: impl std::fmt::Display) {
        self.notes
            .lock()
            .unwrap()
            .push(format!("{}: {text}", self.name));
    }
}

#[async_trait]
impl Middleware for Noting {
    async fn dispatch(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, Halt> {
        self.note(format_args!("before {}", request.name()));
        let outcome = next.run(request).await;
        match &outcome {
            Ok(Outcome::Accepted { version, .. }) => self.note(format_args!("after {version}")),
            Ok(Outcome::Rejected { message, .. }) => self.note(format_args!("failure {message}")),
            Ok(other) => self.note(format_args!("{other:?}")),
            Err(_) => self.note("halted"),
        }
        outcome
    }

    fn attempt(&self, attempt: &Attempt<'_>) {
        self.note(format_args!(
            "attempt {} on {}",
            attempt.number, attempt.version
        ));
    }
}

fn noting(name: &'static str, notes: &Notes) -> Noting {
    Noting {
        name,
        notes: Arc::clone(notes),
    }
}

fn taken(notes: &Notes) -> Vec<String> {
    std::mem::take(&mut notes.lock().unwrap())
}

#[tokio::test]
async fn middleware_wraps_a_dispatch_like_an_onion() {
    let notes = Notes::default();
    let app = App::builder(MemoryStore::new())
        .aggregate::<Account>()
        .middleware(noting("outer", &notes))
        .middleware(noting("inner", &notes))
        .start()
        .await
        .unwrap();
    app.dispatch(open("a")).await.unwrap();
    assert_eq!(
        taken(&notes),
        [
            "outer: before OpenAccount",
            "inner: before OpenAccount",
            "outer: attempt 1 on 0",
            "inner: attempt 1 on 0",
            "inner: after 1",
            "outer: after 1"
        ]
    );
    app.dispatch(withdraw("a", 1)).await.unwrap_err();
    let notes = taken(&notes);
    assert_eq!(
        notes[4],
        "inner: failure the command was rejected: balance is 0 only"
    );
    assert!(notes[5].starts_with("outer: failure"));
}

#[tokio::test]
async fn the_attempt_hook_sees_every_retry() {
    let notes = Notes::default();
    let store = MemoryStore::new();
    let app = App::builder(store.clone())
        .aggregate::<Account>()
        .middleware(noting("m", &notes))
        .start()
        .await
        .unwrap();
    app.dispatch(open("a")).await.unwrap();
    taken(&notes);
    let stream = StreamId::new("account", "a").unwrap();
    let foreign = NewEvent::new("MoneyDeposited", r#"{"amount":1}"#);
    store
        .append(Append::new(stream, ExpectedVersion::Any, vec![foreign]))
        .await
        .unwrap();
    assert_eq!(app.dispatch(deposit("a", 1)).await.unwrap().retries, 1);
    let attempts: Vec<_> = taken(&notes)
        .into_iter()
        .filter(|note| note.contains("attempt"))
        .collect();
    assert_eq!(attempts, ["m: attempt 1 on 1", "m: attempt 2 on 2"]);
}

struct Teller;

#[async_trait]
impl Middleware for Teller {
    async fn dispatch(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, Halt> {
        let Some(actor) = request.metadata.actor.clone() else {
            return Err(Halt::because("Teller", "nobody is logged in"));
        };
        request
            .metadata
            .custom
            .insert("branch".into(), actor.len().into());
        next.run(request).await
    }
}

#[tokio::test]
async fn middleware_can_halt_and_enrich() {
    let store = MemoryStore::new();
    let notes = Notes::default();
    let app = App::builder(store.clone())
        .aggregate::<Account>()
        .middleware(noting("outer", &notes))
        .middleware(Teller)
        .middleware(noting("inner", &notes))
        .start()
        .await
        .unwrap();
    let error = app.dispatch(open("a")).await.unwrap_err();
    let DispatchError::Halted { by, reason } = error else {
        panic!("{error}")
    };
    assert_eq!(
        (&*by, &*reason.to_string()),
        ("Teller", "nobody is logged in")
    );
    assert_eq!(
        taken(&notes),
        ["outer: before OpenAccount", "outer: halted"]
    );
    assert_eq!(store.head().await.unwrap(), 0);

    app.dispatch(open("a")).actor("Ann").await.unwrap();
    let stream = StreamId::new("account", "a").unwrap();
    let events = store
        .read_stream(ReadStream::forward(stream))
        .await
        .unwrap()
        .events;
    assert_eq!(events[0].metadata.custom["branch"], 3);
}

#[tokio::test]
async fn validation_refuses_what_is_wrong_on_its_own() {
    let store = MemoryStore::new();
    let app = App::builder(store.clone())
        .aggregate::<Account>()
        .middleware(Validation)
        .start()
        .await
        .unwrap();
    let error = app.dispatch(deposit("a", 0)).await.unwrap_err();
    assert!(error.is_invalid());
    let DispatchError::Invalid(invalid) = error else {
        panic!("{error}")
    };
    assert_eq!(invalid.problems()[0].field, "amount");
    app.dispatch(open("a")).await.unwrap();
    app.dispatch(deposit("a", 1)).await.unwrap();
}

#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Vec<AuditRecord>>>);

#[async_trait]
impl AuditSink for Shelf {
    async fn record(&self, record: AuditRecord) -> Result<(), BoxError> {
        self.0.lock().unwrap().push(record);
        Ok(())
    }
}

#[tokio::test]
async fn audit_keeps_a_record_per_command_also_of_dropped_ones() {
    let shelf = Shelf::default();
    let app = App::builder(MemoryStore::new())
        .aggregate::<Account>()
        .middleware(Audit::new(shelf.clone()).with_payload())
        .middleware(Validation)
        .start()
        .await
        .unwrap();
    app.dispatch(open("a")).actor("Ann").await.unwrap();
    app.dispatch(withdraw("a", 1)).await.unwrap_err();
    app.dispatch(deposit("a", 0)).await.unwrap_err();
    let mut dropped = app.dispatch(deposit("a", 5));
    assert!(futures::poll!(&mut dropped).is_pending());
    drop(dropped);
    app.shutdown().await.unwrap();
    let records = shelf.0.lock().unwrap();
    let outcomes: Vec<_> = records
        .iter()
        .map(|record| (record.command, &record.outcome))
        .collect();
    assert_eq!(outcomes.len(), 4, "{outcomes:?}");
    assert!(matches!(
        outcomes[0],
        ("OpenAccount", AuditOutcome::Accepted { events: 1, .. })
    ));
    assert!(matches!(
        outcomes[1],
        ("Withdraw", AuditOutcome::Rejected { .. })
    ));
    assert!(matches!(
        outcomes[2],
        ("Deposit", AuditOutcome::Halted { .. })
    ));
    assert_eq!(records[0].metadata.actor.as_deref(), Some("Ann"));
    assert_eq!(records[0].payload.as_ref().unwrap()["owner"], "Ann");
}

#[tokio::test]
async fn trace_changes_no_answer() {
    let app = App::builder(MemoryStore::new())
        .aggregate::<Account>()
        .middleware(Trace)
        .start()
        .await
        .unwrap();
    app.dispatch(open("a")).await.unwrap();
    assert!(
        app.dispatch(withdraw("a", 1))
            .await
            .unwrap_err()
            .is_rejected()
    );
    let state = app
        .dispatch(deposit("a", 2))
        .with_state()
        .await
        .unwrap()
        .state;
    assert_eq!(state.balance, 2);
}

/// What something costs is known outside.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
struct Buy {
    #[command(id)]
    cart: u64,
    article: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
struct Bought {
    price: u64,
}

#[derive(Debug, Default, Clone, Aggregate)]
#[aggregate(category = "cart", id = u64, commands(), outside(Buy), events(Bought))]
struct Cart {
    total: u64,
}

impl Apply<Bought> for Cart {
    fn apply(&mut self, event: &Bought) {
        self.total += event.price;
    }
}

struct Prices;

impl CommandHandler<Buy> for Prices {
    type Aggregate = Cart;

    async fn handle(
        &self,
        command: &Buy,
        cart: &Cart,
        context: &Context<'_, Cart>,
    ) -> Decision<Cart> {
        tokio::task::yield_now().await;
        assert!(command.article != "bomb", "not for sale");
        let discount = if context.exists() { cart.total / 10 } else { 0 };
        Ok(Bought {
            price: 100 - discount,
        }
        .into())
    }
}

fn buy(article: &str) -> Buy {
    Buy {
        cart: 7,
        article: article.into(),
    }
}

#[tokio::test]
async fn a_handler_outside_the_aggregate_decides_on_its_state() {
    let store = MemoryStore::new();
    let start = async || {
        let builder = App::builder(store.clone()).aggregate::<Cart>();
        builder.command_handler(Prices).start().await.unwrap()
    };
    let (near, far) = (start().await, start().await);
    let bought = near.dispatch(buy("book")).await.unwrap();
    assert!(matches!(
        &bought.events[..],
        [CartEvent::Bought(Bought { price: 100 })]
    ));
    assert_eq!(
        far.dispatch(buy("pen"))
            .with_state()
            .await
            .unwrap()
            .state
            .total,
        190
    );
    let retried = near.dispatch(buy("ink")).with_state().await.unwrap();
    assert_eq!((retried.retries, retried.state.total), (1, 271));
    let panicked = near.dispatch(buy("bomb")).await.unwrap_err();
    assert!(
        matches!(
            panicked,
            DispatchError::Panicked {
                during: "handle",
                ..
            }
        ),
        "{panicked}"
    );
    let json = serde_json::json!({ "cart": 7, "article": "cup" });
    near.dispatch_json("Buy", json).await.unwrap();
}

#[tokio::test]
async fn a_command_handled_outside_needs_exactly_one_handler() {
    let missing = App::builder(MemoryStore::new())
        .aggregate::<Cart>()
        .start()
        .await;
    assert!(matches!(
        missing,
        Err(StartError::HandlerMissing { command: "Buy", .. })
    ));
    let twice = App::builder(MemoryStore::new()).aggregate::<Cart>();
    let twice = twice
        .command_handler(Prices)
        .command_handler(Prices)
        .start()
        .await;
    assert!(matches!(
        twice,
        Err(StartError::HandlerMisplaced { command: "Buy", .. })
    ));
    let alone = App::builder(MemoryStore::new())
        .command_handler(Prices)
        .start()
        .await;
    assert!(matches!(alone, Err(StartError::HandlerMisplaced { .. })));
}

#[tokio::test]
async fn options_that_cannot_be_keep_the_app_from_starting() {
    use ordain::Config;
    let start = async |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        App::builder(MemoryStore::new())
            .config(config)
            .start()
            .await
            .unwrap_err()
            .to_string()
    };
    assert!(start(|config| config.page = 0).await.contains("`page`"));
    assert!(
        start(|config| config.pipeline_depth = 5_000)
            .await
            .contains("above queue_max")
    );
    let twice = App::builder(MemoryStore::new())
        .aggregate::<Account>()
        .aggregate::<Account>();
    assert!(matches!(
        twice.start().await,
        Err(StartError::CategoryTwice { .. })
    ));
}
