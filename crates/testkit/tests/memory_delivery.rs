//! What is promised of delivery holds on the store in memory.

use ordain_testkit::contract::MemoryFixture;

ordain_testkit::delivery_contract!(MemoryFixture);
