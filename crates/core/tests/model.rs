//! Random histories of one aggregate: pipelined commands, a foreign writer, faults, drops, repeats.
//!
//! Every event names the history it was decided on. Afterwards each must stand exactly where it was
//! decided, each command's events exactly once, and every answer must be what the log says.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::time::Duration;

use futures::TryStreamExt;
use ordain::prelude::*;
use ordain::store::{Append, EventStoreExt, ReadAll, ReadStream};
use ordain::{
    App, CommandId, Config, Dispatch, DispatchError, EventStore, ExpectedVersion, MemoryStore,
    NewEvent, Receipt, RecordedEvent, StreamId,
};
use ordain_testkit::{Call, Fault, Faults, FaultyStore};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
struct Noted {
    /// A digest of all events before it.
    decided_on: u64,
    foreign: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
struct Note {
    #[command(id)]
    ledger: u8,
    events: u8,
    /// Refused if as many events are there.
    refuse_from: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("there are {events} events")]
struct Full {
    events: u64,
}

#[derive(Debug, Default, Clone, Serialize, Deserialize, Aggregate)]
#[aggregate(category = "ledger", commands(Note), events(Noted), error = Full, snapshot(every = 5))]
struct Ledger {
    events: u64,
    digest: u64,
}

impl Execute<Note> for Ledger {
    fn execute(&self, command: &Note) -> Decision<Self> {
        if command
            .refuse_from
            .is_some_and(|limit| self.events >= limit)
        {
            return Err(Full {
                events: self.events,
            });
        }
        let mut steps = Events::after(self);
        for _ in 0..command.events {
            let decided_on = steps.state().digest;
            steps.push(Noted {
                decided_on,
                foreign: false,
            });
        }
        steps.finish()
    }
}

impl Apply<Noted> for Ledger {
    fn apply(&mut self, event: &Noted) {
        self.events += 1;
        let salt = if event.foreign { 7 } else { 3 };
        self.digest = self.digest.wrapping_mul(0x0100_0000_01b3) ^ (self.events * salt);
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Dispatches a command, on one of two apps.
    Send {
        app: bool,
        command: Note,
        with_id: bool,
    },
    /// Dispatches a command again that was dispatched with an id.
    Repeat {
        which: prop::sample::Index,
    },
    /// Another writer appends.
    Foreign,
    Fault {
        app: bool,
        fault: Fault,
        call: Call,
    },
    /// Drops a dispatch that was begun.
    Drop {
        which: prop::sample::Index,
    },
    /// Lets the tasks run a little.
    Yield {
        times: u8,
    },
    /// Waits for all answers.
    Await,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let limit = prop_oneof![3 => Just(None), 1 => (0u64..40).prop_map(Some)];
    let note = (0u8..4, limit).prop_map(|(events, refuse_from)| Note {
        ledger: 1,
        events,
        refuse_from,
    });
    let fault = prop_oneof![
        Just(Fault::BeforeCommit),
        Just(Fault::AfterCommit),
        Just(Fault::ReplyLost),
        Just(Fault::Conflict)
    ];
    let call = prop_oneof![4 => Just(Call::Append), 1 => Just(Call::RecordOutcome), 1 => Just(Call::StreamHead)];
    let step = prop_oneof![
        12 => (any::<bool>(), note, any::<bool>())
            .prop_map(|(app, command, with_id)| Step::Send { app, command, with_id }),
        2 => any::<prop::sample::Index>().prop_map(|which| Step::Repeat { which }),
        2 => Just(Step::Foreign),
        2 => (any::<bool>(), fault, call)
            .prop_map(|(app, fault, call)| Step::Fault { app, fault, call }),
        1 => any::<prop::sample::Index>().prop_map(|which| Step::Drop { which }),
        4 => (1u8..30).prop_map(|times| Step::Yield { times }),
        1 => Just(Step::Await),
    ];
    prop::collection::vec(step, 1..80)
}

type Answer = Result<Receipt<Ledger>, DispatchError<Full>>;

struct Begun {
    id: Option<CommandId>,
    command: Note,
    dispatch: Dispatch<Ledger>,
}

struct History {
    log: MemoryStore,
    apps: [App; 2],
    faults: [Faults; 2],
    begun: Vec<Begun>,
    answers: Vec<(Option<CommandId>, Note, Answer)>,
    named: Vec<(CommandId, Note)>,
}

impl History {
    async fn new() -> Self {
        let log = MemoryStore::new();
        let stores = [(); 2].map(|()| FaultyStore::new(log.clone()));
        let faults = [stores[0].faults(), stores[1].faults()];
        let mut apps = Vec::new();
        for store in stores {
            let config = Config::new().resends(3).retries(100);
            let builder = App::builder(store).aggregate::<Ledger>().config(config);
            apps.push(builder.start().await.unwrap());
        }
        let apps = apps.try_into().unwrap();
        Self {
            log,
            apps,
            faults,
            begun: Vec::new(),
            answers: Vec::new(),
            named: Vec::new(),
        }
    }

    async fn run(&mut self, step: Step) {
        match step {
            Step::Send {
                app,
                command,
                with_id,
            } => {
                let id = with_id.then(CommandId::new);
                self.named.extend(id.map(|id| (id, command.clone())));
                self.send(usize::from(app), command, id);
            }
            Step::Repeat { which } if !self.named.is_empty() => {
                let (id, command) = which.get(&self.named).clone();
                self.send(which.index(2), command, Some(id));
            }
            Step::Drop { which } if !self.begun.is_empty() => {
                self.begun.swap_remove(which.index(self.begun.len()));
            }
            Step::Foreign => self.append_foreign().await,
            Step::Fault { app, fault, call } => {
                self.faults[usize::from(app)].fail_next(call, fault);
            }
            Step::Yield { times } => {
                for _ in 0..times {
                    tokio::task::yield_now().await;
                }
            }
            Step::Await => self.await_all().await,
            Step::Repeat { .. } | Step::Drop { .. } => {}
        }
    }

    fn send(&mut self, app: usize, command: Note, id: Option<CommandId>) {
        let mut dispatch = self.apps[app].dispatch(command.clone());
        if let Some(id) = id {
            dispatch = dispatch.command_id(id);
        }
        // The first poll queues it.
        match futures::FutureExt::now_or_never(&mut dispatch) {
            Some(answer) => self.answers.push((id, command, answer)),
            None => self.begun.push(Begun {
                id,
                command,
                dispatch,
            }),
        }
    }

    async fn append_foreign(&self) {
        let ledger = self.replay().await;
        let event = Noted {
            decided_on: ledger.digest,
            foreign: true,
        };
        let event = NewEvent::new("Noted", serde_json::to_vec(&event).unwrap());
        let append = Append::new(stream(), ExpectedVersion::exact(ledger.events), vec![event]);
        self.log.append(append).await.unwrap();
    }

    async fn await_all(&mut self) {
        for begun in self.begun.drain(..) {
            let answer = tokio::time::timeout(Duration::from_secs(3_600), begun.dispatch).await;
            self.answers.push((
                begun.id,
                begun.command,
                answer.expect("no dispatch gets stuck"),
            ));
        }
    }

    async fn events(&self) -> Vec<RecordedEvent> {
        let events = self
            .log
            .stream(ReadStream::forward(stream()).limit(7))
            .try_collect()
            .await;
        events.unwrap_or_default()
    }

    async fn replay(&self) -> Ledger {
        let mut ledger = Ledger::default();
        for event in self.events().await {
            let noted: Noted = serde_json::from_slice(&event.data).unwrap();
            assert_eq!(
                noted.decided_on, ledger.digest,
                "{} was decided elsewhere",
                event.version
            );
            ledger.apply(&noted);
        }
        ledger
    }

    async fn check(&mut self) {
        self.faults.iter().for_each(Faults::disarm);
        self.await_all().await;
        let events = self.events().await;
        let ledger = self.replay().await;
        self.check_dense(&events).await;
        self.check_commands(&events);
        for app in &self.apps {
            let none = Note {
                ledger: 1,
                events: 0,
                refuse_from: None,
            };
            let live = app.dispatch(none).with_state().await.unwrap();
            assert_eq!(
                (live.state.events, live.state.digest),
                (ledger.events, ledger.digest)
            );
        }
    }

    async fn check_dense(&self, events: &[RecordedEvent]) {
        let versions = events.iter().map(|event| event.version.get());
        assert!(versions.eq(1..=events.len() as u64), "versions have a hole");
        let log: Vec<_> = self
            .log
            .stream_all(ReadAll::forward())
            .try_collect()
            .await
            .unwrap();
        let positions = log.iter().map(|event| event.position.get());
        assert!(positions.eq(1..=log.len() as u64), "positions have a hole");
    }

    fn check_commands(&self, events: &[RecordedEvent]) {
        let mut counts: HashMap<_, usize> = HashMap::new();
        for event in events {
            *counts
                .entry(event.causation_id.map(|id| id.as_uuid()))
                .or_default() += 1;
        }
        let mut verdicts: HashMap<CommandId, bool> = HashMap::new();
        for (id, command, answer) in &self.answers {
            let accepted = match answer {
                Ok(receipt) => {
                    let stored = counts.get(&Some(receipt.command_id.as_uuid())).copied();
                    assert_eq!(stored.unwrap_or(0), usize::from(command.events));
                    assert_eq!(receipt.events.len(), usize::from(command.events));
                    let last = events.iter().find(|event| event.version == receipt.version);
                    let own = last
                        .is_some_and(|event| event.causation_id == Some(receipt.command_id.into()));
                    assert!(
                        command.events == 0 || own,
                        "the receipt names another version"
                    );
                    true
                }
                Err(error) if error.is_rejected() => false,
                Err(error) => {
                    assert!(error.is_transient(), "{error}");
                    continue;
                }
            };
            let Some(id) = id else { continue };
            let before = verdicts.insert(*id, accepted);
            assert!(
                before.is_none_or(|before| before == accepted),
                "{id} got two answers"
            );
            if !accepted {
                assert!(
                    !counts.contains_key(&Some(id.as_uuid())),
                    "{id} was refused and stored"
                );
            }
        }
        for (id, command) in &self.named {
            let stored = counts.get(&Some(id.as_uuid())).copied().unwrap_or(0);
            assert!(
                stored == 0 || stored == usize::from(command.events),
                "{id} is stored {stored} times"
            );
        }
    }
}

fn stream() -> StreamId {
    StreamId::new("ledger", "1").unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_every_promise(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut history = History::new().await;
            for step in steps {
                history.run(step).await;
            }
            history.check().await;
        });
    }
}
