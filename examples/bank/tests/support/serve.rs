//! Runs the bank's service, and asks it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::NamedTempFile;
use ureq::Agent;
use ureq::http::{Request, Response};

use super::command;

/// No answer takes longer, unless nobody answers.
const ANSWER_MAX: Duration = Duration::from_secs(70);
/// Nothing that is waited for takes longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A bank that serves. It is killed when the test ends.
pub struct Served {
    child: Child,
    url: String,
    /// What it writes to the standard error; shown if the test fails.
    log: NamedTempFile,
}

impl Served {
    /// Starts a bank on a port of its own, and waits until it listens.
    pub fn start<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        let log = NamedTempFile::new().unwrap();
        let mut child = command()
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--log",
                "info,ordain=debug",
            ])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ");
        let url = url.unwrap_or_else(|| panic!("it says {line:?}")).to_owned();
        Self { child, url, log }
    }

    pub fn on(store: &str) -> Self {
        Self::start(["--store", store])
    }

    pub fn client(&self) -> Client {
        Client::of(&self.url)
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop; returns its exit code.
    pub fn stop(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.child.wait().unwrap().code()
    }
}

#[allow(clippy::print_stderr, reason = "a test that fails shows why")]
impl Drop for Served {
    fn drop(&mut self) {
        // An error says that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.log.path()).unwrap_or_default();
            eprintln!("{} at {} said:\n{log}", self.pid(), self.url);
        }
    }
}

/// Somebody who asks a bank.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    url: String,
}

/// What a bank answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub etag: Option<String>,
    pub location: Option<String>,
    pub media_type: Option<String>,
    pub retry_after: Option<String>,
    pub body: Value,
}

impl Client {
    pub fn of(url: &str) -> Self {
        Self::with_patience(url, ANSWER_MAX)
    }

    /// Somebody who takes it for no answer when none has come by then.
    pub fn with_patience(url: &str, patience: Duration) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(patience))
            .build();
        Self {
            agent: config.into(),
            url: url.to_owned(),
        }
    }

    /// Asks with headers and a body as they are; `None` if there was no answer.
    pub fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Option<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_owned()).unwrap();
        self.agent.run(request).ok().map(Answer::of)
    }

    /// Where it is, as `host:port`.
    pub fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").expect("an answer")
    }

    pub fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.post_with(path, &[("idempotency-key", key)], body)
    }

    pub fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.try_post(path, headers, body).expect("an answer")
    }

    pub fn try_post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Option<Answer> {
        let json = [("content-type", "application/json")];
        let headers = [&json, headers].concat();
        self.ask("POST", path, &headers, &body.to_string())
    }

    /// Opens an account with money in it; returns its id.
    pub fn open(&self, key: &str, cents: u64) -> String {
        let opened = self.post("/accounts", key, &serde_json::json!({ "owner": key }));
        assert!(opened.is_success(), "{opened:?}");
        let account = opened.text("account").to_owned();
        let amount = serde_json::json!({ "amount": cents });
        let path = format!("/accounts/{account}/deposits");
        let paid_in = self.post(&path, &format!("{key}, first"), &amount);
        assert!(paid_in.is_success(), "{paid_in:?}");
        account
    }

    /// Asks until the answer is what is waited for.
    #[track_caller]
    pub fn until(&self, path: &str, is: impl Fn(&Answer) -> bool) -> Answer {
        let begin = Instant::now();
        loop {
            let answer = self.ask("GET", path, &[], "");
            if let Some(answer) = &answer
                && is(answer)
            {
                return answer.clone();
            }
            assert!(begin.elapsed() < PATIENCE, "{path}: {answer:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Answer {
    fn of(mut response: Response<ureq::Body>) -> Self {
        let header = |name: &str| {
            let value = response.headers().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        let [etag, location, media_type, retry_after] =
            ["etag", "location", "content-type", "retry-after"].map(header);
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().unwrap_or_default();
        Self {
            status,
            etag,
            location,
            media_type,
            retry_after,
            body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        }
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    #[track_caller]
    pub fn text(&self, field: &str) -> &str {
        self.body[field]
            .as_str()
            .unwrap_or_else(|| panic!("{field} in {self:?}"))
    }

    #[track_caller]
    pub fn number(&self, field: &str) -> i64 {
        self.body[field]
            .as_i64()
            .unwrap_or_else(|| panic!("{field} in {self:?}"))
    }

    /// Checks that it is a problem of this kind.
    #[track_caller]
    pub fn check_problem(&self, status: u16, kind: &str) {
        assert_eq!(self.status, status, "{self:?}");
        let media_type = self.media_type.as_deref();
        assert_eq!(media_type, Some("application/problem+json"), "{self:?}");
        assert_eq!(self.text("type"), format!("urn:bank:{kind}"), "{self:?}");
        assert_eq!(self.number("status"), i64::from(status), "{self:?}");
        assert!(!self.text("detail").is_empty(), "{self:?}");
    }
}
