//! Lines that are no commands: each is reported, and the rest goes on.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::{Ran, bank, bank_on_stdin, data};

const OPEN: &str = r#"{"id":"1","command":"OpenAccount","account":"A1","owner":"Ann"}"#;
const DEPOSIT: &str = r#"{"id":"2","command":"Deposit","account":"A1","amount":1000}"#;

/// Runs a sample; every one opens an account and pays 10.00 in.
fn run(sample: &str) -> Ran {
    let file = data("bad").join(sample);
    bank(["run", file.to_str().unwrap(), "--store", "memory"])
}

#[track_caller]
fn check_rest(ran: &Ran) {
    assert!(ran.out.contains("deposits"), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("10.00"), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("the books are balanced"));
}

#[track_caller]
fn check(sample: &str, reports: &[&str]) {
    let ran = run(sample);
    check_rest(&ran);
    let said: Vec<_> = ran.err.lines().collect();
    assert_eq!(said.len(), reports.len(), "{said:?}");
    for (line, report) in said.iter().zip(reports) {
        let (_, at) = line.split_once(sample).expect("the file's name");
        assert_eq!(at, *report);
    }
    assert_eq!(ran.number("malformed"), reports.len() as u64);
    assert_eq!(ran.code, if reports.is_empty() { 0 } else { 2 });
}

#[test]
fn bad_json() {
    check(
        "json.jsonl",
        &[
            ":2: the line cannot be read: EOF while parsing a string (column 29)",
            ":3: the line cannot be read: expected value (column 1)",
            ":4: the line cannot be read: invalid type: sequence, expected an object",
        ],
    );
}

#[test]
fn an_unknown_command() {
    check(
        "unknown_command.jsonl",
        &[
            ":2: there is no command `Donate`; there are OpenAccount, Deposit, Withdraw, CloseAccount, RequestTransfer",
        ],
    );
}

#[test]
fn a_missing_or_unknown_field() {
    check(
        "fields.jsonl",
        &[
            ":2: the line cannot be read: missing field `id` (column 49)",
            ":3: the line cannot be read: missing field `command` (column 38)",
            ":4: this is no Deposit: missing field `account`",
            ":5: this is no Deposit: missing field `amount`",
            ":6: this is no Deposit: unknown field `ammount`, expected `account` or `amount`",
            ":7: the id is blank",
        ],
    );
}

#[test]
fn an_amount_that_is_none() {
    check(
        "amounts.jsonl",
        &[
            ":2: this is no Deposit: an amount cannot be negative, and -500 is",
            ":3: this is no Deposit: invalid type: floating point `5.5`, expected i64",
            ":4: this is no Deposit: invalid type: string \"500\", expected i64",
            ":5: this is no Deposit: invalid value: integer `9223372036854775808`, expected i64",
        ],
    );
}

#[test]
fn an_account_that_cannot_be_named() {
    check(
        "accounts.jsonl",
        &[":2: `` cannot be the id of a `account`: the id is blank"],
    );
}

#[test]
fn a_key_used_for_two_commands() {
    check(
        "keys.jsonl",
        &[":3: the id was used before, for another Deposit"],
    );
}

#[test]
fn windows_line_ends_are_accepted() {
    check("crlf.jsonl", &[]);
}

#[test]
fn a_byte_order_mark_is_accepted() {
    check("bom.jsonl", &[]);
}

#[test]
fn text_in_another_encoding() {
    check("encoding.jsonl", &[":2: the line is not UTF-8 (byte 60)"]);
}

#[test]
fn an_empty_line_in_the_middle() {
    check(
        "empty_line.jsonl",
        &[":2: the line is empty", ":3: the line is empty"],
    );
}

#[test]
fn a_line_of_ten_megabytes() {
    let long = OPEN.replace("Ann", &"x".repeat(10 << 20));
    let input = format!("{OPEN}\n{long}\n{DEPOSIT}\n");
    let ran = bank_on_stdin(&["run", "-", "--store", "memory"], input.as_bytes());
    check_rest(&ran);
    assert_eq!(ran.err, "stdin:2: the line is longer than 1048576 bytes\n");
    assert_eq!(ran.code, 2);
}

#[test]
fn what_a_file_says_does_not_steer_the_terminal() {
    let input = format!(
        "{OPEN}\n{}\n{DEPOSIT}\n",
        DEPOSIT.replace("Deposit", "\\u001b[31m")
    );
    let ran = bank_on_stdin(&["run", "-", "--store", "memory"], input.as_bytes());
    assert!(ran.err.contains(r"no command `\u{1b}[31m`"), "{}", ran.err);
    assert_eq!(ran.code, 2);
}

#[test]
fn a_file_that_cannot_be_read_fails_the_run() {
    for file in [data("bad/missing.jsonl"), data("bad")] {
        let ran = bank(["run", file.to_str().unwrap(), "--store", "memory"]);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""));
        let said = format!("bank: {} cannot be read: ", file.display());
        assert!(ran.err.starts_with(&said), "{}", ran.err);
    }
}
