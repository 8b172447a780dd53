//! What went wrong with a request, as `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use ordain::{DispatchError, LoadError, StoreError};
use serde_json::json;

use crate::domain::{AccountError, TransferError};
use crate::views::ViewError;

/// What went wrong with a request.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    /// The kind of problem, for programs.
    kind: &'static str,
    detail: String,
    /// After how many seconds the same request may go through.
    retry_after: Option<u16>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, kind: &'static str) -> Self {
        Self {
            status,
            kind,
            detail: String::new(),
            retry_after: None,
        }
    }

    pub(super) fn bad_request(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind).detail(detail)
    }

    pub(super) fn unavailable(kind: &'static str, detail: impl Into<String>) -> Self {
        Self {
            retry_after: Some(1),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, kind).detail(detail)
        }
    }

    pub(super) fn no_account(account: &str) -> Self {
        let problem = Self::new(StatusCode::NOT_FOUND, "not-found");
        problem.detail(format!("there is no account {account}"))
    }

    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    fn internal(error: &dyn std::error::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal").detail(error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": format!("urn:bank:{}", self.kind),
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        let media_type = HeaderValue::from_static("application/problem+json");
        headers.insert(CONTENT_TYPE, media_type);
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// What a domain's refusal is over HTTP.
pub(super) trait Refusal: std::error::Error + 'static {
    /// 409 where the state is in the way, 422 where the request makes no sense.
    fn status(&self) -> StatusCode;

    fn kind(&self) -> &'static str;
}

impl Refusal for AccountError {
    fn status(&self) -> StatusCode {
        match self {
            Self::AmountNotPositive | Self::OwnerBlank => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::CONFLICT,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::InsufficientFunds { .. } => "insufficient-funds",
            Self::Closed => "account-closed",
            Self::NotEmpty { .. } => "account-not-empty",
            Self::AmountNotPositive => "amount-not-positive",
            Self::BalanceTooLarge => "balance-too-large",
            Self::OwnerBlank => "owner-blank",
            Self::NotReserved => "not-reserved",
        }
    }
}

impl Refusal for TransferError {
    fn status(&self) -> StatusCode {
        match self {
            Self::SameAccount | Self::AmountNotPositive => StatusCode::UNPROCESSABLE_ENTITY,
            Self::State { .. } => StatusCode::CONFLICT,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::SameAccount => "same-account",
            Self::AmountNotPositive => "amount-not-positive",
            Self::State { .. } => "transfer-state",
        }
    }
}

impl<E: Refusal> From<DispatchError<E>> for Problem {
    fn from(error: DispatchError<E>) -> Self {
        let detail = error.to_string();
        match &error {
            DispatchError::Rejected(refusal) => {
                Self::new(refusal.status(), refusal.kind()).detail(refusal.to_string())
            }
            DispatchError::RejectedBefore { .. } => {
                Self::new(StatusCode::CONFLICT, "rejected").detail(detail)
            }
            DispatchError::NotFound { .. } | DispatchError::Deleted { .. } => {
                Self::new(StatusCode::NOT_FOUND, "not-found").detail(detail)
            }
            DispatchError::AlreadyExists { .. } => {
                Self::new(StatusCode::CONFLICT, "already-exists").detail(detail)
            }
            DispatchError::CommandIdReused { .. } => key_reused(),
            error if error.is_invalid() => Self::bad_request("invalid", detail),
            DispatchError::DeadlinePassed => Self::unavailable("busy", detail),
            DispatchError::Store(error) if error.is_unavailable() => {
                Self::unavailable("unavailable", detail)
            }
            error if error.is_transient() => Self::unavailable("unavailable", detail),
            error => Self::internal(error),
        }
    }
}

fn key_reused() -> Problem {
    let detail = "the Idempotency-Key was used before, for another request";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "key-reused").detail(detail)
}

impl From<LoadError> for Problem {
    fn from(error: LoadError) -> Self {
        let detail = error.to_string();
        match &error {
            LoadError::NotFound { .. } | LoadError::InvalidId { .. } => {
                Self::new(StatusCode::NOT_FOUND, "not-found").detail(detail)
            }
            LoadError::Store(error) if error.is_unavailable() => {
                Self::unavailable("unavailable", detail)
            }
            error => Self::internal(error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error.is_unavailable() {
            true => Self::unavailable("unavailable", error.to_string()),
            false => Self::internal(&error),
        }
    }
}

impl From<ViewError> for Problem {
    fn from(error: ViewError) -> Self {
        Self::unavailable("unavailable", error.to_string())
    }
}
