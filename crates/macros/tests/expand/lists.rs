//! What else an aggregate's attribute says.

use ordain::prelude::*;
use ordain::{
    After, Aggregate as _, CommandOf as _, EventSet as _, Existence, Lifespan, Routed,
    UnlistedEvents,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{decided, dispatch, run};

/// Events and commands of others.
pub mod billing {
    use super::*;

    /// An event.
    #[derive(Debug, Serialize, Deserialize, Event)]
    #[event(name = "BillOpened")]
    pub struct Opened;

    /// A command.
    #[derive(Debug, Serialize, Deserialize, Command)]
    #[command(name = "Bill")]
    pub struct Open {
        #[command(id)]
        pub(super) order: u32,
    }
}

/// An event.
#[derive(Debug, Serialize, Deserialize, Event)]
pub struct Opened;

/// A command.
#[derive(Debug, Serialize, Deserialize, Command)]
pub struct Open {
    #[command(id)]
    order: u32,
}

/// A command that is decided outside.
#[derive(Debug, Serialize, Deserialize, Command)]
pub struct Price {
    #[command(id)]
    order: u32,
}

/// A command that is decided outside.
#[derive(Debug, Serialize, Deserialize, Command)]
pub struct Import {
    #[command(id)]
    order: u32,
}

/// A state in an enum.
#[derive(Debug, Clone, PartialEq, Aggregate)]
#[aggregate(
    category = "order",
    commands(Open, billing::Open as BillingOpen),
    outside(Price, Import),
    events(Opened, billing::Opened as BillingOpened),
    created_by(Open, Import),
    may_create(billing::Open),
    unlisted_events = "ignore",
    lifespan = Self::idle,
    new = Order::unopened,
)]
pub enum Order {
    /// Not yet.
    Unopened(u32),
    /// Now.
    Open,
}

impl Order {
    fn unopened(id: &u32) -> Self {
        Self::Unopened(*id)
    }

    fn idle(&self, after: After<'_, Self>) -> Lifespan {
        match (self, after) {
            (Self::Open, After::Events(_)) => Lifespan::Forever,
            _ => Lifespan::Stop,
        }
    }
}

impl Execute<Open> for Order {
    fn execute(&self, _: &Open) -> Decision<Self> {
        Ok((Opened, billing::Opened).into())
    }
}

impl Execute<billing::Open> for Order {
    fn execute(&self, _: &billing::Open) -> Decision<Self> {
        Ok(Events::none())
    }
}

impl Apply<Opened> for Order {
    fn apply(&mut self, _: &Opened) {
        *self = Self::Open;
    }
}

impl Apply<billing::Opened> for Order {
    fn apply(&mut self, _: &billing::Opened) {}
}

/// An aggregate whose commands are decided outside, with an event that another one has too.
#[derive(Debug, Clone, Default, Aggregate)]
#[aggregate(category = "quote", outside(Ask), events(Opened))]
pub struct Quote;

impl Apply<Opened> for Quote {
    fn apply(&mut self, _: &Opened) {}
}

/// Its command.
#[derive(Debug, Serialize, Deserialize, Command)]
pub struct Ask {
    #[command(id)]
    quote: String,
}

/// An aggregate without anything.
#[derive(Debug, Clone, Default, Aggregate)]
#[aggregate(category = "nothing", id = u8)]
pub struct Nothing;

#[test]
fn two_types_of_one_name_are_told_apart() {
    let mut order = Order::new(&1);
    assert_eq!(order, Order::Unopened(1));
    let events = run(&mut order, &1, decided(dispatch(Open { order: 1 }))).unwrap();
    let names = events.iter().map(|event| event.event_type().name);
    assert_eq!(names.collect::<Vec<_>>(), ["Opened", "BillOpened"]);
    assert!(matches!(events[1], OrderEvent::BillingOpened(_)));
    assert_eq!(order.lifespan(After::Events(&events)), Lifespan::Forever);
    assert_eq!(order.lifespan(After::NoEvents), Lifespan::Stop);
    assert_eq!(Order::UNLISTED_EVENTS, UnlistedEvents::Ignore);
}

#[test]
fn commands_are_routed_to_whoever_decides_them() {
    let Routed::Outside(command) = dispatch::<Order, _>(Price { order: 4 }) else {
        panic!("decided by the aggregate");
    };
    assert_eq!((command.name(), *command.id()), ("Price", 4));
    let routes = Order::outside_commands();
    let names = routes.iter().map(ordain::OutsideRoute::name);
    assert_eq!(names.collect::<Vec<_>>(), ["Price", "Import"]);
    let read = routes[0].from_json(json!({ "order": 9 })).unwrap();
    assert_eq!(
        read.downcast_ref::<Price>().map(|price| price.order),
        Some(9)
    );
    assert!(matches!(
        Ask { quote: "q".into() }.route(),
        Routed::<Quote>::Outside(_)
    ));
    assert_eq!(Events::<Quote>::from([Opened]).len(), 1);
    assert!(Nothing::outside_commands().is_empty());
}

#[test]
fn existence_is_declared_for_both_kinds() {
    let open = OrderCommand::Open(Open { order: 1 });
    let bill = OrderCommand::BillingOpen(billing::Open { order: 1 });
    assert_eq!(Order::existence(&open), Existence::Absent);
    assert_eq!(Order::existence(&bill), Existence::Any);
    assert_eq!(Order::outside_existence("Import"), Existence::Absent);
    assert_eq!(Order::outside_existence("Price"), Existence::Present);
    assert_eq!(Quote::outside_existence("Ask"), Existence::Any);
}
