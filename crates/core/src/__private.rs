//! What the derive macros' expansions name. Not for use by hand.

pub use bytes::Bytes;
pub use serde;
pub use serde_json;

use crate::{Aggregate, EventOf, EventType};

/// `EventOf`, seen from the aggregate.
///
/// The bound of an event's conversion into `Events`: of a bound on the event itself the compiler
/// would only say that the event does not convert.
#[diagnostic::on_unimplemented(
    message = "`{E}` is not an event of `{Self}`",
    label = "not an event of `{Self}`",
    note = "list `{E}` in `#[aggregate(events(..))]` of `{Self}`"
)]
pub trait Lists<E>: Aggregate {
    /// The event as one of the aggregate's.
    fn event(event: E) -> Self::Event;
}

#[diagnostic::do_not_recommend]
impl<A: Aggregate, E: EventOf<A>> Lists<E> for A {
    fn event(event: E) -> A::Event {
        event.into()
    }
}

/// A projection that says `tables`: its `ReadModel` is asked.
#[diagnostic::on_unimplemented(
    message = "nothing calls the `ReadModel` of `{Self}`",
    label = "`{Self}` does not say `tables`",
    note = "add `tables` to `#[projection(..)]` of `{Self}`"
)]
pub trait HasTables {}

/// The aggregate's id, if the command's is of that type.
#[diagnostic::on_unimplemented(
    message = "the id of this command is a `{Self}`, but that of the aggregate a `{Id}`",
    label = "its id is a `{Self}`",
    note = "the aggregate's id is that of its first command; the others' have to be of the same type"
)]
pub trait SameId<Id> {
    /// The id.
    fn same(&self) -> &Id;
}

impl<Id> SameId<Id> for Id {
    fn same(&self) -> &Id {
        self
    }
}

/// Whether no two of the types share a stored name, of now or of the past.
pub const fn distinct(types: &[EventType]) -> bool {
    let mut left = 0;
    while left < types.len() {
        let mut right = left + 1;
        while right < types.len() {
            if share_a_name(&types[left], &types[right]) {
                return false;
            }
            right += 1;
        }
        left += 1;
    }
    true
}

/// Whether no two of the names are equal.
pub const fn distinct_names(names: &[&str]) -> bool {
    let mut index = 1;
    while index < names.len() {
        if contains(names.split_at(index).0, names[index]) {
            return false;
        }
        index += 1;
    }
    true
}

const fn share_a_name(left: &EventType, right: &EventType) -> bool {
    if same(left.name, right.name) || contains(left.aliases, right.name) {
        return true;
    }
    let mut index = 0;
    while index < right.aliases.len() {
        let alias = right.aliases[index];
        if same(left.name, alias) || contains(left.aliases, alias) {
            return true;
        }
        index += 1;
    }
    false
}

const fn contains(names: &[&str], name: &str) -> bool {
    let mut index = 0;
    while index < names.len() {
        if same(names[index], name) {
            return true;
        }
        index += 1;
    }
    false
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
