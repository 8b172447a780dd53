//! Old shapes of events, brought up to date while they are read.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt;

use serde_json::Value;

use crate::{
    BoxError, Codec, CodecError, EventSet, EventType, RawData, RawEvent, RecordedEvent, StreamId,
    StreamVersion,
};

type Convert = Box<dyn Fn(Value) -> Result<Vec<Value>, BoxError> + Send + Sync>;

/// Turns one stored (type, schema version) into newer ones.
///
/// It works on the payload as JSON. What it makes passes through further upcasters until none fits.
///
/// ```
/// use ordain::Upcaster;
///
/// Upcaster::map("MoneyDeposited", 1, 2, |mut json| {
///     json["currency"] = "EUR".into();
///     Ok(json)
/// });
/// Upcaster::compatible("MoneyDeposited", 2, 3);          // the new shape reads the old one
/// Upcaster::rename(("CashIn", 1), ("MoneyDeposited", 1));
/// Upcaster::split(("TransferBooked", 1), [("Sent", 1), ("Received", 1)], |json| {
///     Ok(vec![json["from"].clone(), json["to"].clone()])
/// });
/// Upcaster::drop("Obsolete", 1);
/// ```
pub struct Upcaster {
    from: (String, u32),
    outputs: Vec<(String, u32)>,
    convert: Option<Convert>,
}

impl Upcaster {
    /// Changes the payload from one version of a type to another.
    pub fn map(
        event_type: &str,
        from: u32,
        to: u32,
        convert: impl Fn(Value) -> Result<Value, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Self::convert((event_type, from), (event_type, to), convert)
    }

    /// Changes type, version and payload.
    pub fn convert(
        from: (&str, u32),
        to: (&str, u32),
        convert: impl Fn(Value) -> Result<Value, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            from: (from.0.to_owned(), from.1),
            outputs: vec![(to.0.to_owned(), to.1)],
            convert: Some(Box::new(move |json| Ok(vec![convert(json)?]))),
        }
    }

    /// Says that the newer version of a type reads the older one's payload as it stands.
    pub fn compatible(event_type: &str, from: u32, to: u32) -> Self {
        Self::rename((event_type, from), (event_type, to))
    }

    /// Changes type and version and leaves the payload.
    pub fn rename(from: (&str, u32), to: (&str, u32)) -> Self {
        Self {
            from: (from.0.to_owned(), from.1),
            outputs: vec![(to.0.to_owned(), to.1)],
            convert: None,
        }
    }

    /// Makes several events of one, in order: `convert` returns one payload per output.
    pub fn split<const N: usize>(
        from: (&str, u32),
        into: [(&str, u32); N],
        convert: impl Fn(Value) -> Result<Vec<Value>, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            from: (from.0.to_owned(), from.1),
            outputs: into
                .iter()
                .map(|(name, version)| ((*name).to_owned(), *version))
                .collect(),
            convert: Some(Box::new(convert)),
        }
    }

    /// Leaves the event out.
    pub fn drop(event_type: &str, version: u32) -> Self {
        Self {
            from: (event_type.to_owned(), version),
            outputs: Vec::new(),
            convert: Some(Box::new(|_| Ok(Vec::new()))),
        }
    }

    fn run(&self, data: Upcast<'_>, codec: &Codec) -> Result<Vec<Upcast<'static>>, DecodeProblem> {
        let Some(convert) = &self.convert else {
            return Ok(vec![self.relabel(data)]);
        };
        let json = data
            .payload
            .into_json(codec)
            .map_err(DecodeProblem::Malformed)?;
        let made = convert(json).map_err(DecodeProblem::Upcaster)?;
        if made.len() != self.outputs.len() {
            let (made, declared) = (made.len(), self.outputs.len());
            let problem = format!("the upcaster made {made} events and declares {declared}");
            return Err(DecodeProblem::Upcaster(problem.into()));
        }
        let outputs = self.outputs.iter().cloned().zip(made);
        Ok(outputs
            .map(|((name, version), json)| Upcast::json(name, version, json))
            .collect())
    }

    fn relabel(&self, data: Upcast<'_>) -> Upcast<'static> {
        let (name, version) = self.outputs[0].clone();
        Upcast {
            event_type: name.into(),
            schema_version: version,
            payload: data.payload.into_owned(),
        }
    }
}

impl fmt::Debug for Upcaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upcaster({:?} -> {:?})", self.from, self.outputs)
    }
}

/// An event on its way through the upcasters.
#[derive(Debug, Clone)]
pub struct Upcast<'a> {
    /// The name of its type.
    pub event_type: Cow<'a, str>,
    /// The version of its payload's shape.
    pub schema_version: u32,
    payload: Payload<'a>,
}

#[derive(Debug, Clone)]
enum Payload<'a> {
    Stored(Cow<'a, [u8]>),
    Json(Value),
}

impl Payload<'_> {
    fn into_json(self, codec: &Codec) -> Result<Value, CodecError> {
        match self {
            Self::Stored(bytes) => codec.decode(&bytes),
            Self::Json(value) => Ok(value),
        }
    }

    fn into_owned(self) -> Payload<'static> {
        match self {
            Self::Stored(bytes) => Payload::Stored(Cow::Owned(bytes.into_owned())),
            Self::Json(value) => Payload::Json(value),
        }
    }
}

impl<'a> Upcast<'a> {
    fn stored(event: &'a RecordedEvent) -> Self {
        Self {
            event_type: Cow::Borrowed(&event.event_type),
            schema_version: event.schema_version,
            payload: Payload::Stored(Cow::Borrowed(&event.data)),
        }
    }

    fn json(event_type: String, schema_version: u32, json: Value) -> Self {
        Self {
            event_type: event_type.into(),
            schema_version,
            payload: Payload::Json(json),
        }
    }

    /// The event, for [`EventSet::decode`].
    pub fn raw<'b>(&'b self, codec: &'b Codec) -> RawEvent<'b> {
        RawEvent {
            event_type: &self.event_type,
            schema_version: self.schema_version,
            data: match &self.payload {
                Payload::Stored(bytes) => RawData::Stored(bytes, codec),
                Payload::Json(value) => RawData::Json(value),
            },
        }
    }
}

/// All upcasters of an app, with the event types they have to lead to.
#[derive(Debug, Default)]
pub struct Upcasters {
    by_input: HashMap<String, HashMap<u32, Upcaster>>,
    twice: Vec<(String, u32)>,
}

impl Upcasters {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn add(&mut self, upcaster: Upcaster) {
        let (name, version) = upcaster.from.clone();
        let previous = self
            .by_input
            .entry(name.clone())
            .or_default()
            .insert(version, upcaster);
        if previous.is_some() {
            self.twice.push((name, version));
        }
    }

    /// Adds one.
    #[must_use]
    pub fn with(mut self, upcaster: Upcaster) -> Self {
        self.add(upcaster);
        self
    }

    /// Whether every stored shape leads to one of `types`.
    ///
    /// # Errors
    /// Two upcasters for one shape, a chain that ends before a current type or runs in a circle, or
    /// a type whose older versions no upcaster takes.
    pub fn check(&self, types: &[EventType]) -> Result<(), UpcastersError> {
        if let Some((event_type, version)) = self.twice.first() {
            return Err(UpcastersError::Twice {
                event_type: event_type.clone(),
                version: *version,
            });
        }
        for upcaster in self.by_input.values().flat_map(HashMap::values) {
            self.check_chain(upcaster, types, &mut vec![&upcaster.from])?;
        }
        types
            .iter()
            .try_for_each(|event_type| self.check_history(event_type))
    }

    fn check_chain<'a>(
        &'a self,
        upcaster: &'a Upcaster,
        types: &[EventType],
        path: &mut Vec<&'a (String, u32)>,
    ) -> Result<(), UpcastersError> {
        for output in &upcaster.outputs {
            if path.contains(&output) {
                let (event_type, version) = output.clone();
                return Err(UpcastersError::Circle {
                    event_type,
                    version,
                });
            }
            match self.find(&output.0, output.1, types) {
                Some(next) => {
                    path.push(output);
                    self.check_chain(next, types, path)?;
                    path.pop();
                }
                None => check_end(upcaster, output, types)?,
            }
        }
        Ok(())
    }

    fn check_history(&self, event_type: &EventType) -> Result<(), UpcastersError> {
        let missing = (event_type.first_version..event_type.version).find(|version| {
            self.find(event_type.name, *version, &[*event_type])
                .is_none()
        });
        match missing {
            None => Ok(()),
            Some(version) => Err(UpcastersError::Gap {
                event_type: event_type.name.to_owned(),
                version,
                current: event_type.version,
            }),
        }
    }

    /// The stored names of all events that are of these types, or that upcasters turn into them; sorted.
    pub fn stored_names(&self, types: &[EventType]) -> Vec<String> {
        let own = types
            .iter()
            .flat_map(|known| known.aliases.iter().copied().chain([known.name]));
        let mut names: BTreeSet<String> = own.map(str::to_owned).collect();
        loop {
            let leads_there = |upcaster: &&Upcaster| {
                let mut outputs = upcaster.outputs.iter();
                outputs.any(|(name, _)| names.contains(name))
            };
            let inputs = self.by_input.values().flat_map(HashMap::values);
            let found: Vec<_> = inputs
                .filter(leads_there)
                .map(|upcaster| upcaster.from.0.clone())
                .filter(|name| !names.contains(name))
                .collect();
            if found.is_empty() {
                return names.into_iter().collect();
            }
            names.extend(found);
        }
    }

    fn find(&self, name: &str, version: u32, types: &[EventType]) -> Option<&Upcaster> {
        if self.by_input.is_empty() {
            return None;
        }
        let own = self
            .by_input
            .get(name)
            .and_then(|versions| versions.get(&version));
        own.or_else(|| {
            let canonical = types.iter().find(|known| known.aliases.contains(&name))?;
            self.by_input.get(canonical.name)?.get(&version)
        })
    }

    /// Brings a stored event up to date for a set: what it has become, in order.
    ///
    /// # Errors
    /// What an upcaster says, or a payload that is no JSON value.
    pub fn upcast<'a>(
        &self,
        event: &'a RecordedEvent,
        types: &[EventType],
        codec: &Codec,
    ) -> Result<Vec<Upcast<'a>>, DecodeError> {
        let mut done = Vec::with_capacity(1);
        self.run(Upcast::stored(event), types, codec, &mut done)
            .map_err(|problem| DecodeError::at(event, problem))?;
        Ok(done)
    }

    fn run<'a>(
        &self,
        input: Upcast<'a>,
        types: &[EventType],
        codec: &Codec,
        done: &mut Vec<Upcast<'a>>,
    ) -> Result<(), DecodeProblem> {
        let Some(upcaster) = self.find(&input.event_type, input.schema_version, types) else {
            done.push(input);
            return Ok(());
        };
        for output in upcaster.run(input, codec)? {
            self.run(output, types, codec, done)?;
        }
        Ok(())
    }

    /// Reads those parts of a stored event that are of a set, after bringing it up to date. Parts of types
    /// that the set does not list are left out.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_parts<S: EventSet>(
        &self,
        event: &RecordedEvent,
        codec: &Codec,
    ) -> Result<Vec<Part<S>>, DecodeError> {
        let mut parts = Vec::with_capacity(1);
        for (index, raw) in (0..).zip(self.upcast(event, S::TYPES, codec)?) {
            let decoded = decode_one(raw.raw(codec));
            let decoded = decoded.map_err(|problem| DecodeError::at(event, problem))?;
            parts.extend(
                decoded
                    .into_vec()
                    .into_iter()
                    .map(|event| Part { index, event }),
            );
        }
        Ok(parts)
    }

    /// Reads a stored event as one of a set, after bringing it up to date.
    ///
    /// # Errors
    /// A payload that cannot be read, an upcaster that fails, or a version that the set does not
    /// know. A type that the set does not list is no error but [`Decoded::Unlisted`].
    pub fn decode<S: EventSet>(
        &self,
        event: &RecordedEvent,
        codec: &Codec,
    ) -> Result<Decoded<S>, DecodeError> {
        if self
            .find(&event.event_type, event.schema_version, S::TYPES)
            .is_none()
        {
            return decode_one(event.raw(codec)).map_err(|problem| DecodeError::at(event, problem));
        }
        let mut events = Vec::new();
        for part in self.upcast(event, S::TYPES, codec)? {
            let decoded = decode_one(part.raw(codec));
            match decoded.map_err(|problem| DecodeError::at(event, problem))? {
                Decoded::One(one) => events.push(one),
                Decoded::Many(many) => events.extend(many),
                Decoded::Unlisted => return Ok(Decoded::Unlisted),
            }
        }
        Ok(Decoded::Many(events))
    }
}

/// A part of a stored event: upcasters may make several of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<S> {
    /// Which part, from 0.
    pub index: u16,
    /// What it is.
    pub event: S,
}

fn check_end(
    upcaster: &Upcaster,
    output: &(String, u32),
    types: &[EventType],
) -> Result<(), UpcastersError> {
    let mut known = types.iter().filter(|known| known.is_called(&output.0));
    if known.clone().any(|known| known.version == output.1) {
        return Ok(());
    }
    Err(UpcastersError::LeadsNowhere {
        from: upcaster.from.0.clone(),
        from_version: upcaster.from.1,
        event_type: output.0.clone(),
        version: output.1,
        current: known.next().map(|known| known.version),
    })
}

fn decode_one<S: EventSet>(raw: RawEvent<'_>) -> Result<Decoded<S>, DecodeProblem> {
    let Some(known) = S::TYPES
        .iter()
        .find(|known| known.is_called(raw.event_type))
    else {
        return Ok(Decoded::Unlisted);
    };
    if raw.schema_version > known.version {
        return Err(DecodeProblem::Newer {
            known: known.version,
        });
    }
    if raw.schema_version < known.version {
        return Err(DecodeProblem::NoUpcaster {
            known: known.version,
        });
    }
    match S::decode(&raw) {
        Some(Ok(event)) => Ok(Decoded::One(event)),
        Some(Err(error)) => Err(DecodeProblem::Malformed(error)),
        None => Ok(Decoded::Unlisted),
    }
}

/// What a stored event is for a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded<S> {
    /// One event.
    One(S),
    /// What upcasters made of it: several, or none if it was dropped.
    Many(Vec<S>),
    /// Of a type that the set does not list.
    Unlisted,
}

impl<S> Decoded<S> {
    /// The events; none if the type is not listed.
    pub fn into_vec(self) -> Vec<S> {
        match self {
            Self::One(event) => vec![event],
            Self::Many(events) => events,
            Self::Unlisted => Vec::new(),
        }
    }
}

/// A stored event that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "event {version} of stream {stream} ({event_type}, schema version {schema_version}) cannot be read: {problem}"
)]
#[non_exhaustive]
pub struct DecodeError {
    /// The stream.
    pub stream: StreamId,
    /// Its place in the stream.
    pub version: StreamVersion,
    /// The name of its type, as stored.
    pub event_type: String,
    /// The version of its payload's shape, as stored.
    pub schema_version: u32,
    /// What is wrong.
    #[source]
    pub problem: DecodeProblem,
}

impl DecodeError {
    /// An error about this event.
    pub fn at(event: &RecordedEvent, problem: DecodeProblem) -> Self {
        Self {
            stream: event.stream.clone(),
            version: event.version,
            event_type: event.event_type.clone().into_owned(),
            schema_version: event.schema_version,
            problem,
        }
    }
}

/// Why a stored event cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeProblem {
    /// The aggregate does not list the type.
    #[error(
        "the aggregate `{category}` does not list this type; list it, register an upcaster for it, or let the aggregate ignore unlisted events"
    )]
    Unlisted {
        /// The aggregate's category.
        category: &'static str,
    },
    /// It was written by a newer program.
    #[error(
        "this program knows the type up to schema version {known}; it was written by a newer one"
    )]
    Newer {
        /// The newest version known here.
        known: u32,
    },
    /// No upcaster takes its version.
    #[error("no upcaster leads from it to schema version {known}; register one")]
    NoUpcaster {
        /// The current version.
        known: u32,
    },
    /// The payload is not of the type's shape.
    #[error(transparent)]
    Malformed(CodecError),
    /// An upcaster refused it.
    #[error("its upcaster failed: {0}")]
    Upcaster(BoxError),
}

/// Upcasters that do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpcastersError {
    /// Two take the same shape.
    #[error("two upcasters take `{event_type}` at schema version {version}; keep one")]
    Twice {
        /// The type.
        event_type: String,
        /// The version.
        version: u32,
    },
    /// A chain comes back to where it was.
    #[error("the upcasters run in a circle through `{event_type}` at schema version {version}")]
    Circle {
        /// The type.
        event_type: String,
        /// The version.
        version: u32,
    },
    /// A chain ends at a shape that nothing reads.
    #[error(
        "the upcaster of `{from}` {from_version} leads to `{event_type}` {version}, {}",
        describe_end(current)
    )]
    LeadsNowhere {
        /// The type that the last upcaster takes.
        from: String,
        /// Its version.
        from_version: u32,
        /// The type where the chain ends.
        event_type: String,
        /// Its version.
        version: u32,
        /// The version of that type that is read, if any is.
        current: Option<u32>,
    },
    /// Older versions of a type have no upcaster.
    #[error(
        "`{event_type}` is at schema version {current} and no upcaster takes version {version}: \
         register one (`Upcaster::compatible` if the new shape reads the old one), or say \
         `first_version` if older ones were never stored"
    )]
    Gap {
        /// The type.
        event_type: String,
        /// The version that nothing takes.
        version: u32,
        /// The current version.
        current: u32,
    },
}

fn describe_end(current: &Option<u32>) -> String {
    match current {
        Some(current) => {
            format!("and the current schema version is {current}; add the missing upcaster")
        }
        None => "which no aggregate or handler lists".to_owned(),
    }
}
