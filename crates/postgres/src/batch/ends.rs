//! Where streams end, as far as this process has itself committed or read it.

use std::collections::HashMap;

use ordain::{EventId, StreamId};

/// The end of an open stream with events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamEnd {
    pub(crate) key: i64,
    pub(crate) version: i64,
    pub(crate) entry: EventId,
}

/// A bounded memory of stream ends; those not used for long are forgotten first.
///
/// It has two halves: what is used moves to the recent one, and when that is full the other is dropped
/// and takes its place.
#[derive(Debug)]
pub(crate) struct StreamEnds {
    recent: HashMap<StreamId, StreamEnd>,
    older: HashMap<StreamId, StreamEnd>,
    half_max: usize,
}

impl StreamEnds {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            recent: HashMap::new(),
            older: HashMap::new(),
            half_max: max.div_ceil(2),
        }
    }

    pub(crate) fn get(&self, stream: &StreamId) -> Option<StreamEnd> {
        let found = self.recent.get(stream).or_else(|| self.older.get(stream));
        found.copied()
    }

    pub(crate) fn set(&mut self, stream: &StreamId, end: StreamEnd) {
        if let Some(known) = self.recent.get_mut(stream) {
            *known = end;
            return;
        }
        if self.recent.len() >= self.half_max {
            self.older = std::mem::take(&mut self.recent);
        }
        if self.half_max > 0 {
            self.recent.insert(stream.clone(), end);
        }
    }

    pub(crate) fn forget(&mut self, stream: &StreamId) {
        self.recent.remove(stream);
        self.older.remove(stream);
    }

    pub(crate) fn forget_all(&mut self) {
        self.recent.clear();
        self.older.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(version: i64) -> StreamEnd {
        let entry = EventId::new();
        StreamEnd {
            key: 1,
            version,
            entry,
        }
    }

    fn stream(number: usize) -> StreamId {
        format!("a-{number}").parse().unwrap()
    }

    #[test]
    fn no_more_are_kept_than_allowed_and_the_latest_are() {
        let mut ends = StreamEnds::new(10);
        for number in 0..100 {
            ends.set(&stream(number), end(1));
        }
        let kept = (0..100).filter(|number| ends.get(&stream(*number)).is_some());
        let kept: Vec<_> = kept.collect();
        assert!(
            kept.len() <= 10 && kept.ends_with(&[97, 98, 99]),
            "{kept:?}"
        );
    }

    #[test]
    fn a_newer_end_hides_an_older_one_and_none_is_left_when_forgotten() {
        let mut ends = StreamEnds::new(4);
        let newer = end(2);
        ends.set(&stream(1), end(1));
        ends.set(&stream(2), end(1));
        ends.set(&stream(3), end(1));
        ends.set(&stream(1), newer);
        assert_eq!(ends.get(&stream(1)), Some(newer));
        ends.forget(&stream(1));
        assert_eq!(ends.get(&stream(1)), None);
    }

    #[test]
    fn none_are_kept_where_none_are_allowed() {
        let mut ends = StreamEnds::new(0);
        ends.set(&stream(1), end(1));
        assert_eq!(ends.get(&stream(1)), None);
    }
}
