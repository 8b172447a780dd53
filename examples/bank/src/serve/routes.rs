//! Which request goes where.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::problem::Problem;
use super::{accounts, health, history, subscriptions, transfers};
use crate::bank::Bank;

/// The longest body of a request, in bytes.
const BODY_MAX: usize = 16 << 10;
/// How long a request may take, its body included.
const TIME_MAX: Duration = Duration::from_secs(60);

pub(super) fn of(bank: Bank) -> Router {
    Router::new()
        .route("/accounts", post(accounts::open))
        .route("/accounts/{account}", get(accounts::show))
        .route("/accounts/{account}/deposits", post(accounts::deposit))
        .route("/accounts/{account}/withdrawals", post(accounts::withdraw))
        .route("/accounts/{account}/closure", post(accounts::close))
        .route("/accounts/{account}/history", get(history::show))
        .route("/accounts/{account}/statement", get(accounts::statement))
        .route("/transfers", post(transfers::request))
        .route("/transfers/{transfer}", get(transfers::show))
        .route("/transfers/{transfer}/approval", post(transfers::approve))
        .route("/subscriptions", get(subscriptions::list))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_that_way)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn(in_time))
        .with_state(bank)
}

async fn nothing_here() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "nothing-here").detail("there is no such resource")
}

async fn not_that_way() -> Problem {
    let detail = "the resource cannot be used with this method";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method").detail(detail)
}

async fn in_time(request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(TIME_MAX, next.run(request)).await;
    answer.unwrap_or_else(|_| {
        let detail = "the request took too long; send it again, with the same key";
        Problem::unavailable("timeout", detail).into_response()
    })
}
