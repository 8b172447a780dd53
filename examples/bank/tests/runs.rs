//! The program, run as its users run it.

mod support;

use std::path::Path;

use support::{FEW, SHOWN, bank, bank_on_stdin, check_history, command, day, store_in};

#[test]
fn without_arguments_the_day_runs_on_a_file_that_is_named_and_removed() {
    let ran = bank([""; 0]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    assert_eq!(ran.number("Lines"), 4_000);
    assert!(ran.out.contains("the books are balanced"));
    for reason in [
        "account exists already",
        "account is closed",
        "account is not empty",
        "amount is zero",
        "insufficient funds",
        "no such account",
        "sent twice",
    ] {
        assert!(ran.number(reason) > 0, "{reason}: {}", ran.out);
    }
    let (_, rest) = ran.out.split_once("store sqlite:").unwrap();
    let file = Path::new(rest.split_whitespace().next().unwrap());
    assert_eq!(file.file_name().unwrap(), "bank.db");
    assert!(!file.parent().unwrap().exists(), "{}", file.display());
}

#[test]
fn the_table_is_the_same_at_every_concurrency_and_on_every_store() {
    let day = day();
    let day = day.to_str().unwrap();
    let reference = bank(["run", day]);
    for concurrency in ["1", "4", "64", "5000"] {
        let ran = bank([
            "run",
            day,
            "--store",
            "memory",
            "--concurrency",
            concurrency,
        ]);
        assert_eq!(ran.table(), reference.table(), "memory, {concurrency}");
        assert_eq!(ran.code, 0);
    }
    for concurrency in ["1", "4", "64"] {
        let ran = bank(["run", day, "--concurrency", concurrency]);
        assert_eq!(ran.table(), reference.table(), "SQLite, {concurrency}");
    }
}

#[test]
fn the_same_file_again_changes_nothing_and_prints_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (store, day) = (store_in(directory.path()), day());
    let day = day.to_str().unwrap();
    let first = bank(["run", day, "--store", &store]);
    assert!(!first.out.contains("earlier run"));
    for concurrency in ["1", "64"] {
        let again = bank(["run", day, "--store", &store, "--concurrency", concurrency]);
        assert_eq!(again.table(), first.table());
        assert_eq!(again.code, 0);
        let done = first.number("all");
        let said = format!("{done} had been done in an earlier run");
        assert!(again.out.contains(&said), "{}", again.out);
    }
}

#[test]
fn two_days_on_one_store_add_up() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let run = |day: &str| bank_on_stdin(&["run", "-", "--store", &store], day.as_bytes());
    assert_eq!(run(FEW).code, 0);
    let second = run(r#"{"id":"5","command":"Deposit","account":"A1","amount":1000}"#);
    assert_eq!(second.code, 0);
    assert!(second.out.contains("20.00"), "{}", second.out);
    assert!(second.out.contains("17.50"), "{}", second.out);
}

#[test]
fn commands_come_from_the_standard_input_too() {
    let ran = bank_on_stdin(&["run", "-", "--store", "memory"], FEW.as_bytes());
    assert_eq!((ran.code, ran.number("Lines")), (0, 4));
    assert_eq!(ran.number("insufficient funds"), 1);
    let ran = bank_on_stdin(&["run", "-", "--store", "memory"], b"");
    assert_eq!((ran.code, ran.number("Lines")), (0, 0));
}

#[test]
fn a_line_that_is_sent_twice_counts_once() {
    let twice = format!("{FEW}{FEW}");
    let once = bank_on_stdin(&["run", "-", "--store", "memory"], FEW.as_bytes());
    let ran = bank_on_stdin(&["run", "-", "--store", "memory"], twice.as_bytes());
    assert_eq!((ran.code, ran.number("sent twice")), (0, 4));
    let rest = |table: &str| table.split_once("Commands").unwrap().1.to_owned();
    assert_eq!(rest(ran.table()), rest(once.table()));
}

#[test]
fn an_account_is_shown_with_its_history() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    bank_on_stdin(&["run", "-", "--store", &store], FEW.as_bytes());

    let shown = bank(["show", "A1", "--store", &store]);
    assert_eq!((shown.code, shown.out.as_str()), (0, SHOWN));
    check_history(&bank(["history", "A1", "--store", &store]));
}

#[test]
fn an_unknown_account_and_a_missing_store_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    for action in ["show", "history"] {
        let missing = bank([action, "A1", "--store", &store]);
        assert_eq!(missing.code, 1);
        assert!(missing.err.contains("bank.db"), "{}", missing.err);
    }
    bank_on_stdin(&["run", "-", "--store", &store], FEW.as_bytes());
    for action in ["show", "history"] {
        let unknown = bank([action, "A2", "--store", &store]);
        assert_eq!((unknown.code, unknown.out.as_str()), (1, ""));
        assert_eq!(unknown.err, "bank: account-A2 does not exist\n");
    }
}

#[test]
fn a_store_that_cannot_be_used_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display();
    let no_database = directory.path().join("no.db");
    std::fs::write(&no_database, "not a database, but a text of some length").unwrap();
    for store in [
        format!("sqlite:{path}/missing/bank.db"),
        format!("sqlite:{path}"),
        format!("sqlite:{}", no_database.display()),
        "sqlite:/proc/bank.db".to_owned(),
    ] {
        let ran = bank_on_stdin(&["run", "-", "--store", &store], FEW.as_bytes());
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{store}");
        assert!(ran.err.starts_with("bank: the store"), "{}", ran.err);
        assert!(ran.err.contains(&store), "{}", ran.err);
    }
}

#[test]
fn arguments_that_do_not_fit_are_explained() {
    for arguments in [
        vec!["run", "--store", "postgres"],
        vec!["run", "--concurrency", "0"],
        vec!["show", "A1"],
        vec!["dance"],
    ] {
        let ran = bank(&arguments);
        assert_eq!(ran.code, 1, "{arguments:?}");
        assert!(ran.err.contains("error:"), "{}", ran.err);
    }
    assert_eq!(bank(["--help"]).code, 0);
}

#[test]
fn the_day_in_the_data_is_the_generated_one() {
    let generated = bank(["generate", "--commands", "4000", "--seed", "1"]);
    let kept = std::fs::read_to_string(day()).unwrap();
    assert!(
        generated.out == kept,
        "generate it again, or mend the generator"
    );
}

#[test]
fn a_day_with_transfers_is_the_same_at_every_concurrency_and_on_every_store() {
    let directory = tempfile::tempdir().unwrap();
    let (day, receipts) = (
        directory.path().join("day.jsonl"),
        directory.path().join("receipts"),
    );
    let generated = bank([
        "generate",
        "--commands",
        "400",
        "--seed",
        "5",
        "--transfers",
    ]);
    std::fs::write(&day, generated.out).unwrap();
    let (day, receipts) = (day.to_str().unwrap(), receipts.to_str().unwrap());
    let reference = bank(["run", day, "--receipts", receipts]);
    assert_eq!(reference.code, 0, "{}{}", reference.out, reference.err);
    let completed = reference.number("completed");
    assert!(completed > 50, "{}", reference.out);
    assert!(reference.number("failed") > 0, "{}", reference.out);
    assert_eq!(reference.number("under way"), 0);
    let written = Path::new(receipts).read_dir().unwrap().count();
    assert_eq!(written as u64, completed);
    let store = store_in(directory.path());
    for (store, concurrency) in [
        ("memory", "1"),
        ("memory", "64"),
        (&store, "8"),
        (&store, "1"),
    ] {
        let arguments = ["run", day, "--store", store, "--concurrency", concurrency];
        let ran = bank(arguments);
        assert_eq!(ran.table(), reference.table(), "{store}, {concurrency}");
    }
}

#[test]
fn progress_is_told_on_request() {
    let day = day();
    let day = day.to_str().unwrap();
    let ran = bank(["run", day, "--store", "memory", "--progress"]);
    assert_eq!(
        ran.err,
        "progress 1000\nprogress 2000\nprogress 3000\nprogress 4000\n"
    );
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let mut child = command()
        .args(["generate", "--commands", "100000"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}
