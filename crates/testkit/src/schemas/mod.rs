//! The shapes of stored events, kept in a file that is committed.

mod lock;
mod shape;
mod trace;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ordain::{Codec, EventSet, EventType, EventTypeVisitor};
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::lock::{Entry, Lock};

/// The environment variable that lets the file be written.
const UPDATE: &str = "ORDAIN_UPDATE_SCHEMAS";

/// Compares the shapes of a set's events with those in a file; see [`EventSchemas`].
///
/// # Panics
/// If they differ.
#[track_caller]
pub fn assert_event_schemas<S: EventSet>(path: impl AsRef<Path>) {
    EventSchemas::new().set::<S>().assert(path);
}

/// The shapes of stored events: what a change of a Rust type must not change unnoticed.
///
/// A test compares them with a file that is committed beside the code. Events are for ever; so a
/// shape that changed needs a new schema version and an upcaster, and the test says so.
///
/// ```no_run
/// # use ordain::EventSet;
/// use ordain_testkit::EventSchemas;
///
/// # fn test<AccountEvent: EventSet, TransferEvent: EventSet>(iban_changed: AccountEvent) {
/// EventSchemas::new()
///     .set::<AccountEvent>()
///     .set::<TransferEvent>()
///     .sample(&iban_changed)
///     .assert("events.lock");
/// # }
/// ```
///
/// * A missing file, a new event, a new version or a new alias is written when the environment
///   variable `ORDAIN_UPDATE_SCHEMAS` is `1`; otherwise the test fails and says so.
/// * A shape that changed at the same version, a version that went back, and an event or alias that
///   is gone are refused in any case. If it is meant (the version was never stored), delete the entry
///   from the file by hand.
///
/// The shape is found by reading the type from made-up values: names of fields and variants, kinds of
/// numbers, text, lists, maps, what may be missing, nested types. A text that is checked while it is
/// read is tried with usual contents (UUIDs, times, addresses, numbers). Where that is not enough, the
/// test asks for a [`sample`](Self::sample).
///
/// What cannot be seen: which texts or numbers a checked type accepts; the inside of types that read
/// themselves as anything (`serde_json::Value`, untagged and internally tagged enums, flattened fields)
/// beyond what the samples show; fields that a type writes but does not read.
#[derive(Debug, Default)]
#[must_use = "call `.assert(path)`"]
pub struct EventSchemas {
    samples: Samples,
    sets: Vec<fn(&Samples, &mut Traced)>,
    update: Option<bool>,
}

impl EventSchemas {
    /// No events yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The events of a set, too.
    pub fn set<S: EventSet>(mut self) -> Self {
        self.sets.push(|samples, traced| {
            let mut visitor = Visitor { samples, traced };
            S::visit(&mut visitor);
        });
        self
    }

    /// An event that shows what its type accepts; several of one type show more.
    ///
    /// # Panics
    /// If the event cannot be written as JSON.
    #[track_caller]
    pub fn sample<S: EventSet>(mut self, event: &S) -> Self {
        let name = event.event_type().name;
        let json = event
            .encode(&Codec::Json)
            .map(|data| serde_json::from_slice(&data));
        match json {
            Ok(Ok(json)) => self.samples.entry(name).or_default().push(json),
            Ok(Err(error)) => panic!("the sample of `{name}` is not JSON: {error}"),
            Err(error) => panic!("the sample of `{name}` cannot be written: {error}"),
        }
        self
    }

    /// Says whether the file may be written, instead of asking the environment.
    pub fn update(mut self, update: bool) -> Self {
        self.update = Some(update);
        self
    }

    /// Compares the shapes with those in the file; a relative path begins at the crate's own folder.
    ///
    /// # Panics
    /// If they differ, if a type cannot be traced, or if the file cannot be read or written.
    #[track_caller]
    pub fn assert(self, path: impl AsRef<Path>) {
        let path = in_the_crate(path.as_ref());
        if let Err(problem) = self.check(&path) {
            panic!("{problem}");
        }
    }

    fn check(&self, path: &Path) -> Result<(), String> {
        let current = self.trace()?;
        let known = Lock::read(path)?;
        let changes = current.compare(known.as_ref());
        let shown = path.display();
        if !changes.refused.is_empty() {
            return Err(format!("{shown}: {}", changes.refused.join("\n\n")));
        }
        if changes.updates.is_empty() {
            return Ok(());
        }
        if self
            .update
            .unwrap_or_else(|| std::env::var(UPDATE).is_ok_and(|value| value == "1"))
        {
            return current.write(path);
        }
        Err(format!(
            "{shown}: {}\n\nif that is meant, run this test with {UPDATE}=1 and commit the file",
            changes.updates.join("\n")
        ))
    }

    fn trace(&self) -> Result<Lock, String> {
        let mut traced = Traced::default();
        for set in &self.sets {
            set(&self.samples, &mut traced);
        }
        if let Some(unknown) = self.samples.keys().find(|name| !traced.lock.contains(name)) {
            traced.problems.push(format!(
                "the sample of `{unknown}` belongs to none of the sets"
            ));
        }
        if traced.problems.is_empty() {
            Ok(traced.lock)
        } else {
            Err(traced.problems.join("\n\n"))
        }
    }
}

/// Samples as JSON, by the stored name of their type.
type Samples = BTreeMap<&'static str, Vec<Value>>;

#[derive(Debug, Default)]
struct Traced {
    lock: Lock,
    problems: Vec<String>,
}

struct Visitor<'a> {
    samples: &'a Samples,
    traced: &'a mut Traced,
}

impl EventTypeVisitor for Visitor<'_> {
    fn event_type<P: DeserializeOwned>(&mut self, event_type: &'static EventType) {
        let name = event_type.name;
        let samples = self.samples.get(name).map_or(&[][..], Vec::as_slice);
        match trace::shape_of::<P>(samples) {
            Ok(shape) => {
                let entry = Entry::new(event_type, shape);
                if !self.traced.lock.insert(name, entry) {
                    let problem = format!("two different types are stored under the name `{name}`");
                    self.traced.problems.push(problem);
                }
            }
            Err(problem) => self.traced.problems.push(format!(
                "the shape of `{name}` cannot be found: {problem}\ngive an event of this type: \
                 `EventSchemas::new().set::<..>().sample(&event)`"
            )),
        }
    }
}

fn in_the_crate(path: &Path) -> PathBuf {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    root.unwrap_or_default().join(path)
}
