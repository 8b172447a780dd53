//! The store in memory keeps the store contract.

ordain_testkit::store_contract!(ordain_testkit::contract::MemoryFixture);
