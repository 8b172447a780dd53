//! Scripts made by proptest, played on the store in memory.

use ordain_testkit::Fault;
use ordain_testkit::contract::MemoryFixture;
use ordain_testkit::contract::model::{Script, Step, keeps_the_model};
use proptest::option::weighted;
use proptest::prelude::*;

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::BeforeCommit),
        Just(Fault::AfterCommit),
        Just(Fault::ReplyLost),
        Just(Fault::Conflict),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4_u8, 1..4_u8, weighted(0.2, fault()))
            .prop_map(|(writer, events, fault)| Step::Send { writer, events, fault }),
        3 => (0..4_u8).prop_map(|writer| Step::Settle { writer }),
        1 => (0..4_u8).prop_map(|writer| Step::Abandon { writer }),
        2 => (0..2_u8, 1..4_u8).prop_map(|(stream, events)| Step::Foreign { stream, events }),
    ]
}

fn script() -> impl Strategy<Value = Script> {
    prop::collection::vec(step(), 0..100).prop_map(|steps| Script { steps })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn writers_leave_no_hole_and_build_on_what_they_saw(script in script()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(keeps_the_model(&MemoryFixture, &script));
    }
}
