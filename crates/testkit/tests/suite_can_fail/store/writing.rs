//! The write side.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use ordain::store::{
    Append, Appended, Arrivals, CommandKey, Deletion, LogPage, NewLinks, NewOutcome, ReadAll,
    ReadStream, Repeat, StreamHead, StreamInfo, StreamList, StreamPage, StreamQuery,
};
use ordain::{
    Codec, EventId, EventStore, ExpectedVersion, GlobalPosition, Snapshot, StoreError, StreamId,
};
use time::OffsetDateTime;

use super::{Defect, Store};

#[async_trait]
impl EventStore for Store {
    fn codec(&self) -> &Codec {
        self.inner.codec()
    }

    fn arrivals(&self) -> Option<&Arrivals> {
        self.inner.arrivals()
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
            Defect::IgnoresSettled => append.settles = None,
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

impl Store {
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
