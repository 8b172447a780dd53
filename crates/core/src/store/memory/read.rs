//! Reads of single streams.

use std::cmp::Ordering;

use super::super::{
    Deletion, ReadStream, StoreError, StreamHead, StreamInfo, StreamList, StreamPage, StreamQuery,
    StreamSort,
};
use super::entry::StreamState;
use super::{Inner, lock};
use crate::{StreamId, StreamVersion};

impl Inner {
    pub(super) fn read_stream(&self, read: &ReadStream) -> Result<StreamPage, StoreError> {
        let not_found = || StoreError::StreamNotFound {
            stream: read.stream.clone(),
        };
        let state = self.find_stream(&read.stream).ok_or_else(not_found)?;
        let (page, next, head) = {
            let state = lock(&state);
            state.check_open(&read.stream)?;
            if state.entries.is_empty() {
                return Err(not_found());
            }
            let (page, next) = page_of(&state, read);
            (page, next, state.head())
        };
        Ok(StreamPage {
            events: self.log.resolve(&page),
            next,
            head,
        })
    }

    pub(super) fn stream_head(&self, stream: &StreamId) -> StreamHead {
        self.find_stream(stream)
            .map_or_else(StreamHead::default, |state| lock(&state).head())
    }

    pub(super) fn stream_info(&self, stream: &StreamId) -> Result<StreamInfo, StoreError> {
        let state = self.find_stream(stream);
        let info = state.and_then(|state| lock(&state).info(stream));
        info.ok_or_else(|| StoreError::StreamNotFound {
            stream: stream.clone(),
        })
    }

    pub(super) fn list_streams(&self, query: &StreamQuery) -> StreamList {
        let mut found: Vec<StreamInfo> = self
            .streams
            .iter()
            .filter(|entry| is_wanted(entry.key(), query))
            .filter_map(|entry| lock(entry.value()).info(entry.key()))
            .filter(|info| info.deleted != Some(Deletion::Hard))
            .collect();
        found.sort_by(|left, right| compare(left, right, query));
        let total = found.len() as u64;
        let page = found.into_iter().skip(query.offset() as usize);
        StreamList {
            streams: page.take(query.page_size.max(1) as usize).collect(),
            total,
        }
    }
}

fn page_of(
    state: &StreamState,
    read: &ReadStream,
) -> (
    Vec<std::sync::Arc<super::entry::Entry>>,
    Option<StreamVersion>,
) {
    let limit = u64::from(read.limit.max(1));
    let len = state.version().get();
    if read.direction.is_forward() {
        let from = read.from.get().saturating_sub(1).min(len);
        let to = from.saturating_add(limit).min(len);
        let page = state.entries[from as usize..to as usize].to_vec();
        return (page, (to < len).then(|| StreamVersion::new(to + 1)));
    }
    let to = read.from.get().min(len);
    let from = to.saturating_sub(limit);
    let page = state.entries[from as usize..to as usize]
        .iter()
        .rev()
        .cloned()
        .collect();
    (page, (from > 0).then(|| StreamVersion::new(from)))
}

fn is_wanted(stream: &StreamId, query: &StreamQuery) -> bool {
    query
        .category
        .as_ref()
        .is_none_or(|category| category == stream.category())
        && query
            .search
            .as_ref()
            .is_none_or(|text| stream.as_str().contains(text))
}

fn compare(left: &StreamInfo, right: &StreamInfo, query: &StreamQuery) -> Ordering {
    let order = match query.sort {
        StreamSort::Name => Ordering::Equal,
        StreamSort::Created => left.created_at.cmp(&right.created_at),
        StreamSort::Changed => left.changed_at.cmp(&right.changed_at),
        StreamSort::Version => left.version.cmp(&right.version),
    };
    let order = order.then_with(|| left.stream.cmp(&right.stream));
    if query.descending {
        order.reverse()
    } else {
        order
    }
}
