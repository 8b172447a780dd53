//! How what follows the events stands, over HTTP.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ordain::subscription::SubscriptionError;

use super::problem::Problem;
use crate::bank::Bank;

pub(super) async fn list(State(bank): State<Bank>) -> Result<Response, Problem> {
    let list = bank.app().subscriptions().list().await?;
    Ok(Json(list).into_response())
}

impl From<SubscriptionError> for Problem {
    fn from(error: SubscriptionError) -> Self {
        Self::unavailable("unavailable", error.to_string())
    }
}
