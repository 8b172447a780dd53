//! How far the partitions that this process works on have durably come.

use dashmap::DashMap;
use tokio::sync::watch;

use crate::GlobalPosition;
use crate::store::SubscriptionKey;

type Place = (SubscriptionKey, u32);

/// How far the partitions that this process works on have durably come.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    known: DashMap<Place, GlobalPosition>,
    moved: watch::Sender<()>,
    /// Somebody waits: pending checkpoints are to be written now.
    wanted: watch::Sender<GlobalPosition>,
}

impl Positions {
    /// Notes that a partition has come to here.
    pub(crate) fn note(&self, place: Place, position: GlobalPosition) {
        self.known.insert(place, position);
        self.moved.send_replace(());
    }

    pub(crate) fn forget(&self, place: &Place) {
        self.known.remove(place);
    }

    /// How far a partition has come, if it is this process's own.
    pub(crate) fn get(&self, place: &Place) -> Option<GlobalPosition> {
        self.known.get(place).map(|position| *position)
    }

    /// Is told of every move.
    pub(crate) fn moves(&self) -> watch::Receiver<()> {
        self.moved.subscribe()
    }

    /// Asks that checkpoints up to here be written as soon as they can.
    pub(crate) fn want(&self, position: GlobalPosition) {
        self.wanted.send_if_modified(|wanted| {
            let more = position > *wanted;
            if more {
                *wanted = position;
            }
            more
        });
    }

    /// The highest position somebody has waited for.
    pub(crate) fn wanted(&self) -> watch::Receiver<GlobalPosition> {
        self.wanted.subscribe()
    }
}
