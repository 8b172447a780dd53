//! Projections that run in the command's own transaction.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use time::OffsetDateTime;

use super::Projection;
use super::setup::persistently;
use crate::aggregate::instance::panic_message;
use crate::clock::Clock;
use crate::handler::{Decoder, EventContext, FailureCause};
use crate::store::{Append, Appended, ProjectionStore, StreamWrite};
use crate::{
    BoxError, EventSet, EventType, ExpectedVersion, GlobalPosition, RecordedEvent, StartError,
    StoreError, StreamVersion,
};

/// Appends events together with what projections make of them.
pub(crate) trait InlineAppend: Send + Sync {
    /// Whether a projection wants events of one of these types.
    fn wants(&self, types: &[EventType]) -> bool;

    /// Whether a projection wants one of these events.
    fn wants_some_of(&self, append: &Append) -> bool;

    /// Projects the events, and appends them in the same transaction.
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Appended, StoreError>>;
}

/// A projection without its type.
trait Inline<Conn>: Send + Sync {
    fn name(&self) -> &'static str;

    fn types(&self) -> &'static [EventType];

    fn time_limit(&self) -> Duration;

    fn setup<'a>(&'a self, db: &'a mut Conn) -> BoxFuture<'a, Result<(), BoxError>>;

    fn project<'a>(
        &'a self,
        event: &'a Arc<RecordedEvent>,
        decoder: &'a Decoder,
        db: &'a mut Conn,
    ) -> BoxFuture<'a, Result<(), BoxError>>;
}

struct Erased<P>(P);

impl<Conn: Send + 'static, P: Projection<Conn>> Inline<Conn> for Erased<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn types(&self) -> &'static [EventType] {
        P::Events::TYPES
    }

    fn time_limit(&self) -> Duration {
        self.0.options().time_limit
    }

    fn setup<'a>(&'a self, db: &'a mut Conn) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(self.0.setup(db))
    }

    fn project<'a>(
        &'a self,
        event: &'a Arc<RecordedEvent>,
        decoder: &'a Decoder,
        db: &'a mut Conn,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async move {
            for part in decoder.parts::<P::Events>(event)? {
                let mut context = EventContext::of(Arc::clone(event));
                context.part = part.index;
                self.0.project(&part.event, &context, db).await?;
            }
            Ok(())
        })
    }
}

/// The projections that run in the commands' own transactions.
pub(crate) struct InlineProjections<S: ProjectionStore> {
    store: S,
    decoder: Decoder,
    clock: Arc<dyn Clock>,
    projections: Vec<Box<dyn Inline<S::Connection>>>,
}

impl<S: ProjectionStore> InlineProjections<S> {
    pub(crate) fn new(store: S, decoder: Decoder, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            decoder,
            clock,
            projections: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, projection: impl Projection<S::Connection>) {
        self.projections.push(Box::new(Erased(projection)));
    }

    /// Makes the tables.
    pub(crate) async fn setup(&self) -> Result<(), StartError> {
        for projection in &self.projections {
            persistently(projection.name(), || self.make_tables(&**projection)).await?;
        }
        Ok(())
    }

    async fn make_tables(&self, projection: &dyn Inline<S::Connection>) -> Result<(), StartError> {
        let mut work = self.store.begin_work().await?;
        let setup = projection.setup(S::connection(&mut work)).await;
        setup.map_err(|source| StartError::Tables {
            projection: projection.name(),
            source,
        })?;
        self.store.commit_change(work, Vec::new()).await?;
        Ok(())
    }

    async fn project_and_append(&self, append: Append) -> Result<Appended, StoreError> {
        append.check_chain()?;
        let mut work = self.store.begin_work().await?;
        let now = self.clock.now();
        let events = append.writes.iter().flat_map(|write| to_come(write, now));
        for event in events {
            for projection in &self.projections {
                if !is_wanted(projection.types(), &event.event_type) {
                    continue;
                }
                let connection = S::connection(&mut work);
                let projecting = projection.project(&event, &self.decoder, connection);
                let projected = in_time(projecting, projection.time_limit()).await;
                projected.map_err(|error| failed::<S>(projection.name(), error))?;
            }
        }
        self.store.commit_append(work, append).await
    }
}

impl<S: ProjectionStore> InlineAppend for InlineProjections<S> {
    fn wants(&self, types: &[EventType]) -> bool {
        types.iter().any(|wanted| {
            let mut projections = self.projections.iter();
            projections.any(|one| is_wanted(one.types(), wanted.name))
        })
    }

    fn wants_some_of(&self, append: &Append) -> bool {
        let mut events = append.writes.iter().flat_map(|write| &write.events);
        events.any(|event| {
            let mut projections = self.projections.iter();
            projections.any(|one| is_wanted(one.types(), &event.event_type))
        })
    }

    fn append(&self, append: Append) -> BoxFuture<'_, Result<Appended, StoreError>> {
        Box::pin(async move {
            let chain = append.chain.clone();
            let appended = self.project_and_append(append).await;
            if let (Err(_), Some(chain)) = (&appended, chain) {
                chain.break_off();
            }
            appended
        })
    }
}

/// The command, and all that wait for its aggregate, wait for this: so it neither lasts for ever, nor takes their task
/// with it.
async fn in_time(
    projecting: impl Future<Output = Result<(), BoxError>>,
    limit: Duration,
) -> Result<(), BoxError> {
    let projecting = AssertUnwindSafe(projecting).catch_unwind();
    match tokio::time::timeout(limit, projecting).await {
        Ok(Ok(projected)) => projected,
        Ok(Err(panic)) => Err(FailureCause::Panic(panic_message(&*panic)).into()),
        Err(_) => Err(FailureCause::TimedOut(limit).into()),
    }
}

fn is_wanted(types: &[EventType], name: &str) -> bool {
    types.iter().any(|wanted| wanted.is_called(name))
}

fn failed<S: ProjectionStore>(projection: &'static str, source: BoxError) -> StoreError {
    if S::is_transient(&source) {
        return StoreError::unavailable(source);
    }
    StoreError::ProjectionFailed { projection, source }
}

/// The events of a write as they will be stored, but for the position, and the time, which is about this one.
fn to_come(write: &StreamWrite, now: OffsetDateTime) -> impl Iterator<Item = Arc<RecordedEvent>> {
    let base = match write.expected {
        ExpectedVersion::Exact(version) => version,
        _ => StreamVersion::NONE,
    };
    write.events.iter().zip(1..).map(move |(event, number)| {
        let version = base.plus(number);
        let stream = write.stream.clone();
        let position = GlobalPosition::ORIGIN;
        let event = RecordedEvent::record(event.clone(), stream, version, position, now);
        Arc::new(event)
    })
}
