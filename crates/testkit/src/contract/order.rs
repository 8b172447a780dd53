//! The order of the log while many write to it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ordain::store::{Append, Appended, ReadAll};
use ordain::{EventId, EventStore, GlobalPosition, RecordedEvent, StoreError};
use tokio::sync::watch;

use super::StoreFixture;
use super::support::*;

const WRITERS: u64 = 6;
const APPENDS: u64 = 25;

/// Tasks append, fail, and drop their futures at random; a reader follows the log. It sees every
/// position once, in order, and none that an append did not say.
pub async fn positions_are_dense_and_in_commit_order<F: StoreFixture>(fixture: &F) {
    let store = Arc::new(fixture.open().await);
    let (wake, woken) = watch::channel(Progress::default());
    let reader = tokio::spawn(follow(Arc::clone(&store), woken));
    let wake = Arc::new(wake);
    let written = at_once(WRITERS as usize, |seed| {
        write_at_random(Arc::clone(&store), seed as u64, Arc::clone(&wake))
    });
    let written = written.await;
    let head = store.head().await.expect("head");
    wake.send_modify(|progress| progress.until = Some(head));
    let seen = reader.await.expect("the reader panicked");
    assert_dense(&seen);
    assert_versions_dense(&seen);
    for written in written {
        assert_as_answered(&written, &seen, head);
    }
}

/// A position that a reader has seen never gets an older neighbour: what several readers see at the
/// same time are beginnings of one another.
pub async fn every_reader_sees_a_beginning_of_the_same_log<F: StoreFixture>(fixture: &F) {
    let store = Arc::new(fixture.open().await);
    let (wake, woken) = watch::channel(Progress::default());
    let readers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(follow(Arc::clone(&store), woken.clone())))
        .collect();
    let wake = Arc::new(wake);
    let written = at_once(4, |task| {
        let (store, wake) = (Arc::clone(&store), Arc::clone(&wake));
        async move {
            for amount in 0..15 {
                given(&*store, &account(&task.to_string()), [amount, amount]).await;
                wake.send_modify(|progress| progress.appends += 1);
            }
        }
    });
    written.await;
    let head = store.head().await.expect("head");
    wake.send_modify(|progress| progress.until = Some(head));
    for reader in readers {
        let seen = reader.await.expect("the reader panicked");
        assert_eq!(positions(&seen), (1..=120).collect::<Vec<_>>());
        assert_eq!(event_ids(&seen), event_ids(&log(&*store).await));
    }
}

/// What the writers tell the reader.
#[derive(Debug, Default)]
struct Progress {
    appends: u64,
    until: Option<GlobalPosition>,
}

/// Reads to the head, again whenever something was written, until told the last head.
async fn follow<S: EventStore>(
    store: Arc<S>,
    mut woken: watch::Receiver<Progress>,
) -> Vec<RecordedEvent> {
    let mut seen = Vec::new();
    let mut after = GlobalPosition::ORIGIN;
    loop {
        let until = woken.borrow_and_update().until;
        let read = ReadAll::forward().after(after).limit(7);
        let page = store.read_all(read).await.expect("page");
        assert!(page.examined >= after, "the log went backwards");
        let at_end = page.at_end;
        after = page.examined;
        seen.extend(page.events);
        if until.is_some_and(|until| after >= until) {
            return seen;
        }
        if at_end && until.is_none() {
            woken.changed().await.expect("the writers are at work");
        }
    }
}

/// What became of one task's appends.
#[derive(Debug, Default)]
struct Written {
    stored: Vec<(Vec<EventId>, Appended)>,
    refused: Vec<EventId>,
    dropped: Vec<Vec<EventId>>,
}

async fn write_at_random<S: EventStore>(
    store: Arc<S>,
    seed: u64,
    wake: Arc<watch::Sender<Progress>>,
) -> Written {
    let mut random = Random::new(seed);
    let mut written = Written::default();
    for _ in 0..APPENDS {
        let (append, ids, fails) = any_append(&mut random, &written);
        if random.below(5) == 0 {
            let polls = random.below(4);
            match poll_and_drop(store.append(append), polls).await {
                Some(result) => note(&mut written, ids, fails, result),
                None if fails => note_refused(&mut written, ids),
                None => written.dropped.push(ids),
            }
        } else {
            let result = store.append(append).await;
            note(&mut written, ids, fails, result);
        }
        wake.send_modify(|progress| progress.appends += 1);
    }
    written
}

/// An append to one or two of a few streams; some cannot succeed.
fn any_append(random: &mut Random, written: &Written) -> (Append, Vec<EventId>, bool) {
    let mut events = deposits(0..=random.below(4));
    let mut expected = ANY;
    let fails = match random.below(6) {
        0 => {
            expected = exactly(1_000_000);
            true
        }
        1 => match written.stored.first() {
            Some((used, _)) => {
                events.push(deposited(9));
                events.last_mut().expect("just pushed").event_id = used[0];
                true
            }
            None => false,
        },
        _ => false,
    };
    let first = random.below(4);
    let mut writes = vec![write(&account(&first.to_string()), expected, events)];
    if random.below(3) == 0 {
        let second = (first + 1 + random.below(3)) % 4;
        let more = deposits(0..=random.below(2));
        writes.push(write(&account(&second.to_string()), ANY, more));
    }
    let ids = writes.iter().flat_map(|write| ids(&write.events)).collect();
    (Append::several(writes), ids, fails)
}

fn note(
    written: &mut Written,
    ids: Vec<EventId>,
    fails: bool,
    result: Result<Appended, StoreError>,
) {
    match result {
        Ok(appended) => {
            assert!(!fails, "an append that could not fit was accepted");
            written.stored.push((ids, appended));
        }
        Err(error) => {
            assert!(fails, "an append that fits was refused: {error}");
            note_refused(written, ids);
        }
    }
}

fn note_refused(written: &mut Written, mut ids: Vec<EventId>) {
    let used: HashSet<_> = written.stored.iter().flat_map(|(ids, _)| ids).collect();
    ids.retain(|id| !used.contains(id));
    written.refused.extend(ids);
}

async fn poll_and_drop<T>(mut future: futures::future::BoxFuture<'_, T>, polls: u64) -> Option<T> {
    for _ in 0..polls {
        if let std::task::Poll::Ready(value) = futures::poll!(&mut future) {
            return Some(value);
        }
        tokio::task::yield_now().await;
    }
    None
}

fn assert_dense(seen: &[RecordedEvent]) {
    let expected: Vec<_> = (1..=seen.len() as u64).collect();
    assert_eq!(
        positions(seen),
        expected,
        "positions are skipped, doubled or out of order"
    );
    assert!(
        seen.is_sorted_by_key(|event| event.recorded_at),
        "recorded_at runs backwards"
    );
    let ids: HashSet<_> = event_ids(seen).into_iter().collect();
    assert_eq!(ids.len(), seen.len(), "an event stands in the log twice");
}

fn assert_versions_dense(seen: &[RecordedEvent]) {
    let mut versions = HashMap::new();
    for event in seen {
        let last = versions.entry(&event.stream).or_insert(0);
        assert_eq!(
            event.version,
            *last + 1,
            "versions of {} have a hole",
            event.stream
        );
        *last += 1;
    }
}

fn assert_as_answered(written: &Written, seen: &[RecordedEvent], head: GlobalPosition) {
    let place: HashMap<_, _> = seen
        .iter()
        .map(|event| (event.event_id, event.position))
        .collect();
    for (ids, appended) in &written.stored {
        let found: Vec<_> = ids.iter().map(|id| place[id].get()).collect();
        let said = appended.first_position.get()..=appended.last_position.get();
        assert_eq!(found, said.collect::<Vec<_>>());
    }
    for id in &written.refused {
        assert!(!place.contains_key(id), "a refused event is in the log");
    }
    for ids in &written.dropped {
        let found = ids.iter().filter_map(|id| place.get(id));
        let count = found.filter(|position| **position <= head).count();
        assert!(
            count == 0 || count == ids.len(),
            "half of a dropped append is in the log"
        );
    }
}
