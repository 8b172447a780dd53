//! Handles a dead letter again, and what has waited behind it.

use super::consumer::{Consumer, Incoming, Written};
use super::runner::{End, Runner};
use crate::handler::FailureCause;
use crate::store::{Block, BlockRequest, Change, Progress, ReadAll};
use crate::{GlobalPosition, RecordedEvent};

/// Goes on with a dead letter that somebody asked about, by one page of the log.
pub(super) async fn go_on<C: Consumer>(runner: &mut Runner<C>) -> Result<(), End> {
    let Some(block) = runner.blocks.requested().cloned() else {
        return Ok(());
    };
    // The key is freed when it has caught up with what is written down.
    runner.checkpoint.write().await?;
    let until = runner.checkpoint.written();
    let before = GlobalPosition::new(block.position.get().saturating_sub(1));
    let after = match block.request {
        Some(BlockRequest::Discard) => block.position,
        _ => before,
    };
    let read = ReadAll::forward()
        .after(after)
        .limit(runner.work.options.page)
        .filter(runner.work.filter.clone());
    let page = match runner.partition.hub.store.read_all(read).await {
        Ok(page) => page,
        Err(error) => {
            tracing::warn!(%error, "the log cannot be read; it is tried again");
            tokio::time::sleep(runner.work.options.retry.first).await;
            return Ok(());
        }
    };
    for event in page.events {
        if event.read_position() <= until {
            let was_handled = handle(runner, &block, event).await?;
            if !was_handled {
                return Ok(());
            }
        }
    }
    if page.examined >= until || page.examined <= after {
        return free(runner, &block).await;
    }
    let block = moved(&block, page.examined.next());
    write(runner, block).await
}

/// Handles an event if it is the key's; `false` if it failed again.
async fn handle<C: Consumer>(
    runner: &mut Runner<C>,
    block: &Block,
    event: RecordedEvent,
) -> Result<bool, End> {
    let mut incoming = runner.incoming(event);
    if runner.key_of(&incoming) != block.key {
        return Ok(true);
    }
    let position = incoming.event.read_position();
    incoming.delivery = runner.delivery_of(&block.key, position);
    let attempts = match position == block.position {
        true => block.attempts.saturating_add(1),
        false => 1,
    };
    let changes = vec![Change::Block(moved(block, position.next()))];
    let progress = Progress {
        changes,
        ..runner.checkpoint.progress()
    };
    let unit = std::slice::from_ref(&incoming);
    match runner.attempt(unit, attempts, progress).await? {
        Ok(Written::Lost) => Err(runner.checkpoint.lose().into()),
        Ok(Written::Not | Written::Together) => Ok(true),
        Err(cause) => {
            let block = failed_again(block, &incoming, attempts, &cause);
            write(runner, block).await?;
            Ok(false)
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

async fn write<C: Consumer>(runner: &mut Runner<C>, block: Block) -> Result<(), End> {
    let changes = vec![Change::Block(block.clone())];
    runner.checkpoint.write_with(Vec::new(), changes).await?;
    runner.blocks.put(block);
    Ok(())
}

async fn free<C: Consumer>(runner: &mut Runner<C>, block: &Block) -> Result<(), End> {
    let key = block.key.clone();
    let changes = vec![Change::Unblock { key }];
    runner.checkpoint.write_with(Vec::new(), changes).await?;
    runner.blocks.remove(&block.key);
    Ok(())
}
