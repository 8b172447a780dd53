//! Load on one or several banks that serve the same store, and what has to be true of the store after it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};

use super::bank;
use super::serve::{Answer, Client, PATIENCE};

const ACCOUNTS: usize = 12;
const FIRST_DEPOSIT: u64 = 1_000_000;
const CLIENTS: u64 = 6;
/// How long a client waits for an answer before it asks another bank.
const TURN: Duration = Duration::from_secs(3);

/// Clients that deposit and transfer money without a pause. Each asks until it has an answer, under one key
/// for each request and at one bank after the other.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

struct Shared {
    banks: Mutex<Vec<String>>,
    accounts: Vec<String>,
    is_over: AtomicBool,
    transfers: Mutex<Vec<String>>,
    /// Cents that were paid in.
    deposits: AtomicU64,
    /// When the last answer came, and the longest time without one.
    pace: Mutex<(Instant, Duration)>,
}

/// Somebody who reads an account without a pause: it is always there, and never older than it was.
pub struct Readers {
    is_over: Arc<AtomicBool>,
    /// Which bank it asks.
    bank: Arc<Mutex<String>>,
    reading: JoinHandle<u64>,
}

/// What the clients have been answered.
#[derive(Debug)]
pub struct Carried {
    pub transfers: Vec<String>,
    pub deposits: u64,
    /// The longest time in which no client had an answer.
    pub longest_gap: Duration,
}

impl Load {
    /// Begins.
    pub fn on(banks: &[&str]) -> Self {
        let teller = Client::of(banks[0]);
        let open = |number| teller.open(&format!("account {number}"), FIRST_DEPOSIT);
        let shared = Arc::new(Shared {
            banks: Mutex::new(banks.iter().map(|bank| (*bank).to_owned()).collect()),
            accounts: (0..ACCOUNTS).map(open).collect(),
            is_over: AtomicBool::new(false),
            transfers: Mutex::default(),
            deposits: AtomicU64::new(ACCOUNTS as u64 * FIRST_DEPOSIT),
            pace: Mutex::new((Instant::now(), Duration::ZERO)),
        });
        let clients = (0..CLIENTS).map(|number| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.ask_on(number))
        });
        Self {
            clients: clients.collect(),
            shared,
        }
    }

    /// An account that is used.
    pub fn account(&self) -> &str {
        &self.shared.accounts[0]
    }

    /// Sends the clients to these banks from now on.
    pub fn send_to(&self, banks: &[&str]) {
        let banks = banks.iter().map(|bank| (*bank).to_owned()).collect();
        *self.shared.banks.lock().unwrap() = banks;
    }

    /// How many transfers were accepted so far.
    pub fn transfers(&self) -> usize {
        self.shared.transfers.lock().unwrap().len()
    }

    /// Waits until so many more transfers were accepted; returns how long that took.
    #[track_caller]
    pub fn go_on_for(&self, transfers: usize) -> Duration {
        let (begin, wanted) = (Instant::now(), self.transfers() + transfers);
        while self.transfers() < wanted {
            let is_late = begin.elapsed() > PATIENCE;
            assert!(
                !is_late,
                "the load does not go on: {}",
                self.subscriptions()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        begin.elapsed()
    }

    /// Asks for a transfer at a bank, and waits for its end; returns how long that took.
    #[track_caller]
    pub fn time_of_a_transfer(&self, bank: &str) -> Duration {
        let (begin, client) = (Instant::now(), Client::with_patience(bank, PATIENCE));
        let key = format!("timed {}", fastrand::u64(..));
        let accounts = &self.shared.accounts;
        let wish = json!({ "from": accounts[0], "to": accounts[1], "amount": 1 });
        let mut last = None;
        while begin.elapsed() < PATIENCE {
            let headers = [("idempotency-key", key.as_str()), ("prefer", "wait=20")];
            match client.try_post("/transfers", &headers, &wish) {
                Some(answer) if answer.status == 200 => {
                    self.shared.take_transfer(&answer);
                    return begin.elapsed();
                }
                answer => last = answer,
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!(
            "a transfer does not end: {last:?}; {}",
            self.subscriptions()
        );
    }

    /// How the banks' subscriptions stand.
    fn subscriptions(&self) -> String {
        let banks = self.shared.banks.lock().unwrap().clone();
        let ask = |bank: &String| {
            let client = Client::with_patience(bank, TURN);
            client.ask("GET", "/subscriptions", &[], "")
        };
        let told: Vec<_> = banks.iter().map(ask).collect();
        format!("{told:#?}")
    }

    /// Ends.
    pub fn end(self) -> Carried {
        self.shared.is_over.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.join().unwrap();
        }
        let mut transfers = std::mem::take(&mut *self.shared.transfers.lock().unwrap());
        transfers.sort();
        transfers.dedup();
        Carried {
            transfers,
            deposits: self.shared.deposits.load(Ordering::SeqCst),
            longest_gap: self.shared.pace.lock().unwrap().1,
        }
    }
}

impl Readers {
    /// Begins at a bank.
    pub fn of(load: &Load, bank: &str) -> Self {
        let (is_over, bank) = (Arc::<AtomicBool>::default(), bank.to_owned());
        let bank = Arc::new(Mutex::new(bank));
        let path = format!("/accounts/{}", load.account());
        let (over, asked) = (Arc::clone(&is_over), Arc::clone(&bank));
        let reading = std::thread::spawn(move || {
            let (mut reads, mut version) = (0, 0);
            while !over.load(Ordering::SeqCst) {
                let bank = asked.lock().unwrap().clone();
                let shown = Client::of(&bank).get(&path);
                assert_eq!(shown.status, 200, "{shown:?}");
                let etag = shown.etag.unwrap();
                let found: u64 = etag.trim_matches('"').parse().unwrap();
                assert!(found >= version, "{found} after {version}");
                (reads, version) = (reads + 1, found);
            }
            reads
        });
        Self {
            is_over,
            bank,
            reading,
        }
    }

    /// Goes on at another bank for a moment, and ends.
    #[track_caller]
    pub fn end_by(self, bank: &str) {
        bank.clone_into(&mut self.bank.lock().unwrap());
        std::thread::sleep(Duration::from_millis(500));
        self.is_over.store(true, Ordering::SeqCst);
        let reads = self.reading.join().unwrap();
        println!("{reads} reads meanwhile, none in vain and none older than the one before");
    }
}

impl Shared {
    fn ask_on(&self, client: u64) {
        let mut rng = Rng::with_seed(client);
        for number in 0_u64.. {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            let key = format!("{client} {number}");
            match rng.u32(..4) {
                0 => self.deposit(&key, &mut rng),
                _ => self.transfer(&key, &mut rng),
            }
        }
    }

    fn deposit(&self, key: &str, rng: &mut Rng) {
        let (account, cents) = (rng.choice(&self.accounts).unwrap(), rng.u64(1..=100));
        let path = format!("/accounts/{account}/deposits");
        let answer = self.ask(&path, key, &json!({ "amount": cents }), rng);
        assert!(answer.is_success(), "{answer:?}");
        self.deposits.fetch_add(cents, Ordering::SeqCst);
    }

    fn transfer(&self, key: &str, rng: &mut Rng) {
        let from = rng.usize(..ACCOUNTS);
        let to = (from + rng.usize(1..ACCOUNTS)) % ACCOUNTS;
        // Some ask for more than there is, and some for an account that is not there.
        let cents = match rng.u32(..10) {
            0 => FIRST_DEPOSIT * 100,
            _ => rng.u64(1..=1_000),
        };
        let to = match rng.u32(..20) {
            0 => "nobody",
            _ => self.accounts[to].as_str(),
        };
        let wish = json!({ "from": self.accounts[from], "to": to, "amount": cents });
        let answer = self.ask("/transfers", key, &wish, rng);
        assert_eq!(answer.status, 202, "{answer:?}");
        self.take_transfer(&answer);
    }

    fn take_transfer(&self, answer: &Answer) {
        let transfer = answer.text("transfer").to_owned();
        self.transfers.lock().unwrap().push(transfer);
    }

    /// Asks until there is an answer.
    fn ask(&self, path: &str, key: &str, body: &Value, rng: &mut Rng) -> Answer {
        let begin = Instant::now();
        loop {
            let bank = rng.choice(&*self.banks.lock().unwrap()).unwrap().clone();
            let client = Client::with_patience(&bank, TURN);
            match client.try_post(path, &[("idempotency-key", key)], body) {
                Some(answer) if answer.status != 503 => {
                    self.note_pace();
                    return answer;
                }
                last => assert!(begin.elapsed() < PATIENCE, "{path}: {last:?}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn note_pace(&self) {
        let mut pace = self.pace.lock().unwrap();
        let now = Instant::now();
        pace.1 = pace.1.max(now - pace.0);
        pace.0 = now;
    }
}

impl Carried {
    /// Waits until all transfers have ended.
    pub fn await_ends(&self, bank: &str) {
        let client = Client::of(bank);
        for transfer in &self.transfers {
            let has_ended = |shown: &Answer| {
                shown.status == 200 && matches!(shown.text("state"), "completed" | "failed")
            };
            client.until(&format!("/transfers/{transfer}"), has_ended);
        }
    }

    /// Checks what the store holds: what was answered is there once, money is neither lost nor made, each
    /// transfer has ended, the read models are those of a replay, and there is a receipt for each transfer
    /// that has arrived.
    #[track_caller]
    pub fn check(&self, store: &str, directory: &Path) {
        let (day, receipts) = (directory.join("empty.jsonl"), directory.join("receipts"));
        std::fs::write(&day, "").unwrap();
        let ran = bank([
            "run".as_ref(),
            day.as_os_str(),
            "--store".as_ref(),
            store.as_ref(),
            "--receipts".as_ref(),
            receipts.as_os_str(),
        ]);
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
        assert_eq!(ran.number("Transfers"), self.transfers.len() as u64);
        assert_eq!(ran.number("under way"), 0, "{}", ran.out);
        assert!(ran.number("completed") > 0 && ran.number("failed") > 0);
        let deposits = ran
            .out
            .lines()
            .find(|line| line.trim().starts_with("deposits"));
        let digits = deposits.unwrap().chars().filter(char::is_ascii_digit);
        let deposits: String = digits.collect();
        assert_eq!(deposits.parse(), Ok(self.deposits), "{}", ran.out);
        let files = receipts.read_dir().unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let written = names.filter(|name| name.ends_with(".json")).count();
        assert_eq!(written as u64, ran.number("completed"), "{}", ran.out);
        println!(
            "{} transfers, {} completed; the longest time without an answer: {:?}",
            self.transfers.len(),
            ran.number("completed"),
            self.longest_gap
        );
    }
}
