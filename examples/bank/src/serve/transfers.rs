//! Transfers over HTTP.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use ordain::Loaded;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::body::Body;
use super::headers::{Key, etag};
use super::preference::Wait;
use super::problem::Problem;
use crate::bank::Bank;
use crate::domain::{AccountId, ApproveTransfer, Money, RequestTransfer, Transfer, TransferId};

/// How long a command may wait for its turn.
const TURN_MAX: Duration = Duration::from_secs(10);
/// The pauses between looks at a transfer that is waited for.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LONGEST_LOOK: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    from: AccountId,
    to: AccountId,
    amount: Money,
    hold_seconds: Option<u32>,
}

/// Accepts a transfer. Its end is waited for if the client would like to.
pub(super) async fn request(
    State(bank): State<Bank>,
    key: Key,
    wait: Wait,
    Body(wish): Body<Wish>,
) -> Result<Response, Problem> {
    let id = key.resource_id();
    let transfer = TransferId::from(id.as_str());
    let command = RequestTransfer {
        transfer: transfer.clone(),
        from: wish.from,
        to: wish.to,
        amount: wish.amount,
        hold_seconds: wish.hold_seconds,
    };
    let dispatch = bank.app().dispatch(command).within(TURN_MAX);
    dispatch.command_id(key.command_id()).await?;
    let place = [(LOCATION, format!("/transfers/{id}"))];
    let wait = wait.or(Duration::ZERO);
    if wait.is_zero() {
        let body = json!({ "transfer": id });
        return Ok((StatusCode::ACCEPTED, place, Json(body)).into_response());
    }
    let stands = ended_within(&bank, &transfer, wait).await?;
    let status = match stands.state().has_ended() {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    };
    Ok((status, place, describe(&stands)).into_response())
}

pub(super) async fn show(
    State(bank): State<Bank>,
    Path(transfer): Path<String>,
) -> Result<Response, Problem> {
    let transfer = TransferId::from(transfer);
    let loaded = bank.app().load::<Transfer>(&transfer).await?;
    Ok(describe(&loaded))
}

pub(super) async fn approve(
    State(bank): State<Bank>,
    Path(transfer): Path<String>,
    key: Key,
) -> Result<Response, Problem> {
    let transfer = TransferId::from(transfer);
    let dispatch = bank.app().dispatch(ApproveTransfer {
        transfer: transfer.clone(),
    });
    let dispatch = dispatch.within(TURN_MAX).command_id(key.command_id());
    dispatch.await?;
    let body = json!({ "transfer": transfer });
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

/// The transfer when it has ended, or as it stands when the time is over.
async fn ended_within(
    bank: &Bank,
    transfer: &TransferId,
    wait: Duration,
) -> Result<Loaded<Transfer>, Problem> {
    let (deadline, mut look) = (Instant::now() + wait, FIRST_LOOK);
    loop {
        let loaded = bank.app().load::<Transfer>(transfer).await?;
        if loaded.state().has_ended() || Instant::now() >= deadline {
            return Ok(loaded);
        }
        tokio::time::sleep_until(deadline.min(Instant::now() + look)).await;
        look = (look * 2).min(LONGEST_LOOK);
    }
}

fn describe(transfer: &Loaded<Transfer>) -> Response {
    let version = transfer.version.get();
    let body = json!({
        "transfer": transfer.stream.id(),
        "from": transfer.from(),
        "to": transfer.to(),
        "amount": transfer.amount(),
        "state": transfer.state(),
        "reason": transfer.reason(),
        "version": version,
    });
    (etag(version), Json(body)).into_response()
}
