//! Links.

use std::collections::HashSet;

use ordain::store::{Appended, NewLinks};
use ordain::{EventId, StoreError};
use sqlx::sqlite::SqliteConnection;

use super::batch::Failure;
use super::decide::{Plan, check_expected};
use super::insert::Content;
use super::probe::{self, StreamEnd, Wanted};
use super::work::{Answer, Verdict};
use crate::options::SqliteOptions;
use crate::read::{column, event_id};
use crate::{micros, sql};

/// An event that is to be linked to.
struct Target {
    id: EventId,
    position: i64,
}

pub(super) async fn link(
    connection: &mut SqliteConnection,
    links: &NewLinks,
    options: &SqliteOptions,
) -> Result<Verdict, Failure> {
    let mut wanted = Wanted::default();
    wanted.stream(&links.stream);
    let known = wanted.probe(connection, sql::PROBE).await?;
    let mut plan = Plan::new(known, options);
    let end = plan.known().stream(&links.stream);
    if let Err(refused) = check(links, &end) {
        return Ok(Err(refused));
    }
    let targets = match find_targets(connection, &links.targets).await? {
        Ok(targets) => targets,
        Err(refused) => return Ok(Err(refused)),
    };
    if let Some(event_id) = find_linked(connection, &end, &targets).await? {
        return Ok(Err(StoreError::DuplicateEvent { event_id }));
    }
    let appended = accept(&mut plan, links, &targets);
    plan.into_rows().write(connection).await?;
    Ok(Ok(Answer::Appended(appended)))
}

fn check(links: &NewLinks, end: &StreamEnd) -> Result<(), StoreError> {
    end.check_open(&links.stream)?;
    if end.exists() && !end.holds_links {
        return Err(StoreError::EventsAndLinks {
            stream: links.stream.clone(),
            links: false,
        });
    }
    check_expected(&links.stream, links.expected, end)
}

fn accept<'a>(plan: &mut Plan<'a>, links: &'a NewLinks, targets: &[Target]) -> Appended {
    let first_position = plan.known().log.position + 1;
    let recorded_at = plan.tick();
    let contents = targets
        .iter()
        .map(|target| (EventId::new(), Content::Link(target.position)));
    let end = plan.add(&links.stream, true, recorded_at, contents);
    Appended {
        first_position: first_position.into(),
        last_position: end.position.into(),
        recorded_at: micros::to_time(recorded_at),
        versions: vec![end.version.into()],
    }
}

/// The events behind the ids; links are followed.
async fn find_targets(
    connection: &mut SqliteConnection,
    ids: &[EventId],
) -> Result<Result<Vec<Target>, StoreError>, Failure> {
    let rows = sql::statement(sql::LINK_TARGETS)
        .bind(probe::ids_json(ids.iter().map(EventId::as_uuid)))
        .fetch_all(connection)
        .await?;
    let mut found: Vec<Option<Target>> = ids.iter().map(|_| None).collect();
    for row in &rows {
        let index = column::<i64>(row, 0)? as usize;
        found[index] = Some(Target {
            position: column(row, 1)?,
            id: event_id(column(row, 2)?)?,
        });
    }
    Ok(check_targets(ids, found))
}

fn check_targets(ids: &[EventId], found: Vec<Option<Target>>) -> Result<Vec<Target>, StoreError> {
    let mut targets = Vec::with_capacity(ids.len());
    for (target, &event_id) in found.into_iter().zip(ids) {
        targets.push(target.ok_or(StoreError::LinkTargetNotFound { event_id })?);
    }
    let mut seen = HashSet::new();
    match targets.iter().find(|target| !seen.insert(target.id)) {
        Some(target) => Err(StoreError::DuplicateEvent {
            event_id: target.id,
        }),
        None => Ok(targets),
    }
}

/// The first of the targets that the stream links to already.
async fn find_linked(
    connection: &mut SqliteConnection,
    end: &StreamEnd,
    targets: &[Target],
) -> Result<Option<EventId>, Failure> {
    let Some(key) = end.key else {
        return Ok(None);
    };
    let positions: Vec<_> = targets.iter().map(|target| target.position).collect();
    let positions = serde_json::to_string(&positions)
        .map_err(|error| StoreError::internal(error.to_string()))?;
    let row = sql::statement(sql::LINKED)
        .bind(key)
        .bind(positions)
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let index = column::<i64>(&row, 0)? as usize;
    Ok(targets.get(index).map(|target| target.id))
}
