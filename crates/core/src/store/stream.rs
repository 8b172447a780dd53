//! Reading without minding pages.

use futures::Stream;
use futures::stream::{self, TryStreamExt};

use super::{Direction, EventStore, ReadAll, ReadStream, StoreError};
use crate::RecordedEvent;

/// Reads that go on from page to page.
pub trait EventStoreExt: EventStore {
    /// The events of a stream; `limit` is the size of a page.
    ///
    /// Ends where the stream ended when its last page was read. A missing or deleted stream is an
    /// error, the first and only item.
    fn stream(
        &self,
        read: ReadStream,
    ) -> impl Stream<Item = Result<RecordedEvent, StoreError>> + Send + Unpin + '_ {
        let pages = stream::try_unfold(Some(read), move |read| async move {
            let Some(mut read) = read else {
                return Ok::<_, StoreError>(None);
            };
            let page = self.read_stream(read.clone()).await?;
            let next = page.next.map(|next| {
                read.from = next;
                read
            });
            Ok(Some((stream::iter(page.events.into_iter().map(Ok)), next)))
        });
        Box::pin(pages.try_flatten())
    }

    /// The events of the log; `limit` is the number of positions that a page examines.
    ///
    /// Ends where the log ended when its last page was read.
    fn stream_all(
        &self,
        read: ReadAll,
    ) -> impl Stream<Item = Result<RecordedEvent, StoreError>> + Send + Unpin + '_ {
        let pages = stream::try_unfold(Some(read), move |read| async move {
            let Some(read) = read else {
                return Ok::<_, StoreError>(None);
            };
            let page = self.read_all(read.clone()).await?;
            let next = (!page.at_end).then_some(ReadAll {
                after: page.examined,
                ..read
            });
            Ok(Some((stream::iter(page.events.into_iter().map(Ok)), next)))
        });
        Box::pin(pages.try_flatten())
    }
}

impl<S: EventStore + ?Sized> EventStoreExt for S {}

impl Direction {
    /// Whether it is towards newer events.
    pub fn is_forward(self) -> bool {
        self == Self::Forward
    }
}
