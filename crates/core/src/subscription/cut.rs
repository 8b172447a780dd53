//! Stopping at a barrier.

use super::feed::Chunk;
use super::hub::Partition;
use crate::GlobalPosition;

/// Where what was read was cut off, because a barrier stood there.
///
/// The barrier may move, or go away, while what lies before it is handled. What lies beyond has been read and thrown
/// away, so that whoever has made a cut ends there whatever becomes of the barrier: the next one reads from the
/// checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    at: Option<GlobalPosition>,
}

impl Cut {
    /// Throws away what lies beyond the barrier, if there is one.
    pub(crate) fn make(&mut self, partition: &Partition, mut chunk: Chunk) -> Chunk {
        let Some(end) = self.at.or_else(|| partition.barrier()) else {
            return chunk;
        };
        if chunk.to > end {
            self.at = Some(end);
            chunk.to = end;
            chunk.events.retain(|event| event.read_position() <= end);
        }
        chunk
    }

    pub(crate) fn is_made(&self) -> bool {
        self.at.is_some()
    }

    /// Whether who has come to here is to end.
    pub(crate) fn ends(&self, partition: &Partition, reached: GlobalPosition) -> bool {
        let end = self.at.or_else(|| partition.barrier());
        end.is_some_and(|end| reached >= end)
    }
}
