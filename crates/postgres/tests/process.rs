//! What is promised of process managers holds on PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::Schemas;
use ordain_postgres::Payload;

ordain_testkit::process_contract!(Schemas::new(Payload::Json));

mod behind_a_pooler {
    use super::*;
    ordain_testkit::process_contract!(Schemas::pooled());
}
