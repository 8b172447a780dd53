//! A version that is built beside the active one, and takes its place when it has caught up.

use std::time::{Duration, Instant};

use super::control::{SubscriptionError, active_of, farthest, handled, retirement};
use crate::store::{
    Definition, Partitions, SubscriptionChange, SubscriptionKey, SubscriptionRecord,
    SubscriptionState, SubscriptionStore,
};

/// How many positions behind the active version counts as near: then that one is held.
const NEAR: u64 = 1_000;

/// How many times longer than it was held the active version works before it is held again.
const RESTS: u32 = 10;

/// Why a version waits that another is about to replace.
const HELD: &str = "another version is about to take its place";

/// Why a version may take over in spite of its dead letters.
const CONSENTED: &str = "it may take over in spite of its dead letters";

/// What a process has seen of a version's building.
#[derive(Debug, Default)]
pub(super) struct Building {
    /// Since when the active version is held.
    held_since: Option<Instant>,
    /// Until when it is not held again.
    rests_until: Option<Instant>,
    has_warned: bool,
}

/// What brings a version nearer to taking over.
#[derive(Debug)]
pub(super) enum Step {
    None,
    Change(SubscriptionChange),
    /// These changes, together with the user's.
    TakeOver(Vec<SubscriptionChange>),
}

impl Building {
    /// What brings a version nearer to taking over, if the active one is held for so long at the most.
    pub(super) fn step(
        &mut self,
        known: &[SubscriptionRecord],
        key: &SubscriptionKey,
        held_at_most: Duration,
    ) -> Step {
        // Another process may have brought it further since it was last looked at.
        let Some(record) = known.iter().find(|one| is_built(one, key)) else {
            return Step::None;
        };
        let Some(active) = active_of(known) else {
            return Step::Change(activation(record, None));
        };
        if !self.may_take_over(record) {
            self.held_since = None;
            return match is_held(active) {
                // It is held again when the dead letters are settled, however soon.
                true => Step::Change(released(active)),
                false => Step::None,
            };
        }
        let target = farthest(active);
        let least = record.partitions.iter().map(|one| one.position).min();
        let missing = target.get().saturating_sub(least.unwrap_or_default().get());
        if missing == 0 && stands_still(active) && !self.has_held_too_long(active, held_at_most) {
            return Step::TakeOver(vec![retirement(active), activation(record, Some(active))]);
        }
        if active.definition.state == SubscriptionState::Active && missing <= NEAR {
            return self.hold(active);
        }
        if is_held(active) {
            return self.release_in_time(active, held_at_most);
        }
        Step::None
    }

    fn hold(&mut self, active: &SubscriptionRecord) -> Step {
        let now = Instant::now();
        if self.rests_until.is_some_and(|until| now < until) {
            return Step::None;
        }
        self.held_since = Some(now);
        Step::Change(hold(active))
    }

    fn release_in_time(&mut self, active: &SubscriptionRecord, held_at_most: Duration) -> Step {
        match self.has_held_too_long(active, held_at_most) {
            true => self.release(active, held_at_most),
            false => Step::None,
        }
    }

    /// Whether the active version is held in vain: what is to take its place does not come far enough, or cannot.
    fn has_held_too_long(&mut self, active: &SubscriptionRecord, held_at_most: Duration) -> bool {
        is_held(active) && self.held_since.get_or_insert_with(Instant::now).elapsed() > held_at_most
    }

    fn release(&mut self, active: &SubscriptionRecord, held_at_most: Duration) -> Step {
        self.held_since = None;
        self.rests_until = Some(Instant::now() + held_at_most * RESTS);
        Step::Change(released(active))
    }

    fn may_take_over(&mut self, record: &SubscriptionRecord) -> bool {
        let has_consent = record.definition.reason.as_deref() == Some(CONSENTED);
        if record.dead_letters == 0 || has_consent {
            return true;
        }
        if !self.has_warned {
            self.has_warned = true;
            tracing::warn!(subscription = %record.key, dead_letters = record.dead_letters, "it does not take over: it has dead letters; retry or discard them, or consent");
        }
        false
    }
}

fn is_built(record: &SubscriptionRecord, key: &SubscriptionKey) -> bool {
    record.key == *key && record.definition.state == SubscriptionState::Building
}

fn with_state(
    record: &SubscriptionRecord,
    state: SubscriptionState,
    reason: Option<&str>,
    partitions: Partitions,
) -> SubscriptionChange {
    SubscriptionChange {
        key: record.key.clone(),
        expected: record.generation,
        at_least: None,
        definition: Definition {
            state,
            reason: reason.map(str::to_owned),
            ..record.definition.clone()
        },
        partitions,
    }
}

/// Whether nothing that the version had begun can move it any more.
fn stands_still(active: &SubscriptionRecord) -> bool {
    let has_no_owner = || active.partitions.iter().all(|one| one.owner.is_none());
    is_held(active) || active.definition.state != SubscriptionState::Active && has_no_owner()
}

/// The version becomes the active one; if that one was paused, it is paused too.
fn activation(
    record: &SubscriptionRecord,
    active: Option<&SubscriptionRecord>,
) -> SubscriptionChange {
    let paused = active
        .filter(|active| active.definition.state == SubscriptionState::Paused && !is_held(active));
    let mut change = match paused {
        Some(paused) => {
            let reason = paused.definition.reason.as_deref();
            with_state(record, SubscriptionState::Paused, reason, Partitions::Keep)
        }
        None => with_state(record, SubscriptionState::Active, None, Partitions::Keep),
    };
    change.definition.replayed = handled(record, &[]);
    change.at_least = active.map(farthest);
    change
}

fn hold(active: &SubscriptionRecord) -> SubscriptionChange {
    with_state(
        active,
        SubscriptionState::Paused,
        Some(HELD),
        Partitions::Fence,
    )
}

/// The version goes on that was held.
pub(super) fn released(active: &SubscriptionRecord) -> SubscriptionChange {
    with_state(active, SubscriptionState::Active, None, Partitions::Keep)
}

/// Whether a version waits only because another is about to take its place.
pub(super) fn is_held(record: &SubscriptionRecord) -> bool {
    record.definition.state == SubscriptionState::Paused
        && record.definition.reason.as_deref() == Some(HELD)
}

/// The version that is built beside the active one.
pub(super) fn building_of(known: &[SubscriptionRecord]) -> Option<&SubscriptionRecord> {
    known
        .iter()
        .rfind(|one| one.definition.state == SubscriptionState::Building)
}

/// The version that is built beside the active one, or an error.
pub(super) async fn find(
    store: &dyn SubscriptionStore,
    name: &str,
) -> Result<SubscriptionRecord, SubscriptionError> {
    let known = store.subscriptions(Some(name)).await?;
    building_of(&known)
        .cloned()
        .ok_or_else(|| SubscriptionError::NotFound {
            name: name.to_owned(),
        })
}

/// Has a version take over in spite of its dead letters.
pub(super) async fn consent(
    store: &dyn SubscriptionStore,
    name: &str,
) -> Result<(), SubscriptionError> {
    let building = find(store, name).await?;
    let state = SubscriptionState::Building;
    let change = with_state(&building, state, Some(CONSENTED), Partitions::Keep);
    match store.change_subscriptions(vec![change]).await? {
        true => Ok(()),
        false => Err(SubscriptionError::Busy {
            name: name.to_owned(),
        }),
    }
}

/// Forgets a version that is being built, and lets the active one go on.
pub(super) async fn cancel(
    store: &dyn SubscriptionStore,
    name: &str,
) -> Result<(), SubscriptionError> {
    let building = find(store, name).await?;
    store.remove_subscription(&building.key).await?;
    let known = store.subscriptions(Some(name)).await?;
    if let Some(active) = active_of(&known)
        && is_held(active)
    {
        store.change_subscriptions(vec![released(active)]).await?;
    }
    Ok(())
}
