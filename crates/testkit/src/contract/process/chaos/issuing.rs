//! Signals that have commands issued, of which some are refused, and what has to come of them.

use std::collections::BTreeSet;
use std::time::Duration;

use ordain::StreamId;

use super::super::super::SubscriptionFixture;
use super::super::super::support::version;
use super::super::support::{
    CloseLedger, Note, OnFailure, OpenLedger, Send as SendSignal, begin, seen, send_from, text_of,
    until, written,
};
use super::world::World;

/// What was told to an instance.
#[derive(Debug, Default)]
pub(super) struct Told {
    signals: usize,
    /// What is written into its ledger, in order.
    texts: Vec<String>,
    /// What its timers write.
    late: BTreeSet<String>,
    /// How many commands its answer to their failure leaves out.
    left_out: usize,
}

/// What the state of an instance says of a command that was left out.
const FAILED: &str = "failed: ";

impl<F: SubscriptionFixture + Send + Sync + 'static> World<F> {
    /// What an instance is told, of which is noted what has to come of it.
    pub(super) fn tell(&mut self, instance: u64, timer: bool, refused: Option<OnFailure>) -> Note {
        self.count += 1;
        let (text, id) = (self.count.to_string(), format!("i{instance}"));
        let told = self.told.entry(instance).or_default();
        told.signals += 1;
        let mut note = begin(&id);
        if timer {
            let late = format!("late {text}");
            note = note.timer(&text, Duration::ZERO, &late);
            told.late.insert(late);
        }
        let Some(action) = refused else {
            told.texts.push(text.clone());
            return note.writes(&id, &text);
        };
        let is_left_out = |action| {
            use OnFailure::{Replace, Skip, SkipRest};
            matches!(action, Skip | SkipRest | Replace)
        };
        told.left_out += usize::from(is_left_out(action));
        let (reject, closed) = (format!("reject {text}"), format!("closed {text}"));
        let (commands, written) = match action {
            OnFailure::Skip => (vec![reject, text.clone()], vec![text]),
            OnFailure::SkipRest => (vec![text.clone(), reject, "never".to_owned()], vec![text]),
            OnFailure::Replace => {
                let instead = format!("instead of \"{reject}\"");
                (vec![reject, "never".to_owned()], vec![instead])
            }
            // Refused only as long as the ledger is closed.
            _ => (vec![closed.clone(), text.clone()], vec![closed, text]),
        };
        told.texts.extend(written);
        let writing = |note: Note, text: &String| note.writes(&id, text);
        commands.iter().fold(note.failing(action), writing)
    }

    pub(super) async fn send(
        &mut self,
        signal: u64,
        instance: u64,
        note: Note,
        awaited: Option<(&'static str, Duration)>,
    ) {
        let signal = format!("s{signal}");
        let Some((name, patience)) = awaited else {
            return send_from(&self.operator, &signal, note).await;
        };
        let stream = StreamId::new("signal", &signal).expect("a valid name");
        let before = version(&self.timed.store, &stream).await;
        let dispatch = self.operator.dispatch(SendSignal { signal, note });
        let dispatch = dispatch.wait_for([name]).wait_at_most(patience);
        self.wait_for(dispatch, name, patience, &format!("i{instance}"))
            .await;
        // What is sent next comes after it.
        until("the signal is sent", async || {
            (version(&self.timed.store, &stream).await > before).then_some(())
        })
        .await;
    }

    pub(super) async fn open_or_close(&self, instance: u64, is_open: bool) {
        let ledger = format!("i{instance}");
        let done = match is_open {
            true => self.operator.dispatch(OpenLedger { ledger }).await,
            false => self.operator.dispatch(CloseLedger { ledger }).await,
        };
        done.expect("a ledger can be opened and closed");
    }

    pub(super) async fn open_all(&self) {
        for instance in self.told.keys() {
            self.open_or_close(*instance, true).await;
        }
    }

    /// Every command took effect once, those of an instance's events in order; one that an operator has left out
    /// did not.
    pub(super) async fn check_commands(&self) {
        for (instance, told) in &self.told {
            let ledger = format!("i{instance}");
            let (mut timed, direct): (Vec<_>, Vec<_>) = self
                .written(&ledger)
                .await
                .into_iter()
                .partition(|text| text.starts_with("late"));
            let left_out = self.commands_left_out(&ledger);
            let mut expected = told.texts.clone();
            expected.retain(|text| match left_out.get(text.as_str()) {
                None => true,
                Some(true) => false,
                Some(false) => direct.contains(text),
            });
            assert_eq!(
                direct,
                expected,
                "what is written into {ledger}, without {left_out:?}:{}",
                self.log().await
            );
            timed.sort_unstable();
            let expected: Vec<_> = told.late.iter().cloned().collect();
            let log = self.log().await;
            assert_eq!(timed, expected, "what timers wrote into {ledger}:{log}");
        }
    }

    /// What is written into a ledger.
    async fn written(&self, ledger: &str) -> Vec<String> {
        let events = written(&self.timed.store).await;
        let own = events.iter().filter(|event| event.stream.id() == ledger);
        own.map(text_of).collect()
    }

    /// Every instance has taken in what was meant for it once, and, unless it was built anew, that a command of it
    /// was left out.
    pub(super) async fn check_instances(&self) {
        let was_reset = self.resets.contains_key("probe");
        for (instance, told) in &self.told {
            let id = format!("i{instance}");
            let found = seen(&self.operator, &id).await;
            let (failed, mut found): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|it| it.starts_with(FAILED));
            found.sort_unstable();
            let starts = std::iter::repeat_n("Start".to_owned(), told.signals);
            let expected: Vec<_> = starts.chain(told.late.iter().cloned()).collect();
            assert_eq!(found, expected, "what {id} has seen:{}", self.log().await);
            let is_complete = failed.len() == told.left_out;
            assert!(
                is_complete || was_reset && failed.len() < told.left_out,
                "{id} has seen {failed:?} in place of {}:{}",
                told.left_out,
                self.log().await
            );
        }
    }

    pub(super) async fn unsettled(&self) -> Vec<String> {
        let unsettled = self.operator.processes("probe").unsettled(1_000).await;
        unsettled.expect("commands can be read")
    }
}
