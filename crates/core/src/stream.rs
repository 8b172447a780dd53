//! Streams and their names.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of a stream: a category and an id, written `category-id`.
///
/// The category is what comes before the first `-`. Cheap to clone.
#[derive(Clone)]
pub struct StreamId {
    text: Arc<str>,
    category_len: usize,
}

impl StreamId {
    /// The longest name, in bytes of UTF-8.
    pub const LEN_MAX: usize = 1_024;

    /// The stream `category-id`.
    ///
    /// # Errors
    /// A category must not be empty, begin with `$`, or hold a `-`, a control character or white space.
    /// An id must not be blank or hold a NUL. Together they are at most [`StreamId::LEN_MAX`] bytes.
    pub fn new(category: &str, id: &str) -> Result<Self, InvalidStreamId> {
        check_category(category)?;
        check_id(id)?;
        let len = category.len() + 1 + id.len();
        if len > Self::LEN_MAX {
            return Err(InvalidStreamId::TooLong { len });
        }
        let mut text = String::with_capacity(len);
        text.push_str(category);
        text.push('-');
        text.push_str(id);
        Ok(Self {
            text: text.into(),
            category_len: category.len(),
        })
    }

    /// The category.
    pub fn category(&self) -> &str {
        &self.text[..self.category_len]
    }

    /// The id within the category.
    pub fn id(&self) -> &str {
        &self.text[self.category_len + 1..]
    }

    /// The whole name, `category-id`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Whether `category` may be the category of a stream.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_category(category: &str) -> Result<(), InvalidStreamId> {
    let refused = |c: char| c == '-' || c.is_control() || c.is_whitespace();
    if category.is_empty() {
        return Err(InvalidStreamId::BlankCategory);
    }
    if category.starts_with('$') {
        return Err(InvalidStreamId::Reserved);
    }
    if let Some(found) = category.chars().find(|&c| refused(c)) {
        return Err(InvalidStreamId::CategoryCharacter { found });
    }
    Ok(())
}

/// Whether a text may be the id of a process instance.
#[cfg(feature = "runtime")]
pub(crate) fn check_instance(id: &str) -> Result<(), InvalidStreamId> {
    check_id(id)?;
    check_key(id)
}

/// Whether a text may be a key that stores keep.
#[cfg(feature = "runtime")]
pub(crate) fn check_key(key: &str) -> Result<(), InvalidStreamId> {
    if key.contains('\0') {
        return Err(InvalidStreamId::Nul);
    }
    match key.len() {
        len if len > StreamId::LEN_MAX => Err(InvalidStreamId::KeyTooLong { len }),
        _ => Ok(()),
    }
}

fn check_id(id: &str) -> Result<(), InvalidStreamId> {
    if id.trim().is_empty() {
        return Err(InvalidStreamId::BlankId);
    }
    if id.contains('\0') {
        return Err(InvalidStreamId::Nul);
    }
    Ok(())
}

/// Why a text cannot name a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidStreamId {
    /// The id is empty or white space.
    #[error("the id is blank")]
    BlankId,
    /// The category is empty.
    #[error("the category is blank")]
    BlankCategory,
    /// The category holds a character that it must not.
    #[error(
        "the category holds {found:?}; it must not hold `-`, white space or control characters"
    )]
    CategoryCharacter {
        /// The character.
        found: char,
    },
    /// The name begins with `$`.
    #[error("names that begin with `$` are reserved")]
    Reserved,
    /// The id, or the key, holds a NUL.
    #[error("it holds a NUL character")]
    Nul,
    /// The name is longer than [`StreamId::LEN_MAX`].
    #[error(
        "the stream name has {len} bytes; at most {} are allowed",
        StreamId::LEN_MAX
    )]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// An id or a key that stands by itself is longer than [`StreamId::LEN_MAX`].
    #[error("it has {len} bytes; at most {} are allowed", StreamId::LEN_MAX)]
    KeyTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The text has no `-`, so no category.
    #[error("`{text}` names no stream; one is written `category-id`")]
    NoCategory {
        /// The text.
        text: String,
    },
}

impl FromStr for StreamId {
    type Err = InvalidStreamId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('-') {
            Some((category, id)) => Self::new(category, id),
            None if text.starts_with('$') => Err(InvalidStreamId::Reserved),
            None => Err(InvalidStreamId::NoCategory {
                text: text.chars().take(100).collect(),
            }),
        }
    }
}

impl PartialEq for StreamId {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for StreamId {}

impl PartialOrd for StreamId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for StreamId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for StreamId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({})", self.text)
    }
}

impl Serialize for StreamId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for StreamId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_category_ends_at_the_first_dash() {
        let stream: StreamId = "account-a-1".parse().unwrap();
        assert_eq!((stream.category(), stream.id()), ("account", "a-1"));
        assert_eq!(stream, StreamId::new("account", "a-1").unwrap());
    }

    #[test]
    fn unusable_names_are_refused_with_the_reason() {
        let long = "x".repeat(StreamId::LEN_MAX);
        assert_eq!(
            StreamId::new("account", " \t"),
            Err(InvalidStreamId::BlankId)
        );
        assert_eq!(StreamId::new("", "1"), Err(InvalidStreamId::BlankCategory));
        assert_eq!(StreamId::new("$all", "1"), Err(InvalidStreamId::Reserved));
        assert_eq!("$all".parse::<StreamId>(), Err(InvalidStreamId::Reserved));
        assert_eq!(StreamId::new("a", "b\0"), Err(InvalidStreamId::Nul));
        assert_eq!(
            StreamId::new("a b", "c"),
            Err(InvalidStreamId::CategoryCharacter { found: ' ' })
        );
        assert_eq!(
            StreamId::new("a", &long),
            Err(InvalidStreamId::TooLong {
                len: StreamId::LEN_MAX + 2
            })
        );
        assert!("account".parse::<StreamId>().is_err());
    }

    #[test]
    fn unicode_is_kept() {
        let stream = StreamId::new("konto", "Zoë-日本").unwrap();
        assert_eq!(stream.to_string().parse::<StreamId>().unwrap(), stream);
    }
}
