//! `postgres:` urls.
//!
//! What is said about them never holds a part of the url that may be a password.

use std::collections::HashSet;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use crate::payload::Payload;

const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// What a url says.
#[derive(Default)]
pub(crate) struct Url {
    pub(crate) servers: Vec<PgConnectOptions>,
    pub(crate) own: Own,
}

/// The options that are the store's, not the connection's.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) schema: Option<String>,
    pub(crate) payload: Option<Payload>,
    pub(crate) hard_deletes: Option<bool>,
    pub(crate) pool_size: Option<u32>,
    pub(crate) idle_min: Option<u32>,
    pub(crate) acquire_timeout_ms: Option<u32>,
    pub(crate) statement_timeout_ms: Option<u32>,
    pub(crate) order_lock_timeout_ms: Option<u32>,
    pub(crate) outage_timeout_ms: Option<u32>,
    pub(crate) migration_timeout_ms: Option<u32>,
    pub(crate) pooled: Option<bool>,
    pub(crate) migrate_on_connect: Option<bool>,
    pub(crate) allow_fsync_off: Option<bool>,
    pub(crate) allow_synchronous_commit_off: Option<bool>,
    pub(crate) batch_requests: Option<u32>,
    pub(crate) batch_bytes: Option<u32>,
    pub(crate) queue_len: Option<u32>,
    pub(crate) streams_cached: Option<u32>,
    pub(crate) work_idle_timeout_ms: Option<u32>,
    pub(crate) notify: Option<bool>,
    pub(crate) notify_interval_ms: Option<u32>,
    pub(crate) listen_url: Option<String>,
}

/// A url, taken apart.
struct Parts<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    hosts: &'a str,
    path: &'a str,
    query: &'a str,
}

/// Reads a url.
///
/// # Errors
/// Says what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Url, String> {
    let parts = take_apart(text)?;
    let mut own = Own::default();
    let mut passed_on = Vec::new();
    let mut names = HashSet::new();
    for option in parts.query.split('&').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let known = canonical(name);
        if !names.insert(known) {
            return Err(format!("the url names the option `{known}` twice"));
        }
        if is_of_connection(known) {
            passed_on.push(option);
        } else {
            set(&mut own, name, value)?;
        }
    }
    contradictions(&parts, &names)?;
    let servers = servers(&parts, &passed_on.join("&"))?;
    Ok(Url { servers, own })
}

fn take_apart(text: &str) -> Result<Parts<'_>, String> {
    let scheme = SCHEMES.iter().find(|scheme| text.starts_with(**scheme));
    let Some(scheme) = scheme else {
        return Err("the url does not begin with `postgres://`".into());
    };
    let rest = &text[scheme.len()..];
    if rest.contains('#') {
        return Err("the url holds a `#`, which is written `%23`".into());
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (Some(user), hosts),
        None => (None, authority),
    };
    Ok(Parts {
        scheme,
        user,
        hosts,
        path,
        query,
    })
}

/// What is named in two places would be taken from either.
fn contradictions(parts: &Parts<'_>, names: &HashSet<&str>) -> Result<(), String> {
    let user = parts.user.unwrap_or_default();
    let told = [
        ("host", !parts.hosts.is_empty()),
        (
            "hostaddr",
            !parts.hosts.is_empty() || names.contains("host"),
        ),
        ("port", parts.hosts.contains(':')),
        ("user", !user.is_empty()),
        ("password", user.contains(':')),
        ("dbname", parts.path.len() > 1),
    ];
    match told
        .iter()
        .find(|(name, told)| *told && names.contains(name))
    {
        Some((name, _)) => Err(format!("the url names the {name} twice")),
        None => Ok(()),
    }
}

fn servers(parts: &Parts<'_>, query: &str) -> Result<Vec<PgConnectOptions>, String> {
    let user = parts
        .user
        .map(|user| format!("{user}@"))
        .unwrap_or_default();
    let several = parts.hosts.contains(',');
    let server = |host: &str| {
        if several && host.is_empty() {
            return Err("the url's list of hosts has an empty place".into());
        }
        let url = format!("{}{user}{host}{}?{query}", parts.scheme, parts.path);
        PgConnectOptions::from_str(&url).map_err(|error| match error {
            sqlx::Error::Configuration(reason) => format!("the url is malformed: {reason}"),
            _ => "the url is malformed".into(),
        })
    };
    parts.hosts.split(',').map(server).collect()
}

/// The name of an option that has several.
fn canonical(name: &str) -> &str {
    match name {
        "ssl-mode" => "sslmode",
        "ssl-root-cert" | "ssl-ca" => "sslrootcert",
        "ssl-cert" => "sslcert",
        "ssl-key" => "sslkey",
        _ => name,
    }
}

fn is_of_connection(name: &str) -> bool {
    const NAMES: [&str; 13] = [
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "statement-cache-capacity",
        "host",
        "hostaddr",
        "port",
        "dbname",
        "user",
        "password",
        "application_name",
        "options",
    ];
    NAMES.contains(&name) || (name.starts_with("options[") && name.ends_with(']'))
}

fn set(own: &mut Own, name: &str, value: &str) -> Result<(), String> {
    match name {
        "schema" => read(&mut own.schema, name, value),
        "payload" => read(&mut own.payload, name, value),
        "hard_deletes" => read(&mut own.hard_deletes, name, value),
        "pool_size" => read(&mut own.pool_size, name, value),
        "idle_min" => read(&mut own.idle_min, name, value),
        "acquire_timeout_ms" => read(&mut own.acquire_timeout_ms, name, value),
        "statement_timeout_ms" => read(&mut own.statement_timeout_ms, name, value),
        "outage_timeout_ms" => read(&mut own.outage_timeout_ms, name, value),
        "order_lock_timeout_ms" => read(&mut own.order_lock_timeout_ms, name, value),
        "migration_timeout_ms" => read(&mut own.migration_timeout_ms, name, value),
        "pooled" => read(&mut own.pooled, name, value),
        "migrate_on_connect" => read(&mut own.migrate_on_connect, name, value),
        "allow_fsync_off" => read(&mut own.allow_fsync_off, name, value),
        "allow_synchronous_commit_off" => read(&mut own.allow_synchronous_commit_off, name, value),
        "batch_requests" => read(&mut own.batch_requests, name, value),
        "batch_bytes" => read(&mut own.batch_bytes, name, value),
        "queue_len" => read(&mut own.queue_len, name, value),
        "streams_cached" => read(&mut own.streams_cached, name, value),
        "work_idle_timeout_ms" => read(&mut own.work_idle_timeout_ms, name, value),
        "notify" => read(&mut own.notify, name, value),
        "notify_interval_ms" => read(&mut own.notify_interval_ms, name, value),
        "listen_url" => read(&mut own.listen_url, name, value),
        _ => Err(unknown(name)),
    }
}

/// Behind a password with a `?` in it stands the rest of the password.
fn unknown(name: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "_-[].".contains(char);
    if name.chars().all(plain) {
        format!("the url has an unknown option `{name}`")
    } else {
        "the url has an unknown option; a `?` in a password is written `%3F`".into()
    }
}

fn read<T: FromStr>(option: &mut Option<T>, name: &str, value: &str) -> Result<(), String> {
    let value = unescape(value).ok_or_else(|| {
        format!("the url's option `{name}` has a `%` that begins no byte of UTF-8")
    })?;
    let parsed = value
        .parse()
        .map_err(|_| format!("the url's option `{name}` cannot be `{value}`"))?;
    *option = Some(parsed);
    Ok(())
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        rest = others;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        match parse(text) {
            Ok(_) => panic!("{text} is accepted"),
            Err(problem) => problem,
        }
    }

    #[test]
    fn a_url_has_servers_and_options() {
        let text = "postgres://ada:s%3Fcret@a:5433,b,[::1]:7/orders\
            ?schema=my%20events&sslmode=require&pool_size=3&pooled=true&payload=bytea";
        let url = parse(text).unwrap();
        let hosts = url.servers.iter().map(|s| (s.get_host(), s.get_port()));
        let hosts: Vec<_> = hosts.collect();
        assert_eq!(hosts, [("a", 5433), ("b", 5432), ("[::1]", 7)]);
        for server in &url.servers {
            assert_eq!(server.get_username(), "ada");
            assert_eq!(server.get_database(), Some("orders"));
            assert!(format!("{:?}", server.get_ssl_mode()).contains("Require"));
        }
        assert_eq!(url.own.schema.as_deref(), Some("my events"));
        assert_eq!((url.own.pool_size, url.own.pooled), (Some(3), Some(true)));
        assert_eq!(url.own.payload, Some(Payload::Bytea));
    }

    #[test]
    fn a_url_may_leave_the_servers_to_its_options() {
        let url = parse("postgresql:///orders?host=/run/postgresql&user=ada").unwrap();
        assert_eq!(url.servers.len(), 1);
        assert!(url.servers[0].get_socket().is_some());
        assert_eq!(url.servers[0].get_username(), "ada");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, expected) in [
            ("mysql://a/b", "does not begin"),
            ("postgres://a/b?poolsize=2", "unknown option `poolsize`"),
            ("postgres://a/b?pool_size=2&pool_size=2", "twice"),
            (
                "postgres://a/b?sslmode=require&ssl-mode=prefer",
                "`sslmode` twice",
            ),
            ("postgres://a/b?pool_size=-1", "cannot be `-1`"),
            ("postgres://a/b?payload=text", "cannot be `text`"),
            ("postgres://a/b?pooled", "cannot be ``"),
            ("postgres://a/b?schema=%2", "begins no byte"),
            ("postgres://a/b?schema=%zz", "begins no byte"),
            ("postgres://a,/b", "empty place"),
            ("postgres://a/b?host=c", "names the host twice"),
            ("postgres://a/b?dbname=c", "names the dbname twice"),
            ("postgres://u:p@a/b?password=c", "names the password twice"),
            ("postgres://a:b/c", "malformed"),
            ("postgres://a/b?sslmode=maybe", "malformed"),
            ("postgres://a/b?port=x", "malformed"),
            ("postgres://a/b#c", "%23"),
        ] {
            let problem = refusal(text);
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }

    #[test]
    fn a_refusal_never_tells_the_password() {
        for text in [
            "mysql://u:secret@a/b",
            "postgres://u:se/cret@a/b",
            "postgres://u:x?secret@a/b",
            "postgres://u:secret#@a/b",
            "postgres://u:secret@a:port/b",
            "postgres://u:secret@a/b?x=1",
            "postgres://u:secret@,/b",
        ] {
            let problem = refusal(text);
            assert!(!problem.contains("cret"), "{text}: {problem}");
        }
    }
}
