//! What the derive macros' expansions name. Not for use by hand.

pub use bytes::Bytes;
pub use serde;
pub use serde_json;

use crate::EventType;

/// Whether no two of the types share a stored name.
pub const fn distinct(types: &[EventType]) -> bool {
    let mut left = 0;
    while left < types.len() {
        let mut right = left + 1;
        while right < types.len() {
            if same(types[left].name, types[right].name) {
                return false;
            }
            right += 1;
        }
        left += 1;
    }
    true
}

const fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len() != right.len() {
        return false;
    }
    let mut index = 0;
    while index < left.len() {
        if left[index] != right[index] {
            return false;
        }
        index += 1;
    }
    true
}
