//! The contract of all stores, on PostgreSQL, by the type of the payload.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::Schemas;
use ordain_postgres::Payload;

mod json {
    use super::*;
    ordain_testkit::store_contract!(Schemas::new(Payload::Json));
    ordain_testkit::subscription_contract!(Schemas::new(Payload::Json));
}

mod jsonb {
    use super::*;
    ordain_testkit::store_contract!(Schemas::new(Payload::Jsonb));
    ordain_testkit::subscription_contract!(Schemas::new(Payload::Jsonb));
}

mod bytea {
    use super::*;
    ordain_testkit::store_contract!(Schemas::new(Payload::Bytea));
}
