//! A process manager that does what signals say.

use std::time::{Duration, Instant};

use ordain::prelude::*;
use ordain::subscription::SubscriptionOptions;
use ordain::{
    App, Backoff, CommandAction, CommandFailure, EventContext, Failure, FailureAction,
    ProcessContext, ProcessInstance, ProcessOptions, Reaction, Route, TimerContext,
};
use serde::{Deserialize, Serialize};

use super::PATIENCE;
use super::ledgers::Write;
use super::signals::{Kind, OnFailure, Panics, Sent};

/// Does what signals say, and notes in its state what it has seen.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(
    name = "probe",
    id = String,
    events(Sent),
    timer = WriteLater,
    options = quick,
    on_failure = Probe::act,
    on_command_failure = Probe::answer,
    apply_command_failure = Probe::note_failure
)]
pub(crate) struct Probe {
    pub(crate) seen: Vec<String>,
    on_failure: Option<OnFailure>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WriteLater {
    text: String,
    ledger: String,
}

pub(crate) fn quick() -> ProcessOptions {
    let retry = Backoff::new(Duration::from_millis(1), Duration::from_millis(20));
    let subscription = SubscriptionOptions::new()
        .retry(retry)
        .attempts(3)
        .checkpoint_after(Duration::from_millis(10));
    ProcessOptions::new()
        .subscription(subscription)
        .timer_poll(Duration::from_millis(10))
}

impl Probe {
    fn act(failure: &Failure) -> FailureAction {
        match failure.event.stream.id() {
            "skipped" => FailureAction::Skip,
            "stopped" => FailureAction::Stop,
            _ => failure.default_action(),
        }
    }

    fn answer(&self, failure: &CommandFailure) -> CommandAction<Self> {
        match self.on_failure {
            None | Some(OnFailure::Default) => failure.default_action(),
            Some(OnFailure::Retry) => CommandAction::Retry,
            Some(OnFailure::Skip) => CommandAction::Skip,
            Some(OnFailure::SkipRest) => CommandAction::SkipRest,
            Some(OnFailure::DeadLetter) => CommandAction::DeadLetter,
            Some(OnFailure::Stop) => CommandAction::Stop,
            Some(OnFailure::Replace) => {
                let ledger = failure.command.id().to_owned();
                let text = format!("instead of {}", failure.command.body()["text"]);
                CommandAction::Replace(Reaction::dispatch(Write { ledger, text }))
            }
        }
    }

    fn note_failure(&mut self, failure: &CommandFailure) {
        self.seen.push(format!("failed: {}", failure.error));
    }
}

impl Process<Sent> for Probe {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        let note = &event.note;
        assert!(note.panics != Some(Panics::Route), "told to panic");
        let ids = note.ids.iter().map(String::as_str);
        let route = match note.kind {
            Kind::None => Route::none(),
            Kind::Start => Route::start_all(ids),
            Kind::Continue => Route::continue_all(ids),
            Kind::Stop => Route::stop_all(ids),
            Kind::Restart => Route::stop_all(ids.clone()).and(Route::start_all(ids)),
        };
        if note.strict { route.strict() } else { route }
    }

    fn handle(&self, event: &Sent, context: &ProcessContext) -> Reaction<Self> {
        let note = &event.note;
        assert!(note.panics != Some(Panics::Handle), "told to panic");
        let mut reaction = Reaction::none();
        for (ledger, text) in &note.commands {
            let ledger = ledger.replace("{}", context.instance());
            let text = text.replace("{}", context.instance());
            reaction = reaction.and_dispatch(Write { ledger, text });
        }
        if let Some((key, after, text)) = &note.timer {
            let (text, ledger) = (text.clone(), context.instance().to_owned());
            reaction = reaction.timer(key, *after, WriteLater { text, ledger });
        }
        if let Some(key) = &note.cancel {
            reaction = reaction.cancel_timer(key);
        }
        if note.stop { reaction.stop() } else { reaction }
    }

    fn apply(&mut self, event: &Sent) {
        let note = &event.note;
        assert!(note.panics != Some(Panics::Apply), "told to panic");
        self.seen.push(format!("{:?}", note.kind));
        self.on_failure = note.on_failure.or(self.on_failure);
    }
}

impl OnTimer<WriteLater> for Probe {
    fn on_timer(&self, timer: &WriteLater, _: &TimerContext) -> Reaction<Self> {
        let WriteLater { text, ledger } = timer.clone();
        assert!(!text.starts_with("timer panics"), "told to panic");
        if let Some((millis, text)) = text.strip_prefix("sets ").and_then(|it| it.split_once(' ')) {
            let after = Duration::from_millis(millis.parse().expect("a number"));
            let text = text.to_owned();
            return Reaction::none().timer("set", after, WriteLater { text, ledger });
        }
        Reaction::dispatch(Write { ledger, text })
    }

    fn apply_timer(&mut self, timer: &WriteLater) {
        self.seen.push(timer.text.clone());
    }
}
pub(crate) async fn find(app: &App, id: &str) -> Option<ProcessInstance> {
    let found = app.processes(Probe::NAME).get(id).await;
    found.expect("instances can be read")
}

pub(crate) async fn instance(app: &App, id: &str) -> ProcessInstance {
    let found = find(app, id).await;
    found.unwrap_or_else(|| panic!("there is no instance {id}"))
}

pub(crate) async fn seen(app: &App, id: &str) -> Vec<String> {
    let state = find(app, id).await.map(|instance| instance.state);
    let state = state.map(|state| serde_json::from_value::<Probe>(state).expect("a state"));
    state.map(|state| state.seen).unwrap_or_default()
}

pub(crate) async fn until_seen(app: &App, id: &str, expected: &[&str]) {
    let mut found = Vec::new();
    let begun = Instant::now();
    while found != expected {
        assert!(begun.elapsed() < PATIENCE, "{id}: {found:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
        found = seen(app, id).await;
    }
}
