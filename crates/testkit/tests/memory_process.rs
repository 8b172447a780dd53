//! What is promised of process managers holds on the store in memory.

use ordain_testkit::contract::MemoryFixture;

ordain_testkit::process_contract!(MemoryFixture);
