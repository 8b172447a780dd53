//! The contract of all stores, on SQLite.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod files;

use files::Files;

ordain_testkit::store_contract!(Files::new());

ordain_testkit::subscription_contract!(Files::new());
