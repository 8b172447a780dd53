//! Kills the bank again and again in the middle of a day, and looks whether anything was lost or done
//! twice.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bank::Bank;
use fastrand::Rng;
use futures::stream::TryStreamExt;
use ordain::store::{EventStoreExt, ReadAll};
use ordain::{EventId, EventStore, StreamId};

use super::{command, table};

/// No run takes that long.
const RUN_MAX: Duration = Duration::from_secs(180);
/// How often the bank tells its progress.
const STEP: u64 = 1_000;

/// How a day is disturbed.
pub struct Plan {
    commands: u64,
    accounts: u64,
    kills: u64,
    /// How many kills have to come in the middle of the work.
    partial_min: u64,
    seed: u64,
}

impl Plan {
    /// A few kills, for every day.
    pub fn short() -> Self {
        Self {
            commands: 5_000,
            accounts: 100,
            kills: 5,
            partial_min: 3,
            seed: 1,
        }
    }

    /// Many kills, which take minutes. The environment changes it: `BANK_KILL_COMMANDS`,
    /// `BANK_KILL_KILLS` and `BANK_KILL_SEED`.
    pub fn long() -> Self {
        let kills = parameter("BANK_KILL_KILLS", 20);
        Self {
            commands: parameter("BANK_KILL_COMMANDS", 200_000),
            accounts: 2_000,
            kills,
            partial_min: kills * 3 / 4,
            seed: parameter("BANK_KILL_SEED", 1),
        }
    }

    /// Runs a day through on one store, and with kills on the other; in the end both have to hold the same.
    pub fn carry_out(&self, undisturbed: &str, killed: &str) {
        let begin = Instant::now();
        let directory = tempfile::tempdir().unwrap();
        let day = directory.path().join("day.jsonl");
        self.generate(&day);
        let table = run_through(&day, undisturbed);
        let reference = Log::read(undisturbed);
        reference.check();
        let partial = self.kill(&day, killed, &reference);
        assert_eq!(run_through(&day, killed), table);
        let log = Log::read(killed);
        log.check();
        assert!(log == reference, "events were lost, doubled or reordered");
        self.report(&log, partial, begin.elapsed());
        assert!(
            partial >= self.partial_min,
            "too few kills came in the middle"
        );
    }

    /// Returns how many kills came in the middle.
    fn kill(&self, day: &Path, store: &str, reference: &Log) -> u64 {
        let mut rng = Rng::with_seed(self.seed);
        let mut partial = 0;
        for kill in 0..self.kills {
            let at = self.point(kill, &mut rng);
            let status = run_until(day, store, at);
            let log = Log::read(store);
            log.check();
            let was_killed = status.signal() == Some(9);
            let is_partial = was_killed && log.events > 0 && log.events < reference.events;
            partial += u64::from(is_partial);
            println!(
                "kill {:>2} at {at:>6} commands: {:>6} of {} events{}",
                kill + 1,
                log.events,
                reference.events,
                if is_partial { "" } else { ", too late" }
            );
        }
        partial
    }

    fn report(&self, log: &Log, partial: u64, elapsed: Duration) {
        println!(
            "{} commands, {} events in {} streams, none lost and none doubled; {partial} of {} kills left a partial run; {:.0} s",
            self.commands,
            log.events,
            log.streams.len(),
            self.kills,
            elapsed.as_secs_f64()
        );
    }

    fn generate(&self, file: &Path) {
        let [commands, accounts, seed] =
            [self.commands, self.accounts, self.seed].map(|number| number.to_string());
        let arguments = [
            "--commands",
            &commands,
            "--accounts",
            &accounts,
            "--seed",
            &seed,
        ];
        let status = command()
            .arg("generate")
            .args(arguments)
            .stdout(File::create(file).unwrap())
            .status();
        assert!(status.unwrap().success());
    }

    /// A random count within this kill's share of the day: every restart begins at the first line, so
    /// later kills have to come later to find fresh work.
    fn point(&self, kill: u64, rng: &mut Rng) -> u64 {
        let share = self.commands.saturating_sub(STEP) / self.kills;
        let point = kill * share + rng.u64(..share.max(1));
        (point / STEP * STEP).max(STEP)
    }
}

fn parameter(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| value.parse().expect("a number"))
}

/// Runs the day to its end; returns the table.
fn run_through(day: &Path, store: &str) -> String {
    let (out, status) = Run::start(day, store).finish();
    assert!(status.success(), "{status}");
    table(&out).to_owned()
}

/// Runs the day until its progress has come to this count, and kills it there.
fn run_until(day: &Path, store: &str, count: u64) -> ExitStatus {
    let mut run = Run::start(day, store);
    run.wait_for(count);
    run.kill();
    run.finish().1
}

/// A bank at work. It is killed when it takes too long, or when the test ends before it does.
struct Run {
    child: Arc<Mutex<Child>>,
    progress: Box<dyn BufRead>,
    /// Dropped when the bank has ended, which ends the watch over it.
    _alive: mpsc::Sender<()>,
}

impl Run {
    fn start(day: &Path, store: &str) -> Self {
        let mut child = command()
            .arg("run")
            .arg(day)
            .args(["--progress", "--store", store])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let progress = Box::new(BufReader::new(child.stderr.take().unwrap()));
        let child = Arc::new(Mutex::new(child));
        Self {
            _alive: watch(&child),
            child,
            progress,
        }
    }

    fn wait_for(&mut self, count: u64) {
        let mut line = String::new();
        while self.progress.read_line(&mut line).unwrap() > 0 {
            let told = line.trim().strip_prefix("progress ").expect(&line);
            if told.parse::<u64>().unwrap() >= count {
                return;
            }
            line.clear();
        }
    }

    fn kill(&self) {
        // An error says that it has ended by itself.
        let _ = self.child.lock().unwrap().kill();
    }

    /// Waits for the end.
    fn finish(mut self) -> (String, ExitStatus) {
        let mut told = Vec::new();
        self.progress.read_to_end(&mut told).unwrap();
        let mut out = String::new();
        let stdout = self.child.lock().unwrap().stdout.take();
        stdout.unwrap().read_to_string(&mut out).unwrap();
        let status = self.child.lock().unwrap().wait().unwrap();
        (out, status)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Kills the child when the time is up and the sender still lives.
fn watch(child: &Arc<Mutex<Child>>) -> mpsc::Sender<()> {
    let (alive, ended) = mpsc::channel();
    let child = Arc::clone(child);
    thread::spawn(move || {
        if ended.recv_timeout(RUN_MAX) == Err(RecvTimeoutError::Timeout) {
            let _ = child.lock().unwrap().kill();
        }
    });
    alive
}

/// All events of a store.
#[derive(PartialEq)]
struct Log {
    events: u64,
    /// The events of each stream in order. Their ids follow from the commands that they came from.
    streams: BTreeMap<StreamId, Vec<EventId>>,
    /// Positions or versions that do not follow those before them.
    gaps: Vec<String>,
}

impl Log {
    fn read(store: &str) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let bank = Bank::open_existing(&store.parse().unwrap()).await.unwrap();
            let log = Self::read_from(bank.store()).await;
            let _ = bank.close().await;
            log
        })
    }

    async fn read_from(store: &dyn EventStore) -> Self {
        // A server may still carry out what a killed process had sent, so the end is a lower bound.
        let head = store.head().await.unwrap();
        let (mut events, mut streams, mut gaps) = (0, BTreeMap::new(), Vec::new());
        let mut all = store.stream_all(ReadAll::forward());
        while let Some(event) = all.try_next().await.unwrap() {
            events += 1;
            let stream: &mut Vec<_> = streams.entry(event.stream.clone()).or_default();
            stream.push(event.event_id);
            if event.position != events || event.version != stream.len() as u64 {
                let (stream, version, position) = (event.stream, event.version, event.position);
                gaps.push(format!("{stream} {version:?} at {position:?}"));
            }
        }
        if head > events.into() {
            gaps.push(format!("the end at {head:?}"));
        }
        Self {
            events,
            streams,
            gaps,
        }
    }

    #[track_caller]
    fn check(&self) {
        assert!(self.gaps.is_empty(), "out of order: {:?}", self.gaps);
    }
}
