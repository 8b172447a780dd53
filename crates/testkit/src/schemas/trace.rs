//! Finds the shape of a type by reading it from made-up values.
//!
//! A run reads the type once. The plan says which value each place gets: where a run fails, the value
//! given last is exchanged for the next one, and the type is read again. More runs show the other
//! variants of enums, and which fields may be missing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::{self, Display};

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};
use serde_json::Value;

use super::shape::Shape;

/// How often a type is read until it accepts the values.
const ATTEMPTS_MAX: usize = 1_000;

/// How deep a type that holds itself is followed to where it ends.
const RECURSION_MAX: usize = 3;

/// What texts that are checked while they are read may accept.
const TEXTS: &[&str] = &[
    "a",
    "",
    "1",
    "00000000-0000-4000-8000-000000000000",
    "2020-01-01T00:00:00Z",
    "2020-01-01T00:00:00",
    "2020-01-01 00:00:00.0 +00:00:00",
    "2020-01-01 00:00:00.0",
    "2020-01-01 00:00:00",
    "2020-01-01",
    "00:00:00",
    "00:00:00.0",
    "+00:00",
    "PT1S",
    "UTC",
    "true",
    "1.0",
    "127.0.0.1",
    "::1",
    "127.0.0.1:80",
    "https://example.com/",
    "a@example.com",
    "+4930123456",
    "example.com",
    "EUR",
    "DE",
    "de",
    "en-US",
    "account-1",
    "1.0.0",
    "#000000",
    "AAAA",
    "00",
];

/// The steps from the whole value to a part of it.
type Path = Vec<String>;

/// Which value each place gets.
#[derive(Debug, Clone, Default)]
struct Plan {
    /// How many values of a place were refused.
    refused: HashMap<Path, usize>,
    variants: HashMap<Path, usize>,
    /// Fields under a name that is only an alias, or left out to see whether they may be.
    omitted: HashSet<Path>,
    /// Fields that come before the others.
    first: HashSet<Path>,
}

/// What one reading saw.
#[derive(Debug)]
struct Run<'g> {
    plan: &'g Plan,
    /// The place that got a value last, and how many values there are for it.
    last: Option<(Path, usize)>,
    /// The field whose name was given, but not its value.
    pending: Option<Path>,
    /// Places of enums: which variant was taken, of how many.
    enums: Vec<(Path, usize, Vec<&'static str>)>,
    fields: Vec<Path>,
    /// The types being read, from the outermost.
    within: Vec<(&'static str, &'static [&'static str])>,
    recursion: usize,
}

/// The shape of `P`; `samples` are values that it accepts.
pub(super) fn shape_of<P: DeserializeOwned>(samples: &[Value]) -> Result<Shape, String> {
    let mut shape = Shape::Unknown;
    let (mut failures, mut missing) = (Vec::new(), Vec::new());
    let guides: Vec<_> = match samples {
        [] => vec![None],
        samples => samples.iter().map(Some).collect(),
    };
    for guide in guides {
        missing.extend(explore::<P>(guide, &mut shape, &mut failures));
    }
    missing.iter().for_each(|path| shape.mark_missing(path));
    for (path, problem) in failures {
        if !matches!(shape.at(&path), Some(found) if *found != Shape::Unknown) {
            return Err(problem);
        }
    }
    Ok(shape)
}

/// Reads `P` until all variants and fields have been seen; failures name the part not seen.
///
/// Returns the fields that may be missing.
fn explore<P: DeserializeOwned>(
    guide: Option<&Value>,
    shape: &mut Shape,
    failures: &mut Vec<(Path, String)>,
) -> Vec<Path> {
    let mut refused = Plan::default();
    let mut seen: HashSet<(Path, usize)> = HashSet::new();
    let mut fields: HashMap<Path, Plan> = HashMap::new();
    let mut to_see = vec![(Path::new(), HashMap::new())];
    while let Some((part, variants)) = to_see.pop() {
        let mut plan = Plan {
            variants,
            ..refused.clone()
        };
        let found = match attempt::<P>(&mut plan, guide) {
            Ok(found) => found,
            Err(problem) => {
                failures.push((part, problem));
                continue;
            }
        };
        shape.merge(found.shape);
        for (path, taken, names) in found.enums {
            seen.insert((path.clone(), taken));
            for (index, name) in names.iter().enumerate() {
                if seen.insert((path.clone(), index)) {
                    let mut variants = plan.variants.clone();
                    variants.insert(path.clone(), index);
                    to_see.push((step(&path, name), variants));
                }
            }
        }
        for path in found.fields {
            fields.entry(path).or_insert_with(|| plan.clone());
        }
        refused = plan;
    }
    let may_be_missing = |(path, plan): &mut (Path, Plan)| {
        plan.omitted.insert(path.clone());
        attempt::<P>(plan, guide).is_ok()
    };
    let mut fields: Vec<_> = fields.into_iter().collect();
    fields.retain_mut(may_be_missing);
    fields.into_iter().map(|(path, _)| path).collect()
}

struct Found {
    shape: Shape,
    enums: Vec<(Path, usize, Vec<&'static str>)>,
    fields: Vec<Path>,
}

fn attempt<P: DeserializeOwned>(plan: &mut Plan, guide: Option<&Value>) -> Result<Found, String> {
    for _ in 0..ATTEMPTS_MAX {
        let mut shape = Shape::Unknown;
        let mut run = Run {
            plan: &*plan,
            last: None,
            pending: None,
            enums: Vec::new(),
            fields: Vec::new(),
            within: Vec::new(),
            recursion: 0,
        };
        let error = match P::deserialize(Place::whole(&mut run, &mut shape, guide)) {
            Ok(_) => {
                let (enums, fields) = (run.enums, run.fields);
                return Ok(Found {
                    shape,
                    enums,
                    fields,
                });
            }
            Err(error) => error,
        };
        let (pending, last) = (run.pending, run.last);
        plan.learn(&error, pending, last)?;
    }
    Err(format!("it accepted nothing in {ATTEMPTS_MAX} attempts"))
}

impl Plan {
    /// Changes the plan after a failure, or says that there is nothing left to change.
    fn learn(
        &mut self,
        error: &Refused,
        pending: Option<Path>,
        last: Option<(Path, usize)>,
    ) -> Result<(), String> {
        if let (Some(field), Some(path)) = (error.twice, pending) {
            let is_alias = path.last().is_none_or(|name| name != field);
            let fresh = if is_alias {
                self.omitted.insert(path)
            } else {
                self.first.insert(path)
            };
            return if fresh {
                Ok(())
            } else {
                Err(error.text.clone())
            };
        }
        let Some((path, count)) = last else {
            return Err(error.text.clone());
        };
        let refused = self.refused.entry(path.clone()).or_default();
        *refused += 1;
        if *refused < count {
            return Ok(());
        }
        let place = match path.as_slice() {
            [] => "it".to_owned(),
            path => format!("`{}`", path.join(".")),
        };
        Err(format!(
            "{place} refuses all values tried, the last with: {}",
            error.text
        ))
    }
}

fn step(path: &[String], next: impl Display) -> Path {
    let mut path = path.to_vec();
    path.push(next.to_string());
    path
}

/// Why a value was not accepted.
#[derive(Debug)]
struct Refused {
    text: String,
    /// The name of a field that came twice.
    twice: Option<&'static str>,
}

impl Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refused {}

impl de::Error for Refused {
    fn custom<T: Display>(text: T) -> Self {
        let text = text.to_string();
        Self { text, twice: None }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self {
            text: format!("duplicate field `{field}`"),
            twice: Some(field),
        }
    }
}

/// A part of the value, about to be read.
struct Place<'r, 'g> {
    run: &'r mut Run<'g>,
    path: Path,
    shape: &'r mut Shape,
    sample: Option<&'g Value>,
    /// Whether the sample is better than a guess.
    flattened: bool,
}

impl<'r, 'g> Place<'r, 'g> {
    fn whole(run: &'r mut Run<'g>, shape: &'r mut Shape, sample: Option<&'g Value>) -> Self {
        Self {
            run,
            path: Path::new(),
            shape,
            sample,
            flattened: false,
        }
    }

    /// The value of this place, out of several.
    fn choose<T>(&mut self, mut values: Vec<T>) -> T {
        let refused = self.run.plan.refused.get(&self.path).copied();
        let index = refused.unwrap_or_default().min(values.len() - 1);
        self.run.last = Some((self.path.clone(), values.len()));
        values.swap_remove(index)
    }

    fn number(&mut self, name: &str) -> u64 {
        *self.shape = Shape::simple(name);
        let sample = self.sample.and_then(Value::as_u64);
        self.choose(sample.into_iter().chain([1, 0, 2, 10, 100]).collect())
    }

    fn text(&mut self) -> String {
        *self.shape = Shape::simple("text");
        let sample = self.sample.and_then(Value::as_str);
        let texts = sample.into_iter().chain(TEXTS.iter().copied());
        self.choose(texts.map(str::to_owned).collect())
    }

    fn within(&self, name: &str, fields: &[&str]) -> bool {
        let known = |(known, its): &(&str, &[&str])| *known == name && *its == fields;
        self.run.within.iter().any(known)
    }

    /// Reads a named type: where it holds itself, its shape is not shown again.
    fn named<T>(
        self,
        name: &'static str,
        parts: &'static [&'static str],
        read: impl FnOnce(Place<'_, 'g>) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let recursive = self.within(name, parts);
        let mut unseen = Shape::Unknown;
        if recursive {
            *self.shape = Shape::Recursive(name.to_owned());
            self.run.recursion += 1;
            if self.run.recursion > RECURSION_MAX {
                return Err(de::Error::custom(format!(
                    "`{name}` holds itself without end"
                )));
            }
        }
        self.run.within.push((name, parts));
        let result = read(Place {
            shape: if recursive { &mut unseen } else { self.shape },
            path: self.path,
            sample: self.sample,
            flattened: self.flattened,
            run: &mut *self.run,
        });
        self.run.within.pop();
        self.run.recursion -= usize::from(recursive);
        result
    }

    fn read_fields<'de, V: Visitor<'de>>(
        self,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let path = |name: &&'static str| step(&self.path, name);
        let plan = self.run.plan;
        let mut names: Vec<_> = names
            .iter()
            .copied()
            .filter(|name| !plan.omitted.contains(&path(name)))
            .collect();
        names.sort_by_key(|name| !plan.first.contains(&path(name)));
        *self.shape = Shape::Fields(BTreeMap::new());
        let Shape::Fields(shapes) = self.shape else {
            return Err(de::Error::custom("fields have a shape"));
        };
        visitor.visit_map(Fields {
            run: self.run,
            path: self.path,
            shapes,
            names: names.into_iter(),
            current: None,
            sample: self.sample,
        })
    }

    fn read_tuple<'de, V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        *self.shape = Shape::Tuple(vec![Shape::Unknown; len]);
        let Shape::Tuple(shapes) = self.shape else {
            return Err(de::Error::custom("items have a shape"));
        };
        visitor.visit_seq(Items {
            run: self.run,
            path: self.path,
            shapes: shapes.iter_mut().enumerate(),
            sample: self.sample,
            is_list: false,
        })
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $name:literal $type:ty;)*) => {
        $(fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
            let number = self.number($name);
            visitor.$visit(number as $type)
        })*
    };
}

impl<'de> Deserializer<'de> for Place<'_, '_> {
    type Error = Refused;

    numbers! {
        deserialize_i8 visit_i8 "i8" i8;
        deserialize_i16 visit_i16 "i16" i16;
        deserialize_i32 visit_i32 "i32" i32;
        deserialize_i64 visit_i64 "i64" i64;
        deserialize_i128 visit_i128 "i128" i128;
        deserialize_u8 visit_u8 "u8" u8;
        deserialize_u16 visit_u16 "u16" u16;
        deserialize_u32 visit_u32 "u32" u32;
        deserialize_u64 visit_u64 "u64" u64;
        deserialize_u128 visit_u128 "u128" u128;
        deserialize_f32 visit_f32 "f32" f32;
        deserialize_f64 visit_f64 "f64" f64;
    }

    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        let guesses = [Value::Null, "a".into(), 1.into(), true.into()];
        let nothing = [
            Value::Object(serde_json::Map::new()),
            Value::Array(Vec::new()),
        ];
        let guesses = guesses.into_iter().chain(nothing);
        let mut values: Vec<_> = guesses.map(|guess| (guess, false)).collect();
        if let Some(sample) = self.sample {
            let at = usize::from(!self.flattened);
            values.insert(at, (sample.clone(), true));
        }
        let (value, is_sample) = self.choose(values);
        *self.shape = match is_sample {
            true => Shape::of_json(&value),
            false => Shape::simple("anything"),
        };
        value.deserialize_any(visitor).map_err(de::Error::custom)
    }

    fn deserialize_bool<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        *self.shape = Shape::simple("bool");
        let sample = self.sample.and_then(Value::as_bool);
        visitor.visit_bool(self.choose(sample.into_iter().chain([true, false]).collect()))
    }

    fn deserialize_char<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        *self.shape = Shape::simple("char");
        let sample = self.sample.and_then(Value::as_str);
        let sample = sample.and_then(|text| text.chars().next());
        visitor.visit_char(self.choose(sample.into_iter().chain(['a', '1']).collect()))
    }

    fn deserialize_str<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_string(self.text())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        *self.shape = Shape::simple("bytes");
        visitor.visit_byte_buf(vec![1])
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        *self.shape = Shape::Optional(Box::new(Shape::Unknown));
        let Shape::Optional(inner) = self.shape else {
            return visitor.visit_none();
        };
        if self.run.recursion > 0 {
            return visitor.visit_none();
        }
        visitor.visit_some(Place {
            path: step(&self.path, "?"),
            shape: inner,
            sample: self.sample.filter(|sample| !sample.is_null()),
            ..self
        })
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        *self.shape = Shape::simple("unit");
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        *self.shape = Shape::List(Box::new(Shape::Unknown));
        let Shape::List(inner) = self.shape else {
            return Err(de::Error::custom("a list has a shape"));
        };
        let items = if self.run.recursion > 0 { 0 } else { 1 };
        let items = &mut std::slice::from_mut(&mut **inner)[..items];
        visitor.visit_seq(Items {
            run: self.run,
            path: self.path,
            shapes: items.iter_mut().enumerate(),
            sample: self.sample,
            is_list: true,
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.read_tuple(len, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.named(name, &[], |place| place.read_tuple(len, visitor))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let entries = match self.sample {
            Some(Value::Object(entries)) => entries
                .iter()
                .map(|(key, value)| (Some(key.as_str()), Some(value)))
                .collect(),
            _ if self.run.recursion > 0 => Vec::new(),
            _ => vec![(None, None)],
        };
        *self.shape = Shape::Map(Box::new(Shape::Unknown), Box::new(Shape::Unknown));
        visitor.visit_map(Entries {
            run: self.run,
            path: self.path,
            shape: self.shape,
            entries: entries.into_iter(),
            current: None,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.named(name, fields, |place| place.read_fields(fields, visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        if variants.is_empty() {
            return Err(de::Error::custom(format!("`{name}` has no variants")));
        }
        self.named(name, variants, |place| {
            visitor.visit_enum(Choice { place, variants })
        })
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_unit()
    }
}

/// The fields of a struct.
struct Fields<'r, 'g> {
    run: &'r mut Run<'g>,
    path: Path,
    shapes: &'r mut BTreeMap<String, Shape>,
    names: std::vec::IntoIter<&'static str>,
    current: Option<&'static str>,
    sample: Option<&'g Value>,
}

impl<'de> MapAccess<'de> for Fields<'_, '_> {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Refused> {
        self.current = self.names.next();
        let Some(name) = self.current else {
            return Ok(None);
        };
        self.run.pending = Some(step(&self.path, name));
        let name: StrDeserializer<'_, Refused> = name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refused> {
        let name = self.current.unwrap_or_default();
        let path = step(&self.path, name);
        self.run.pending = None;
        if self.run.recursion == 0 {
            self.run.fields.push(path.clone());
        }
        let shape = self.shapes.entry(name.to_owned()).or_insert(Shape::Unknown);
        seed.deserialize(Place {
            run: self.run,
            path,
            shape,
            sample: self.sample.and_then(|sample| sample.get(name)),
            flattened: false,
        })
    }
}

/// The items of a list (one) or of a tuple.
struct Items<'r, 'g> {
    run: &'r mut Run<'g>,
    path: Path,
    shapes: std::iter::Enumerate<std::slice::IterMut<'r, Shape>>,
    sample: Option<&'g Value>,
    is_list: bool,
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = Refused;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Refused> {
        let Some((index, shape)) = self.shapes.next() else {
            return Ok(None);
        };
        let path = match self.is_list {
            true => step(&self.path, "[]"),
            false => step(&self.path, index),
        };
        let place = Place {
            run: self.run,
            path,
            shape,
            sample: self.sample.and_then(|sample| sample.get(index)),
            flattened: false,
        };
        seed.deserialize(place).map(Some)
    }
}

/// The entries of a map: those of the sample, or a made-up one.
struct Entries<'r, 'g> {
    run: &'r mut Run<'g>,
    path: Path,
    shape: &'r mut Shape,
    entries: std::vec::IntoIter<(Option<&'g str>, Option<&'g Value>)>,
    current: Option<(Option<&'g str>, Option<&'g Value>)>,
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Refused> {
        self.current = self.entries.next();
        let Some((sample, _)) = self.current else {
            return Ok(None);
        };
        let key = Key {
            path: step(&self.path, "{key}"),
            run: self.run,
            shape: self.shape,
            sample,
        };
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refused> {
        let (key, sample) = self.current.unwrap_or_default();
        let (name, mut read) = (key.unwrap_or("{}"), Shape::Unknown);
        let flattened = matches!(self.shape, Shape::Fields(_));
        let value = seed.deserialize(Place {
            run: self.run,
            path: step(&self.path, name),
            shape: &mut read,
            sample,
            flattened,
        })?;
        match self.shape {
            Shape::Fields(fields) => drop(fields.insert(name.to_owned(), read)),
            Shape::Map(_, shape) => shape.merge(read),
            _ => {}
        }
        Ok(value)
    }
}

/// The key of a map; a struct with flattened fields reads itself as a map too, but asks for the
/// names of fields.
struct Key<'r, 'g> {
    run: &'r mut Run<'g>,
    path: Path,
    shape: &'r mut Shape,
    sample: Option<&'g str>,
}

impl<'r, 'g> Key<'r, 'g> {
    fn text(self) -> String {
        let sample = self.sample.map(str::to_owned);
        let mut shape = Shape::Unknown;
        let mut place = Place {
            run: self.run,
            path: self.path,
            shape: &mut shape,
            sample: None,
            flattened: false,
        };
        let text = sample.unwrap_or_else(|| place.text());
        if let Shape::Map(key, _) = self.shape {
            **key = Shape::simple("text");
        }
        text
    }
}

macro_rules! number_keys {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            let Shape::Map(key, _) = self.shape else {
                return Err(de::Error::custom("a map has a shape"));
            };
            if let Some(number) = self.sample.and_then(|text| text.parse::<i64>().ok()) {
                let sample = Value::from(number);
                **key = Shape::simple("number");
                return sample.$method(visitor).map_err(de::Error::custom);
            }
            Place {
                run: self.run,
                path: self.path,
                shape: key,
                sample: None,
                flattened: false,
            }
            .$method(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Key<'_, '_> {
    type Error = Refused;

    number_keys! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_string(self.text())
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let Some(name) = self.sample else {
            return Err(de::Error::custom("flattened fields show only in a sample"));
        };
        if !matches!(self.shape, Shape::Fields(_)) {
            *self.shape = Shape::Fields(BTreeMap::new());
        }
        visitor.visit_str(name)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        if let Shape::Map(key, _) = self.shape {
            **key = Shape::simple("text");
        }
        let name = self
            .sample
            .or(variants.first().copied())
            .unwrap_or_default();
        let name: StrDeserializer<'_, Refused> = name.into_deserializer();
        visitor.visit_enum(name)
    }

    serde::forward_to_deserialize_any! {
        bool f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple
        tuple_struct map struct ignored_any
    }
}

/// A variant of an enum.
struct Choice<'r, 'g> {
    place: Place<'r, 'g>,
    variants: &'static [&'static str],
}

impl<'de, 'r, 'g> EnumAccess<'de> for Choice<'r, 'g> {
    type Error = Refused;
    type Variant = Taken<'r, 'g>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Taken<'r, 'g>), Refused> {
        let Self {
            mut place,
            variants,
        } = self;
        let (sampled, content) = match place.sample {
            Some(Value::String(name)) => (Some(name.as_str()), None),
            Some(Value::Object(entry)) => match entry.iter().next() {
                Some((name, content)) => (Some(name.as_str()), Some(content)),
                None => (None, None),
            },
            _ => (None, None),
        };
        let sampled = sampled.and_then(|name| variants.iter().position(|known| *known == name));
        let taken = if place.run.recursion > 0 {
            place.choose((0..variants.len()).collect())
        } else {
            let planned = place.run.plan.variants.get(&place.path).copied();
            let taken = planned.or(sampled).unwrap_or_default();
            let seen = (place.path.clone(), taken, variants.to_vec());
            place.run.enums.push(seen);
            taken
        };
        let name = variants[taken];
        *place.shape = Shape::Variants(BTreeMap::from([(name.to_owned(), Shape::Unknown)]));
        let key: StrDeserializer<'_, Refused> = name.into_deserializer();
        let key = seed.deserialize(key)?;
        let Shape::Variants(shapes) = place.shape else {
            return Err(de::Error::custom("variants have a shape"));
        };
        let shape = shapes.entry(name.to_owned()).or_insert(Shape::Unknown);
        let taken = Taken(Place {
            path: step(&place.path, name),
            shape,
            sample: content.filter(|_| sampled == Some(taken)),
            flattened: false,
            run: place.run,
        });
        Ok((key, taken))
    }
}

/// The content of the variant that was taken.
struct Taken<'r, 'g>(Place<'r, 'g>);

impl<'de> VariantAccess<'de> for Taken<'_, '_> {
    type Error = Refused;

    fn unit_variant(self) -> Result<(), Refused> {
        *self.0.shape = Shape::simple("unit");
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Refused> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        self.0.read_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.0.read_fields(fields, visitor)
    }
}
