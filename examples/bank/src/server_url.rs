//! Urls of PostgreSQL databases, which hold passwords.

use std::fmt;

const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// The url of a PostgreSQL database. Neither `Display` nor `Debug` tells its password.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(String);

impl ServerUrl {
    /// Takes a text that begins like such a url.
    pub fn parse(text: &str) -> Option<Self> {
        let is_one = SCHEMES.iter().any(|scheme| text.starts_with(scheme));
        is_one.then(|| Self(text.to_owned()))
    }

    /// All of it, with the password.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its parts, with `***` for a password; of the options, only the schema.
    fn redacted(&self) -> Option<String> {
        let (scheme, rest) = self.0.split_once("://")?;
        // What stands before the last `@` may be part of a password.
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) => (redact(credentials) + "@", rest),
            None => (String::new(), rest),
        };
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let schema = options.split('&').find(|one| one.starts_with("schema="));
        let schema = schema
            .map(|schema| format!("?{schema}"))
            .unwrap_or_default();
        Some(format!("{scheme}://{credentials}{place}{schema}"))
    }
}

fn redact(credentials: &str) -> String {
    match credentials.split_once(':') {
        Some((user, _)) => format!("{user}:***"),
        None => credentials.to_owned(),
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted().unwrap_or_default())
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_never_told() {
        for (url, told) in [
            ("postgres://ann:x@h:1/bank", "postgres://ann:***@h:1/bank"),
            ("postgresql://ann@h", "postgresql://ann@h"),
            ("postgres:///bank?host=/run", "postgres:///bank"),
            (
                "postgres://h/bank?password=x&schema=s&user=ann",
                "postgres://h/bank?schema=s",
            ),
            (
                "postgres://ann:x@y/z?x:x@h/bank",
                "postgres://ann:***@h/bank",
            ),
        ] {
            let url = ServerUrl::parse(url).unwrap();
            assert_eq!(
                (url.to_string(), format!("{url:?}")),
                (told.into(), told.into())
            );
        }
        assert_eq!(ServerUrl::parse("postgres"), None);
        assert_eq!(ServerUrl::parse("sqlite:postgres://"), None);
    }
}
