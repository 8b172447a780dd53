//! What is promised of process managers holds on SQLite.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod files;

use files::Files;

ordain_testkit::process_contract!(Files::new());
