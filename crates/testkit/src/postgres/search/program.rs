//! Programs that are asked something, and have to answer soon.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a program or a server may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

const POLL: Duration = Duration::from_millis(10);

/// What the program printed, if it ended well and in time.
pub(super) fn answer(command: &mut Command) -> Option<String> {
    let command = command.stdin(Stdio::null()).stderr(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).spawn().ok()?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match child.try_wait().ok()? {
            Some(status) if status.success() => break,
            Some(_) => return None,
            None if Instant::now() < deadline => thread::sleep(POLL),
            None => {
                child.kill().ok()?;
                child.wait().ok()?;
                return None;
            }
        }
    }
    let mut printed = String::new();
    child.stdout?.read_to_string(&mut printed).ok()?;
    Some(printed)
}
