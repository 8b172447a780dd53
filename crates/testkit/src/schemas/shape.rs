//! The shape of a value, as the file shows it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The shape of a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Shape {
    /// Nothing has been seen.
    Unknown,
    Optional(Box<Shape>),
    List(Box<Shape>),
    Tuple(Vec<Shape>),
    Map(Box<Shape>, Box<Shape>),
    /// Fields by name; a `?` after the name means that it may be missing.
    Fields(BTreeMap<String, Shape>),
    Variants(BTreeMap<String, Shape>),
    /// A type that holds values of itself, inside itself.
    Recursive(String),
    /// A simple value: `text`, `u64`, `anything`, ..
    #[serde(untagged)]
    Simple(String),
}

impl Shape {
    pub(super) fn simple(name: &str) -> Self {
        Self::Simple(name.to_owned())
    }

    /// What both show: variants and fields of either, and whatever one knows and the other does not.
    pub(super) fn merge(&mut self, other: Self) {
        match (self, other) {
            (_, Self::Unknown) => {}
            (this @ Self::Unknown, other) => *this = other,
            (Self::Optional(this), Self::Optional(other))
            | (Self::List(this), Self::List(other)) => this.merge(*other),
            (Self::Tuple(this), Self::Tuple(other)) => {
                this.iter_mut()
                    .zip(other)
                    .for_each(|(this, other)| this.merge(other));
            }
            (Self::Map(key, value), Self::Map(other_key, other_value)) => {
                key.merge(*other_key);
                value.merge(*other_value);
            }
            (Self::Fields(this), Self::Fields(other))
            | (Self::Variants(this), Self::Variants(other)) => {
                for (name, shape) in other {
                    this.entry(name).or_insert(Self::Unknown).merge(shape);
                }
            }
            (this @ Self::Recursive(_), other @ (Self::Fields(_) | Self::Variants(_))) => {
                *this = other;
            }
            (this, other) => this.merge_apart(other),
        }
    }

    fn merge_apart(&mut self, other: Self) {
        let both = [&*self, &other];
        if *self == other || matches!(other, Self::Recursive(_)) {
            return;
        }
        let is_null = |shape: &&Self| matches!(shape, Self::Simple(name) if name == "null");
        let null = both.iter().any(is_null);
        let Some(rest) = both
            .into_iter()
            .find(|shape| !is_null(shape))
            .filter(|_| null)
        else {
            *self = Self::simple("anything");
            return;
        };
        *self = match rest {
            Self::Optional(_) => rest.clone(),
            rest => Self::Optional(Box::new(rest.clone())),
        };
    }

    /// The shape that a sample shows, for types that read themselves as anything.
    pub(super) fn of_json(json: &Value) -> Self {
        match json {
            Value::Null => Self::simple("null"),
            Value::Bool(_) => Self::simple("bool"),
            Value::Number(_) => Self::simple("number"),
            Value::String(_) => Self::simple("text"),
            Value::Array(items) => {
                let mut shape = Self::Unknown;
                items
                    .iter()
                    .for_each(|item| shape.merge(Self::of_json(item)));
                Self::List(Box::new(shape))
            }
            Value::Object(fields) => Self::Fields(
                fields
                    .iter()
                    .map(|(name, value)| (name.clone(), Self::of_json(value)))
                    .collect(),
            ),
        }
    }

    /// The shape at this path, as [`trace`](super::trace) writes paths.
    pub(super) fn at(&mut self, path: &[String]) -> Option<&mut Self> {
        let [step, rest @ ..] = path else {
            return Some(self);
        };
        let optional = missing(step);
        let inner = match self {
            Self::Fields(inner) | Self::Variants(inner) => {
                let name = if inner.contains_key(step) {
                    step
                } else {
                    &optional
                };
                inner.get_mut(name)?
            }
            Self::Tuple(items) => items.get_mut(step.parse::<usize>().ok()?)?,
            Self::Optional(inner) | Self::List(inner) | Self::Map(_, inner) => inner,
            _ => return None,
        };
        inner.at(rest)
    }

    /// Marks the field at this path as one that may be missing; an optional one may anyway.
    pub(super) fn mark_missing(&mut self, path: &[String]) {
        let [parents @ .., name] = path else { return };
        let Some(Self::Fields(fields)) = self.at(parents) else {
            return;
        };
        if matches!(fields.get(name), None | Some(Self::Optional(_))) {
            return;
        }
        if let Some(shape) = fields.remove(name) {
            fields.insert(missing(name), shape);
        }
    }
}

fn missing(field: &str) -> String {
    format!("{field}?")
}
