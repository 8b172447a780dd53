//! Waiting until subscriptions have come to a position.

use std::time::Duration;

use tokio::time::Instant;

use super::control::active_of;
use super::hub::Hub;
use super::rebuild::is_held;
use crate::store::{BlockKind, ReadStream, SubscriptionKey, SubscriptionRecord, SubscriptionState};
use crate::{GlobalPosition, StoreError, StreamId};

/// The pauses between looks at what other processes have done.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LONGEST_LOOK: Duration = Duration::from_millis(200);

/// Of how many events of a stream the ordering keys are looked up, the last ones.
const KEYS_FROM_MAX: u32 = 100;

tokio::task_local! {
    /// The name of the subscription whose event this task handles.
    pub(crate) static HANDLING: std::sync::Arc<str>;
}

/// Why waiting for a subscription ended before it had come far enough.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The time was over.
    #[error("`{name}` has not come to position {position} in time")]
    Timeout {
        /// The subscription.
        name: String,
        /// The position waited for.
        position: GlobalPosition,
    },
    /// A dead letter stands before the position.
    #[error("`{name}` passes over {key} since position {position}: {error}")]
    Blocked {
        /// The subscription.
        name: String,
        /// The ordering key.
        key: String,
        /// The event that could not be handled.
        position: GlobalPosition,
        /// Why not.
        error: String,
    },
    /// It was told to wait.
    #[error("`{name}` is paused")]
    Paused {
        /// The subscription.
        name: String,
    },
    /// It has given up.
    #[error("`{name}` has stopped: {reason}")]
    Stopped {
        /// The subscription.
        name: String,
        /// Why.
        reason: String,
    },
    /// There is no such subscription.
    #[error("there is no subscription `{name}`")]
    NotFound {
        /// The name.
        name: String,
    },
    /// It would wait for itself.
    #[error("a handler of `{name}` cannot wait for `{name}`: it would wait for itself")]
    Itself {
        /// The subscription.
        name: String,
    },
    /// The store cannot work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is waited for.
pub(crate) struct Goal<'a> {
    pub(crate) name: &'a str,
    pub(crate) position: GlobalPosition,
    /// The stream whose events are waited for.
    pub(crate) stream: Option<&'a StreamId>,
    pub(crate) deadline: Instant,
}

/// Waits until the active version of a subscription has come to a position.
pub(crate) async fn wait(hub: &Hub, goal: Goal<'_>) -> Result<(), WaitError> {
    let name = goal.name.to_owned();
    if HANDLING
        .try_with(|handling| **handling == *name)
        .unwrap_or(false)
    {
        return Err(WaitError::Itself { name });
    }
    let timeout = || WaitError::Timeout {
        name: name.clone(),
        position: goal.position,
    };
    tokio::time::timeout_at(goal.deadline, until_met(hub, &goal))
        .await
        .unwrap_or_else(|_| Err(timeout()))
}

async fn until_met(hub: &Hub, goal: &Goal<'_>) -> Result<(), WaitError> {
    let mut moves = hub.positions.moves();
    let mut look = FIRST_LOOK;
    hub.positions.want(goal.position);
    loop {
        moves.mark_unchanged();
        let record = hub.record_of(goal.name).await?;
        if is_met(hub, &record, goal).await? {
            return Ok(());
        }
        // Where it has come there, a parked key is waited for.
        if hub.works_alone(&record) && !hub.has_come_to(&record, goal.position) {
            until_near(hub, &record, goal.position, &mut moves).await;
        } else {
            tokio::time::sleep(look).await;
            look = (look * 2).min(LONGEST_LOOK);
        }
    }
}

/// Waits until this process's own partitions have come there, or for the next look.
async fn until_near(
    hub: &Hub,
    record: &SubscriptionRecord,
    position: GlobalPosition,
    moves: &mut tokio::sync::watch::Receiver<()>,
) {
    let near = async {
        while !hub.has_come_to(record, position) {
            if moves.changed().await.is_err() {
                return;
            }
        }
    };
    // What is not told of by a move, such as a pause, is seen at the next look.
    let _ = tokio::time::timeout(LONGEST_LOOK, near).await;
}

async fn is_met(
    hub: &Hub,
    record: &SubscriptionRecord,
    goal: &Goal<'_>,
) -> Result<bool, WaitError> {
    let name = || goal.name.to_owned();
    let is_there = record
        .partitions
        .iter()
        .all(|partition| partition.position >= goal.position);
    if !is_there {
        return match record.definition.state {
            // Another version is about to come there in its place.
            SubscriptionState::Paused if is_held(record) => Ok(false),
            SubscriptionState::Paused => Err(WaitError::Paused { name: name() }),
            SubscriptionState::Stopped => Err(WaitError::Stopped {
                name: name(),
                reason: record.definition.reason.clone().unwrap_or_default(),
            }),
            _ => Ok(false),
        };
    }
    let Some(stream) = goal.stream else {
        return Ok(true);
    };
    if record.dead_letters + record.parked == 0 {
        return Ok(true);
    }
    let blocks = hub.store.blocks(&record.key, u32::MAX).await?;
    let keys = keys_of(hub, &record.key, goal.position, stream).await;
    let before = blocks
        .into_iter()
        .find(|block| keys.contains(&block.key) && block.position <= goal.position);
    match before {
        None => Ok(true),
        Some(block) if block.kind == BlockKind::Parked => Ok(false),
        Some(block) => Err(WaitError::Blocked {
            name: name(),
            key: block.key,
            position: block.position,
            error: block.error,
        }),
    }
}

/// The ordering keys of a stream's events: the stream itself, or what the subscription's code says, where this
/// process knows it.
async fn keys_of(
    hub: &Hub,
    subscription: &SubscriptionKey,
    position: GlobalPosition,
    stream: &StreamId,
) -> Vec<String> {
    let own = vec![stream.to_string()];
    let Some(member) = hub.member(subscription) else {
        return own;
    };
    let read = ReadStream::backward(stream.clone()).limit(KEYS_FROM_MAX);
    let Ok(page) = hub.store.read_stream(read).await else {
        return own;
    };
    let events = page.events.iter();
    let events = events.filter(|event| event.read_position() <= position);
    let keys: Option<Vec<_>> = events
        .map(|event| member.work.keys_of(subscription, event))
        .collect();
    keys.map_or(own, |keys| keys.into_iter().flatten().collect())
}

impl Hub {
    async fn record_of(&self, name: &str) -> Result<SubscriptionRecord, WaitError> {
        let known = self.store.subscriptions(Some(name)).await?;
        active_of(&known)
            .cloned()
            .ok_or_else(|| WaitError::NotFound {
                name: name.to_owned(),
            })
    }

    /// Whether this process works on all partitions.
    fn works_alone(&self, record: &SubscriptionRecord) -> bool {
        record
            .partitions
            .iter()
            .all(|partition| partition.owner == Some(self.owner))
    }

    fn has_come_to(&self, record: &SubscriptionRecord, position: GlobalPosition) -> bool {
        record.partitions.iter().all(|partition| {
            let place = (record.key.clone(), partition.partition);
            self.positions.get(&place).is_some_and(|at| at >= position)
        })
    }
}
