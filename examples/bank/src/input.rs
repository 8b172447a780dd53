//! Where commands come from.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::entry::{Entry, Malformed};
use crate::lines::Lines;

/// How many lines are read ahead.
const AHEAD: usize = 1_024;

/// A file, or the standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A file.
    File(PathBuf),
    /// The standard input.
    Stdin,
}

/// A line of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which input.
    pub input: Arc<str>,
    /// Which line, from 1.
    pub line: u64,
}

/// What a line of an input says.
#[derive(Debug)]
pub struct Line {
    /// Where it stands.
    pub place: Place,
    /// What it says.
    pub entry: Result<Entry, Malformed>,
}

/// An input that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{input} cannot be read: {problem}")]
pub struct InputError {
    input: String,
    problem: io::Error,
}

/// Reads inputs one after the other, in a thread of its own and never far ahead.
pub fn read(inputs: Vec<Input>) -> Receiver<Result<Line, InputError>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        for input in &inputs {
            if let Err(problem) = read_one(input, &sender) {
                let input = input.to_string();
                // Without a receiver nobody minds.
                let _ = sender.blocking_send(Err(InputError { input, problem }));
                return;
            }
        }
    });
    receiver
}

fn read_one(input: &Input, sender: &Sender<Result<Line, InputError>>) -> io::Result<()> {
    let name = input.to_string().into();
    match input {
        Input::Stdin => send_lines(&name, io::stdin().lock(), sender),
        Input::File(path) => send_lines(&name, BufReader::new(File::open(path)?), sender),
    }
}

fn send_lines(
    name: &Arc<str>,
    input: impl BufRead,
    sender: &Sender<Result<Line, InputError>>,
) -> io::Result<()> {
    let mut lines = Lines::new(input);
    while let Some((number, text)) = lines.read()? {
        let place = Place {
            input: Arc::clone(name),
            line: number,
        };
        let entry = text.and_then(Entry::parse);
        if sender.blocking_send(Ok(Line { place, entry })).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

impl Input {
    /// The input that an argument names: `-` is the standard input.
    pub fn named(argument: &Path) -> Self {
        if argument == Path::new("-") {
            return Self::Stdin;
        }
        Self::File(argument.to_owned())
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Stdin => f.write_str("stdin"),
        }
    }
}

/// Writes `file:line`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.input, self.line)
    }
}
