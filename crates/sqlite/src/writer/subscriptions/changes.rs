//! What changes with a partition's progress.

use ordain::CommandId;
use ordain::store::{
    Block, Change, InstanceRecord, LeaseKey, OutgoingRecord, Progress, SubscriptionKey,
    TimerRecord, Trouble,
};
use sqlx::sqlite::SqliteConnection;
use time::OffsetDateTime;

use crate::sql::Statement;
use crate::subscriptions::{block_kind, block_request};
use crate::{micros, sql};

pub(super) async fn make(
    connection: &mut SqliteConnection,
    progress: &Progress,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let now = micros::floor(now);
    for change in &progress.changes {
        statement(&progress.lease, change, now)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

fn statement<'a>(lease: &'a LeaseKey, change: &'a Change, now: i64) -> Statement<'a> {
    let of = &lease.subscription;
    match change {
        Change::Block(block) => put_block(of, block, now),
        Change::Unblock { key } => sql::of(sql::DELETE_BLOCK, of).bind(key),
        Change::Trouble(trouble) => set_trouble(lease, trouble.as_ref()),
        Change::PutInstance(instance) => put_instance(of, instance, now),
        Change::RemoveInstance { id } => sql::of(sql::DELETE_INSTANCE, of).bind(id),
        Change::PutOutgoing(outgoing) => put_outgoing(of, outgoing),
        Change::RemoveOutgoing { command_id } => {
            sql::of(sql::DELETE_OUTGOING, of).bind(bytes(*command_id))
        }
        Change::RemoveOutgoingOf { instance } => {
            sql::of(sql::DELETE_OUTGOING_OF, of).bind(instance)
        }
        Change::PutTimer(timer) => timer_put(of, timer),
        Change::RemoveTimer { instance, key } => timer_removed(of, instance, key),
        Change::RemoveTimersOf { instance } => sql::of(sql::DELETE_TIMERS_OF, of).bind(instance),
    }
}

fn put_block<'a>(of: &'a SubscriptionKey, block: &'a Block, now: i64) -> Statement<'a> {
    let event_id = block.event_id.map(|id| id.as_uuid().as_bytes().to_vec());
    sql::of(sql::PUT_BLOCK, of)
        .bind(&block.key)
        .bind(block_kind(block.kind))
        .bind(block.position.to_i64())
        .bind(event_id)
        .bind(&block.error)
        .bind(i64::from(block.attempts))
        .bind(now)
        .bind(block.request.map(block_request))
}

fn set_trouble<'a>(lease: &'a LeaseKey, trouble: Option<&'a Trouble>) -> Statement<'a> {
    let next_attempt = trouble.and_then(|trouble| trouble.next_attempt);
    sql::of(sql::SET_TROUBLE, &lease.subscription)
        .bind(i64::from(lease.partition))
        .bind(trouble.map(|trouble| trouble.position.to_i64()))
        .bind(trouble.map(|trouble| trouble.error.as_str()))
        .bind(trouble.map(|trouble| i64::from(trouble.attempts)))
        .bind(next_attempt.map(micros::floor))
}

fn put_instance<'a>(
    of: &'a SubscriptionKey,
    instance: &'a InstanceRecord,
    now: i64,
) -> Statement<'a> {
    sql::of(sql::PUT_INSTANCE, of)
        .bind(&instance.id)
        .bind(i64::from(instance.bucket))
        .bind(instance.position.to_i64())
        .bind(instance.finished)
        .bind(&instance.data[..])
        .bind(now)
}

fn put_outgoing<'a>(of: &'a SubscriptionKey, outgoing: &'a OutgoingRecord) -> Statement<'a> {
    sql::of(sql::PUT_OUTGOING, of)
        .bind(bytes(outgoing.command_id))
        .bind(&outgoing.instance)
        .bind(i64::from(outgoing.bucket))
        .bind(outgoing.sequence as i64)
        .bind(i64::from(outgoing.attempts))
        .bind(&outgoing.data[..])
}

fn timer_put<'a>(of: &'a SubscriptionKey, timer: &'a TimerRecord) -> Statement<'a> {
    sql::of(sql::PUT_TIMER, of)
        .bind(&timer.instance)
        .bind(&timer.key)
        .bind(timer.generation as i64)
        .bind(i64::from(timer.bucket))
        .bind(micros::floor(timer.due_at))
        .bind(&timer.data[..])
}

fn timer_removed<'a>(of: &'a SubscriptionKey, instance: &'a str, key: &'a str) -> Statement<'a> {
    sql::of(sql::DELETE_TIMER, of).bind(instance).bind(key)
}

pub(super) async fn put_timer(
    connection: &mut SqliteConnection,
    of: &SubscriptionKey,
    timer: &TimerRecord,
) -> Result<(), sqlx::Error> {
    timer_put(of, timer).execute(connection).await?;
    Ok(())
}

pub(super) async fn remove_timer(
    connection: &mut SqliteConnection,
    of: &SubscriptionKey,
    instance: &str,
    key: &str,
) -> Result<u64, sqlx::Error> {
    let done = timer_removed(of, instance, key).execute(connection).await?;
    Ok(done.rows_affected())
}

fn bytes(command_id: CommandId) -> Vec<u8> {
    command_id.as_uuid().as_bytes().to_vec()
}
