//! The store in memory keeps the contracts.

use ordain_testkit::contract::MemoryFixture;

ordain_testkit::store_contract!(MemoryFixture);
ordain_testkit::subscription_contract!(MemoryFixture);
