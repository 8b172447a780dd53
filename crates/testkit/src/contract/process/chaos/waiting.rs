//! Those who wait until a subscription has come to a place.

use std::time::{Duration, Instant};

use ordain::store::{Block, SubscriptionKey, SubscriptionState, SubscriptionStore};
use ordain::subscription::WaitError;
use ordain::{Dispatch, DispatchError, RecordedEvent};
use tokio::task::JoinHandle;

use super::super::super::SubscriptionFixture;
use super::super::support::Signal;
use super::handling::{Notes, key_of, streams};
use super::steps::DRIVEN;
use super::world::World;

/// How much later than its time somebody may be answered, on a machine that is busy.
const SLACK: Duration = Duration::from_secs(5);

/// Somebody who waits.
#[derive(Debug)]
pub(super) struct Waiter {
    name: &'static str,
    patience: Duration,
    /// Whether its store does not fail.
    is_operators: bool,
    /// Whether it waits for an event, and not for a place.
    for_event: bool,
    /// How often the subscription was reset before; none if a reset was under way.
    resets: Option<u64>,
    /// How often it was, at the end of the case or when it was answered.
    resets_after: Option<u64>,
    task: Option<JoinHandle<Waited>>,
    waited: Option<Waited>,
}

/// How it was answered, and how things stood then.
#[derive(Debug)]
struct Waited {
    took: Duration,
    answer: Answer,
    blocks: Vec<Block>,
    /// How much was handled.
    noted: usize,
    /// How far the instance has come that the event is for.
    instance: Option<u64>,
}

#[derive(Debug)]
enum Answer {
    /// All up to here is handled, or behind a block.
    Beyond(u64),
    /// This event is handled.
    Handled(u64),
    Not(WaitError),
}

/// Looks how things stand when an answer has come.
struct Onlooker<S> {
    store: S,
    key: SubscriptionKey,
    notes: Option<Notes>,
    instance: Option<String>,
    begun: Instant,
}

impl<F: SubscriptionFixture + Send + Sync + 'static> World<F> {
    pub(super) async fn wait_until(
        &mut self,
        slot: Option<usize>,
        name: &'static str,
        (hundredths, beyond): (u64, u64),
        patience: Duration,
    ) {
        let Some(app) = self.app_of(slot) else {
            return;
        };
        let position = self.head().await * hundredths / 100 + beyond;
        let onlooker = self.onlooker(name, None);
        let waiter = Waiter {
            is_operators: slot.is_none(),
            ..self.waiter(name, patience).await
        };
        let task = tokio::spawn(async move {
            let deadline = Instant::now() + patience;
            let answer = app.wait_until(name, position, deadline).await;
            drop(app);
            let answer = answer.map_or_else(Answer::Not, |()| Answer::Beyond(position));
            onlooker.look(answer).await
        });
        self.begin_to_wait(waiter, task);
    }

    /// Waits for what a signal to an instance leads to.
    pub(super) async fn wait_for(
        &mut self,
        dispatch: Dispatch<Signal>,
        name: &'static str,
        patience: Duration,
        instance: &str,
    ) {
        let onlooker = self.onlooker(name, Some(instance));
        let waiter = Waiter {
            for_event: true,
            ..self.waiter(name, patience).await
        };
        let task = tokio::spawn(async move {
            let answer = match dispatch.await {
                Ok(receipt) => Answer::Handled(receipt.position.get()),
                Err(DispatchError::Unhandled { source, .. }) => Answer::Not(*source),
                Err(error) => panic!("a signal cannot be sent: {error}"),
            };
            onlooker.look(answer).await
        });
        self.begin_to_wait(waiter, task);
    }

    fn begin_to_wait(&mut self, waiter: Waiter, task: JoinHandle<Waited>) {
        self.waiters.push(Waiter {
            task: Some(task),
            ..waiter
        });
    }

    async fn waiter(&self, name: &'static str, patience: Duration) -> Waiter {
        let status = self.operator.subscriptions().status(name).await;
        let is_resetting = status.is_ok_and(|it| it.state == SubscriptionState::Resetting);
        let resets = self.resets.get(name).copied().unwrap_or_default();
        Waiter {
            name,
            patience,
            is_operators: true,
            for_event: false,
            resets: (!is_resetting).then_some(resets),
            resets_after: None,
            task: None,
            waited: None,
        }
    }

    fn onlooker(&self, name: &str, instance: Option<&str>) -> Onlooker<super::world::StoreOf<F>> {
        let is_of_instance = name == "probe";
        Onlooker {
            store: self.timed.store.clone(),
            key: SubscriptionKey::new(name, 1),
            notes: self.notes_of(name).cloned(),
            instance: instance.filter(|_| is_of_instance).map(str::to_owned),
            begun: Instant::now(),
        }
    }

    /// Takes note of resets for those who have not been answered before them.
    pub(super) fn note_answers(&mut self) {
        for waiter in &mut self.waiters {
            let is_answered = waiter.task.as_ref().is_none_or(JoinHandle::is_finished);
            if is_answered && waiter.resets_after.is_none() {
                let resets = self.resets.get(waiter.name).copied().unwrap_or_default();
                waiter.resets_after = Some(resets);
            }
        }
    }

    /// Waits until all have been answered.
    pub(super) async fn hear_waiters(&mut self) {
        for waiter in &mut self.waiters {
            let Some(task) = waiter.task.take() else {
                continue;
            };
            let waited = tokio::time::timeout(waiter.patience + SLACK, task).await;
            let waited = waited.unwrap_or_else(|_| panic!("{waiter:?} is not answered"));
            waiter.waited = Some(waited.expect("waiting does not panic"));
        }
        self.note_answers();
    }

    /// Who waits is answered in time, and rightly.
    pub(super) fn check_waiters(&self, log: &[RecordedEvent]) {
        for waiter in &self.waiters {
            let waited = waiter.waited.as_ref().expect("it was answered");
            let is_right = match &waited.answer {
                Answer::Beyond(position) => self.is_beyond(waiter, waited, log, *position),
                Answer::Handled(position) => self.has_handled(waiter, waited, *position),
                Answer::Not(error) => self.is_reason(waiter, waited, error),
            };
            let in_time = waited.took <= waiter.patience + SLACK;
            assert!(is_right && in_time, "{waiter:#?}");
        }
    }

    /// Whether all up to a position was handled by then, left out, or behind a block.
    fn is_beyond(
        &self,
        waiter: &Waiter,
        waited: &Waited,
        log: &[RecordedEvent],
        position: u64,
    ) -> bool {
        let Some(notes) = self.notes_of(waiter.name) else {
            return true;
        };
        // A reset that is carried out in between forgets blocks.
        if waiter.resets.is_none() || waiter.resets != waiter.resets_after {
            return true;
        }
        let (noted, left_out) = (notes.all(), self.left_out(waiter.name, 1));
        let streams = streams();
        let events = log.iter().filter(|event| streams.contains(&event.stream));
        let mut before = events.filter(|event| event.position.get() <= position);
        before.all(|event| {
            let (key, position) = (key_of(waiter.name, &event.stream), event.position);
            let mut noted = noted[..waited.noted].iter();
            let mut blocks = waited.blocks.iter();
            noted.any(|one| one.position == position.get())
                || left_out.contains_key(&position.get())
                || blocks.any(|block| block.key == key && block.position <= position)
        })
    }

    /// Whether an event was handled by then, or left out.
    fn has_handled(&self, waiter: &Waiter, waited: &Waited, position: u64) -> bool {
        if let Some(notes) = self.notes_of(waiter.name) {
            let left_out = self.left_out(waiter.name, 1);
            let mut noted = notes.all().into_iter().take(waited.noted);
            return noted.any(|one| one.position == position) || left_out.contains_key(&position);
        }
        let was_reset = waiter.resets.is_none() || waiter.resets != waiter.resets_after;
        was_reset || waited.instance >= Some(position)
    }

    fn is_reason(&self, waiter: &Waiter, waited: &Waited, error: &WaitError) -> bool {
        match error {
            WaitError::Timeout { .. } => waited.took >= waiter.patience,
            WaitError::Paused { .. } => self.paused.contains(waiter.name),
            // A place has no stream whose events might be behind a dead letter.
            WaitError::Blocked { .. } => waiter.for_event,
            WaitError::NotFound { .. } => waiter.name == DRIVEN,
            WaitError::Store(_) => !waiter.is_operators,
            _ => false,
        }
    }
}

impl<S: SubscriptionStore> Onlooker<S> {
    async fn look(self, answer: Answer) -> Waited {
        let took = self.begun.elapsed();
        // What is no longer behind a block is handled by now.
        let blocks = self.store.blocks(&self.key, u32::MAX).await;
        let instance = match &self.instance {
            Some(id) => {
                let found = self
                    .store
                    .instances(&self.key, std::slice::from_ref(id))
                    .await;
                let found = found.expect("instances can be read");
                found.first().map(|instance| instance.position.get())
            }
            None => None,
        };
        Waited {
            took,
            answer,
            blocks: blocks.expect("blocks can be read"),
            noted: self.notes.map_or(0, |notes| notes.count()),
            instance,
        }
    }
}
