//! What the failures say.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use ordain::{CommandId, DispatchError, FailureAction};
use ordain_testkit::{Happened, ProcessTest};
use serde_json::json;

use crate::signals::*;

const MINUTE: Duration = Duration::from_secs(60);

fn test() -> ProcessTest<Probe> {
    ProcessTest::new().stream("signal-s")
}

fn began() -> Happened<Probe> {
    test().when(start("a", [text("one"), timer("t", 60, [Act::Ring])]))
}

fn failed() -> Happened<Probe> {
    test().when(start("a", [Act::PanicInHandle]))
}

/// The text of the panic.
fn failure<T>(test: impl FnOnce() -> T) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(test)) else {
        panic!("it does not fail");
    };
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().expect("a text").to_string(),
    }
}

#[test]
fn other_commands_are_shown_line_by_line() {
    let text = failure(|| began().then_dispatched([write("a", "two")]));
    assert!(
        text.starts_with("`Signalled`: other commands came of it:\n"),
        "{text}"
    );
    assert!(text.contains("-       \"text\": \"two\""), "{text}");
    assert!(text.contains("+       \"text\": \"one\""), "{text}");
    assert!(text.contains("\"to\": \"ledger-a\""), "{text}");
    let text = failure(|| began().then_dispatched([ring("a")]));
    assert!(text.contains("+     \"to\": \"ledger-a\""), "{text}");
    let none = || test().when(start("a", [])).then_dispatched([ring("a")]);
    assert_eq!(
        failure(none),
        "`Signalled`: expected the commands [\"Ring\"], but nothing came of it"
    );
    let none = || test().when(go_on("a", [])).then_dispatched([ring("a")]);
    assert_eq!(
        failure(none),
        "`Signalled`: expected the commands [\"Ring\"], but no instance takes it"
    );
    let timer = || {
        test()
            .when(start("a", [timer("t", 1, [])]))
            .then_dispatched([ring("a")])
    };
    assert_eq!(
        failure(timer),
        "`Signalled`: expected the commands [\"Ring\"], but only the timers [\"t\"] came of it"
    );
    let failed = || failed().then_dispatched([ring("a")]);
    assert_eq!(
        failure(failed),
        "`Signalled`: expected the commands [\"Ring\"], but `a` could not handle it: the handler panicked: told to panic"
    );
    let later = || {
        began()
            .when_time_passes(MINUTE / 2)
            .then_dispatched([ring("a")])
    };
    assert_eq!(
        failure(later),
        "30s later: expected the commands [\"Ring\"], but nothing came of it"
    );
    assert_eq!(
        failure(|| began().then_no_commands()),
        "`Signalled`: expected no commands, but the commands [\"Write\"] came of it"
    );
    assert_eq!(
        failure(|| began().then_nothing()),
        "`Signalled`: expected that nothing comes of it, but the commands [\"Write\"] came of it"
    );
    let text = failure(|| began().then_outstanding([]));
    assert!(text.contains("other commands are outstanding"), "{text}");
    assert!(text.contains("+   \"Write\""), "{text}");
}

#[test]
fn other_timers_are_named() {
    let text = failure(|| began().then_timer("u", MINUTE, later("a", vec![])));
    assert_eq!(
        text,
        "`Signalled`: expected the timer `u`, but there are the timers [\"t\"]"
    );
    let text = failure(|| began().then_timer("t", 2 * MINUTE, later("a", vec![Act::Ring])));
    assert!(
        text.starts_with("`Signalled`: the timer `t` is another:\n"),
        "{text}"
    );
    assert!(text.contains("-     \"due\": \"2030-01-01 12:02"), "{text}");
    assert!(text.contains("+     \"due\": \"2030-01-01 12:01"), "{text}");
    let text = failure(|| began().then_timer("t", MINUTE, later("a", vec![])));
    assert!(text.contains("+         \"Ring\""), "{text}");
    assert_eq!(
        failure(|| began().then_no_timers()),
        "`Signalled`: expected no timers, but there are the timers [\"t\"]"
    );
    assert_eq!(
        failure(|| began().then_no_timer("t")),
        "`Signalled`: expected no timer `t`, but there are the timers [\"t\"]"
    );
    let two = || {
        let both = signalled(Kind::Start, &["a", "b"], [timer("t", 60, [])]);
        test()
            .when(both)
            .then_timer("t", MINUTE, later("a", vec![]))
    };
    assert_eq!(
        failure(two),
        "`Signalled`: there is a timer `t` of `a`, and of `b`; say which is meant by `.of(..)`"
    );
}

#[test]
fn other_instances_are_named() {
    let text = failure(|| began().then_instances(["b"]));
    assert!(
        text.starts_with("`Signalled`: other instances are there:\n"),
        "{text}"
    );
    assert!(
        text.contains("-   \"b\"") && text.contains("+   \"a\""),
        "{text}"
    );
    assert_eq!(
        failure(|| began().then_state("b", |_| ())),
        "`Signalled`: expected the instance `b`, but there are the instances [\"a\"]"
    );
    assert_eq!(
        failure(|| began().then_stopped("a")),
        "`Signalled`: expected that `a` ends, but the commands [\"Write\"] came of it"
    );
    assert_eq!(
        failure(|| began().then_stopped("b")),
        "`Signalled`: expected that `b` ends, but there are the instances [\"a\"]"
    );
    assert_eq!(
        failure(|| began().then_passed_over()),
        "`Signalled`: expected that no instance takes it, but the commands [\"Write\"] came of it"
    );
    assert_eq!(
        failure(|| began().then_put_aside("a")),
        "`Signalled`: expected that `a` is put aside, but the commands [\"Write\"] came of it"
    );
    assert_eq!(
        failure(|| began().then_halted()),
        "`Signalled`: expected that the process manager stops, but the commands [\"Write\"] came of it"
    );
}

#[test]
fn other_failures_are_named() {
    let panicked = "the handler panicked: told to panic";
    assert_eq!(
        failure(|| failed().then_ok()),
        format!(
            "`Signalled`: expected that it is handled, but `a` could not handle it: {panicked}"
        )
    );
    assert_eq!(
        failure(|| began().then_error("no")),
        "`Signalled`: expected the error \"no\", but the commands [\"Write\"] came of it"
    );
    let text = failure(|| failed().then_error("no"));
    assert!(
        text.starts_with("`Signalled`: it failed with another error:\n"),
        "{text}"
    );
    assert!(
        text.contains("- no") && text.contains(&format!("+ {panicked}")),
        "{text}"
    );
    assert_eq!(
        failure(|| failed().then_action(FailureAction::Skip)),
        format!(
            "`Signalled`: it failed at attempt 1: {panicked}; expected `Skip`, but what follows is `Retry`"
        )
    );
    assert_eq!(
        failure(|| began().then_action(FailureAction::Skip)),
        "`Signalled`: expected a failure followed by `Skip`, but the commands [\"Write\"] came of it"
    );
    let routed = || test().when(start("a", [Act::PanicInRoute])).then_ok();
    assert_eq!(
        failure(routed),
        format!("`Signalled`: expected that it is handled, but it could not be routed: {panicked}")
    );
    let timed = || {
        let panics = timer("t", 60, [Act::PanicInHandle]);
        test()
            .given(start("a", [panics]))
            .when_time_passes(MINUTE)
            .then_ok()
    };
    assert_eq!(
        failure(timed),
        format!(
            "60s later: expected that it is handled, but `a` could not handle its timer `t`: {panicked}"
        )
    );
}

#[test]
fn what_becomes_of_a_command_is_named() {
    let skipped = || {
        let acts = [Act::Answer(Answer::Skip), text("one")];
        test().when(start("a", acts)).when_rejected(refused("one"))
    };
    assert_eq!(
        failure(|| skipped().then_retried()),
        "the failure of `Write`: expected that the command is tried again, but it is left out"
    );
    let text = failure(|| began().when_rejected(refused("one")).then_put_aside("a"));
    let expected =
        "the failure of `Write`: expected that `a` is put aside, but it is tried again after ";
    assert!(text.starts_with(expected), "{text}");
    assert_eq!(
        failure(|| skipped().when_rejected(refused("two"))),
        "the failure of `Write`: no command is outstanding that could fail"
    );
    assert_eq!(
        failure(|| skipped().when_succeeded()),
        "the failure of `Write`: no command is outstanding that could succeed"
    );
    assert_eq!(
        failure(|| began().of("b").when_succeeded()),
        "`Signalled`: no command is outstanding that could succeed"
    );
    let hindered = || {
        began()
            .when_command_fails(DispatchError::ShuttingDown)
            .then_put_aside("a")
    };
    assert_eq!(
        failure(hindered),
        "the failure of `Write`: expected that `a` is put aside, but it is tried again without end, and the \
         process manager is not asked"
    );
    let command_id = CommandId::new();
    let settled = || began().when_command_fails(DispatchError::Settled { command_id });
    assert_eq!(
        failure(settled),
        "the failure of `Write`: a command that somebody else has settled is not handed to the process \
         manager; write `.when_succeeded()`"
    );
}

#[test]
fn a_test_goes_on_only_where_a_process_manager_does() {
    let text = failure(|| failed().when(start("b", [])));
    assert_eq!(
        text,
        "`Signalled`: expected that it is handled, for the test to go on, but `a` could not handle it: the \
         handler panicked: told to panic; write `.again()` for the next attempt"
    );
    let text = failure(|| began().again());
    assert_eq!(text, "`Signalled`: there is nothing to be tried again");
    let halted = || {
        test()
            .stream("signal-stopped")
            .when(start("a", [Act::PanicInHandle]))
    };
    let expected = "nothing comes any more, since the process manager has stopped: the handler panicked: told \
                    to panic";
    let text = failure(|| halted().when(start("a", [])));
    assert_eq!(text, format!("`Signalled`: {expected}"));
    let text = failure(|| halted().when_time_passes(MINUTE));
    assert_eq!(text, format!("60s later: {expected}"));
    let aside = || failed().again().again().when(go_on("a", [])).then_ok();
    assert_eq!(
        failure(aside),
        "`Signalled`: expected that it is handled, but `a` is put aside, so that it waits; the reason was: the \
         handler panicked: told to panic"
    );
}

#[test]
fn what_is_given_has_to_make_sense() {
    let text = failure(|| test().given(start("a", [Act::PanicInHandle])));
    assert_eq!(
        text,
        "`Signalled` is given, and `a` could not handle it: the handler panicked: told to panic"
    );
    let text = failure(|| test().stream("ann"));
    assert!(text.starts_with("`ann` is not a stream"), "{text}");
}

#[test]
fn what_is_lost_in_the_store_is_found() {
    let broken = |breaks| ProcessTest::<Probe>::new().when(Broken { breaks });
    let text = failure(|| broken(Breaks::State));
    assert!(
        text.starts_with("the state of `1` changes when it is stored and read back: stored was"),
        "{text}"
    );
    let text = failure(|| broken(Breaks::Timer));
    assert!(
        text.starts_with("what the timer `broken` carries cannot be read back: invalid type"),
        "{text}"
    );
    let text = failure(|| broken(Breaks::Command).then_dispatched([blot("1")]));
    assert!(
        text.starts_with("the command `Blot` cannot be read back: missing field `size`"),
        "{text}"
    );
    let text = failure(|| {
        let unreadable = json!({ "seen": 3 });
        test()
            .given_stored("a", 2, unreadable)
            .when(go_on("a", []))
            .then_ok()
    });
    assert!(
        text.contains("`a` could not handle it: invalid type"),
        "{text}"
    );
}

#[test]
fn ids_and_keys_that_no_store_keeps_are_refused() {
    let long = "x".repeat(1_025);
    let text = failure(|| test().when(start(&long, [])).then_nothing());
    assert!(
        text.contains("cannot be the id of an instance: it has 1025 bytes"),
        "{text}"
    );
    let text = failure(|| test().when(start("a\0b", [])).then_nothing());
    assert!(text.contains("cannot be the id of an instance: "), "{text}");
    for act in [timer(&long, 60, []), Act::Cancel(long.clone())] {
        let text = failure(|| test().when(start("a", [act.clone()])).then_nothing());
        assert!(
            text.contains("cannot be the key of a timer: it has 1025 bytes"),
            "{text}"
        );
    }
    let text = failure(|| {
        test()
            .when(start("a", [timer("t\0", 60, [])]))
            .then_nothing()
    });
    assert!(text.contains("cannot be the key of a timer: "), "{text}");
}
