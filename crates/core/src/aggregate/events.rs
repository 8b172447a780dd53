//! What a command results in.

use std::fmt;

use super::{Aggregate, Execute};

/// What an aggregate makes of a command: events, or its refusal.
pub type Decision<A> = Result<Events<A>, <A as Aggregate>::Error>;

/// The events that a command results in: one, several, or none.
///
/// Everything that can be an answer converts into it: an event, `()`, an `Option`, a `Vec`, an
/// array, and tuples of these.
pub struct Events<A: Aggregate> {
    list: Vec<A::Event>,
}

impl<A: Aggregate> Events<A> {
    /// No event: the command is accepted and changes nothing.
    pub fn none() -> Self {
        Self { list: Vec::new() }
    }

    /// One event.
    pub fn one(event: impl Into<A::Event>) -> Self {
        Self {
            list: vec![event.into()],
        }
    }

    /// Steps that each see the state after the events before them; all count or none.
    ///
    /// Clones the state once.
    pub fn after(state: &A) -> Steps<A> {
        Steps {
            state: state.clone(),
            events: Self::none(),
        }
    }

    /// Adds what follows.
    pub fn push(&mut self, more: impl Into<Self>) {
        self.list.append(&mut more.into().list);
    }

    /// The events in order.
    pub fn iter(&self) -> std::slice::Iter<'_, A::Event> {
        self.list.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The events in order.
    pub fn into_vec(self) -> Vec<A::Event> {
        self.list
    }
}

impl<A: Aggregate> IntoIterator for Events<A> {
    type Item = A::Event;
    type IntoIter = std::vec::IntoIter<A::Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<'a, A: Aggregate> IntoIterator for &'a Events<A> {
    type Item = &'a A::Event;
    type IntoIter = std::slice::Iter<'a, A::Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

impl<A: Aggregate> fmt::Debug for Events<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.list.iter().map(event_name))
            .finish()
    }
}

fn event_name<S: crate::EventSet>(event: &S) -> &'static str {
    event.event_type().name
}

impl<A: Aggregate> From<()> for Events<A> {
    fn from((): ()) -> Self {
        Self::none()
    }
}

impl<A: Aggregate, T> From<Option<T>> for Events<A>
where
    Self: From<T>,
{
    fn from(maybe: Option<T>) -> Self {
        maybe.map_or_else(Self::none, Self::from)
    }
}

impl<A: Aggregate, T> From<Vec<T>> for Events<A>
where
    Self: From<T>,
{
    fn from(list: Vec<T>) -> Self {
        collect(list)
    }
}

impl<A: Aggregate, T, const N: usize> From<[T; N]> for Events<A>
where
    Self: From<T>,
{
    fn from(list: [T; N]) -> Self {
        collect(list)
    }
}

fn collect<A: Aggregate, T>(list: impl IntoIterator<Item = T>) -> Events<A>
where
    Events<A>: From<T>,
{
    let mut events = Events::none();
    for item in list {
        events.push(item);
    }
    events
}

macro_rules! from_tuple {
    ($($name:ident)+) => {
        impl<A: Aggregate, $($name),+> From<($($name,)+)> for Events<A>
        where
            $(Self: From<$name>),+
        {
            #[allow(non_snake_case, reason = "the type parameters name the fields")]
            fn from(($($name,)+): ($($name,)+)) -> Self {
                let mut events = Self::none();
                $(events.push($name);)+
                events
            }
        }
    };
}

from_tuple!(E1);
from_tuple!(E1 E2);
from_tuple!(E1 E2 E3);
from_tuple!(E1 E2 E3 E4);
from_tuple!(E1 E2 E3 E4 E5);
from_tuple!(E1 E2 E3 E4 E5 E6);
from_tuple!(E1 E2 E3 E4 E5 E6 E7);
from_tuple!(E1 E2 E3 E4 E5 E6 E7 E8);

/// A decision in steps, each of which sees the state after the events before it.
///
/// Dropping it drops all events.
pub struct Steps<A: Aggregate> {
    state: A,
    events: Events<A>,
}

impl<A: Aggregate> Steps<A> {
    /// The state after the events so far.
    pub fn state(&self) -> &A {
        &self.state
    }

    /// Adds what happens next.
    pub fn push(&mut self, more: impl Into<Events<A>>) -> &mut Self {
        let more = more.into();
        for event in &more {
            Aggregate::apply(&mut self.state, event);
        }
        self.events.push(more);
        self
    }

    /// Adds what another command would result in now.
    ///
    /// # Errors
    /// That command's refusal.
    pub fn execute<C>(&mut self, command: &C) -> Result<&mut Self, A::Error>
    where
        A: Execute<C>,
    {
        let more = Execute::execute(&self.state, command)?;
        Ok(self.push(more))
    }

    /// All events.
    ///
    /// # Errors
    /// None; it is a [`Decision`] so that it can end `execute`.
    pub fn finish(self) -> Decision<A> {
        Ok(self.events)
    }
}

impl<A: Aggregate> fmt::Debug for Steps<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Steps").field(&self.events).finish()
    }
}
