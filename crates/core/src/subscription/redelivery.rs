//! Handles a dead letter again, and what has waited behind it.

use std::time::{Duration, Instant};

use super::consumer::{Consumer, Incoming, Written};
use super::runner::{End, Runner};
use crate::handler::FailureCause;
use crate::store::{Block, BlockRequest, Change, Progress, ReadAll, Requirement};
use crate::{GlobalPosition, RecordedEvent};

/// For how long events of one key are handled before the others have their turn.
const TURN: Duration = Duration::from_millis(100);

/// What became of an event that was looked at.
enum Looked {
    /// It is another key's.
    PassedOver,
    Handled(Written),
    FailedAgain,
}

/// Goes on with a dead letter that somebody asked about, by one page of the log or a turn.
pub(super) async fn go_on<C: Consumer>(runner: &mut Runner<C>) -> Result<(), End> {
    let Some(mut block) = runner.blocks.requested().cloned() else {
        return Ok(());
    };
    let turn_ends = Instant::now() + TURN;
    // The key is freed when it has caught up with what is written down.
    runner.checkpoint.write().await?;
    let until = runner.checkpoint.written();
    let after = read_after(&block);
    let read = ReadAll::forward()
        .after(after)
        .limit(runner.work.options.page)
        .filter(runner.work.filter.clone());
    let page = match runner.partition.hub.store.read_all(read).await {
        Ok(page) => page,
        Err(error) => {
            tracing::warn!(%error, "the log cannot be read; it is tried again");
            return runner.pause(runner.work.options.retry.first).await;
        }
    };
    let up_to_here = |event: &RecordedEvent| event.read_position() <= until;
    for event in page.events.into_iter().filter(up_to_here) {
        let position = event.read_position();
        match look_at(runner, &block, event).await? {
            Looked::FailedAgain => return Ok(()),
            Looked::Handled(Written::Together) => {
                block = moved(&block, position.next());
                runner.blocks.put(block.clone());
            }
            Looked::Handled(_) | Looked::PassedOver => {}
        }
        if runner.is_stopping() || Instant::now() >= turn_ends {
            return write(runner, &block, moved(&block, position.next())).await;
        }
    }
    if page.examined >= until || page.examined <= after {
        return free(runner, &block).await;
    }
    write(runner, &block, moved(&block, page.examined.next())).await
}

/// Only an event that has failed can be left out, not one that its key has merely come to.
fn read_after(block: &Block) -> GlobalPosition {
    let is_discarded = block.request == Some(BlockRequest::Discard) && block.event_id.is_some();
    match is_discarded {
        true => block.position,
        false => GlobalPosition::new(block.position.get().saturating_sub(1)),
    }
}

/// Handles an event if it is the key's.
async fn look_at<C: Consumer>(
    runner: &mut Runner<C>,
    block: &Block,
    event: RecordedEvent,
) -> Result<Looked, End> {
    let mut incoming = runner.incoming(event);
    if runner.key_of(&incoming) != block.key {
        return Ok(Looked::PassedOver);
    }
    let position = incoming.event.read_position();
    incoming.delivery = runner.delivery_of(&block.key, position);
    let attempts = match position == block.position {
        true => block.attempts.saturating_add(1),
        false => 1,
    };
    let changes = vec![Change::Block(moved(block, position.next()))];
    let progress = Progress {
        requires: vec![as_known(block)],
        changes,
        ..runner.checkpoint.progress()
    };
    let unit = std::slice::from_ref(&incoming);
    match runner.attempt(unit, attempts, progress).await? {
        Ok(Written::Lost) => Err(runner.checkpoint.lose().into()),
        Ok(written) => Ok(Looked::Handled(written)),
        Err(cause) => {
            let failed = failed_again(block, &incoming, attempts, &cause);
            write(runner, block, failed).await?;
            Ok(Looked::FailedAgain)
        }
    }
}

fn moved(block: &Block, position: GlobalPosition) -> Block {
    Block {
        position,
        attempts: 0,
        event_id: None,
        request: Some(BlockRequest::Retry),
        ..block.clone()
    }
}

fn failed_again(block: &Block, incoming: &Incoming, attempts: u32, cause: &FailureCause) -> Block {
    Block {
        position: incoming.event.read_position(),
        event_id: Some(incoming.event.event_id),
        error: cause.to_string(),
        attempts,
        request: None,
        ..block.clone()
    }
}

async fn write<C: Consumer>(
    runner: &mut Runner<C>,
    known: &Block,
    block: Block,
) -> Result<(), End> {
    commit(runner, known, Change::Block(block.clone())).await?;
    runner.blocks.put(block);
    Ok(())
}

async fn free<C: Consumer>(runner: &mut Runner<C>, known: &Block) -> Result<(), End> {
    let key = known.key.clone();
    commit(runner, known, Change::Unblock { key }).await?;
    runner.blocks.remove(&known.key);
    Ok(())
}

/// Changes a block if it is as it was known. Otherwise it was asked about again, or an attempt that was given up has
/// come true after all: whoever begins next reads what is so.
async fn commit<C: Consumer>(
    runner: &mut Runner<C>,
    known: &Block,
    change: Change,
) -> Result<(), End> {
    let requires = vec![as_known(known)];
    match runner.checkpoint.write_with(requires, vec![change]).await? {
        true => Ok(()),
        false => Err(runner.checkpoint.lose().into()),
    }
}

fn as_known(block: &Block) -> Requirement {
    Requirement::Block {
        key: block.key.clone(),
        position: block.position,
        request: block.request,
    }
}
