//! Accounts over HTTP.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use ordain::{CommandOf, Dispatch, DispatchError, ReceiptWithState};
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;

use super::body::{Asked, Body};
use super::headers::{Key, Seen, etag};
use super::preference::Wait;
use super::problem::Problem;
use crate::bank::Bank;
use crate::domain::{
    Account, AccountError, AccountId, CloseAccount, Deposit, Money, OpenAccount, Withdraw,
};
use crate::views::{Balances, StatementDay, day_of, is_day};

/// How long an answer waits until it can be read, unless the client says how long.
const READABLE_WITHIN: Duration = Duration::from_secs(5);
/// How long a command may wait for its turn.
const TURN_MAX: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Opening {
    owner: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Amount {
    amount: Money,
}

#[derive(Deserialize)]
pub(super) struct Day {
    day: Option<String>,
}

pub(super) async fn open(
    State(bank): State<Bank>,
    key: Key,
    wait: Wait,
    Body(opening): Body<Opening>,
) -> Result<Response, Problem> {
    let id = key.resource_id();
    let command = OpenAccount {
        account: id.as_str().into(),
        owner: opening.owner,
    };
    let teller = Teller::new(&bank, key, Seen(None), wait);
    let mut answer = teller.carry_out(command).await?;
    if answer.status() == StatusCode::OK {
        *answer.status_mut() = StatusCode::CREATED;
    }
    Ok(([(LOCATION, format!("/accounts/{id}"))], answer).into_response())
}

pub(super) async fn deposit(
    State(bank): State<Bank>,
    Path(account): Path<String>,
    key: Key,
    seen: Seen,
    wait: Wait,
    Body(Amount { amount }): Body<Amount>,
) -> Result<Response, Problem> {
    let account = AccountId::from(account);
    let teller = Teller::new(&bank, key, seen, wait);
    teller.carry_out(Deposit { account, amount }).await
}

pub(super) async fn withdraw(
    State(bank): State<Bank>,
    Path(account): Path<String>,
    key: Key,
    seen: Seen,
    wait: Wait,
    Body(Amount { amount }): Body<Amount>,
) -> Result<Response, Problem> {
    let account = AccountId::from(account);
    let teller = Teller::new(&bank, key, seen, wait);
    teller.carry_out(Withdraw { account, amount }).await
}

/// Nobody closes an account without having looked at it.
pub(super) async fn close(
    State(bank): State<Bank>,
    Path(account): Path<String>,
    key: Key,
    seen: Seen,
    wait: Wait,
) -> Result<Response, Problem> {
    seen.required()?;
    let account = AccountId::from(account);
    let teller = Teller::new(&bank, key, seen, wait);
    teller.carry_out(CloseAccount { account }).await
}

pub(super) async fn show(
    State(bank): State<Bank>,
    Path(account): Path<String>,
) -> Result<Response, Problem> {
    let row = bank.shelf().balance(&account).await?;
    let row = row.ok_or_else(|| Problem::no_account(&account))?;
    let body = json!({
        "account": row.account,
        "owner": row.owner,
        "balance": row.balance,
        "available": row.available(),
        "closed": row.closed,
        "version": row.version,
    });
    Ok((etag(row.version.unsigned_abs()), Json(body)).into_response())
}

pub(super) async fn statement(
    State(bank): State<Bank>,
    Path(account): Path<String>,
    Asked(Day { day }): Asked<Day>,
) -> Result<Response, Problem> {
    let day = day.unwrap_or_else(|| day_of(OffsetDateTime::now_utc()));
    if !is_day(&day) {
        let detail = "a day is written as 2026-01-31";
        return Err(Problem::bad_request("day", detail));
    }
    if bank.shelf().balance(&account).await?.is_none() {
        return Err(Problem::no_account(&account));
    }
    let last = bank.shelf().last_day(&account, &day).await?;
    let row = match last {
        Some(row) if row.day == day => row,
        Some(row) => row.followed_by(day),
        None => StatementDay {
            account,
            day,
            ..StatementDay::default()
        },
    };
    let body = json!({
        "account": row.account,
        "day": row.day,
        "opening": row.opening,
        "in": row.money_in,
        "out": row.money_out,
        "closing": row.closing(),
    });
    Ok(Json(body).into_response())
}

/// Carries out a command of a client.
struct Teller<'b> {
    bank: &'b Bank,
    key: Key,
    seen: Seen,
    wait: Duration,
}

impl<'b> Teller<'b> {
    fn new(bank: &'b Bank, key: Key, seen: Seen, wait: Wait) -> Self {
        let wait = wait.or(READABLE_WITHIN);
        Self {
            bank,
            key,
            seen,
            wait,
        }
    }

    /// Answers when the balances show the command. If that takes too long, the answer says that it is
    /// accepted: it is carried out then, and only not to be seen yet.
    async fn carry_out<C: CommandOf<Account> + Clone>(
        &self,
        command: C,
    ) -> Result<Response, Problem> {
        let dispatch = self.dispatch(command.clone()).with_state();
        let waiting = dispatch
            .wait_for([<Balances>::NAME])
            .wait_at_most(self.wait);
        match waiting.await {
            Ok(receipt) => Ok(describe(StatusCode::OK, &receipt)),
            Err(DispatchError::Unhandled { .. }) => {
                // The same id again gives the answer again.
                let receipt = self.dispatch(command).with_state().await;
                Ok(describe(
                    StatusCode::ACCEPTED,
                    &receipt.map_err(|error| self.explain(error))?,
                ))
            }
            Err(error) => Err(self.explain(error)),
        }
    }

    fn dispatch(&self, command: impl CommandOf<Account>) -> Dispatch<Account> {
        let dispatch = self.bank.app().dispatch(command);
        let dispatch = dispatch.command_id(self.key.command_id()).within(TURN_MAX);
        match self.seen.0 {
            Some(version) => dispatch.expect_version(version),
            None => dispatch,
        }
    }

    fn explain(&self, error: DispatchError<AccountError>) -> Problem {
        match error {
            DispatchError::Conflict(conflict) if self.seen.0.is_some() => {
                let detail = format!("the account is at version {}", conflict.actual.get());
                Problem::new(StatusCode::PRECONDITION_FAILED, "changed").detail(detail)
            }
            error => error.into(),
        }
    }
}

/// The account after the command, as it was then.
fn describe(status: StatusCode, receipt: &ReceiptWithState<Account>) -> Response {
    let (version, account) = (receipt.version.get(), &receipt.state);
    let body = json!({
        "account": receipt.stream.id(),
        "owner": account.owner(),
        "balance": account.balance(),
        "available": account.available(),
        "closed": account.is_closed(),
        "version": version,
    });
    (status, etag(version), Json(body)).into_response()
}
