//! What is promised of delivery holds on SQLite.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod files;

use files::Files;

ordain_testkit::delivery_contract!(Files::new());
