//! Telling those who follow the log what was committed.

use ordain::RecordedEvent;
use ordain::store::{Append, Appended, Arrivals};

use super::work::{Answer, Verdict, Work};

/// Hands over the events of these requests, which were committed in this order.
pub(super) fn tell(arrivals: &Arrivals, works: &[&Work], verdicts: &[Verdict]) {
    if !arrivals.is_followed() {
        return;
    }
    let mut events = Vec::new();
    for (work, verdict) in works.iter().zip(verdicts) {
        match (work, verdict) {
            (Work::Append(append), Ok(Answer::Appended(appended))) => {
                record(append, appended, &mut events);
            }
            (Work::Link(_) | Work::Delete { .. }, Ok(_)) => {
                hand_over(arrivals, &mut events);
                arrivals.announce();
            }
            _ => {}
        }
    }
    hand_over(arrivals, &mut events);
}

fn hand_over(arrivals: &Arrivals, events: &mut Vec<RecordedEvent>) {
    if !events.is_empty() {
        arrivals.hand_over(std::mem::take(events));
    }
}

fn record(append: &Append, appended: &Appended, events: &mut Vec<RecordedEvent>) {
    let mut position = appended.first_position;
    for (write, last) in append.writes.iter().zip(&appended.versions) {
        let before = last.get() - write.events.len() as u64;
        for (version, event) in (before + 1..).zip(&write.events) {
            events.push(RecordedEvent::record(
                event.clone(),
                write.stream.clone(),
                version.into(),
                position,
                appended.recorded_at,
            ));
            position = position.plus(1);
        }
    }
}
