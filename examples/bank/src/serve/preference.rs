//! How long a client would wait: `Prefer: wait=5` (RFC 7240).

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::HeaderName;
use axum::http::request::Parts;

use super::problem::Problem;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const WAIT_MAX: Duration = Duration::from_secs(30);

/// How long a client would wait, if it says so; half a minute at the most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait(Option<Duration>);

impl Wait {
    pub(super) fn or(self, default: Duration) -> Duration {
        self.0.unwrap_or(default)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Wait {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(wait(&parts.headers)))
    }
}

/// A preference that is not understood is passed over, as the standard wants it.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(PREFER).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut preferences = texts.flat_map(|text| text.split([',', ';']));
    let seconds = preferences.find_map(|one| one.trim().strip_prefix("wait="))?;
    let seconds = seconds.trim_matches('"').parse().ok()?;
    Some(Duration::from_secs(seconds).min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_understood_and_bounded() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(PREFER, axum::http::HeaderValue::from_static(text));
            wait(&headers).map(|wait| wait.as_secs())
        };
        assert_eq!(of("wait=7"), Some(7));
        assert_eq!(of("respond-async, wait=7"), Some(7));
        assert_eq!(of("wait=1000000"), Some(30));
        assert_eq!(of("wait=soon"), None);
        assert_eq!(of("return=minimal"), None);
    }
}
