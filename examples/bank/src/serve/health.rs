//! How the bank is doing, over HTTP.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ordain::Phase;
use serde_json::json;

use super::problem::Problem;
use crate::bank::Bank;

/// How long the store may take to answer.
const STORE_MAX: Duration = Duration::from_secs(2);

/// Whether the process should be left alone.
pub(super) async fn live(State(bank): State<Bank>) -> Response {
    match bank.app().health().is_live() {
        true => fine(),
        false => Problem::unavailable("stopped", "the bank has stopped").into_response(),
    }
}

/// Whether requests should be sent here: the bank takes them, and its store answers.
pub(super) async fn ready(State(bank): State<Bank>) -> Response {
    if bank.app().health().phase != Phase::Running {
        return Problem::unavailable("stopping", "the bank is stopping").into_response();
    }
    let head = tokio::time::timeout(STORE_MAX, bank.store().head());
    match head.await {
        Ok(Ok(_)) => fine(),
        Ok(Err(error)) => Problem::unavailable("store", error.to_string()).into_response(),
        Err(_) => Problem::unavailable("store", "the store does not answer").into_response(),
    }
}

fn fine() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}
