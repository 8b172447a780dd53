//! What this process last knew of the log.

use ordain::EventId;

/// The end of the log as this process saw it, with the generation it saw it in.
///
/// The server compares it before it writes anything: another generation, or another event at the
/// position, means that what this process remembers of streams may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Witness {
    pub(crate) generation: i64,
    pub(crate) position: i64,
    pub(crate) entry: Option<EventId>,
}

impl Witness {
    /// A witness of nothing but the generation.
    pub(crate) fn of_generation(generation: i64) -> Self {
        Self {
            generation,
            position: 0,
            entry: None,
        }
    }
}
