//! A version that is built beside the active one, and takes its place when it has caught up.

use std::time::{Duration, Instant};

use super::control::{SubscriptionError, active_of, farthest, handled, retirement};
use super::hub::{Hub, Member};
use crate::StoreError;
use crate::store::{
    Definition, Partitions, SubscriptionChange, SubscriptionRecord, SubscriptionState,
    SubscriptionStore,
};

/// How many positions behind the active version counts as near: then that one is held.
const NEAR: u64 = 1_000;

/// For how long the active version is held before it goes on, if the other does not catch up.
const HELD_FOR: Duration = Duration::from_secs(10);

/// Why a version waits that another is about to replace.
const HELD: &str = "another version is about to take its place";

/// Why a version may take over in spite of its dead letters.
const CONSENTED: &str = "it may take over in spite of its dead letters";

/// What a process has seen of a version's building.
#[derive(Debug, Default)]
pub(super) struct Building {
    /// Since when the active version is held.
    held_since: Option<Instant>,
    has_warned: bool,
}

impl Building {
    /// Brings a version nearer to taking over; whether anything changed.
    pub(super) async fn step(
        &mut self,
        hub: &Hub,
        member: &Member,
        record: &SubscriptionRecord,
    ) -> Result<bool, StoreError> {
        let known = hub.store.subscriptions(Some(&record.key.name)).await?;
        let Some(active) = active_of(&known) else {
            return hub
                .store
                .change_subscriptions(vec![activation(record, None)])
                .await;
        };
        if !self.may_take_over(record) {
            return Ok(false);
        }
        let target = farthest(active);
        let least = record.partitions.iter().map(|one| one.position).min();
        let missing = target.get().saturating_sub(least.unwrap_or_default().get());
        let is_active = active.definition.state == SubscriptionState::Active;
        if missing == 0 && !is_active {
            self.held_since = None;
            let changes = vec![retirement(active), activation(record, Some(active))];
            return member.work.take_over(hub, changes).await;
        }
        if is_active && missing <= NEAR {
            self.held_since = Some(Instant::now());
            return hub.store.change_subscriptions(vec![hold(active)]).await;
        }
        if is_held(active) {
            let since = *self.held_since.get_or_insert_with(Instant::now);
            if since.elapsed() > HELD_FOR {
                self.held_since = None;
                return hub.store.change_subscriptions(vec![released(active)]).await;
            }
        }
        Ok(false)
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

fn activation(
    record: &SubscriptionRecord,
    active: Option<&SubscriptionRecord>,
) -> SubscriptionChange {
    let mut change = with_state(record, SubscriptionState::Active, None, Partitions::Keep);
    change.definition.replayed = handled(record);
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

fn released(active: &SubscriptionRecord) -> SubscriptionChange {
    with_state(active, SubscriptionState::Active, None, Partitions::Keep)
}

/// Whether a version waits only because another is about to take its place.
pub(super) fn is_held(record: &SubscriptionRecord) -> bool {
    record.definition.state == SubscriptionState::Paused
        && record.definition.reason.as_deref() == Some(HELD)
}

fn building_of(known: &[SubscriptionRecord]) -> Option<&SubscriptionRecord> {
    known
        .iter()
        .rfind(|one| one.definition.state == SubscriptionState::Building)
}

/// The version that is built beside the active one.
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
