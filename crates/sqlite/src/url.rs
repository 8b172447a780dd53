//! `sqlite:` urls.

use std::str::FromStr;

/// What a url says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) path: String,
    pub(crate) create: Option<bool>,
    pub(crate) hard_deletes: Option<bool>,
    pub(crate) busy_timeout_ms: Option<u32>,
    pub(crate) readers: Option<u32>,
    pub(crate) batch_requests: Option<u32>,
    pub(crate) batch_bytes: Option<u32>,
    pub(crate) queue_len: Option<u32>,
    pub(crate) transaction_timeout_ms: Option<u32>,
    pub(crate) poll_interval_ms: Option<u32>,
}

pub(crate) const SCHEME: &str = "sqlite:";

/// Reads a url.
///
/// # Errors
/// Says what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Url, String> {
    let Some(rest) = text.strip_prefix(SCHEME) else {
        return Err(format!("`{text}` does not begin with `{SCHEME}`"));
    };
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
    let mut url = Url {
        path: unescape(path)?,
        ..Url::default()
    };
    for option in options.split('&').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        set(&mut url, name, &unescape(value)?)?;
    }
    Ok(url)
}

fn set(url: &mut Url, name: &str, value: &str) -> Result<(), String> {
    match name {
        "create" => set_once(&mut url.create, name, value),
        "hard_deletes" => set_once(&mut url.hard_deletes, name, value),
        "busy_timeout_ms" => set_once(&mut url.busy_timeout_ms, name, value),
        "readers" => set_once(&mut url.readers, name, value),
        "batch_requests" => set_once(&mut url.batch_requests, name, value),
        "batch_bytes" => set_once(&mut url.batch_bytes, name, value),
        "queue_len" => set_once(&mut url.queue_len, name, value),
        "transaction_timeout_ms" => set_once(&mut url.transaction_timeout_ms, name, value),
        "poll_interval_ms" => set_once(&mut url.poll_interval_ms, name, value),
        _ => Err(format!("the url has an unknown option `{name}`")),
    }
}

fn set_once<T: FromStr>(option: &mut Option<T>, name: &str, value: &str) -> Result<(), String> {
    let parsed = value
        .parse()
        .map_err(|_| format!("the url's option `{name}` cannot be `{value}`"))?;
    match option.replace(parsed) {
        None => Ok(()),
        Some(_) => Err(format!("the url names the option `{name}` twice")),
    }
}

fn unescape(text: &str) -> Result<String, String> {
    let malformed = || format!("`{text}` has a `%` that two hexadecimal digits do not follow");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        rest = others;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.get(..2).ok_or_else(malformed)?;
        let digits = std::str::from_utf8(digits).map_err(|_| malformed())?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(malformed());
        }
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| malformed())?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| format!("`{text}` is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_path_and_options() {
        let url = parse("sqlite:///data/a%20b.db?readers=2&hard_deletes=true").unwrap();
        assert_eq!(url.path, "/data/a b.db");
        assert_eq!((url.readers, url.hard_deletes), (Some(2), Some(true)));
        assert_eq!(parse("sqlite:a.db").unwrap().path, "a.db");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in [
            "postgres:a",
            "sqlite:a?reader=2",
            "sqlite:a?readers=2&readers=2",
            "sqlite:a?readers=-1",
            "sqlite:a?create",
            "sqlite:a%2",
            "sqlite:a%zz",
            "sqlite:a%+1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
