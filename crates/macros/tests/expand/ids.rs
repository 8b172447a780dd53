//! Ids of the user's own types.

use ordain::prelude::*;
use serde::{Deserialize, Serialize};

/// Text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, AggregateId)]
pub struct AccountId(String);

/// A number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, AggregateId)]
pub struct OrderId(u64);

/// Any.
#[derive(Debug, Clone, PartialEq, Eq, Hash, AggregateId)]
pub struct Wrapped<T: std::fmt::Display + std::str::FromStr>(T);

fn id<T: ordain::AggregateId>(text: &str) -> Result<T, T::Err> {
    let id: T = text.parse()?;
    assert_eq!(id.to_string(), text);
    Ok(id)
}

#[test]
fn ids_are_text() {
    assert_eq!(id::<AccountId>("a-1").unwrap(), AccountId("a-1".into()));
    assert_eq!(id::<OrderId>("17").unwrap(), OrderId(17));
    assert_eq!(id::<Wrapped<OrderId>>("17").unwrap(), Wrapped(OrderId(17)));
    let error: std::num::ParseIntError = id::<OrderId>("x").unwrap_err();
    assert!(error.to_string().contains("invalid digit"));
}
