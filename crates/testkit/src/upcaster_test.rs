//! Given this stored event, then it is read as that one.

use std::fmt;
use std::marker::PhantomData;

use ordain::{
    Codec, DecodeError, DecodeProblem, Decoded, EventSet, GlobalPosition, NewEvent, RecordedEvent,
    StreamVersion, Upcaster, Upcasters,
};
use serde_json::Value;
use time::macros::datetime;

use crate::diff::diff;
use crate::recorder::stream_id;
use crate::stored::{Names, json_of, pretty, stored};

/// The test of upcasters: what stored events become for a set, such as an aggregate's or a handler's.
///
/// ```
/// # use ordain::prelude::*;
/// # use serde::{Deserialize, Serialize};
/// use ordain::Upcaster;
/// use ordain_testkit::UpcasterTest;
/// use serde_json::json;
///
/// # #[derive(Debug, Serialize, Deserialize, Event)]
/// #[event(version = 2)]
/// struct MoneyDeposited {
///     amount: u64,
///     currency: String,
/// }
///
/// # #[derive(Debug, EventSet)]
/// # enum AccountEvent { MoneyDeposited(MoneyDeposited) }
/// let add_currency = Upcaster::map("MoneyDeposited", 1, 2, |mut json| {
///     json["currency"] = "EUR".into();
///     Ok(json)
/// });
/// UpcasterTest::<AccountEvent>::new([add_currency])
///     .given("MoneyDeposited", 1, json!({ "amount": 5 }))
///     .then_event(MoneyDeposited { amount: 5, currency: "EUR".into() });
/// ```
#[must_use = "say what is stored: `.given(..)`"]
pub struct UpcasterTest<S> {
    upcasters: Upcasters,
    set: PhantomData<fn() -> S>,
}

/// A test after a stored event: what was read.
pub struct Upcasted<S> {
    test: UpcasterTest<S>,
    stored: String,
    read: Result<Decoded<S>, DecodeError>,
}

impl<S: EventSet> UpcasterTest<S> {
    /// These upcasters are there.
    pub fn new(upcasters: impl IntoIterator<Item = Upcaster>) -> Self {
        let mut all = Upcasters::new();
        for upcaster in upcasters {
            all.add(upcaster);
        }
        Self {
            upcasters: all,
            set: PhantomData,
        }
    }

    /// This is stored: type, schema version and payload.
    #[must_use = "say what is read: `.then_event(..)`"]
    pub fn given(self, event_type: &str, schema_version: u32, json: Value) -> Upcasted<S> {
        let mut new = NewEvent::new(event_type.to_owned(), json.to_string());
        new.schema_version = schema_version;
        let recorded = RecordedEvent::record(
            new,
            stream_id("test-1"),
            StreamVersion::FIRST,
            GlobalPosition::new(1),
            datetime!(2030-01-01 12:00 UTC),
        );
        let read = self.upcasters.decode(&recorded, &Codec::Json);
        Upcasted {
            test: self,
            stored: format!("`{event_type}` {schema_version}"),
            read,
        }
    }
}

impl<S: EventSet> Upcasted<S> {
    /// It is read as this event.
    #[track_caller]
    pub fn then_event(self, expected: impl Into<S>) -> Self {
        self.then_events([expected.into()])
    }

    /// It is read as these events, in this order.
    #[track_caller]
    pub fn then_events(self, expected: impl IntoIterator<Item = S>) -> Self {
        let expected = stored(expected.into_iter().collect());
        let actual = match &self.read {
            Ok(Decoded::One(event)) => json_of(std::slice::from_ref(event)),
            Ok(Decoded::Many(events)) => json_of(events),
            _ => self.fail(&format!("the events {}", Names(&expected))),
        };
        let expected = json_of(&expected);
        if expected != actual {
            let diff = diff(&pretty(&expected), &pretty(&actual));
            panic!("{} is read as other events:\n{diff}", self.stored);
        }
        self
    }

    /// It is left out.
    #[track_caller]
    pub fn then_dropped(self) -> Self {
        match &self.read {
            Ok(Decoded::Many(events)) if events.is_empty() => self,
            _ => self.fail("that it is left out"),
        }
    }

    /// It is of a type that the set does not list.
    #[track_caller]
    pub fn then_unlisted(self) -> Self {
        match &self.read {
            Ok(Decoded::Unlisted) => self,
            _ => self.fail("that its type is not listed"),
        }
    }

    /// It cannot be read, for a reason of which this holds.
    #[track_caller]
    pub fn then_unreadable(self, holds: impl FnOnce(&DecodeProblem) -> bool) -> Self {
        match &self.read {
            Err(error) if holds(&error.problem) => self,
            Err(error) => panic!("{}: that does not match: {}", self.stored, error.problem),
            Ok(_) => self.fail("that it cannot be read"),
        }
    }

    /// The next that is stored.
    #[must_use = "say what is read: `.then_event(..)`"]
    pub fn given(self, event_type: &str, schema_version: u32, json: Value) -> Self {
        self.test.given(event_type, schema_version, json)
    }

    #[track_caller]
    fn fail(&self, expected: &str) -> ! {
        panic!("{}: expected {expected}, but {self}", self.stored)
    }
}

/// What was read, as the second half of a sentence.
impl<S: EventSet> fmt::Display for Upcasted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = match &self.read {
            Err(error) => return write!(f, "it cannot be read: {}", error.problem),
            Ok(Decoded::Unlisted) => return f.write_str("the set does not list its type"),
            Ok(Decoded::One(event)) => std::slice::from_ref(event),
            Ok(Decoded::Many(events)) => events,
        };
        if events.is_empty() {
            return f.write_str("it is left out");
        }
        let (names, list) = (Names(events), pretty(&json_of(events)));
        write!(f, "it is read as the events {names}:\n{list}")
    }
}

impl<S> fmt::Debug for UpcasterTest<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpcasterTest({:?})", self.upcasters)
    }
}

impl<S: EventSet> fmt::Debug for Upcasted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upcasted({}: {self})", self.stored)
    }
}
