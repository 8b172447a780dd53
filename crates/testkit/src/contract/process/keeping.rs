//! How long what is no longer needed is kept, and what becomes of those it belonged to.

use std::sync::Arc;
use std::time::Duration;

use ordain::prelude::*;
use ordain::store::{Partitions, SubscriptionState, SubscriptionStore};
use ordain::{EventContext, ProcessContext, ProcessOptions, Reaction, Route};
use serde::{Deserialize, Serialize};

use super::super::SubscriptionFixture;
use super::super::read_side::{Timed, change, change_of, key, record};
use super::support::*;
use crate::FaultyStore;

/// Like [`Probe`], but keeps instances that have ended for a moment only.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(name = "probe", id = String, events(Sent), options = forgetful)]
struct Forgetful {
    seen: Vec<String>,
}

fn forgetful() -> ProcessOptions {
    quick().finished_kept(Duration::from_millis(1))
}

impl Process<Sent> for Forgetful {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        match event.note.kind {
            Kind::Stop => Route::stop_all(event.note.ids.clone()),
            _ => Route::start_all(event.note.ids.clone()),
        }
    }

    fn handle(&self, event: &Sent, _: &ProcessContext) -> Reaction<Self> {
        event.note.reaction()
    }

    fn apply(&mut self, event: &Sent) {
        self.seen.push(format!("{:?}", event.note.kind));
    }
}

/// Instances that ended long enough ago are forgotten when an app starts, and may begin anew; others are kept.
pub async fn instances_that_ended_long_ago_are_forgotten<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let timed = Timed::open(&**fixture).await;
    let app = probing(&timed.store).await;
    send(&app, begin("a").writes("a", "before")).await;
    send(&app, begin("b")).await;
    send(&app, stop("a")).await;
    settled(&app).await;
    assert!(instance(&app, "a").await.finished);
    shut_down(app).await;
    timed.pass();
    let app = start(on(&timed.store).process_manager::<Forgetful>()).await;
    until("it is forgotten", async || {
        find(&app, "a").await.is_none().then_some(())
    })
    .await;
    assert_eq!(seen(&app, "b").await, ["Start"]);
    send(&app, begin("a").writes("a", "anew")).await;
    until_texts(&app, "a", &["before", "anew"]).await;
    settled(&app).await;
    assert_eq!(seen(&app, "a").await, ["Start"]);
    shut_down(app).await;
}

/// An ended instance that is forgotten while it is in memory may begin anew.
pub async fn an_instance_that_is_forgotten_in_use_begins_anew<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let timed = Timed::open(&**fixture).await;
    let app = probing(&timed.store).await;
    send(&app, begin("a").writes("a", "before")).await;
    send(&app, stop("a")).await;
    settled(&app).await;
    timed.pass();
    prune(&timed, None, Some(Duration::ZERO)).await;
    send(&app, go_on("a")).await;
    settled(&app).await;
    assert_eq!(find(&app, "a").await, None);
    send(&app, begin("a").writes("a", "anew")).await;
    until_texts(&app, "a", &["before", "anew"]).await;
    settled(&app).await;
    assert_eq!(seen(&app, "a").await, ["Start"]);
    shut_down(app).await;
}

/// Forgets what was kept for so long, which is one thing.
async fn prune<S: SubscriptionStore>(
    timed: &Timed<S>,
    dead_letters: Option<Duration>,
    finished: Option<Duration>,
) {
    until("something is forgotten", async || {
        let key = key(Probe::NAME);
        let pruned = timed.store.prune(&key, dead_letters, finished).await;
        (pruned.expect("it can be forgotten") == 1).then_some(())
    })
    .await;
}

/// When a dead letter is forgotten, its instance goes on with what comes, without those it was put aside with.
pub async fn an_instance_whose_dead_letter_is_forgotten_goes_on<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let timed = Timed::open(&**fixture).await;
    let app = probing(&timed.store).await;
    send(&app, begin("a").panicking(Panics::Handle)).await;
    send(&app, begin("a").writes("a", "lost")).await;
    aside(&app, 1).await;
    settled(&app).await;
    shut_down(app).await;
    let app = probing(&timed.store).await;
    status_when(&app, Probe::NAME, |it| it.partitions[0].owner.is_some()).await;
    timed.pass();
    prune(&timed, Some(Duration::ZERO), None).await;
    until("what comes is handled", async || {
        send(&app, begin("a").writes("a", "later")).await;
        (!texts(&app, "a").await.is_empty()).then_some(())
    })
    .await;
    settled(&app).await;
    assert!(!texts(&app, "a").await.contains(&"lost".to_owned()));
    aside(&app, 0).await;
    shut_down(app).await;
}

/// When the dead letter of a failed command is forgotten, the command is tried again.
pub async fn a_command_whose_dead_letter_is_forgotten_is_tried_again<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let timed = Timed::open(&**fixture).await;
    let store = FaultyStore::new(timed.store.clone());
    let app = probing(&store).await;
    send(&app, begin("a").writes("l", "closed so far")).await;
    aside(&app, 1).await;
    beats(&store).await;
    open_ledger(&app, "l").await;
    timed.pass();
    prune(&timed, Some(Duration::ZERO), None).await;
    until_texts(&app, "l", &["closed so far"]).await;
    settled(&app).await;
    shut_down(app).await;
}

/// Where the log is shorter than what was handled of it, as after a restore, the process manager stops and says
/// so; it can be reset.
pub async fn a_log_that_has_become_shorter_stops_the_manager<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    send(&app, begin("a")).await;
    settled(&app).await;
    shut_down(app).await;
    let key = key(Probe::NAME);
    let known = record(&store, &key).await;
    let mut beyond = change_of(&key, known.generation);
    beyond.definition = known.definition;
    beyond.partitions = Partitions::Replace(vec![100.into()]);
    assert!(change(&store, [beyond]).await);
    let app = probing(&store).await;
    let status = status_when(&app, Probe::NAME, |status| {
        status.state == SubscriptionState::Stopped
    })
    .await;
    let reason = status.reason.expect("a reason");
    assert!(reason.contains("the store went backwards"), "{reason}");
    reset(&app, 0).await;
    settled(&app).await;
    assert_eq!(seen(&app, "a").await, ["Start"]);
    shut_down(app).await;
}
