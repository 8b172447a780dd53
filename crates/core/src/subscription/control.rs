//! Making subscriptions, and telling them what to do, from any process.

use super::options::{StartFrom, SubscriptionOptions};
use super::partition::{bucket_of, partition_of};
use super::rebuild::{building_of, is_held, released};
use super::wanted::fingerprint;
use crate::store::{
    Barrier, Definition, Filter, Partitions, Share, SubscriptionChange, SubscriptionKey,
    SubscriptionRecord, SubscriptionState, SubscriptionStore, TimerQuery,
};
use crate::{GlobalPosition, StoreError};

/// How often a change is tried that others come before.
const TRIES: usize = 100;

/// In how many parts it is told at the most how far all but some keys were handled.
const PARTS_MAX: u32 = 1_024;

/// How many timers are looked at that are due and have not fired.
const TIMERS_MAX: u32 = 10_000;

/// Why a subscription cannot be made, or told what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// There is no subscription of this name.
    #[error("there is no subscription `{name}`")]
    NotFound {
        /// The name.
        name: String,
    },
    /// Another version has taken its place.
    #[error("version {version} of `{name}` was replaced by version {active}")]
    Retired {
        /// The name.
        name: String,
        /// The version.
        version: u32,
        /// The version in its place.
        active: u32,
    },
    /// It wants other events than when it was made.
    #[error(
        "`{name}` wants other events than it did: it wants {wants}, and has handled {wanted}; give it a higher version, or reset it"
    )]
    FilterChanged {
        /// The name.
        name: String,
        /// The filter now.
        wants: String,
        /// The filter under which it has come to where it is.
        wanted: String,
    },
    /// It cannot be done in the state it is in.
    #[error("`{name}` is {}: {problem}", state.as_str())]
    State {
        /// The name.
        name: String,
        /// The state.
        state: SubscriptionState,
        /// Why it cannot be done.
        problem: &'static str,
    },
    /// This process has it open already.
    #[error("`{name}` is open in this process already")]
    AlreadyOpen {
        /// The name.
        name: String,
    },
    /// It cannot begin where the log has not come to.
    #[error("`{name}` cannot begin after position {position}: the log ends at {head}")]
    BeyondHead {
        /// The name.
        name: String,
        /// The position.
        position: GlobalPosition,
        /// The end of the log.
        head: GlobalPosition,
    },
    /// An option that cannot be.
    #[error("the option `{option}` of `{name}` {problem}")]
    Option {
        /// The name.
        name: String,
        /// The option.
        option: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// Others changed it again and again.
    #[error("`{name}` was changed by others again and again; try again")]
    Busy {
        /// The name.
        name: String,
    },
    /// The store cannot work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is known about a subscription before it is made.
pub(crate) struct Registration<'a> {
    pub(crate) key: SubscriptionKey,
    pub(crate) filter: &'a Filter,
    pub(crate) options: &'a SubscriptionOptions,
    /// Whether a new version is built beside the old one.
    pub(crate) beside: bool,
}

/// Makes a subscription unless it is there, and tells how it stands.
pub(crate) async fn register(
    store: &dyn SubscriptionStore,
    registration: &Registration<'_>,
) -> Result<SubscriptionRecord, SubscriptionError> {
    let name = &registration.key.name;
    if let Some((option, problem)) = registration.options.problem() {
        let name = name.to_string();
        return Err(SubscriptionError::Option {
            name,
            option,
            problem,
        });
    }
    for _ in 0..TRIES {
        let known = store.subscriptions(Some(name)).await?;
        let own = known.iter().find(|one| one.key == registration.key);
        let changes = match own {
            Some(record) if wants_anew(registration, record) => {
                vec![with(record, Partitions::Keep, |definition| {
                    definition.fingerprint = fingerprint(registration.filter);
                })]
            }
            Some(record) => return check(registration, record, &known),
            None => creation(store, registration, &known).await?,
        };
        store.change_subscriptions(changes).await?;
    }
    Err(busy(name))
}

fn busy(name: &str) -> SubscriptionError {
    let name = name.to_owned();
    SubscriptionError::Busy { name }
}

/// Whether it wants other events than before, and begins anew with them.
fn wants_anew(registration: &Registration<'_>, record: &SubscriptionRecord) -> bool {
    record.definition.state == SubscriptionState::Resetting
        && record.definition.fingerprint != fingerprint(registration.filter)
}

fn check(
    registration: &Registration<'_>,
    record: &SubscriptionRecord,
    known: &[SubscriptionRecord],
) -> Result<SubscriptionRecord, SubscriptionError> {
    let name = record.key.name.to_string();
    if record.definition.state == SubscriptionState::Retired {
        let active = active_of(known).map_or(record.key.version, |one| one.key.version);
        let version = record.key.version;
        return Err(SubscriptionError::Retired {
            name,
            version,
            active,
        });
    }
    let wants = fingerprint(registration.filter);
    if wants != record.definition.fingerprint {
        let wanted = record.definition.fingerprint.clone();
        let [wants, wanted] = [wants, wanted].map(|one| match one.is_empty() {
            true => "all events".to_owned(),
            false => one,
        });
        return Err(SubscriptionError::FilterChanged {
            name,
            wants,
            wanted,
        });
    }
    Ok(record.clone())
}

/// The version that is not retired and not built beside another: one above it that has stopped had not taken over.
pub(crate) fn active_of(known: &[SubscriptionRecord]) -> Option<&SubscriptionRecord> {
    known.iter().find(|one| {
        !matches!(
            one.definition.state,
            SubscriptionState::Retired | SubscriptionState::Building
        )
    })
}

async fn creation(
    store: &dyn SubscriptionStore,
    registration: &Registration<'_>,
    known: &[SubscriptionRecord],
) -> Result<Vec<SubscriptionChange>, SubscriptionError> {
    let (key, options) = (&registration.key, registration.options);
    let active = active_of(known);
    if let Some(active) = active
        && active.key.version > key.version
    {
        return Err(SubscriptionError::Retired {
            name: key.name.to_string(),
            version: key.version,
            active: active.key.version,
        });
    }
    let is_beside = registration.beside && active.is_some();
    let replayed = match active {
        Some(active) if !is_beside => handled(active, &waiting(store, &active.key).await?),
        _ => Vec::new(),
    };
    let start = start(store, registration).await?;
    // What the version before had not come to is not left out.
    let start = replayed.iter().copied().fold(start, GlobalPosition::min);
    let mut changes = vec![SubscriptionChange {
        key: key.clone(),
        expected: 0,
        at_least: None,
        definition: Definition {
            state: if is_beside {
                SubscriptionState::Building
            } else {
                SubscriptionState::Active
            },
            reason: None,
            fingerprint: fingerprint(registration.filter),
            replayed,
            barrier: None,
        },
        partitions: Partitions::Replace(vec![start; options.partitions as usize]),
    }];
    if !is_beside {
        changes.extend(retirements(known, key));
    }
    Ok(changes)
}

/// Where a subscription begins by its options.
async fn start(
    store: &dyn SubscriptionStore,
    registration: &Registration<'_>,
) -> Result<GlobalPosition, SubscriptionError> {
    match registration.options.start_from {
        StartFrom::Origin => Ok(GlobalPosition::ORIGIN),
        StartFrom::Current => Ok(store.head().await?),
        StartFrom::Position(position) => {
            refuse_beyond_head(store, &registration.key.name, position).await?;
            Ok(position)
        }
    }
}

/// Nothing can be told to begin where the log has not come to: it would be taken for a store that went
/// backwards.
async fn refuse_beyond_head(
    store: &dyn SubscriptionStore,
    name: &str,
    position: GlobalPosition,
) -> Result<(), SubscriptionError> {
    if position == GlobalPosition::ORIGIN {
        return Ok(());
    }
    let head = store.head().await?;
    let name = name.to_owned();
    match position > head {
        true => Err(SubscriptionError::BeyondHead {
            name,
            position,
            head,
        }),
        false => Ok(()),
    }
}

/// The changes that retire what a version replaces: all below it.
pub(crate) fn retirements(
    known: &[SubscriptionRecord],
    by: &SubscriptionKey,
) -> impl Iterator<Item = SubscriptionChange> {
    let replaced = known.iter().filter(|one| {
        one.key.version < by.version && one.definition.state != SubscriptionState::Retired
    });
    replaced.map(|one| {
        with(one, Partitions::Fence, |definition| {
            definition.state = SubscriptionState::Retired;
            definition.reason = None;
            definition.barrier = None;
        })
    })
}

/// What a key has not come to, although its partition has.
pub(crate) struct Waiting {
    bucket: u32,
    /// Up to here all of the key is handled.
    handled: GlobalPosition,
}

/// What waits behind blocks, and for timers that are due and have not fired.
async fn waiting(
    store: &dyn SubscriptionStore,
    key: &SubscriptionKey,
) -> Result<Vec<Waiting>, StoreError> {
    let blocks = store.blocks(key, u32::MAX).await?;
    let blocked = blocks.iter().map(|block| Waiting {
        bucket: bucket_of(&block.key),
        handled: GlobalPosition::new(block.position.get().saturating_sub(1)),
    });
    let mut waiting: Vec<_> = blocked.collect();
    let query = TimerQuery {
        subscription: key.clone(),
        share: Share {
            partition: 0,
            partitions: 1,
        },
        limit: TIMERS_MAX,
    };
    for timer in store.timers_due(query).await?.timers {
        waiting.push(Waiting {
            bucket: timer.bucket,
            handled: store.position_at(timer.due_at).await?,
        });
    }
    Ok(waiting)
}

/// How far a subscription has handled what there is, by partition; in finer parts where keys wait, since what
/// they wait with was not handled, unless it was before.
///
/// What waits has to be read after the record: what comes later stands beyond its positions.
pub(crate) fn handled(record: &SubscriptionRecord, waiting: &[Waiting]) -> Vec<GlobalPosition> {
    let partitions = count(&record.partitions);
    let parts = match waiting {
        [] => partitions,
        _ => partitions * (PARTS_MAX / partitions.max(1)).max(1),
    };
    let before = |part| least(&record.definition.replayed, part, parts);
    let position = |part: u32| {
        let partition = partition_of(part, partitions) as usize;
        let position = record.partitions.get(partition).map(|one| one.position);
        position.unwrap_or_default().max(before(part))
    };
    let mut positions: Vec<_> = (0..parts).map(position).collect();
    for key in waiting {
        let part = partition_of(key.bucket, parts);
        if let Some(position) = positions.get_mut(part as usize) {
            *position = key.handled.max(before(part)).min(*position);
        }
    }
    positions
}

/// The least of those positions that keys of one of so many parts may have.
fn least(positions: &[GlobalPosition], part: u32, parts: u32) -> GlobalPosition {
    let step = common_divisor(count(positions), parts);
    let first = partition_of(part, step) as usize;
    let of_part = positions.iter().skip(first).step_by(step.max(1) as usize);
    of_part.min().copied().unwrap_or_default()
}

fn common_divisor(one: u32, other: u32) -> u32 {
    match other {
        0 => one,
        _ => common_divisor(other, one % other),
    }
}

fn count<T>(all: &[T]) -> u32 {
    u32::try_from(all.len()).unwrap_or(u32::MAX)
}

/// Changes the active version of a subscription.
pub(crate) async fn change(
    store: &dyn SubscriptionStore,
    name: &str,
    mut change: impl FnMut(&SubscriptionRecord) -> Result<Option<SubscriptionChange>, SubscriptionError>,
) -> Result<(), SubscriptionError> {
    for _ in 0..TRIES {
        let active = find_active(store, name).await?;
        let Some(change) = change(&active)? else {
            return Ok(());
        };
        if store.change_subscriptions(vec![change]).await? {
            return Ok(());
        }
    }
    Err(busy(name))
}

async fn find_active(
    store: &dyn SubscriptionStore,
    name: &str,
) -> Result<SubscriptionRecord, SubscriptionError> {
    let known = store.subscriptions(Some(name)).await?;
    let active = active_of(&known).cloned();
    active.ok_or_else(|| not_found(name))
}

pub(super) fn not_found(name: &str) -> SubscriptionError {
    let name = name.to_owned();
    SubscriptionError::NotFound { name }
}

fn with(
    record: &SubscriptionRecord,
    partitions: Partitions,
    define: impl FnOnce(&mut Definition),
) -> SubscriptionChange {
    let mut definition = record.definition.clone();
    define(&mut definition);
    SubscriptionChange {
        key: record.key.clone(),
        expected: record.generation,
        at_least: None,
        definition,
        partitions,
    }
}

/// Has a subscription wait. What is being handled is finished.
pub(crate) async fn pause(
    store: &dyn SubscriptionStore,
    name: &str,
    reason: Option<String>,
) -> Result<(), SubscriptionError> {
    change(store, name, |active| match active.definition.state {
        SubscriptionState::Paused if !is_held(active) => Ok(None),
        SubscriptionState::Active | SubscriptionState::Paused => {
            Ok(Some(with(active, Partitions::Keep, |definition| {
                definition.state = SubscriptionState::Paused;
                definition.reason.clone_from(&reason);
            })))
        }
        state => Err(SubscriptionError::State {
            name: name.to_owned(),
            state,
            problem: "only an active one can be paused",
        }),
    })
    .await
}

/// Has a subscription that waits or has stopped go on, and the version that is built beside it.
pub(crate) async fn resume(
    store: &dyn SubscriptionStore,
    name: &str,
) -> Result<(), SubscriptionError> {
    for _ in 0..TRIES {
        let known = store.subscriptions(Some(name)).await?;
        let active = active_of(&known).ok_or_else(|| not_found(name))?;
        let both = [
            resumed(active, SubscriptionState::Active),
            building_of(&known).and_then(|one| resumed(one, SubscriptionState::Building)),
        ];
        let changes: Vec<_> = both.into_iter().flatten().collect();
        if changes.is_empty() || store.change_subscriptions(changes).await? {
            return Ok(());
        }
    }
    Err(busy(name))
}

/// The change by which a version goes on, if it waits or has stopped.
fn resumed(record: &SubscriptionRecord, state: SubscriptionState) -> Option<SubscriptionChange> {
    let has_rest = matches!(
        record.definition.state,
        SubscriptionState::Paused | SubscriptionState::Stopped
    );
    has_rest.then(|| {
        with(record, Partitions::Keep, |definition| {
            definition.state = state;
            definition.reason = None;
        })
    })
}

/// Notes that a subscription has given up. If it was about to take another's place, that one goes on.
pub(crate) async fn stop(
    store: &dyn SubscriptionStore,
    key: &SubscriptionKey,
    reason: String,
) -> Result<(), SubscriptionError> {
    for _ in 0..TRIES {
        let known = store.subscriptions(Some(&key.name)).await?;
        let Some(record) = known.iter().find(|one| one.key == *key) else {
            return Ok(());
        };
        if !record.definition.state.is_claimable() {
            return Ok(());
        }
        let mut changes = vec![with(record, Partitions::Keep, |definition| {
            definition.state = SubscriptionState::Stopped;
            definition.reason = Some(reason.clone());
        })];
        let held = active_of(&known).filter(|active| is_held(active));
        changes.extend(held.map(released));
        if store.change_subscriptions(changes).await? {
            return Ok(());
        }
    }
    Err(busy(&key.name))
}

/// Has a subscription begin anew after a position.
pub(crate) async fn reset(
    store: &dyn SubscriptionStore,
    name: &str,
    to: GlobalPosition,
    fingerprint: Option<String>,
) -> Result<(), SubscriptionError> {
    refuse_beyond_head(store, name, to).await?;
    for _ in 0..TRIES {
        let active = find_active(store, name).await?;
        let waiting = waiting(store, &active.key).await?;
        let change = with(&active, Partitions::Fence, |definition| {
            definition.state = SubscriptionState::Resetting;
            definition.reason = None;
            definition.replayed = handled(&active, &waiting);
            definition.barrier = Some(Barrier {
                position: to,
                partitions: count(&active.partitions),
            });
            if let Some(fingerprint) = &fingerprint {
                definition.fingerprint.clone_from(fingerprint);
            }
        });
        if store.change_subscriptions(vec![change]).await? {
            return Ok(());
        }
    }
    Err(busy(name))
}

/// Has a subscription go on with another number of partitions, as soon as all have come to one position.
pub(crate) async fn repartition(
    store: &dyn SubscriptionStore,
    name: &str,
    partitions: u32,
) -> Result<(), SubscriptionError> {
    if partitions == 0 || partitions > SubscriptionOptions::PARTITIONS_MAX {
        return Err(SubscriptionError::Option {
            name: name.to_owned(),
            option: "partitions",
            problem: "must be between 1 and 1,024",
        });
    }
    change(store, name, |active| {
        let state = active.definition.state;
        if state != SubscriptionState::Active {
            let problem = "only the partitions of an active one can be changed";
            let name = name.to_owned();
            return Err(SubscriptionError::State {
                name,
                state,
                problem,
            });
        }
        if active.partitions.len() == partitions as usize && active.definition.barrier.is_none() {
            return Ok(None);
        }
        let position = farthest(active);
        Ok(Some(with(active, Partitions::Fence, |definition| {
            definition.barrier = Some(Barrier {
                position,
                partitions,
            });
        })))
    })
    .await
}

/// How far the partition has come that is ahead of the others.
pub(crate) fn farthest(record: &SubscriptionRecord) -> GlobalPosition {
    let positions = record.partitions.iter().map(|one| one.position);
    positions.max().unwrap_or_default()
}

/// The change that moves a barrier that a partition had passed already when it was put up.
pub(crate) fn barrier_moved(record: &SubscriptionRecord) -> Option<SubscriptionChange> {
    let barrier = record.definition.barrier?;
    let farthest = farthest(record);
    let is_passed = record.definition.state.is_claimable() && farthest > barrier.position;
    is_passed.then(|| {
        with(record, Partitions::Keep, |definition| {
            definition.barrier = Some(Barrier {
                position: farthest,
                ..barrier
            });
        })
    })
}
