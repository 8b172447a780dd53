//! The same signals, told to a test and to a running app.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ordain::middleware::{Halt, Middleware, Next, Outcome, Request};
use ordain::store::MemoryOptions;
use ordain::{App, Clock as _, CommandId, Config, MemoryStore, ProcessInstance, ProcessOutgoing};
use ordain_testkit::{Happened, ManualClock, ProcessTest};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::signals::*;

/// How long a running app may take for one step.
const WITHIN: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
enum Step {
    Signal(Signalled),
    Pass(u64),
}

/// What has become of an instance, and its commands that were dispatched so far.
#[derive(Debug, Clone, PartialEq)]
struct Stand {
    commands: Vec<Value>,
    finished: bool,
    state: Value,
    timers: Vec<(String, String, Value)>,
    outgoing: Vec<(String, u32)>,
    command_error: Option<String>,
    aside: Option<String>,
}

type Stands = BTreeMap<String, Stand>;

/// The commands of each instance that were dispatched.
type Commands = BTreeMap<String, Vec<(CommandId, Value)>>;

const IDS: [&str; 2] = ["a", "b"];

fn id() -> impl Strategy<Value = String> {
    prop::sample::select(&IDS[..]).prop_map(str::to_owned)
}

fn act(depth: u32) -> BoxedStrategy<Act> {
    let plain = prop_oneof![
        8 => prop::sample::select(&["one", "two", "reject this", "reject that"][..]).prop_map(text),
        3 => Just(Act::Ring),
        3 => key().prop_map(Act::Cancel),
        3 => answer().prop_map(Act::Answer),
        1 => prop::sample::select(&[Act::End, Act::PanicInHandle, Act::PanicInApply][..]),
    ];
    if depth == 0 {
        return plain.boxed();
    }
    let seconds = prop::sample::select(&[0_u64, 30, 60, 90, 240][..]);
    let timer = (key(), seconds, acts(depth - 1));
    let timer = timer.prop_map(|(key, seconds, acts)| Act::Timer(key, seconds, acts));
    prop_oneof![1 => plain, 1 => timer].boxed()
}

fn acts(depth: u32) -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(act(depth), 0..5)
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(&["t", "u", "v"][..]).prop_map(str::to_owned)
}

fn answer() -> impl Strategy<Value = Answer> {
    prop::sample::select(
        &[
            Answer::Usual,
            Answer::Skip,
            Answer::SkipRest,
            Answer::Replace,
            Answer::DeadLetter,
        ][..],
    )
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => Just(Kind::Start),
        4 => Just(Kind::Continue),
        1 => Just(Kind::Stop),
        1 => Just(Kind::Restart),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let signal = (
        kind(),
        prop::bool::weighted(0.05),
        prop::collection::vec(id(), 0..4),
        acts(2),
    );
    let signal = signal.prop_map(|(kind, strict, ids, acts)| {
        Step::Signal(Signalled {
            kind,
            strict,
            ids,
            acts,
        })
    });
    prop_oneof![
        3 => signal,
        1 => prop::sample::select(&[1_u64, 30, 60, 300][..]).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_test_does_what_a_running_app_does(steps in prop::collection::vec(step(), 1..12)) {
        let tested = tested(&steps);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ran = runtime.block_on(ran(&steps));
        for (place, (tested, ran)) in tested.iter().zip(&ran).enumerate() {
            prop_assert_eq!(tested, ran, "after step {}", place);
        }
    }
}

/// What becomes of the instances in a test, after each step.
fn tested(steps: &[Step]) -> Vec<Stands> {
    let test = ProcessTest::<Probe>::new().stream("signal-s");
    let mut happened = test.when_time_passes(Duration::ZERO);
    let mut commands = Commands::new();
    let mut stands = Vec::new();
    for step in steps {
        happened = match step {
            Step::Signal(signalled) => happened.when(signalled.clone()),
            Step::Pass(seconds) => happened.when_time_passes(Duration::from_secs(*seconds)),
        };
        happened = settle(happened, &mut commands);
        stands.push(stands_of(&commands, |id| {
            let aside = happened.put_aside(id).map(str::to_owned);
            Some((happened.get(id)?, aside))
        }));
    }
    stands
}

/// Has commands succeed, or refused, and timers that waited for them fire, until nothing is left.
fn settle(mut happened: Happened<Probe>, commands: &mut Commands) -> Happened<Probe> {
    loop {
        let of = |id: &&'static str| happened.get(id).map(move |it| (*id, it));
        let there: Vec<_> = IDS.iter().filter_map(of).collect();
        let is_open = |(id, it): &&(&str, ProcessInstance)| {
            !it.outgoing.is_empty() && happened.put_aside(id).is_none()
        };
        if let Some((id, instance)) = there.iter().find(is_open) {
            note(commands, id, &instance.outgoing[0]);
            let text = instance.outgoing[0].body["text"]
                .as_str()
                .unwrap_or_default();
            happened = match is_refused(text) {
                true => happened.of(id).when_rejected(refused(text)),
                false => happened.of(id).when_succeeded(),
            };
            continue;
        }
        if happened.is_to_be_tried_again() {
            happened = happened.again();
            continue;
        }
        let before: Vec<_> = there.iter().map(|(_, it)| it.timers.clone()).collect();
        happened = happened.when_time_passes(Duration::ZERO);
        let after = IDS.iter().filter_map(|id| happened.get(id));
        let after: Vec<_> = after.map(|it| it.timers).collect();
        if before == after && !happened.is_to_be_tried_again() {
            return happened;
        }
    }
}

/// Notes a command that is dispatched, once.
fn note(commands: &mut Commands, id: &str, command: &ProcessOutgoing) {
    let known = commands.entry(id.to_owned()).or_default();
    if known.iter().all(|(id, _)| *id != command.command_id) {
        let shown = json!({ command.name.as_str(): command.body });
        known.push((command.command_id, shown));
    }
}

/// What becomes of the instances in a running app, after each step.
async fn ran(steps: &[Step]) -> Vec<Stands> {
    let clock = ManualClock::new();
    let options = MemoryOptions::new().clock(Arc::new(clock.clone()));
    let dispatched = Dispatched::default();
    let app = App::builder(MemoryStore::with_options(options))
        .aggregate::<Sender>()
        .aggregate::<Ledger>()
        .aggregate::<Bell>()
        .middleware(dispatched.clone())
        .config(Config::new().beat(Duration::from_millis(20)))
        .process_manager::<Probe>()
        .start()
        .await
        .unwrap();
    let mut stands = Vec::new();
    for step in steps {
        match step {
            Step::Signal(signalled) => {
                let (signal, signalled) = ("s".to_owned(), signalled.clone());
                app.dispatch(Signal { signal, signalled }).await.unwrap();
            }
            Step::Pass(seconds) => clock.advance(Duration::from_secs(*seconds)),
        }
        let instances = come_to_rest(&app, &clock).await;
        let commands = dispatched.commands.lock().unwrap().clone();
        stands.push(stands_of(&commands, |id| instances.get(id).cloned()));
    }
    app.shutdown().await.unwrap();
    stands
}

type Instances = BTreeMap<String, (ProcessInstance, Option<String>)>;

/// Waits until all events are handled, all commands settled, and no timer is due.
async fn come_to_rest(app: &App, clock: &ManualClock) -> Instances {
    let begin = Instant::now();
    loop {
        if let Some(instances) = at_rest(app, clock).await {
            return instances;
        }
        assert!(begin.elapsed() < WITHIN, "it does not come to rest");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn at_rest(app: &App, clock: &ManualClock) -> Option<Instances> {
    let status = app.subscriptions().status("probe").await.unwrap();
    let head = app.store().head().await.unwrap();
    if status.lag > 0 || status.parked > 0 || status.head != head {
        return None;
    }
    let letters = app.subscriptions().dead_letters("probe").await.unwrap();
    let mut instances = Instances::new();
    for id in IDS {
        let aside = letters.iter().find(|letter| letter.key == id);
        let aside = aside.map(|letter| letter.error.clone());
        let Some(instance) = app.processes("probe").get(id).await.unwrap() else {
            continue;
        };
        let is_due = |due_at| due_at <= clock.now();
        let is_busy = !instance.outgoing.is_empty()
            || instance.timers.iter().any(|timer| is_due(timer.due_at));
        if aside.is_none() && is_busy {
            return None;
        }
        instances.insert(id.to_owned(), (instance, aside));
    }
    Some(instances)
}

fn stands_of(
    commands: &Commands,
    of: impl Fn(&str) -> Option<(ProcessInstance, Option<String>)>,
) -> Stands {
    let stand = |id: &str| {
        let (instance, aside) = of(id)?;
        let commands = commands.get(id).into_iter().flatten();
        let timers = instance.timers.into_iter();
        let outgoing = instance.outgoing.into_iter();
        Some(Stand {
            commands: commands.map(|(_, command)| command.clone()).collect(),
            finished: instance.finished,
            state: ordered(instance.state),
            timers: timers
                .map(|it| (it.key, it.due_at.to_string(), it.payload))
                .collect(),
            outgoing: outgoing.map(|it| (it.name, it.attempts)).collect(),
            command_error: instance.command_error,
            aside,
        })
    };
    let all = IDS
        .iter()
        .filter_map(|id| Some(((*id).to_owned(), stand(id)?)));
    all.collect()
}

/// The state with its set in order.
fn ordered(mut state: Value) -> Value {
    if let Some(kinds) = state["kinds"].as_array_mut() {
        kinds.sort_by_key(Value::to_string);
    }
    state
}

/// Notes the commands that are dispatched to ledgers and bells, each once.
#[derive(Debug, Clone, Default)]
struct Dispatched {
    commands: Arc<Mutex<Commands>>,
}

#[async_trait::async_trait]
impl Middleware for Dispatched {
    async fn dispatch(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, Halt> {
        if request.stream().category() != "signal" {
            self.note(request);
        }
        next.run(request).await
    }
}

impl Dispatched {
    fn note(&self, request: &Request) {
        let mut commands = self.commands.lock().unwrap();
        let known = commands
            .entry(request.stream().id().to_owned())
            .or_default();
        if known.iter().all(|(id, _)| *id != request.command_id) {
            let body = request.to_json().unwrap();
            known.push((request.command_id, json!({ request.name(): body })));
        }
    }
}
