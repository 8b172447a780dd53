//! The suite finds what it is for: each of these stores has one defect, and the scenario about it
//! fails.

mod read_side;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use ordain::store::{
    Append, Appended, CommandKey, Deletion, LogPage, MemoryOptions, NewLinks, NewOutcome, ReadAll,
    ReadStream, Repeat, StreamHead, StreamInfo, StreamList, StreamPage, StreamQuery,
};
use ordain::{
    Codec, EventId, EventStore, ExpectedVersion, GlobalPosition, MemoryStore, Snapshot, StoreError,
    StreamId,
};
use ordain_testkit::contract::{self, StoreFixture};
use time::OffsetDateTime;
use tokio::sync::Mutex;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Defect {
    /// None; appends only wait for their turn, so that they are under way for a while.
    Queues,
    LosesEventInLog,
    IgnoresBuildsOn,
    AcceptsAnyVersion,
    ForgetsOutcome,
    StoresHalfOfSeveral,
    IgnoresFilter,
    EndsPageEarly,
    KeepsDuplicates,
    ErasesLinkedEvents,
    ShowsPositionsEarly,
    ReordersAppends,
    ReopensErasedNames,
    IgnoresDeadline,
    KeepsOldSnapshot,
}

#[derive(Debug)]
struct Store {
    inner: MemoryStore,
    defect: Defect,
    turn: Mutex<()>,
    appends: AtomicU64,
}

#[derive(Debug)]
struct With(Defect);

impl With {
    fn wrap(&self, inner: MemoryStore) -> Store {
        Store {
            inner,
            defect: self.0,
            turn: Mutex::new(()),
            appends: AtomicU64::new(0),
        }
    }
}

impl StoreFixture for With {
    type Store = Store;

    async fn open(&self) -> Store {
        self.wrap(MemoryStore::with_options(
            MemoryOptions::new().hard_deletes(true),
        ))
    }

    async fn open_without_hard_deletes(&self) -> Store {
        self.wrap(MemoryStore::new())
    }
}

impl Store {
    fn is(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    async fn links_of(&self, stream: &StreamId) -> Vec<StreamId> {
        let read = ReadStream::forward(stream.clone());
        let page = self.inner.read_stream(read).await;
        let events = page.map(|page| page.events).unwrap_or_default();
        let links: HashSet<_> = events
            .into_iter()
            .filter(|event| event.link.is_some())
            .map(|event| event.stream)
            .collect();
        links.into_iter().collect()
    }
}

#[async_trait]
impl EventStore for Store {
    fn codec(&self) -> &Codec {
        self.inner.codec()
    }

    async fn append(&self, mut append: Append) -> Result<Appended, StoreError> {
        let number = self.appends.fetch_add(1, Ordering::Relaxed);
        if self.is(Defect::ReordersAppends) && number.is_multiple_of(2) {
            tokio::task::yield_now().await;
        }
        let _turn = match self.defect {
            Defect::Queues => Some(self.turn.lock().await),
            _ => None,
        };
        if self.is(Defect::Queues) {
            tokio::task::yield_now().await;
        }
        for write in &mut append.writes {
            match self.defect {
                Defect::IgnoresBuildsOn => write.builds_on = None,
                Defect::AcceptsAnyVersion => {
                    (write.expected, write.builds_on) = (ExpectedVersion::Any, None);
                }
                Defect::KeepsDuplicates => {
                    for event in &mut write.events {
                        event.event_id = EventId::new();
                    }
                }
                _ => {}
            }
        }
        match self.defect {
            Defect::IgnoresDeadline => append.deadline = None,
            Defect::StoresHalfOfSeveral if append.writes.len() > 1 => {
                let first = append.writes.remove(0);
                let _ = self.inner.append(Append::several(vec![first])).await;
            }
            _ => {}
        }
        self.inner.append(append).await
    }

    async fn record_outcome(&self, outcome: NewOutcome) -> Result<(), StoreError> {
        match self.defect {
            Defect::ForgetsOutcome => Ok(()),
            _ => self.inner.record_outcome(outcome).await,
        }
    }

    async fn find_repeat(&self, command: &CommandKey) -> Result<Option<Repeat>, StoreError> {
        self.inner.find_repeat(command).await
    }

    async fn forget_outcomes(&self, before: OffsetDateTime) -> Result<u64, StoreError> {
        self.inner.forget_outcomes(before).await
    }

    async fn link(&self, links: NewLinks) -> Result<Appended, StoreError> {
        self.inner.link(links).await
    }

    async fn delete_stream(
        &self,
        stream: &StreamId,
        expected: ExpectedVersion,
        deletion: Deletion,
    ) -> Result<StreamHead, StoreError> {
        if self.is(Defect::ErasesLinkedEvents) && deletion == Deletion::Hard {
            for linked in self.links_of(stream).await {
                self.inner
                    .delete_stream(&linked, ExpectedVersion::Any, deletion)
                    .await?;
            }
        }
        self.inner.delete_stream(stream, expected, deletion).await
    }

    async fn undelete_stream(&self, stream: &StreamId) -> Result<StreamHead, StoreError> {
        self.inner.undelete_stream(stream).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        let stream = read.stream.clone();
        match self.inner.read_stream(read).await {
            Err(StoreError::StreamErased { .. }) if self.is(Defect::ReopensErasedNames) => {
                Err(StoreError::StreamNotFound { stream })
            }
            result => result,
        }
    }

    async fn read_all(&self, mut read: ReadAll) -> Result<LogPage, StoreError> {
        if self.is(Defect::IgnoresFilter) {
            read.filter = Default::default();
        }
        let mut page = self.inner.read_all(read).await?;
        match self.defect {
            Defect::LosesEventInLog => page.events.retain(|event| event.position != 5),
            Defect::EndsPageEarly if page.events.is_empty() => page.at_end = true,
            Defect::ShowsPositionsEarly if page.at_end => {
                page.examined = page.examined.next();
            }
            _ => {}
        }
        Ok(page)
    }

    async fn stream_head(&self, stream: &StreamId) -> Result<StreamHead, StoreError> {
        self.inner.stream_head(stream).await
    }

    async fn stream_info(&self, stream: &StreamId) -> Result<StreamInfo, StoreError> {
        self.inner.stream_info(stream).await
    }

    async fn list_streams(&self, query: StreamQuery) -> Result<StreamList, StoreError> {
        self.inner.list_streams(query).await
    }

    async fn head(&self) -> Result<GlobalPosition, StoreError> {
        self.inner.head().await
    }

    async fn position_at(&self, time: OffsetDateTime) -> Result<GlobalPosition, StoreError> {
        self.inner.position_at(time).await
    }

    async fn record_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        if self.is(Defect::KeepsOldSnapshot) {
            let _ = self.inner.delete_snapshot(&snapshot.stream).await;
        }
        self.inner.record_snapshot(snapshot).await
    }

    async fn read_snapshot(&self, stream: &StreamId) -> Result<Snapshot, StoreError> {
        self.inner.read_snapshot(stream).await
    }

    async fn delete_snapshot(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.inner.delete_snapshot(stream).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// A store whose appends are under way for a while keeps the contract.
mod queues {
    use super::{Defect, With};

    ordain_testkit::store_contract!(With(Defect::Queues));
}

macro_rules! finds {
    ($($test:ident: $defect:ident by $module:ident::$scenario:ident;)*) => {
        $(
            #[test]
            fn $test() {
                let fixture = With(Defect::$defect);
                let scenario = contract::$module::$scenario(&fixture);
                let run = AssertUnwindSafe(|| contract::run(stringify!($scenario), scenario));
                assert!(catch_unwind(run).is_err(), "the scenario passes in spite of the defect");
            }
        )*
    };
}

finds! {
    a_lost_event: LosesEventInLog by order::positions_are_dense_and_in_commit_order;
    a_lost_event_by_a_reader: LosesEventInLog by order::every_reader_sees_a_beginning_of_the_same_log;
    an_examined_position_beyond_the_head: ShowsPositionsEarly by order::positions_are_dense_and_in_commit_order;
    aba_in_a_chain: IgnoresBuildsOn by chains::a_foreign_append_does_not_stand_in_for_a_failed_one;
    aba_in_the_model: IgnoresBuildsOn by model::pipelined_and_foreign_writers_leave_no_hole;
    any_version: AcceptsAnyVersion by append::c009_a_wrong_version_is_refused_and_nothing_is_stored;
    two_winners: AcceptsAnyVersion by append::c053_four_appends_at_one_version_have_one_winner;
    a_version_nobody_checks_in_the_model: AcceptsAnyVersion by model::pipelined_and_foreign_writers_leave_no_hole;
    a_forgotten_outcome: ForgetsOutcome by commands::a_command_with_a_remembered_outcome_is_recognised;
    half_an_append: StoresHalfOfSeveral by several::if_one_of_several_streams_is_refused_none_is_written;
    an_ignored_filter: IgnoresFilter by filter::a_filter_selects_by_type_category_or_stream;
    an_early_end: EndsPageEarly by filter::a_page_does_not_end_early_because_of_its_filter;
    a_duplicate: KeepsDuplicates by append::c055_a_used_event_id_is_refused;
    erased_targets: ErasesLinkedEvents by links::d1_erasing_links_leaves_their_targets;
    a_changed_order: ReordersAppends by chains::appends_in_flight_are_decided_in_the_order_of_their_first_poll;
    a_reopened_name: ReopensErasedNames by delete::c066_an_erased_stream_is_gone_and_its_name_closed;
    a_missed_deadline: IgnoresDeadline by append::an_append_after_its_deadline_is_not_begun;
    a_snapshot_replaced_by_an_older_one: KeepsOldSnapshot by snapshots::an_older_snapshot_does_not_replace_a_newer_one;
}
