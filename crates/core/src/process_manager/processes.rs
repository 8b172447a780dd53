//! The instances of a process manager, for people and for monitoring.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use super::stored::{StoredCommand, StoredInstance, StoredTimer, read};
use crate::store::{
    InstanceQuery, InstanceRecord, OutgoingQuery, OutgoingRecord, Share, SubscriptionKey,
    SubscriptionStore, TimerRecord,
};
use crate::subscription::{DeadLetter, SubscriptionError, active_of, dead_letter, is_dead_letter};
use crate::{CommandId, GlobalPosition};

/// How many unsettled commands of an instance are shown.
const OUTGOING_SHOWN: u32 = 1_000;

/// The instances of a process manager: [`App::processes`](crate::App::processes). Cheap to clone.
#[derive(Clone)]
pub struct Processes {
    store: Arc<dyn SubscriptionStore>,
    name: String,
}

/// How a process instance stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ProcessInstance {
    /// Its id.
    pub id: String,
    /// Whether it has ended.
    pub finished: bool,
    /// The position of the last event it has handled.
    pub position: GlobalPosition,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub changed_at: OffsetDateTime,
    /// The version of its state's shape.
    pub state_version: u32,
    /// Its state.
    pub state: Value,
    /// What went wrong with the last of its commands that was left out.
    pub command_error: Option<String>,
    /// Its timers, by key.
    pub timers: Vec<ProcessTimer>,
    /// Its commands that are not settled, in order.
    pub outgoing: Vec<ProcessOutgoing>,
    /// Why it is put aside, if it is.
    pub dead_letter: Option<DeadLetter>,
}

/// A timer of a process instance.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ProcessTimer {
    /// Its key.
    pub key: String,
    /// When it is due.
    #[serde(with = "time::serde::rfc3339")]
    pub due_at: OffsetDateTime,
    /// What it carries.
    pub payload: Value,
}

/// A command of a process instance that is not settled.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ProcessOutgoing {
    /// Its id.
    pub command_id: CommandId,
    /// Its name.
    pub name: String,
    /// The category of its aggregate.
    pub category: String,
    /// The id of its aggregate.
    pub aggregate: String,
    /// What it holds.
    pub body: Value,
    /// How often it has failed.
    pub attempts: u32,
}

impl Processes {
    pub(crate) fn new(store: Arc<dyn SubscriptionStore>, name: &str) -> Self {
        Self {
            store,
            name: name.to_owned(),
        }
    }

    /// The ids of the instances that come after this one, at most `limit`; those that have ended too.
    ///
    /// # Errors
    /// [`NotFound`](SubscriptionError::NotFound).
    pub async fn list(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, SubscriptionError> {
        let query = InstanceQuery {
            subscription: self.key().await?,
            after: after.map(str::to_owned),
            finished: None,
            limit,
        };
        let records = self.store.list_instances(query).await?;
        Ok(records.into_iter().map(|record| record.id).collect())
    }

    /// The ids of the instances that have commands which are not settled, by the first `limit` of these.
    ///
    /// # Errors
    /// [`NotFound`](SubscriptionError::NotFound).
    pub async fn unsettled(&self, limit: u32) -> Result<Vec<String>, SubscriptionError> {
        let query = all_outgoing(self.key().await?, None, limit);
        let outgoing = self.store.outgoing(query).await?;
        let mut ids: Vec<_> = outgoing.into_iter().map(|it| it.instance).collect();
        // They come by instance.
        ids.dedup();
        Ok(ids)
    }

    /// How an instance stands; `None` if there is none.
    ///
    /// # Errors
    /// [`NotFound`](SubscriptionError::NotFound).
    pub async fn get(&self, id: &str) -> Result<Option<ProcessInstance>, SubscriptionError> {
        let key = self.key().await?;
        let records = self.store.instances(&key, &[id.to_owned()]).await?;
        let Some(record) = records.into_iter().next() else {
            return Ok(None);
        };
        let timers = self.store.timers(&key, id).await?;
        let outgoing = self.outgoing(&key, id).await?;
        let blocks = self.store.blocks(&key, u32::MAX).await?;
        let mut aside = blocks.into_iter().filter(|block| block.key == id);
        let mut instance = ProcessInstance::from(&record);
        instance.timers = timers.iter().map(ProcessTimer::from).collect();
        instance.outgoing = outgoing.iter().map(ProcessOutgoing::from).collect();
        let letter = aside.find(is_dead_letter);
        instance.dead_letter = letter.map(|block| dead_letter(key.version, block));
        Ok(Some(instance))
    }

    async fn outgoing(
        &self,
        key: &SubscriptionKey,
        id: &str,
    ) -> Result<Vec<OutgoingRecord>, SubscriptionError> {
        let query = all_outgoing(key.clone(), Some((id.to_owned(), 0)), OUTGOING_SHOWN);
        let mut outgoing = self.store.outgoing(query).await?;
        outgoing.retain(|record| record.instance == id);
        Ok(outgoing)
    }

    async fn key(&self) -> Result<SubscriptionKey, SubscriptionError> {
        let known = self.store.subscriptions(Some(&self.name)).await?;
        let active = active_of(&known).map(|active| active.key.clone());
        active.ok_or_else(|| SubscriptionError::NotFound {
            name: self.name.clone(),
        })
    }
}

/// The commands of all partitions.
fn all_outgoing(
    subscription: SubscriptionKey,
    after: Option<(String, u64)>,
    limit: u32,
) -> OutgoingQuery {
    OutgoingQuery {
        subscription,
        share: Share {
            partition: 0,
            partitions: 1,
        },
        after,
        limit,
    }
}

/// How an instance stands, by itself. What is stored and cannot be read is shown as nothing.
impl From<&InstanceRecord> for ProcessInstance {
    fn from(record: &InstanceRecord) -> Self {
        let stored: Option<StoredInstance> = read(&record.data).ok();
        let failed = stored
            .as_ref()
            .and_then(|stored| stored.failed_command.clone());
        Self {
            id: record.id.clone(),
            finished: record.finished,
            position: record.position,
            changed_at: record.changed_at,
            state_version: stored.as_ref().map_or(0, |stored| stored.version),
            state: stored.map_or(Value::Null, |stored| stored.state),
            command_error: failed.map(|failed| format!("{}: {}", failed.name, failed.error)),
            timers: Vec::new(),
            outgoing: Vec::new(),
            dead_letter: None,
        }
    }
}

impl From<&TimerRecord> for ProcessTimer {
    fn from(record: &TimerRecord) -> Self {
        let stored = StoredTimer::read(record);
        Self {
            key: record.key.clone(),
            due_at: record.due_at,
            payload: stored.map_or(Value::Null, |stored| stored.payload),
        }
    }
}

impl From<&OutgoingRecord> for ProcessOutgoing {
    fn from(record: &OutgoingRecord) -> Self {
        let stored = StoredCommand::read(record).ok();
        let command = stored.as_ref().map(|stored| &stored.command);
        Self {
            command_id: record.command_id,
            name: command.map_or_else(String::new, |it| it.name().to_owned()),
            category: command.map_or_else(String::new, |it| it.category().to_owned()),
            aggregate: command.map_or_else(String::new, |it| it.id().to_owned()),
            body: command.map_or(Value::Null, |it| it.body().clone()),
            attempts: record.attempts,
        }
    }
}

impl fmt::Debug for Processes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processes")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
