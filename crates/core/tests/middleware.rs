//! What wraps a dispatch, and handlers outside the aggregate.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

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
    After, App, BoxError, CommandId, DispatchError, EventStore, ExpectedVersion, Lifespan,
    MemoryStore, NewEvent, StartError, StreamId,
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

/// Counts how often it is asked.
struct Counting(Arc<Mutex<u32>>);

impl CommandHandler<Buy> for Counting {
    type Aggregate = Cart;

    async fn handle(&self, _: &Buy, _: &Cart, _: &Context<'_, Cart>) -> Decision<Cart> {
        *self.0.lock().unwrap() += 1;
        Ok(Bought { price: 1 }.into())
    }
}

#[tokio::test]
async fn a_handler_is_not_asked_again_for_a_repeated_command() {
    let asked = Arc::new(Mutex::new(0));
    let store = MemoryStore::new();
    let id = CommandId::new();
    for round in 0..3 {
        let builder = App::builder(store.clone()).aggregate::<Cart>();
        let app = builder
            .command_handler(Counting(Arc::clone(&asked)))
            .start()
            .await
            .unwrap();
        let receipt = app.dispatch(buy("book")).command_id(id).await.unwrap();
        assert_eq!(receipt.repeated, round > 0);
    }
    assert_eq!(*asked.lock().unwrap(), 1);
}

/// Takes the command's id from its content.
struct IdsFromContent;

#[async_trait]
impl Middleware for IdsFromContent {
    async fn dispatch(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, Halt> {
        let content = request.to_json().unwrap().to_string();
        request.command_id = CommandId::from_key(uuid::Uuid::nil(), &content);
        next.run(request).await
    }
}

#[tokio::test]
async fn a_command_id_from_a_middleware_counts_as_given() {
    let builder = App::builder(MemoryStore::new()).aggregate::<Account>();
    let app = builder.middleware(IdsFromContent).start().await.unwrap();
    assert!(
        app.dispatch(withdraw("a", 1))
            .await
            .unwrap_err()
            .is_not_found()
    );
    assert!(!app.dispatch(open("a")).await.unwrap().repeated);
    assert!(app.dispatch(open("a")).await.unwrap().repeated);
    assert!(
        app.dispatch(withdraw("a", 1))
            .await
            .unwrap_err()
            .is_not_found()
    );
}

struct Careless;

#[async_trait]
impl Middleware for Careless {
    async fn dispatch(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, Halt> {
        assert!(request.metadata.actor.is_some(), "nobody is logged in");
        let outcome = next.run(request).await;
        assert!(request.metadata.tenant.is_some(), "no tenant");
        outcome
    }
}

#[tokio::test]
async fn a_middleware_that_panics_fails_its_command_or_changes_nothing() {
    let builder = App::builder(MemoryStore::new()).aggregate::<Account>();
    let app = builder.middleware(Careless).start().await.unwrap();
    let error = app.dispatch(open("a")).await.unwrap_err();
    assert!(
        matches!(
            error,
            DispatchError::Panicked {
                during: "a middleware",
                ..
            }
        ),
        "{error}"
    );
    app.dispatch(open("a")).actor("Ann").await.unwrap();
}

/// Panics wherever the user's code is asked.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
struct Fall {
    #[command(id)]
    trap: u64,
    place: u8,
}

#[derive(Debug, Clone, Deserialize, Event)]
struct Fell {
    place: u8,
}

impl Serialize for Fell {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert_ne!(self.place, 1, "while writing");
        serde_json::json!({ "place": self.place }).serialize(serializer)
    }
}

#[derive(Debug, Default, Aggregate)]
#[aggregate(
    category = "trap",
    commands(Fall),
    events(Fell),
    lifespan = Trap::lifespan,
    new = Trap::with_id
)]
struct Trap {
    place: u8,
}

impl Clone for Trap {
    fn clone(&self) -> Self {
        assert_ne!(self.place, 2, "while copying");
        Self { place: self.place }
    }
}

impl Trap {
    fn with_id(id: &u64) -> Self {
        assert_ne!(*id, 13, "while made");
        Self { place: 0 }
    }

    fn lifespan(&self, _: After<'_, Self>) -> Lifespan {
        assert_ne!(self.place, 3, "while asked for the lifespan");
        Lifespan::Default
    }
}

impl Execute<Fall> for Trap {
    fn execute(&self, command: &Fall) -> Decision<Self> {
        Ok(Fell {
            place: command.place,
        }
        .into())
    }
}

impl Apply<Fell> for Trap {
    fn apply(&mut self, event: &Fell) {
        self.place = event.place;
    }
}

#[tokio::test]
async fn a_panic_anywhere_in_the_aggregate_rejects_its_command_alone() {
    let store = MemoryStore::new();
    let app = App::builder(store.clone())
        .aggregate::<Trap>()
        .start()
        .await
        .unwrap();
    for place in [1, 2, 3] {
        let error = app
            .dispatch(Fall { trap: 1, place })
            .with_state()
            .await
            .unwrap_err();
        assert!(
            matches!(error, DispatchError::Panicked { .. }),
            "{place}: {error}"
        );
        app.dispatch(Fall { trap: 1, place: 0 }).await.unwrap();
    }
    assert_eq!(store.head().await.unwrap(), 3);
    let error = app.dispatch(Fall { trap: 13, place: 0 }).await.unwrap_err();
    assert!(
        matches!(error, DispatchError::Panicked { during: "load", .. }),
        "{error}"
    );
}
