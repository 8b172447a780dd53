//! The service, asked as its clients ask it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::serve::{Answer, Client, Served};
use support::{bank, store_in};

fn amount(cents: u64) -> Value {
    json!({ "amount": cents })
}

fn deposits(account: &str) -> String {
    format!("/accounts/{account}/deposits")
}

fn withdrawals(account: &str) -> String {
    format!("/accounts/{account}/withdrawals")
}

fn transfer(client: &Client, key: &str, wish: &Value) -> Answer {
    let headers = [("idempotency-key", key), ("prefer", "wait=20")];
    client.post_with("/transfers", &headers, wish)
}

fn in_memory() -> (Served, Client) {
    let served = Served::on("memory");
    let client = served.client();
    (served, client)
}

#[test]
fn an_account_is_opened_used_and_closed() {
    let (_served, client) = in_memory();
    let opened = client.post("/accounts", "open", &json!({ "owner": "Ann" }));
    assert_eq!(
        (opened.status, opened.etag.as_deref()),
        (201, Some("\"1\""))
    );
    let place = opened.location.clone().unwrap();
    let account = opened.text("account").to_owned();
    assert_eq!(place, format!("/accounts/{account}"));

    let paid_in = client.post(&deposits(&account), "in", &amount(1_000));
    assert_eq!((paid_in.status, paid_in.number("balance")), (200, 1_000));
    let paid_out = client.post(&withdrawals(&account), "out", &amount(400));
    assert_eq!((paid_out.status, paid_out.number("balance")), (200, 600));

    // What was answered can be read at once.
    let shown = client.get(&place);
    assert_eq!((shown.status, shown.etag.as_deref()), (200, Some("\"3\"")));
    assert_eq!(shown.body, paid_out.body);

    let emptied = client.post(&withdrawals(&account), "all", &amount(600));
    let seen = emptied.etag.unwrap();
    let headers = [("idempotency-key", "close"), ("if-match", seen.as_str())];
    let closed = client.post_with(&format!("{place}/closure"), &headers, &Value::Null);
    assert_eq!(closed.body["closed"], true, "{closed:?}");
    let late = client.post(&deposits(&account), "late", &amount(1));
    late.check_problem(409, "account-closed");
}

#[test]
fn the_same_key_gives_the_same_answer_and_belongs_to_one_request() {
    let (_served, client) = in_memory();
    let ann = json!({ "owner": "Ann" });
    let opened = client.post("/accounts", "open", &ann);
    assert_eq!(client.post("/accounts", "open", &ann), opened);
    let other = client.post("/accounts", "open", &json!({ "owner": "Bob" }));
    other.check_problem(422, "key-reused");

    let account = opened.text("account").to_owned();
    let path = deposits(&account);
    let paid_in = client.post(&path, "in", &amount(500));
    let refused = client.post(&withdrawals(&account), "much", &amount(501));
    refused.check_problem(409, "insufficient-funds");
    client.post(&path, "more", &amount(500));
    assert_eq!(client.post(&path, "in", &amount(500)), paid_in);
    // There would be enough by now.
    let again = client.post(&withdrawals(&account), "much", &amount(501));
    assert_eq!(again, refused);
    for (path, cents) in [(path, 501), (withdrawals(&account), 500)] {
        let reused = client.post(&path, "in", &amount(cents));
        reused.check_problem(422, "key-reused");
    }
    assert_eq!(
        client
            .get(&format!("/accounts/{account}"))
            .number("balance"),
        1_000
    );

    let wish = json!({ "from": account, "to": "nobody", "amount": 5 });
    let accepted = client.post("/transfers", "send", &wish);
    assert_eq!(accepted.status, 202);
    assert_eq!(client.post("/transfers", "send", &wish), accepted);
    let wish = json!({ "from": account, "to": "nobody", "amount": 6 });
    client
        .post("/transfers", "send", &wish)
        .check_problem(422, "key-reused");
}

#[test]
fn a_change_can_rest_on_what_was_seen() {
    let (_served, client) = in_memory();
    let account = client.open("Ann", 1_000);
    let path = withdrawals(&account);
    let with = |key: &str, tag: &str, cents: u64| {
        let headers = [("idempotency-key", key), ("if-match", tag)];
        client.post_with(&path, &headers, &amount(cents))
    };
    with("a", "\"1\"", 1).check_problem(412, "changed");
    let done = with("b", "\"2\"", 1);
    assert_eq!((done.status, done.etag.as_deref()), (200, Some("\"3\"")));
    // It was at version 2 when it came first.
    assert_eq!(with("b", "\"2\"", 1), done);
    assert_eq!(with("c", "*", 1).status, 200);
    for odd in ["2", "W/\"2\"", "\"2\", \"3\"", "\"two\""] {
        with("d", odd, 1).check_problem(400, "if-match");
    }
    let closure = format!("/accounts/{account}/closure");
    client
        .post(&closure, "e", &Value::Null)
        .check_problem(428, "if-match-missing");
}

#[test]
fn a_request_that_cannot_be_read_is_told_where() {
    let (_served, client) = in_memory();
    let account = client.open("Ann", 1_000);
    let headers = [
        ("idempotency-key", "k"),
        ("content-type", "application/json"),
    ];
    let said = |body: &str| {
        let answer = client.ask("POST", &deposits(&account), &headers, body);
        let answer = answer.unwrap();
        answer.check_problem(400, "body");
        answer.text("detail").to_owned()
    };
    let broken = said("{\"amount\":\n12,,}");
    assert!(broken.contains("line 2 column 4"), "{broken}");
    let word = said(r#"{"amount":"much"}"#);
    assert!(word.contains("amount") && word.contains("line 1"), "{word}");
    let negative = said(r#"{"amount":-5}"#);
    assert!(negative.contains("-5"), "{negative}");
    said(r#"{"amount":5,"currency":"EUR"}"#);
    said("{}");
    said("");

    let path = deposits(&account);
    let no_key = client.post_with(&path, &[], &amount(5));
    no_key.check_problem(400, "key-missing");
    let long = "k".repeat(256);
    for odd in ["", " ", long.as_str()] {
        let answer = client.post(&path, odd, &amount(5));
        answer.check_problem(400, "key-length");
    }
    let no_type = client.ask("POST", &path, &headers[..1], "{\"amount\":5}");
    no_type.unwrap().check_problem(415, "body");
    let large = format!("{{\"amount\":5{}}}", " ".repeat(20_000));
    let large = client.ask("POST", &path, &headers, &large).unwrap();
    large.check_problem(413, "body");
    assert_eq!(
        client
            .get(&format!("/accounts/{account}"))
            .number("version"),
        2
    );
}

#[test]
fn what_is_not_there_is_said() {
    let (_served, client) = in_memory();
    client.get("/nothing").check_problem(404, "nothing-here");
    client.get("/transfers").check_problem(405, "method");
    for path in ["", "/history", "/history?version=1", "/statement"] {
        let path = format!("/accounts/nobody{path}");
        client.get(&path).check_problem(404, "not-found");
    }
    client
        .get("/transfers/none")
        .check_problem(404, "not-found");
    let answer = client.post(&deposits("nobody"), "k", &amount(1));
    answer.check_problem(404, "not-found");
    let answer = client.post("/transfers/none/approval", "k", &Value::Null);
    answer.check_problem(404, "not-found");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (_served, client) = in_memory();
    let account = client.open("Ann", 10);
    let answer = client.post(&deposits(&account), "zero", &amount(0));
    answer.check_problem(422, "amount-not-positive");
    let answer = client.post("/accounts", "blank", &json!({ "owner": " " }));
    answer.check_problem(422, "owner-blank");
    let wish = json!({ "from": account, "to": account, "amount": 1 });
    let answer = client.post("/transfers", "same", &wish);
    answer.check_problem(422, "same-account");
    for query in ["day=yesterday", "day=2026-02-30"] {
        let path = format!("/accounts/{account}/statement?{query}");
        client.get(&path).check_problem(400, "day");
    }
    for query in [
        "version=x",
        "version=1&time=2026-01-01T00:00:00Z",
        "time=noon",
    ] {
        let path = format!("/accounts/{account}/history?{query}");
        client.get(&path).check_problem(400, "query");
    }
}

#[test]
fn a_transfer_arrives_or_leaves_everything_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let receipts = directory.path().join("receipts");
    let path = receipts.to_str().unwrap();
    let served = Served::start(["--store", "memory", "--receipts", path]);
    let client = served.client();
    let (ann, bob) = (client.open("Ann", 1_000), client.open("Bob", 50));
    let balance = |account: &str| {
        let shown = client.get(&format!("/accounts/{account}"));
        (shown.number("balance"), shown.number("available"))
    };

    let sent = transfer(
        &client,
        "t1",
        &json!({ "from": ann, "to": bob, "amount": 300 }),
    );
    assert_eq!((sent.status, sent.text("state")), (200, "completed"));
    let place = sent.location.as_deref().unwrap();
    assert_eq!(client.get(place).body, sent.body);
    client.until(&format!("/accounts/{bob}"), |shown| {
        shown.number("balance") == 350
    });
    client.until(&format!("/accounts/{ann}"), |shown| {
        shown.number("balance") == 700
    });

    for (key, from, to, why) in [
        ("t2", ann.as_str(), "nobody", "does not exist"),
        ("t3", "nobody", bob.as_str(), "does not exist"),
        ("t4", bob.as_str(), ann.as_str(), "9.99 were asked for"),
    ] {
        let wish = json!({ "from": from, "to": to, "amount": 999 });
        let wish = match key {
            "t2" => json!({ "from": from, "to": to, "amount": 100 }),
            _ => wish,
        };
        let failed = transfer(&client, key, &wish);
        assert_eq!((failed.status, failed.text("state")), (200, "failed"));
        assert!(failed.text("reason").contains(why), "{failed:?}");
    }
    client.until(&format!("/accounts/{ann}"), |shown| {
        shown.number("available") == 700
    });
    assert_eq!((balance(&ann), balance(&bob)), ((700, 700), (350, 350)));
    check_receipt(&receipts, &sent);
    let statement = client.get(&format!("/accounts/{bob}/statement"));
    assert_eq!(
        (statement.number("in"), statement.number("closing")),
        (350, 350)
    );
}

/// There is one receipt: that of the transfer.
fn check_receipt(receipts: &Path, transfer: &Answer) {
    let name = format!("{}.json", transfer.text("transfer"));
    let begin = Instant::now();
    while !receipts.join(&name).exists() {
        assert!(begin.elapsed() < support::serve::PATIENCE, "no receipt");
        std::thread::sleep(Duration::from_millis(20));
    }
    let text = std::fs::read_to_string(receipts.join(&name)).unwrap();
    let receipt: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(receipt["amount"], transfer.body["amount"]);
    assert_eq!(receipts.read_dir().unwrap().count(), 1);
}

#[test]
fn a_transfer_that_is_held_waits_for_approval_until_its_time_is_over() {
    let (_served, client) = in_memory();
    let (ann, bob) = (client.open("Ann", 1_000), client.open("Bob", 50));
    let wish =
        |seconds: u32| json!({ "from": ann, "to": bob, "amount": 300, "hold_seconds": seconds });
    let held = client.post("/transfers", "t1", &wish(3_600));
    let place = held.location.unwrap();
    let shown = client.until(&format!("/accounts/{ann}"), |shown| {
        shown.number("available") == 700
    });
    assert_eq!(shown.number("balance"), 1_000);
    assert_eq!(client.get(&place).text("state"), "held");
    let approval = format!("{place}/approval");
    assert_eq!(client.post(&approval, "yes", &Value::Null).status, 202);
    client.until(&place, |shown| shown.text("state") == "completed");
    let again = client.post(&approval, "yes again", &Value::Null);
    again.check_problem(409, "transfer-state");

    let expired = transfer(&client, "t2", &wish(1));
    assert_eq!(expired.text("state"), "failed", "{expired:?}");
    assert!(expired.text("reason").contains("in time"), "{expired:?}");
    client.until(&format!("/accounts/{ann}"), |shown| {
        shown.number("available") == 700 && shown.number("balance") == 700
    });
}

#[test]
fn the_past_can_be_asked_for() {
    let (_served, client) = in_memory();
    let account = client.open("Ann", 1_000);
    client.post(&withdrawals(&account), "out", &amount(1));
    let history = format!("/accounts/{account}/history");
    let all = client.get(&history);
    let events = all.body["events"].as_array().unwrap();
    let names: Vec<_> = events
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["AccountOpened", "MoneyDeposited", "MoneyWithdrawn"]);
    let later = client.get(&format!("{history}?after=2"));
    assert_eq!(later.body["events"].as_array().unwrap(), &events[2..]);

    let then = client.get(&format!("{history}?version=2"));
    assert_eq!((then.number("balance"), then.number("version")), (1_000, 2));
    let time = events[1]["recorded_at"].as_str().unwrap();
    let then = client.get(&format!("{history}?time={time}"));
    assert_eq!(then.number("version"), 2);
    let before = client.get(&format!("{history}?time=2020-01-01T00:00:00Z"));
    before.check_problem(404, "not-found");

    let then = client.get(&format!("/accounts/{account}/statement?day=2020-01-01"));
    assert_eq!((then.number("opening"), then.number("closing")), (0, 0));
    let after = client.get(&format!("/accounts/{account}/statement?day=2999-01-01"));
    assert_eq!((after.number("opening"), after.number("in")), (999, 0));
}

#[test]
fn health_and_subscriptions_are_told() {
    let (_served, client) = in_memory();
    assert_eq!(client.get("/health/live").status, 200);
    assert_eq!(client.get("/health/ready").status, 200);
    let list = client.get("/subscriptions");
    let list = list.body.as_array().unwrap();
    let names: Vec<_> = list
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    for name in ["balances", "daily_statement", "transfer_process"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(list.iter().all(|one| one["state"] == "active"), "{list:?}");
}

#[test]
fn a_bank_that_is_told_to_stop_finishes_what_is_under_way() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    for signal in [Signal::TERM, Signal::INT] {
        let served = Served::on(&store);
        let client = served.client();
        let key = format!("{signal:?}");
        let (ann, bob) = (client.open(&key, 100), client.open(&format!("{key} 2"), 1));
        let wish = json!({ "from": ann, "to": bob, "amount": 10, "hold_seconds": 2 });
        let waiting = std::thread::spawn({
            let client = client.clone();
            move || transfer(&client, &key, &wish)
        });
        client.until(&format!("/accounts/{ann}"), |shown| {
            shown.number("available") == 90
        });
        served.signal(signal);
        assert_eq!(served.stop(), Some(0));
        let ended = waiting.join().unwrap();
        assert_eq!(ended.text("state"), "failed", "{ended:?}");
        assert!(client.ask("GET", "/health/live", &[], "").is_none());
    }
    let empty = directory.path().join("empty.jsonl");
    std::fs::write(&empty, "").unwrap();
    let ran = bank(["run", empty.to_str().unwrap(), "--store", &store]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert_eq!((ran.number("Transfers"), ran.number("under way")), (2, 0));
}

#[test]
fn a_bank_remembers_and_goes_on_after_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let served = Served::start(["--store", &store, "--lease", "1"]);
    let client = served.client();
    let (ann, bob) = (client.open("Ann", 1_000), client.open("Bob", 1_000));
    let paid_in = client.post(&deposits(&ann), "in", &amount(5));
    let wish = json!({ "from": ann, "to": bob, "amount": 10, "hold_seconds": 1 });
    let held = client.post("/transfers", "t", &wish);
    served.kill();

    let served = Served::start(["--store", &store, "--lease", "1"]);
    let client = served.client();
    assert_eq!(client.post(&deposits(&ann), "in", &amount(5)), paid_in);
    client.until(held.location.as_deref().unwrap(), |shown| {
        shown.text("state") == "failed"
    });
}

#[test]
fn without_a_store_it_is_a_file_in_the_working_directory() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = support::command()
        .args(["serve", "--listen", "127.0.0.1:0"])
        .current_dir(directory.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 13];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut said)
        .unwrap();
    assert_eq!(&said, b"listening on ");
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stderr, b"store sqlite:bank.db\n");
    assert!(directory.path().join("bank.db").exists());
}

#[test]
fn a_place_that_is_taken_is_an_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = bank(["serve", "--store", "memory", "--listen", &address]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains(&address), "{}", ran.err);
}

#[test]
#[ignore = "takes half a minute: that long the bank waits for what was begun"]
fn a_client_that_says_nothing_does_not_keep_it_from_stopping() {
    let (served, client) = in_memory();
    let address = client.address();
    let mut silent = TcpStream::connect(address).unwrap();
    silent.write_all(b"GET /health/live HTTP/1.1\r\n").unwrap();
    let idle = TcpStream::connect(address).unwrap();
    let begin = Instant::now();
    assert_eq!(served.stop(), Some(0));
    println!("stopped after {:?}", begin.elapsed());
    drop((silent, idle));
}
