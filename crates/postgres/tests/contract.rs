//! The contract of all stores, on PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::Databases;
use ordain_postgres::Payload;

mod json {
    use super::*;
    ordain_testkit::store_contract!(Databases::new(Payload::Json));
}
