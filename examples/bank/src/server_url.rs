//! Urls of PostgreSQL databases, which hold passwords.

use std::fmt;

const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// The options that are the store's, and nothing to a plain connection.
const OF_THE_STORE: [&str; 22] = [
    "schema",
    "payload",
    "hard_deletes",
    "pool_size",
    "idle_min",
    "acquire_timeout_ms",
    "statement_timeout_ms",
    "order_lock_timeout_ms",
    "outage_timeout_ms",
    "migration_timeout_ms",
    "pooled",
    "migrate_on_connect",
    "allow_fsync_off",
    "allow_synchronous_commit_off",
    "batch_requests",
    "batch_bytes",
    "queue_len",
    "streams_cached",
    "work_idle_timeout_ms",
    "notify",
    "notify_interval_ms",
    "listen_url",
];

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

    /// What it says about an option, if it does.
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        let mut options = self.options();
        options.find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    }

    /// The url without the options that are the store's.
    pub(crate) fn for_connections(&self) -> String {
        let (place, _) = self.0.split_once('?').unwrap_or((&self.0, ""));
        let options = self.options().filter(|option| {
            let (name, _) = option.split_once('=').unwrap_or((option, ""));
            !OF_THE_STORE.contains(&name)
        });
        let options: Vec<_> = options.collect();
        format!("{place}?{}", options.join("&"))
    }

    fn options(&self) -> impl Iterator<Item = &str> {
        let (_, options) = self.0.split_once('?').unwrap_or(("", ""));
        options.split('&').filter(|option| !option.is_empty())
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

    #[test]
    fn options_of_the_store_are_its_own() {
        let url = "postgres://h/bank?schema=s&pooled=true&sslmode=disable";
        let url = ServerUrl::parse(url).unwrap();
        assert_eq!((url.option("schema"), url.option("sch")), (Some("s"), None));
        assert_eq!(url.for_connections(), "postgres://h/bank?sslmode=disable");
    }
}
