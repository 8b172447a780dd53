//! The file of event shapes: what it shows, and what a change is answered with.

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bytes::Bytes;
use ordain::{Codec, CodecError, Event, EventSet, EventType, EventTypeVisitor, RawEvent};
use ordain_testkit::{EventSchemas, assert_event_schemas};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

/// A set of the one event `E`.
#[derive(Debug)]
struct Only<E>(E);

impl<E: Event> EventSet for Only<E> {
    const TYPES: &'static [EventType] = &[EventType::of::<E>()];

    fn event_type(&self) -> &'static EventType {
        &Self::TYPES[0]
    }

    fn encode(&self, codec: &Codec) -> Result<Bytes, CodecError> {
        codec.encode(&self.0)
    }

    fn decode(raw: &RawEvent<'_>) -> Option<Result<Self, CodecError>> {
        (raw.event_type == E::NAME).then(|| raw.decode().map(Self))
    }

    fn visit<V: EventTypeVisitor>(visitor: &mut V) {
        visitor.event_type::<E>(&Self::TYPES[0]);
    }
}

macro_rules! event {
    ($type:ty, $name:literal $(, version $version:literal)? $(, alias $alias:literal)?) => {
        impl Event for $type {
            const NAME: &'static str = $name;
            $(const VERSION: u32 = $version;)?
            $(const ALIASES: &'static [&'static str] = &[$alias];)?
        }
    };
}

#[derive(Debug, Serialize, Deserialize)]
struct Transferred {
    id: Uuid,
    at: OffsetDateTime,
    amount: Money,
    note: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(alias = "kind", rename = "type")]
    transfer_type: Type,
    by_day: BTreeMap<u16, f64>,
    labels: HashSet<char>,
    pair: (u8, bool),
    rest: Value,
}

#[derive(Debug, Serialize, Deserialize)]
struct Money(i64);

#[derive(Debug, Serialize, Deserialize)]
struct Tag {
    name: String,
    children: Vec<Tag>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Type {
    Plain,
    Standing(Every),
    Split { parts: Vec<Money> },
    Both(u32, Box<Type>),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Every {
    Day,
    Month,
}

event!(Transferred, "Transferred");

#[derive(Debug, Serialize, Deserialize)]
struct OpenedV1 {
    owner: String,
}
event!(OpenedV1, "Opened");

#[derive(Debug, Serialize, Deserialize)]
struct OpenedChanged {
    owner: String,
    limit: u64,
}
event!(OpenedChanged, "Opened");

#[derive(Debug, Serialize, Deserialize)]
struct OpenedV2 {
    owner: String,
    limit: u64,
}
event!(OpenedV2, "Opened", version 2);

#[derive(Debug, Serialize, Deserialize)]
struct OpenedAlias {
    owner: String,
}
event!(OpenedAlias, "Opened", alias "Begun");

#[derive(Debug, Serialize, Deserialize)]
struct Closed {}
event!(Closed, "Closed");

/// A text that none of the guesses fits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Iban(String);

impl TryFrom<String> for Iban {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.len() {
            22 => Ok(Self(text)),
            _ => Err("an IBAN has 22 characters".into()),
        }
    }
}

impl From<Iban> for String {
    fn from(iban: Iban) -> Self {
        iban.0
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Moved {
    to: Iban,
    #[serde(flatten)]
    by: By,
    how: How,
}

#[derive(Debug, Serialize, Deserialize)]
struct By {
    teller: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum How {
    Letter { pages: u32 },
    Call,
}

event!(Moved, "Moved");

fn moved(how: How) -> Only<Moved> {
    Only(Moved {
        to: Iban("DE00000000000000000000".into()),
        by: By { teller: 7 },
        how,
    })
}

#[track_caller]
fn failure(test: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(test)).expect_err("it does not fail");
    *panic.downcast::<String>().expect("a text")
}

fn lock(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("the file exists");
    serde_json::from_str(&text).expect("the file is JSON")
}

fn one<E: Event>() -> EventSchemas {
    EventSchemas::new().set::<Only<E>>()
}

#[test]
fn shapes_are_written_and_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.lock");
    one::<Transferred>().update(true).assert(&path);
    let time = &lock(&path)["Transferred"]["shape"]["fields"]["at"];
    assert!(time == "text" || time["tuple"].is_array(), "{time}");
    let mut shape = lock(&path);
    shape["Transferred"]["shape"]["fields"]["at"] = Value::Null;
    assert_eq!(
        shape,
        json!({ "Transferred": { "version": 1, "shape": { "fields": {
            "id": "text",
            "at": null,
            "amount": "i64",
            "note": { "optional": "text" },
            "tags?": { "list": { "fields": {
                "name": "text",
                "children": { "list": { "recursive": "Tag" } },
            } } },
            "type": { "variants": {
                "Plain": "unit",
                "Standing": { "variants": { "day": "unit", "month": "unit" } },
                "Split": { "fields": { "parts": { "list": "i64" } } },
                "Both": { "tuple": ["u32", { "recursive": "Type" }] },
            } },
            "by_day": { "map": ["u16", "f64"] },
            "labels": { "list": "char" },
            "pair": { "tuple": ["u8", "bool"] },
            "rest": "anything",
        } } } })
    );
    for _ in 0..3 {
        one::<Transferred>().update(false).assert(&path);
        assert_event_schemas::<Only<Transferred>>(&path);
    }
}

#[test]
fn a_missing_file_is_written_only_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.lock");
    let text = failure(|| one::<OpenedV1>().update(false).assert(&path));
    assert!(
        text.contains("events.lock: the file does not exist yet"),
        "{text}"
    );
    assert!(text.contains("ORDAIN_UPDATE_SCHEMAS=1"), "{text}");
    assert!(!path.exists());
    one::<OpenedV1>().update(true).assert(&path);
    one::<OpenedV1>().update(false).assert(&path);
}

#[test]
fn a_shape_that_changed_at_its_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.lock");
    one::<OpenedV1>().update(true).assert(&path);
    for update in [false, true] {
        let text = failure(|| one::<OpenedChanged>().update(update).assert(&path));
        assert!(
            text.contains("the shape of `Opened` changed, and its version is still 1"),
            "{text}"
        );
        assert!(text.contains("+     \"limit\": \"u64\""), "{text}");
        assert!(
            text.contains("give it version 2 and an upcaster from 1 to 2"),
            "{text}"
        );
    }
    std::fs::write(&path, "{}").unwrap();
    one::<OpenedChanged>().update(true).assert(&path);
}

#[test]
fn new_versions_events_and_aliases_are_written_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.lock");
    one::<OpenedV1>().update(true).assert(&path);
    let with_closed = || one::<OpenedV2>().set::<Only<Closed>>();
    let text = failure(|| with_closed().update(false).assert(&path));
    assert!(
        text.contains("`Opened` has version 2; in the file it has version 1"),
        "{text}"
    );
    assert!(
        text.contains("`Closed` is new") && text.contains("ORDAIN_UPDATE_SCHEMAS=1"),
        "{text}"
    );
    with_closed().update(true).assert(&path);
    assert_eq!(lock(&path)["Opened"]["version"], 2);
    let text = failure(|| {
        one::<OpenedV1>()
            .set::<Only<Closed>>()
            .update(true)
            .assert(&path);
    });
    assert!(
        text.contains("went back from version 2 to version 1"),
        "{text}"
    );

    std::fs::write(&path, "{}").unwrap();
    one::<OpenedV1>().update(true).assert(&path);
    let text = failure(|| one::<OpenedAlias>().update(false).assert(&path));
    assert!(text.contains("`Opened` has a new alias"), "{text}");
    one::<OpenedAlias>().update(true).assert(&path);
    let text = failure(|| one::<OpenedV1>().update(true).assert(&path));
    assert!(
        text.contains("not read under the name `Begun` any more"),
        "{text}"
    );
}

#[test]
fn an_event_that_is_gone_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.lock");
    one::<OpenedV1>()
        .set::<Only<Closed>>()
        .update(true)
        .assert(&path);
    for update in [false, true] {
        let text = failure(|| one::<OpenedV1>().update(update).assert(&path));
        assert!(
            text.contains("`Closed` is gone, but events of this type may be stored"),
            "{text}"
        );
    }
}

#[test]
fn a_type_that_accepts_no_guess_needs_a_sample() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.lock");
    let text = failure(|| one::<Moved>().update(true).assert(&path));
    assert!(
        text.contains("the shape of `Moved` cannot be found"),
        "{text}"
    );
    assert!(text.contains(".sample(&event)"), "{text}");
    let sampled = || {
        one::<Moved>()
            .sample(&moved(How::Letter { pages: 3 }))
            .sample(&moved(How::Call))
    };
    sampled().update(true).assert(&path);
    sampled().update(false).assert(&path);
    let fields = &lock(&path)["Moved"]["shape"]["fields"];
    assert_eq!(
        (&fields["to"], &fields["teller"]),
        (&json!("text"), &json!("number"))
    );
    assert_eq!(
        fields["how"]["fields"],
        json!({ "kind": "text", "pages": "number" })
    );
}

#[test]
fn a_checked_text_shows_its_place() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Sent {
        to: Option<Iban>,
    }
    event!(Sent, "Sent");
    let text = failure(|| one::<Sent>().update(true).assert("nowhere/events.lock"));
    assert!(text.contains("`to.?` refuses all values tried"), "{text}");
    assert!(text.contains("an IBAN has 22 characters"), "{text}");
}

#[test]
fn two_types_under_one_name_are_a_mistake() {
    let both = || one::<OpenedV1>().set::<Only<OpenedChanged>>();
    let text = failure(|| both().update(true).assert("nowhere/events.lock"));
    assert_eq!(
        text,
        "two different types are stored under the name `Opened`"
    );
    let text = failure(|| {
        one::<Closed>()
            .sample(&Only(OpenedV1 {
                owner: "Ann".into(),
            }))
            .update(true)
            .assert("nowhere/events.lock");
    });
    assert_eq!(text, "the sample of `Opened` belongs to none of the sets");
}
