//! The name of a schema.

use ordain::StoreError;

use crate::settings::refused;

/// What PostgreSQL does not cut off, in bytes.
const LEN_MAX: usize = 63;

/// The name of a schema, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SchemaName {
    name: String,
    quoted: String,
}

impl SchemaName {
    pub(crate) fn new(name: &str) -> Result<Self, StoreError> {
        match objection(name) {
            None => Ok(Self {
                name: name.into(),
                quoted: format!("\"{name}\""),
            }),
            Some(objection) => Err(refused(
                &format!("{name:?} cannot name a schema: it {objection}"),
                "choose another name",
            )),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.name
    }

    /// As it stands in SQL, also within a string or a function's body.
    pub(crate) fn quoted(&self) -> &str {
        &self.quoted
    }
}

fn objection(name: &str) -> Option<&'static str> {
    let breaks_out = |char: char| char.is_control() || "'\"$\\".contains(char);
    if name.is_empty() {
        Some("is empty")
    } else if name.len() > LEN_MAX {
        Some("has more than 63 bytes")
    } else if name.contains(breaks_out) {
        Some("holds a quote, `$`, `\\` or a control character")
    } else if name.starts_with("pg_") || name == "information_schema" {
        Some("is PostgreSQL's own")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_can_be_quoted_are_taken() {
        for name in ["ordain", "My Events", "große", &"x".repeat(63)] {
            let schema = SchemaName::new(name).unwrap();
            assert_eq!(schema.as_str(), name);
            assert_eq!(schema.quoted(), format!("\"{name}\""));
        }
    }

    #[test]
    fn other_names_are_refused() {
        let long = "x".repeat(64);
        for name in [
            "",
            &long,
            "a'b",
            "a\"b",
            "$$",
            "a\\b",
            "a\0b",
            "pg_own",
            "information_schema",
        ] {
            let error = SchemaName::new(name).unwrap_err();
            assert!(
                error.to_string().contains("cannot name a schema"),
                "{error}"
            );
        }
    }
}
