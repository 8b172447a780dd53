//! What the headers of a request say.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::header::{ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH};
use axum::http::request::Parts;
use ordain::{CommandId, StreamVersion};
use uuid::Uuid;

use super::problem::Problem;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const KEY_MAX: usize = 255;

/// Keeps the keys of requests apart from those of others.
const COMMANDS: Uuid = Uuid::from_u128(0x6261_6e6b_0064_4179_8000_6874_7470_6964);
/// Keeps the ids that are made of keys apart from the keys.
const RESOURCES: Uuid = Uuid::from_u128(0x6261_6e6b_0064_4179_8000_7265_736f_7572);

/// The `Idempotency-Key`: any text, for each resource by itself.
#[derive(Debug)]
pub(super) struct Key(String);

/// The version that the client has seen, by `If-Match`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen(pub(super) Option<StreamVersion>);

impl Key {
    pub(super) fn command_id(&self) -> CommandId {
        CommandId::from_key(COMMANDS, &self.0)
    }

    /// The id of what a request with this key makes: made again, it is the same.
    pub(super) fn resource_id(&self) -> String {
        Uuid::new_v5(&RESOURCES, self.0.as_bytes()).to_string()
    }
}

impl Seen {
    /// Where a client has to have looked.
    pub(super) fn required(self) -> Result<StreamVersion, Problem> {
        self.0.ok_or_else(|| {
            let detail = "an If-Match is needed, with the ETag of what is to be changed";
            Problem::new(StatusCode::PRECONDITION_REQUIRED, "if-match-missing").detail(detail)
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(key) = only(&parts.headers, &IDEMPOTENCY_KEY)? else {
            let detail = "an Idempotency-Key is needed: any text that no other request has";
            return Err(Problem::bad_request("key-missing", detail));
        };
        let key = key.trim();
        if key.is_empty() || key.len() > KEY_MAX {
            let detail = format!("an Idempotency-Key has 1 to {KEY_MAX} characters");
            return Err(Problem::bad_request("key-length", detail));
        }
        Ok(Self(key.to_owned()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Seen {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match only(&parts.headers, &IF_MATCH)? {
            None | Some("*") => Ok(Self(None)),
            Some(tag) => version_of(tag)
                .map(|version| Self(Some(version)))
                .ok_or_else(|| {
                    let detail = "the If-Match is no ETag of this bank";
                    Problem::bad_request("if-match", detail)
                }),
        }
    }
}

/// A header that may be there once.
pub(super) fn only<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        let detail = format!("{name} is there more than once");
        return Err(Problem::bad_request("header", detail));
    }
    let Some(value) = first else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(_) => {
            let detail = format!("{name} holds what is no plain text");
            Err(Problem::bad_request("header", detail))
        }
    }
}

fn version_of(tag: &str) -> Option<StreamVersion> {
    let number = tag.trim().strip_prefix('"')?.strip_suffix('"')?;
    number.parse::<u64>().ok().map(StreamVersion::from)
}

/// The version as an `ETag`.
pub(super) fn etag(version: u64) -> [(HeaderName, HeaderValue); 1] {
    let tag = HeaderValue::from_str(&format!("\"{version}\""));
    [(ETAG, tag.unwrap_or(HeaderValue::from_static("\"\"")))]
}
