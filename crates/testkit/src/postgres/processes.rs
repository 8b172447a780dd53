//! The processes of a server, and signals to them.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io};

use rustix::process::{Pid, Signal, kill_process};

use super::error::{Error, run};

const DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);

/// A line of the table of processes.
struct Process {
    pid: i32,
    parent: i32,
    is_dead: bool,
}

/// Stops the server and all its processes where they are.
pub(super) fn freeze(server: i32) -> Result<(), Error> {
    // Frozen first, it makes no new ones.
    signal(server, Signal::STOP)?;
    for child in children(server)? {
        // One that has just ended is as still as can be.
        drop(signal(child, Signal::STOP));
    }
    Ok(())
}

/// Lets them go on.
pub(super) fn thaw(server: i32) -> Result<(), Error> {
    for child in children(server)? {
        drop(signal(child, Signal::CONT));
    }
    signal(server, Signal::CONT)
}

/// Kills all of them, and waits until they are gone.
pub(super) fn kill(server: i32) -> Result<(), Error> {
    signal(server, Signal::STOP)?;
    let mut doomed = children(server)?;
    doomed.push(server);
    for pid in &doomed {
        drop(signal(*pid, Signal::KILL));
    }
    wait_until(DEADLINE, "killed processes are still there", || {
        let mut living = living()?;
        Ok(!living.any(|process| doomed.contains(&process.pid)))
    })
}

/// Whether there is such a process, and not only its remains.
pub(super) fn is_living(pid: i32) -> Result<bool, Error> {
    Ok(living()?.any(|process| process.pid == pid))
}

/// Waits until something is so.
pub(super) fn wait_until(
    patience: Duration,
    otherwise: &str,
    mut is_so: impl FnMut() -> Result<bool, Error>,
) -> Result<(), Error> {
    let deadline = Instant::now() + patience;
    while !is_so()? {
        if Instant::now() > deadline {
            return Err(Error::Server(format!("{otherwise} after {patience:?}")));
        }
        thread::sleep(POLL);
    }
    Ok(())
}

fn signal(pid: i32, signal: Signal) -> Result<(), Error> {
    let process = Pid::from_raw(pid).filter(|_| pid > 1);
    let process = process.ok_or_else(|| Error::Server(format!("{pid} is no process")))?;
    let sent = kill_process(process, signal).map_err(io::Error::from);
    sent.map_err(Error::io(format_args!("signal to process {pid}")))
}

fn children(server: i32) -> Result<Vec<i32>, Error> {
    let children = living()?.filter(|process| process.parent == server);
    Ok(children.map(|process| process.pid).collect())
}

fn living() -> Result<impl Iterator<Item = Process>, Error> {
    let processes = match Path::new("/proc/self/stat").exists() {
        true => processes_of_linux().map_err(Error::io("/proc"))?,
        false => processes_of_ps()?,
    };
    Ok(processes.into_iter().filter(|process| !process.is_dead))
}

fn processes_of_linux() -> io::Result<Vec<Process>> {
    let entries = fs::read_dir("/proc")?;
    let stats =
        entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    Ok(stats.filter_map(|stat| parse_stat(&stat)).collect())
}

/// `7 (name) S 1 ...`; the name may hold anything.
fn parse_stat(stat: &str) -> Option<Process> {
    let (start, rest) = (stat.split_once(" (")?.0, stat.rsplit_once(") ")?.1);
    let mut rest = rest.split(' ');
    Some(Process {
        pid: start.parse().ok()?,
        is_dead: matches!(rest.next()?, "Z" | "X"),
        parent: rest.next()?.parse().ok()?,
    })
}

fn processes_of_ps() -> Result<Vec<Process>, Error> {
    let printed =
        run(Command::new("ps").args(["-A", "-o", "pid=", "-o", "ppid=", "-o", "state="]))?;
    let processes = printed.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        Some(Process {
            pid: fields.next()?.parse().ok()?,
            parent: fields.next()?.parse().ok()?,
            is_dead: fields.next()?.starts_with('Z'),
        })
    });
    Ok(processes.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_processes_may_hold_anything() {
        let process = parse_stat("7 (a) S (b)) Z 3 7 7 0").unwrap();
        assert_eq!((process.pid, process.parent), (7, 3));
        assert!(process.is_dead);
    }
}
