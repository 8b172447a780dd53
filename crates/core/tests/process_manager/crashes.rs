//! Kills, faults and take-overs: every command takes effect once.

use std::time::Duration;

use ordain::middleware::{Halt, Middleware, Next, Outcome, Request};
use ordain::prelude::*;
use ordain::store::SubscriptionStore;
use ordain::{
    App, AppBuilder, Config, EventContext, MemoryStore, ProcessContext, ProcessOptions, Reaction,
    Route,
};
use ordain_testkit::{Call, Fault, FaultyStore, Gate};
use serde::{Deserialize, Serialize};

use crate::domain::*;

/// Leases that end soon when their owner is gone.
fn mortal<S: SubscriptionStore + Clone>(store: &S) -> AppBuilder<S> {
    let lease = Duration::from_millis(150);
    let config = Config::new().beat(Duration::from_millis(20)).lease(lease);
    on(store).config(config)
}

async fn mortal_probing<S: SubscriptionStore + Clone>(store: &S) -> App {
    let app = mortal(store).process_manager::<Probe>().start().await;
    app.unwrap()
}

/// Signals for two instances, with commands that succeed, that change nothing, and that are replaced.
async fn send_all(app: &App) {
    send(app, start("a").writes("a", "1").writes("a", "empty")).await;
    let note = start("b").writes("b", "reject 2");
    send(app, note.failing(OnFailure::Replace)).await;
    send(app, go_on("a").writes("a", "3").timer("t", 0, "4")).await;
    send(app, go_on("b").writes("b", "5")).await;
}

const A: [&str; 3] = ["1", "3", "4"];
const B: [&str; 2] = ["instead of \"reject 2\"", "5"];

async fn is_done(app: &App) -> bool {
    texts(app, "a").await == A && texts(app, "b").await == B
}

async fn check(app: &App) {
    until_texts(app, "a", &A).await;
    until_texts(app, "b", &B).await;
    settled(app).await;
    // Nothing comes twice, nor later.
    assert!(is_done(app).await);
    let seen = seen(app, "a").await;
    assert_eq!(seen, ["Start", "Continue", "4"]);
    assert_eq!(app.store().head().await.unwrap(), 9);
}

/// Kills an app when its `nth` call of this method is there, and has another take over. Says whether it came to
/// that call.
async fn kill_at(call: Call, halt: ordain_testkit::Halt, nth: usize) -> bool {
    let inner = MemoryStore::new();
    let clean = on(&inner).start().await.unwrap();
    let store = FaultyStore::new(inner.clone());
    let app = mortal_probing(&store).await;
    (0..nth).for_each(|_| store.faults().pass_next(call));
    let gate = store.faults().halt_next(call, halt);
    send_all(&clean).await;
    let is_reached = until("it is halted, or done", async || {
        if gate.is_reached() {
            return Some(true);
        }
        is_done(&clean).await.then_some(false)
    })
    .await;
    drop(app);
    drop(gate);
    let app = mortal_probing(&inner).await;
    check(&app).await;
    app.shutdown().await.unwrap();
    clean.shutdown().await.unwrap();
    is_reached
}

async fn kill_at_every(call: Call, at_least: usize) {
    for halt in [
        ordain_testkit::Halt::BeforeCommit,
        ordain_testkit::Halt::AfterCommit,
    ] {
        let mut nth = 0;
        while kill_at(call, halt, nth).await {
            nth += 1;
        }
        assert!(nth >= at_least, "{call:?} was reached {nth} times");
    }
}

#[tokio::test]
async fn a_kill_at_any_commit_leaves_nothing_undone_or_done_twice() {
    kill_at_every(Call::Commit, 5).await;
}

#[tokio::test]
async fn a_kill_at_any_append_leaves_nothing_undone_or_done_twice() {
    kill_at_every(Call::Append, 4).await;
}

#[tokio::test]
async fn a_kill_at_any_load_leaves_nothing_undone_or_done_twice() {
    kill_at_every(Call::Instances, 1).await;
}

#[tokio::test]
async fn faults_leave_nothing_undone_or_done_twice() {
    let calls = [
        Call::Commit,
        Call::Append,
        Call::Instances,
        Call::Outgoing,
        Call::TimersDue,
        Call::Blocks,
        Call::ReadAll,
        Call::KeepAlive,
        Call::Claim,
        Call::StreamHead,
    ];
    for call in calls {
        for fault in [Fault::BeforeCommit, Fault::AfterCommit, Fault::ReplyLost] {
            for nth in 0..3 {
                let inner = MemoryStore::new();
                let clean = on(&inner).start().await.unwrap();
                let store = FaultyStore::new(inner);
                let app = mortal_probing(&store).await;
                (0..nth).for_each(|_| store.faults().pass_next(call));
                store.faults().fail_next_n(2, call, fault);
                send_all(&clean).await;
                check(&clean).await;
                app.shutdown().await.unwrap();
                clean.shutdown().await.unwrap();
            }
        }
    }
}

/// An app that issues a command, halts before its append, and is taken for dead.
async fn zombie(inner: &MemoryStore, text: &str) -> (App, FaultyStore<MemoryStore>, Gate) {
    let store = FaultyStore::new(inner.clone());
    let zombie = mortal_probing(&store).await;
    let mut gate = hold_command(&store);
    send(&zombie, start("i").writes("l", text)).await;
    gate.reached().await;
    let faults = store.faults();
    faults.fail_next_n(10_000, Call::KeepAlive, Fault::BeforeCommit);
    (zombie, store, gate)
}

#[tokio::test]
async fn a_dispatcher_that_wakes_after_a_take_over_has_no_effect() {
    let inner = MemoryStore::new();
    let (zombie, store, gate) = zombie(&inner, "once").await;
    let app = mortal_probing(&inner).await;
    until_texts(&app, "l", &["once"]).await;
    let head = app.store().head().await.unwrap();
    gate.release();
    store.faults().disarm();
    zombie.shutdown().await.unwrap();
    settled(&app).await;
    assert_eq!(texts(&app, "l").await, ["once"]);
    assert_eq!(app.store().head().await.unwrap(), head);
    app.shutdown().await.unwrap();
}

/// Stops every `Write`.
#[derive(Debug)]
struct Refusing;

#[async_trait::async_trait]
impl Middleware for Refusing {
    async fn dispatch(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, Halt> {
        match request.name() {
            "Write" => Err(Halt::because("the test", "no more is written")),
            _ => next.run(request).await,
        }
    }
}

#[tokio::test]
async fn a_dispatcher_that_wakes_after_the_command_was_given_up_has_no_effect() {
    let inner = MemoryStore::new();
    let store = FaultyStore::new(inner.clone());
    let zombie = mortal_probing(&store).await;
    let mut gate = hold_command(&store);
    let note = start("i").writes("l", "never");
    send(&zombie, note.failing(OnFailure::Skip)).await;
    gate.reached().await;
    let faults = store.faults();
    faults.fail_next_n(10_000, Call::KeepAlive, Fault::BeforeCommit);
    let app = mortal(&inner)
        .process_manager::<Probe>()
        .middleware(Refusing)
        .start();
    let app = app.await.unwrap();
    until("the command is given up", async || {
        let seen = seen(&app, "i").await;
        seen.iter()
            .any(|text| text.contains("no more is written"))
            .then_some(())
    })
    .await;
    gate.release();
    faults.disarm();
    zombie.shutdown().await.unwrap();
    assert_eq!(texts(&app, "l").await, [""; 0]);
    assert_eq!(app.store().head().await.unwrap(), 1);
    app.shutdown().await.unwrap();
}

/// Writes once per signal, in four partitions.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(name = "spread", id = String, events(Sent), options = spread)]
struct Spread {
    count: u64,
}

fn spread() -> ProcessOptions {
    let options = quick();
    let subscription = options.subscription.clone().partitions(4);
    options.subscription(subscription)
}

impl Process<Sent> for Spread {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        Route::start_all(event.note.ids.clone())
    }

    fn handle(&self, _: &Sent, context: &ProcessContext) -> Reaction<Self> {
        let (ledger, text) = (context.instance().to_owned(), self.count.to_string());
        Reaction::dispatch(Write { ledger, text })
    }

    fn apply(&mut self, _: &Sent) {
        self.count += 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_spread_over_processes_and_others_take_over() {
    let store = MemoryStore::new();
    let mut apps = Vec::new();
    for _ in 0..2 {
        let app = mortal(&store).process_manager::<Spread>().start().await;
        apps.push(app.unwrap());
    }
    let clean = on(&store).start().await.unwrap();
    until("both work", async || {
        let status = clean.subscriptions().status("spread").await.unwrap();
        let owners: std::collections::HashSet<_> = status
            .partitions
            .iter()
            .filter_map(|partition| partition.owner.map(|owner| owner.to_string()))
            .collect();
        (owners.len() == 2).then_some(())
    })
    .await;
    let ids: Vec<_> = (0..12).map(|id| id.to_string()).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    for round in 0..30 {
        send(&clean, note(Kind::Start, &ids)).await;
        match round {
            10 => drop(apps.pop()),
            15 => clean
                .subscriptions()
                .repartition("spread", 7)
                .await
                .unwrap(),
            _ => {}
        }
    }
    let expected: Vec<_> = (0..30).map(|count| count.to_string()).collect();
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    for id in &ids {
        until_texts(&clean, id, &expected).await;
    }
    let head = clean.store().head().await.unwrap();
    assert_eq!(head, 30 + 30 * 12);
    for app in apps {
        app.shutdown().await.unwrap();
    }
}
