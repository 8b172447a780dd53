//! Projections, event by event and in batches, whose tables tell what they were made of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ordain::store::{ProjectionStore, SubscriptionState};
use ordain::subscription::SubscriptionOptions;
use ordain::{BoxError, EventContext, Projected, Projection, RecordedEvent, StreamId};

use super::super::super::{ConnectionOf, SubscriptionFixture};
use super::handling::{BATCH_MAX, Failing, Happened, options, streams};
use super::world::{StoreOf, World};

/// Keeps a number for every stream that tells which events it was made of, and in which order.
pub(super) struct Trail<F, const VERSION: u32> {
    pub(super) book: Book<F>,
}

/// The same, with one look and one note for all of a batch.
pub(super) struct Tally<F> {
    pub(super) book: Book<F>,
}

/// Where the numbers stand.
#[derive(Debug)]
pub(super) struct Book<F> {
    pub(super) fixture: Arc<F>,
    /// Tells the pages of several cases, for fixtures that keep all in one table.
    pub(super) number: u64,
    pub(super) failing: Failing,
}

impl<F: SubscriptionFixture> Book<F> {
    fn key_of(&self, page: &str, stream: &StreamId) -> String {
        format!("{} {page} {stream}", self.number)
    }

    async fn get(&self, db: &mut ConnectionOf<F>, page: &str, stream: &StreamId) -> i64 {
        let number = self.fixture.get(db, &self.key_of(page, stream)).await;
        number.unwrap_or_default()
    }

    async fn put(&self, db: &mut ConnectionOf<F>, page: &str, stream: &StreamId, number: i64) {
        let key = self.key_of(page, stream);
        self.fixture.put(db, &key, number).await;
    }

    pub(super) async fn empty(&self, db: &mut ConnectionOf<F>, page: &str) {
        for stream in streams() {
            self.put(db, page, &stream, 0).await;
        }
    }
}

/// The number that tells of one more event.
fn folded(number: i64, position: u64) -> i64 {
    let position = i64::try_from(position).unwrap_or_default();
    number.wrapping_mul(1_000_003).wrapping_add(position)
}

/// Where a version of a projection stands in a book.
pub(super) fn page_of(name: &str, version: u32) -> String {
    format!("{name} {version}")
}

impl<F, const VERSION: u32> Projection<ConnectionOf<F>> for Trail<F, VERSION>
where
    F: SubscriptionFixture + Send + Sync + 'static,
{
    const NAME: &'static str = "trail";
    const VERSION: u32 = VERSION;
    type Events = Happened;

    async fn project(
        &self,
        _: &Happened,
        context: &EventContext,
        db: &mut ConnectionOf<F>,
    ) -> Result<(), BoxError> {
        let (page, stream) = (page_of("trail", VERSION), context.stream());
        let number = self.book.get(db, &page, stream).await;
        let number = folded(number, context.position().get());
        self.book.put(db, &page, stream, number).await;
        // After what was written, so that it has to be undone.
        self.book.failing.check(stream)
    }

    async fn reset(&self, db: &mut ConnectionOf<F>) -> Result<(), BoxError> {
        self.book.empty(db, &page_of("trail", VERSION)).await;
        Ok(())
    }

    fn options(&self) -> SubscriptionOptions {
        options().partitions(2)
    }
}

impl<F> Projection<ConnectionOf<F>> for Tally<F>
where
    F: SubscriptionFixture + Send + Sync + 'static,
{
    const NAME: &'static str = "tally";
    type Events = Happened;

    async fn project(
        &self,
        _: &Happened,
        _: &EventContext,
        _: &mut ConnectionOf<F>,
    ) -> Result<(), BoxError> {
        Err("it takes batches".into())
    }

    async fn project_batch(
        &self,
        events: &[Projected<'_, Happened>],
        db: &mut ConnectionOf<F>,
    ) -> Result<(), BoxError> {
        assert!(events.len() <= BATCH_MAX, "{} events at once", events.len());
        let page = page_of("tally", 1);
        let of_batch: BTreeSet<_> = events.iter().map(|one| one.context.stream()).collect();
        for stream in &of_batch {
            let own = events.iter().filter(|one| one.context.stream() == *stream);
            let positions = own.map(|one| one.context.position().get());
            let number = self.book.get(db, &page, stream).await;
            let number = positions.fold(number, folded);
            self.book.put(db, &page, stream, number).await;
        }
        of_batch
            .into_iter()
            .try_for_each(|stream| self.book.failing.check(stream))
    }

    async fn reset(&self, db: &mut ConnectionOf<F>) -> Result<(), BoxError> {
        self.book.empty(db, &page_of("tally", 1)).await;
        Ok(())
    }

    fn options(&self) -> SubscriptionOptions {
        options().partitions(2)
    }
}

impl<F: SubscriptionFixture + Send + Sync + 'static> World<F> {
    pub(super) fn book(&self) -> Book<F> {
        Book {
            fixture: Arc::clone(&self.fixture),
            number: self.seed,
            failing: self.failing.clone(),
        }
    }

    /// A projection is what its events make of it.
    pub(super) async fn check_projection(&self, name: &'static str, log: &[RecordedEvent]) {
        let version = self.active_version(name).await;
        let (book, page) = (self.book(), page_of(name, version));
        let mut found = BTreeMap::new();
        let mut work = self.timed.store.begin_work().await.expect("a transaction");
        for stream in streams() {
            let connection = StoreOf::<F>::connection(&mut work);
            let number = book.get(connection, &page, &stream).await;
            found.insert(stream, number);
        }
        drop(work);
        let left_out = self.left_out(name, version);
        let begun = &self.begun[&(name, version)];
        let is_exact = begun.iter().any(|after| {
            let is_possible =
                |(stream, number)| numbers(log, stream, *after, &left_out).contains(number);
            found.iter().all(is_possible)
        });
        assert!(
            is_exact,
            "version {version} of {name} has {found:?}, and not what follows {begun:?} without {left_out:?}:{}",
            self.log().await
        );
    }

    async fn active_version(&self, name: &str) -> u32 {
        let all = self.statuses().await;
        let is_active =
            |state| matches!(state, SubscriptionState::Active | SubscriptionState::Paused);
        let mut active = all
            .iter()
            .filter(|it| it.name == name && is_active(it.state));
        let version = active.next().expect("one is active").version;
        assert!(active.next().is_none(), "{all:#?}");
        version
    }
}

/// What a projection that began after a position may have of a stream: what was left out for certain is not in it.
fn numbers(
    log: &[RecordedEvent],
    stream: &StreamId,
    after: u64,
    left_out: &BTreeMap<u64, bool>,
) -> BTreeSet<i64> {
    let positions = log
        .iter()
        .filter(|event| event.stream == *stream)
        .map(|event| event.position.get());
    let mut numbers = BTreeSet::from([0]);
    for position in positions.filter(|position| *position > after) {
        let with = numbers.iter().map(|number| folded(*number, position));
        numbers = match left_out.get(&position) {
            None => with.collect(),
            Some(true) => continue,
            Some(false) => with.chain(numbers.iter().copied()).collect(),
        };
    }
    numbers
}
