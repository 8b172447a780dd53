//! Texts of others, without what looks like a password.

/// The text, with `***` for what stands before the `@` of a url, and behind `password=`.
pub(super) fn redact(text: &str) -> String {
    text.split_inclusive(char::is_whitespace)
        .map(|word| redact_setting(&redact_url(word)))
        .collect()
}

fn redact_url(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else {
        return word.into();
    };
    match rest.rsplit_once('@') {
        Some((_, place)) => format!("{scheme}://***@{place}"),
        None => word.into(),
    }
}

fn redact_setting(word: &str) -> String {
    const NAME: &str = "password=";
    let Some(start) = word.to_ascii_lowercase().find(NAME) else {
        return word.into();
    };
    let (told, secret) = word.split_at(start + NAME.len());
    let end = secret.find(|char: char| char == '&' || char.is_whitespace());
    format!("{told}***{}", &secret[end.unwrap_or(secret.len())..])
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn passwords_are_left_out() {
        let told = "no route to postgres://u:se@cret@a/b now";
        assert_eq!(redact(told), "no route to postgres://***@a/b now");
        let told = "host=a password=secret user=u";
        assert_eq!(redact(told), "host=a password=*** user=u");
        let told = "postgres://a/b?password=secret&user=u";
        assert_eq!(redact(told), "postgres://a/b?password=***&user=u");
        assert_eq!(redact("nothing  to\nhide"), "nothing  to\nhide");
    }
}
