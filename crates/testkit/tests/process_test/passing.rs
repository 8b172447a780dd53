//! What passes.

use std::time::Duration;

use ordain::{DispatchError, FailureAction, Reaction};
use ordain_testkit::ProcessTest;
use serde_json::json;
use time::macros::datetime;

use crate::signals::*;

const MINUTE: Duration = Duration::from_secs(60);

fn test() -> ProcessTest<Probe> {
    ProcessTest::new().stream("signal-s")
}

#[test]
fn commands_and_timers_come_of_events() {
    test()
        .given(start("a", []))
        .when(go_on("a", [text("one"), text("two"), timer("t", 60, [])]))
        .then_ok()
        .then_dispatched([write("a", "one"), write("a", "two")])
        .then_outstanding(["Write", "Write"])
        .then_timer("t", MINUTE, later("a", vec![]))
        .then_timer("t", datetime!(2030-01-01 12:01 UTC), later("a", vec![]))
        .then_state("a", |probe| assert_eq!(probe.seen, ["Start", "Continue"]))
        .when(go_on("a", [Act::Ring, text("three")]))
        .then_commands(Reaction::dispatch(ring("a")).and_dispatch(write("a", "three")))
        .when(go_on("a", [timer("u", 1, [])]))
        .then_no_commands()
        .when(go_on("a", []))
        .then_nothing();
}

#[test]
fn instances_begin_go_on_and_end_as_they_are_routed() {
    test()
        .when(go_on("a", [text("nobody")]))
        .then_passed_over()
        .then_nothing()
        .when(start("a", [timer("t", 60, [])]))
        .then_instances(["a"])
        .when(stop("a"))
        .then_stopped("a")
        .then_no_timers()
        .then_instances([])
        .when(go_on("a", []))
        .then_passed_over()
        .when(start("a", []))
        .then_state("a", |probe| assert_eq!(probe.seen, ["Start"]))
        .when(go_on("a", [Act::End, text("last")]))
        .then_stopped("a")
        .then_dispatched([write("a", "last")])
        .when(signalled(Kind::Restart, &["a"], [text("anew")]))
        .then_dispatched([write("a", "anew")])
        .when(signalled(Kind::Restart, &["a"], [text("both")]))
        .then_dispatched([write("a", "both"), write("a", "both")])
        .then_state("a", |probe| assert_eq!(probe.seen, ["Restart"]))
        .when(signalled(Kind::Start, &[], [text("nobody")]))
        .then_passed_over();
}

#[test]
fn an_event_may_be_for_many_instances() {
    test()
        .given(signalled(Kind::Start, &["b", "a"], []))
        .when(signalled(
            Kind::Continue,
            &["b", "a", "c"],
            [text("x"), timer("t", 60, [])],
        ))
        .then_dispatched([write("b", "x"), write("a", "x")])
        .then_instances(["b", "a"])
        .of("a")
        .then_dispatched([write("a", "x")])
        .then_timer("t", MINUTE, later("a", vec![]))
        .of("c")
        .then_passed_over()
        .then_nothing()
        .then_no_timers()
        .of("a")
        .when_rejected(refused("x"))
        .then_retried()
        .then_outstanding(["Write", "Write"]);
}

#[test]
fn strict_routes_fail() {
    test()
        .given(start("a", []))
        .when(start("a", []).strictly())
        .then_error("the event starts an instance that is there already")
        .then_action(FailureAction::Retry)
        .again()
        .again()
        .then_action(FailureAction::DeadLetter)
        .then_put_aside("a");
    test()
        .attempt(ATTEMPTS)
        .when(stop("b").strictly())
        .then_error("the event continues or stops an instance that is not there")
        .then_put_aside("b");
}

#[test]
fn timers_fire_when_they_are_due_and_in_order() {
    test()
        .given(start(
            "a",
            [timer("late", 120, [Act::Ring]), timer("soon", 60, [])],
        ))
        .when_time_passes(MINUTE / 2)
        .then_nothing()
        .when_time_passes(MINUTE / 2)
        .then_nothing()
        .then_no_timer("soon")
        .then_state("a", |probe| assert_eq!(probe.seen, ["Start", "timer of 0"]))
        .when_time_passes(MINUTE)
        .then_dispatched([ring("a")])
        .then_no_timers();
}

#[test]
fn timers_are_replaced_taken_back_and_count_from_what_set_them() {
    let ring_in = |seconds| timer("t", seconds, [Act::Ring]);
    test()
        .given(start("a", [ring_in(60)]))
        .when_time_passes(MINUTE / 2)
        .when(go_on("a", [ring_in(60)]))
        .then_timer("t", MINUTE, later("a", vec![Act::Ring]))
        .when_time_passes(MINUTE / 2)
        .then_nothing()
        .when(go_on("a", [Act::Cancel("t".into())]))
        .then_no_timers()
        .when(go_on(
            "a",
            [timer("u", 60, [timer("v", 60, [timer("w", 60, [])])])],
        ))
        .when_time_passes(Duration::from_secs(150))
        .then_timer("w", MINUTE, later("a", vec![]))
        .then_timer("w", datetime!(2030-01-01 12:04 UTC), later("a", vec![]));
}

#[test]
fn a_timer_waits_for_the_commands_of_its_instance() {
    test()
        .given(start(
            "a",
            [timer("t", 60, [text("t")]), timer("u", 61, [text("u")])],
        ))
        .given(start("b", [timer("t", 62, [Act::Ring])]))
        .when_time_passes(2 * MINUTE)
        .then_commands(Reaction::dispatch(write("a", "t")).and_dispatch(ring("b")))
        .of("a")
        .when_rejected(refused("t"))
        .then_retried()
        .when_time_passes(Duration::ZERO)
        .then_dispatched([write("a", "u")])
        .then_no_timers();
}

#[test]
fn an_event_that_is_recorded_later_overtakes_timers() {
    test()
        .given(start("a", [timer("t", 60, [Act::Ring])]))
        .recorded_at(datetime!(2030-01-01 13:00 UTC))
        .when(go_on("a", [Act::Cancel("t".into())]))
        .then_nothing()
        .when_time_passes(MINUTE)
        .then_nothing();
}

#[test]
fn what_is_done_about_a_command_that_fails() {
    let begun = |answer| {
        let acts = [Act::Answer(answer), text("one"), text("two")];
        test().when(start("a", acts))
    };
    begun(Answer::Usual)
        .when_rejected(refused("one"))
        .then_retried()
        .then_nothing()
        .when_rejected(refused("one"))
        .then_retried()
        .when_rejected(refused("one"))
        .then_put_aside("a")
        .then_outstanding(["Write", "Write"]);
    begun(Answer::Skip)
        .when_rejected(refused("one"))
        .then_nothing()
        .then_outstanding(["Write"])
        .then_state("a", |probe| {
            let failed = "failed: the command was rejected: `one` is refused";
            assert_eq!(probe.seen, ["Start", failed]);
        });
    begun(Answer::SkipRest)
        .when_succeeded()
        .when_rejected(refused("two"))
        .then_nothing()
        .then_outstanding([]);
    begun(Answer::Replace)
        .when_rejected(refused("one"))
        .then_dispatched([write("a", "instead of Write")])
        .then_timer("replaced", Duration::from_secs(90), later("a", vec![]))
        .then_outstanding(["Write"])
        .when_rejected(refused("instead"))
        .then_dispatched([write("a", "instead of Write")]);
    begun(Answer::DeadLetter)
        .when_rejected(refused("one"))
        .then_put_aside("a")
        .when(start("b", [Act::Ring]))
        .then_dispatched([ring("b")])
        .when(go_on("a", []))
        .then_outstanding(["Write", "Write"]);
    begun(Answer::Stop)
        .when_rejected(refused("one"))
        .then_halted();
    begun(Answer::Skip)
        .when_command_fails(DispatchError::ShuttingDown)
        .then_retried()
        .then_outstanding(["Write", "Write"]);
}

#[test]
fn what_panics_is_tried_again_and_put_aside() {
    let panics = "the handler panicked: told to panic";
    for act in [Act::PanicInHandle, Act::PanicInApply] {
        test()
            .when(start("a", [text("x"), act]))
            .then_error(panics)
            .then_action(FailureAction::Retry)
            .then_instances([])
            .again()
            .again()
            .then_put_aside("a");
    }
    test()
        .given(start("a", [timer("t", 60, [Act::PanicInHandle])]))
        .when_time_passes(MINUTE)
        .then_error(panics)
        .then_action(FailureAction::Retry)
        .again()
        .again()
        .then_action(FailureAction::DeadLetter)
        .then_put_aside("a");
    test()
        .stream("signal-skipped")
        .when(start("a", [Act::PanicInHandle]))
        .then_action(FailureAction::Skip)
        .when(start("a", []))
        .then_instances(["a"]);
    test()
        .stream("signal-stopped")
        .when(start("a", [Act::PanicInHandle]))
        .then_action(FailureAction::Stop)
        .then_halted();
}

#[test]
fn what_cannot_be_routed_stops_the_process_manager() {
    test()
        .when(start("a", [Act::PanicInRoute]))
        .then_error("the handler panicked: told to panic")
        .then_action(FailureAction::Retry)
        .again()
        .again()
        .then_action(FailureAction::Stop)
        .then_halted();
}

#[test]
fn one_instance_may_fail_and_the_others_go_on() {
    test()
        .given(start("a", []))
        .when(signalled(Kind::Start, &["a", "b"], [Act::Ring]).strictly())
        .of("b")
        .then_ok()
        .then_dispatched([ring("b")])
        .of("a")
        .then_action(FailureAction::Retry)
        .again()
        .then_error("the event starts an instance that is there already")
        .of("b")
        .then_nothing();
}

#[test]
fn older_states_are_migrated() {
    test()
        .given_stored("a", 1, json!(["long ago"]))
        .when(go_on("a", []))
        .then_state("a", |probe| {
            assert_eq!(probe.seen, ["long ago", "Continue"]);
        });
    test()
        .given_stored("a", 3, json!([]))
        .when(go_on("a", []))
        .then_error("its state is of version 3, and `migrate` makes no version 2 of it");
    let state = Probe {
        seen: vec!["before".into()],
        ..Probe::default()
    };
    test()
        .given_state("a", state)
        .when(go_on("a", []))
        .then_state("a", |probe| assert_eq!(probe.seen, ["before", "Continue"]));
}

#[test]
fn replayed_events_issue_nothing() {
    use ordain::Delivery;
    test()
        .delivery(Delivery::Replay)
        .when(start("a", [text("again"), timer("t", 60, [Act::Ring])]))
        .then_no_commands()
        .then_timer("t", MINUTE, later("a", vec![Act::Ring]))
        .when_time_passes(MINUTE)
        .then_nothing()
        .then_state("a", |probe| assert_eq!(probe.seen, ["Start", "timer of 1"]))
        .delivery(Delivery::Live)
        .when(go_on("a", [Act::Ring]))
        .then_dispatched([ring("a")]);
}

#[test]
fn how_an_instance_stands_can_be_looked_at() {
    let happened = test().when(start("a", [text("one"), timer("t", 60, [])]));
    let instance = happened.get("a").expect("it is there");
    assert_eq!(instance.state["seen"], json!(["Start"]));
    assert_eq!((instance.timers.len(), instance.outgoing.len()), (1, 1));
    assert_eq!(
        instance.outgoing[0].body,
        json!({ "ledger": "a", "text": "one" })
    );
    assert!(happened.get("b").is_none() && happened.put_aside("a").is_none());
}
