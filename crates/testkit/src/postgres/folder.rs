//! Folders that end with their last user.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use super::account::Account;
use super::error::{Error, run};

const KEEPER: &str = include_str!("keeper.sh");

/// The longest path that leaves room for base, folder and socket: an address holds 103 bytes.
const PLACE_MAX: usize = 40;

/// The folder that holds the folders of servers. Its lock is held while one is made.
#[derive(Debug)]
pub(super) struct Base {
    path: PathBuf,
    account: Account,
    _lock: File,
}

/// How joining a folder ended.
pub(super) enum Joined {
    /// It is kept for this process, too.
    Yes(Folder),
    /// It is not for everybody, or is about to end.
    Private,
    /// Nobody keeps it.
    Abandoned,
}

/// A folder, which is kept as long as this value, or another process's, lives.
///
/// A program of its own, the keeper, sees when the last is gone, by whatever end, and removes it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    account: Account,
    _pipe: File,
}

impl Base {
    /// Makes the base if it is not there, and locks it.
    pub(super) fn lock(name: &str, account: Account) -> Result<Self, Error> {
        let path = place(account).join(name);
        loop {
            match try_lock(&path, account) {
                Ok(Some(lock)) => {
                    return Ok(Self {
                        path,
                        account,
                        _lock: lock,
                    });
                }
                // The keeper of the last folder has removed it in between.
                Ok(None) => {}
                Err(error) => return Err(Error::io(path.display())(error)),
            }
        }
    }

    /// The folders that are there.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.path).into_iter().flatten();
        entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect()
    }

    /// Makes a folder; when its last user is gone, it is kept for the grace, then stopped.
    pub(super) fn make(
        &self,
        grace: Duration,
        stop: impl FnOnce(&Path) -> Command,
    ) -> Result<Folder, Error> {
        let path = self.path.join(unique());
        let folder = self.try_make(&path, grace, stop);
        folder.map_err(Error::io(path.display()))
    }

    fn try_make(
        &self,
        path: &Path,
        grace: Duration,
        stop: impl FnOnce(&Path) -> Command,
    ) -> io::Result<Folder> {
        self.make_dir(path)?;
        self.account.give(path)?;
        let pipe = path.join("users");
        run(Command::new("mkfifo").args(["-m", "600"]).arg(&pipe)).map_err(io::Error::other)?;
        let opened = open_both(&pipe)?;
        keep(path, self.account, users(&pipe)?, grace, &stop(path))?;
        let mut held = OpenOptions::new().write(true).open(&pipe)?;
        // A user that reads as well would look like a keeper.
        drop(opened);
        held.write_all(b"\n")?;
        Ok(Folder {
            path: path.to_owned(),
            account: self.account,
            _pipe: held,
        })
    }

    /// Makes the folder, and the base if the keeper of its last folder has removed it, lock and all:
    /// then another process may start a server as well, and each ends with its own users.
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        loop {
            match create_dir(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    create_dir(&self.path)?;
                    self.account.give(&self.path)?;
                }
                ended => return ended,
            }
        }
    }

    /// Becomes a user of a folder that its maker published.
    pub(super) fn join(&self, path: &Path) -> Joined {
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        // Fails if no keeper reads.
        let pipe = OpenOptions::new()
            .write(true)
            .custom_flags(flags)
            .open(path.join("users"));
        let mut pipe = match pipe {
            Err(error) if is_abandoned(&error) => return Joined::Abandoned,
            Err(_) => return Joined::Private,
            Ok(pipe) => pipe,
        };
        let is_published = || path.join("url").exists();
        // Asked again after the line: from then on the keeper knows of this user.
        if !is_published() || pipe.write_all(b"\n").is_err() || !is_published() {
            return Joined::Private;
        }
        Joined::Yes(Folder {
            path: path.to_owned(),
            account: self.account,
            _pipe: pipe,
        })
    }

    /// Gives a folder a new keeper, whose own was killed or went down with the machine.
    pub(super) fn adopt(&self, path: &Path, stop: impl FnOnce(&Path) -> Command) {
        let users = users(&path.join("users")).unwrap_or_else(|_| Stdio::null());
        // What cannot be adopted is tried again by the next process.
        drop(keep(path, self.account, users, Duration::ZERO, &stop(path)));
    }
}

impl Folder {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn account(&self) -> Account {
        self.account
    }

    /// Writes a file for the account's eyes only, in one step.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let (new, file) = (self.path.join(unique()), self.path.join(name));
        let write = || {
            let mut options = OpenOptions::new();
            let mut file_to_be = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&new)?;
            file_to_be.write_all(text.as_bytes())?;
            self.account.give(&new)?;
            fs::rename(&new, &file)
        };
        write().map_err(Error::io(file.display()))?;
        Ok(file)
    }
}

/// A name that nothing else has.
pub(super) fn unique() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// The folder for temporary files, or `/tmp` if sockets or the account cannot be there.
fn place(account: Account) -> PathBuf {
    let place = env::temp_dir();
    let is_short = place.as_os_str().len() <= PLACE_MAX;
    match is_short && place.is_absolute() && account.can_use(&place) {
        true => place,
        false => "/tmp".into(),
    }
}

/// Opens a pipe without waiting for somebody at its other end.
fn open_both(pipe: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(pipe)
}

/// The end of the pipe that sees users come and go.
fn users(pipe: &Path) -> io::Result<Stdio> {
    let opened = open_both(pipe)?;
    let users = File::open(pipe)?;
    drop(opened);
    Ok(users.into())
}

fn is_abandoned(error: &io::Error) -> bool {
    let no_reader = rustix::io::Errno::NXIO.raw_os_error();
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(no_reader)
}

/// Creates a folder unless it is there.
fn create_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        created => created,
    }
}

fn try_lock(path: &Path, account: Account) -> io::Result<Option<File>> {
    create_dir(path)?;
    let lock = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        lock => lock?,
    };
    lock.lock()?;
    let held = lock.metadata()?;
    let now = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        now => now?,
    };
    if now.is_dir() && (held.dev(), held.ino()) != (now.dev(), now.ino()) {
        return Ok(None);
    }
    let is_ours = [account.uid, Account::own().uid].contains(&now.uid());
    if !now.is_dir() || !is_ours {
        return Err(io::Error::other("it is somebody else's; remove it"));
    }
    account.give(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))?;
    Ok(Some(lock))
}

/// Starts a folder's keeper.
fn keep(
    path: &Path,
    account: Account,
    users: Stdio,
    grace: Duration,
    stop: &Command,
) -> io::Result<()> {
    let mut keeper = account.command(OsStr::new("sh").as_ref(), Path::new("/"));
    keeper.args(["-c", KEEPER, "ordain-pg-keeper"]).arg(path);
    keeper.arg(grace.as_secs().to_string());
    keeper.arg(stop.get_program()).args(stop.get_args());
    keeper
        .stdin(users)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut keeper = keeper.spawn()?;
    // Whoever does not outlive it takes note of its end.
    thread::spawn(move || keeper.wait());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    fn base(name: &str) -> Base {
        let name = format!("ordain-pg-{name}-{}", unique());
        Base::lock(&name, Account::own()).unwrap()
    }

    fn stop(folder: &Path) -> Command {
        let mut stop = Command::new("touch");
        stop.arg(folder.with_extension("stopped"));
        stop
    }

    fn wait_until(what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !is_so() {
            assert!(Instant::now() < deadline, "not {what} within {DEADLINE:?}");
            thread::yield_now();
        }
    }

    /// Waits until a folder was stopped and is gone, and the base with it.
    fn wait_for_end(base: Base, folder: &Path) {
        let mark = folder.with_extension("stopped");
        wait_until("stopped", || mark.exists());
        wait_until("removed", || !folder.exists());
        fs::remove_file(mark).unwrap();
        drop(fs::remove_dir(&base.path));
        wait_until("without a base", || !base.path.exists());
    }

    #[test]
    fn a_folder_ends_with_its_last_user() {
        let base = base("last");
        let maker = base.make(Duration::ZERO, stop).unwrap();
        maker.write("url", "there").unwrap();
        let path = maker.path().to_owned();
        let Joined::Yes(other) = base.join(&path) else {
            panic!("it is published");
        };
        drop(maker);
        assert_eq!(fs::read_to_string(path.join("url")).unwrap(), "there");
        drop(other);
        wait_for_end(base, &path);
    }

    #[test]
    fn whoever_joined_is_not_left_alone() {
        let base = base("race");
        for step in 0..50 {
            let maker = base.make(Duration::ZERO, stop).unwrap();
            maker.write("url", "there").unwrap();
            let path = maker.path().to_owned();
            drop(maker);
            // From the first moment to well after the end, step by step.
            let moment = Instant::now() + Duration::from_micros(200) * step;
            wait_until("time", || Instant::now() >= moment);
            if let Joined::Yes(user) = base.join(&path) {
                assert!(!path.with_extension("stopped").exists());
                drop(user);
            }
            let mark = path.with_extension("stopped");
            wait_until("stopped", || mark.exists());
            fs::remove_file(mark).unwrap();
        }
        wait_until("empty", || base.folders().is_empty());
        drop(fs::remove_dir(&base.path));
    }

    #[test]
    fn what_is_not_published_is_not_joined() {
        let base = base("private");
        let maker = base.make(Duration::ZERO, stop).unwrap();
        let path = maker.path().to_owned();
        assert!(matches!(base.join(&path), Joined::Private));
        drop(maker);
        wait_for_end(base, &path);
    }

    #[test]
    fn what_nobody_keeps_is_stopped_and_removed() {
        let base = base("half");
        let path = base.path.join(unique());
        fs::create_dir(&path).unwrap();
        assert!(matches!(base.join(&path), Joined::Abandoned));
        base.adopt(&path, stop);
        wait_for_end(base, &path);
    }
}
