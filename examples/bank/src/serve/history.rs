//! The past of an account over HTTP.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use futures::stream::TryStreamExt;
use ordain::{HistoryEvent, Moment};
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::body::Asked;
use super::problem::Problem;
use crate::bank::Bank;
use crate::domain::{Account, AccountEvent, AccountId, Money, TransferId};

/// How many events one answer tells.
const PAGE: usize = 500;

#[derive(Deserialize)]
pub(super) struct When {
    version: Option<u64>,
    time: Option<String>,
    /// Only what came after this version.
    #[serde(default)]
    after: u64,
}

/// The account as it was, if a version or a time is asked for; what happened to it otherwise.
pub(super) async fn show(
    State(bank): State<Bank>,
    Path(account): Path<String>,
    Asked(when): Asked<When>,
) -> Result<Response, Problem> {
    let account = AccountId::from(account);
    match moment(&when)? {
        Some(moment) => as_of(&bank, &account, moment).await,
        None => events(&bank, &account, when.after).await,
    }
}

fn moment(when: &When) -> Result<Option<Moment>, Problem> {
    match (when.version, &when.time) {
        (Some(_), Some(_)) => {
            let detail = "a version or a time, not both";
            Err(Problem::bad_request("query", detail))
        }
        (Some(version), None) => Ok(Some(version.into())),
        (None, Some(time)) => {
            let time = OffsetDateTime::parse(time, &Rfc3339).map_err(|_| {
                let detail = "a time is written as 2026-01-31T12:00:00Z";
                Problem::bad_request("query", detail)
            })?;
            Ok(Some(time.into()))
        }
        (None, None) => Ok(None),
    }
}

async fn as_of(bank: &Bank, account: &AccountId, moment: Moment) -> Result<Response, Problem> {
    let loaded = bank.app().load_at::<Account>(account, moment).await?;
    let body = json!({
        "account": account,
        "owner": loaded.owner(),
        "balance": loaded.balance(),
        "available": loaded.available(),
        "closed": loaded.is_closed(),
        "version": loaded.version.get(),
    });
    Ok(Json(body).into_response())
}

async fn events(bank: &Bank, account: &AccountId, after: u64) -> Result<Response, Problem> {
    let mut history = bank.app().history::<Account>(account);
    let mut told = Vec::new();
    let mut next = None;
    while let Some(event) = history.try_next().await? {
        let version = event.recorded.version.get();
        if version <= after {
            continue;
        }
        if told.len() == PAGE {
            next = Some(version - 1);
            break;
        }
        told.push(tell(&event));
    }
    // Behind the last page, `after` goes on from here.
    let body = json!({ "account": account, "events": told, "after": next });
    Ok(Json(body).into_response())
}

fn tell(event: &HistoryEvent<AccountEvent>) -> Value {
    let (amount, transfer) = about(&event.event);
    let at = event.recorded.recorded_at.format(&Rfc3339);
    json!({
        "version": event.recorded.version.get(),
        "event": event.recorded.event_type,
        "recorded_at": at.unwrap_or_default(),
        "amount": amount,
        "transfer": transfer,
    })
}

fn about(event: &AccountEvent) -> (Option<Money>, Option<&TransferId>) {
    match event {
        AccountEvent::AccountOpened(_) | AccountEvent::AccountClosed(_) => (None, None),
        AccountEvent::MoneyDeposited(event) => (Some(event.amount), None),
        AccountEvent::MoneyWithdrawn(event) => (Some(event.amount), None),
        AccountEvent::MoneyReserved(event) => (Some(event.amount), Some(&event.transfer)),
        AccountEvent::MoneyReceived(event) => (Some(event.amount), Some(&event.transfer)),
        AccountEvent::ReservationConfirmed(event) => (Some(event.amount), Some(&event.transfer)),
        AccountEvent::ReservationReleased(event) => (Some(event.amount), Some(&event.transfer)),
    }
}
