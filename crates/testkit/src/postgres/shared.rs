//! The server that all tests of a run share.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{env, fs, io};

use super::account::Account;
use super::cluster::{self, Cluster, SETTINGS, SUPERUSER};
use super::error::{Error, run};
use super::folder::{Base, Folder, Joined};
use super::processes::wait_until;
use super::search::{Binaries, Engine, Found, Search, ServerUrl};

/// What a container is made of.
pub(super) const IMAGE: &str = "docker.io/library/postgres:17-alpine";

/// How long a server waits for the next test process when the last has gone, unless told.
const GRACE: Duration = Duration::from_secs(10);

/// How long a container takes to start, at most; its image is there by then.
const START: Duration = Duration::from_secs(120);

/// This process's share in the server.
static CURRENT: Mutex<Option<Arc<Shared>>> = Mutex::new(None);

/// The server, and what keeps it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) found: Found,
    pub(super) url: ServerUrl,
    /// None if the server is not ours.
    folder: Option<Folder>,
}

impl Shared {
    /// This process's share; the first call joins, or starts the server.
    pub(super) async fn get() -> Result<Arc<Self>, Error> {
        super::blocking(|| {
            let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(shared) = &*current {
                return Ok(Arc::clone(shared));
            }
            let shared = Arc::new(Self::of(Search::from_env().run()?)?);
            *current = Some(Arc::clone(&shared));
            Ok(shared)
        })
        .await
    }

    /// Gives a server up that does not answer any more.
    pub(super) fn give_up(self: &Arc<Self>) {
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|one| Arc::ptr_eq(one, self)) {
            *current = None;
        }
    }

    /// Whether it ends with its last user, and all databases with it.
    pub(super) fn is_throwaway(&self) -> bool {
        self.folder.is_some()
    }

    fn of(found: Found) -> Result<Self, Error> {
        let (url, folder) = match &found {
            Found::Url(url) => (url.clone(), None),
            Found::Binaries(binaries) => of_binaries(binaries)?,
            Found::Engine(engine) => of_engine(engine, grace())?,
        };
        Ok(Self { found, url, folder })
    }
}

fn grace() -> Duration {
    let told = env::var(super::GRACE).ok();
    let seconds = told.and_then(|seconds| seconds.parse().ok());
    seconds.map_or(GRACE, Duration::from_secs)
}

fn of_binaries(binaries: &Binaries) -> Result<(ServerUrl, Option<Folder>), Error> {
    let base = Base::lock(&cluster::base_name(binaries), Account::of_servers()?)?;
    let stop = |folder: &Path| cluster::stop(folder, binaries);
    if let Some((url, folder)) = join(&base, stop) {
        return Ok((url, Some(folder)));
    }
    let folder = base.make(grace(), stop)?;
    let cluster = Cluster::start_in(folder, binaries.clone(), &[])?;
    let url = cluster.url();
    publish(&cluster.folder, &url)?;
    Ok((url, Some(cluster.folder)))
}

fn of_engine(engine: &Engine, grace: Duration) -> Result<(ServerUrl, Option<Folder>), Error> {
    let base = Base::lock(
        &cluster::name_for((engine.program(), IMAGE)),
        Account::own(),
    )?;
    let stop = |folder: &Path| {
        let mut stop = Command::new(engine.program());
        stop.args(["rm", "-f", &container_name(folder)]);
        stop
    };
    if let Some((url, folder)) = join(&base, stop) {
        return Ok((url, Some(folder)));
    }
    let folder = base.make(grace, stop)?;
    let url = run_container(engine, &folder)?;
    publish(&folder, &url)?;
    Ok((url, Some(folder)))
}

/// Joins a server that runs; removes what is left of those that nobody keeps.
fn join(base: &Base, stop: impl Fn(&Path) -> Command) -> Option<(ServerUrl, Folder)> {
    for path in base.folders() {
        match base.join(&path) {
            Joined::Private => {}
            Joined::Abandoned => base.adopt(&path, &stop),
            Joined::Yes(folder) => match read_url(&path).filter(ServerUrl::answers) {
                Some(url) => return Some((url, folder)),
                None => withdraw(&path),
            },
        }
    }
    None
}

fn publish(folder: &Folder, url: &ServerUrl) -> Result<PathBuf, Error> {
    folder.write("url", &url.to_string())
}

/// Nobody joins a server that is dead; its keeper ends it when those have gone that it died on.
fn withdraw(path: &Path) {
    drop(fs::remove_file(path.join("url")));
}

fn read_url(path: &Path) -> Option<ServerUrl> {
    ServerUrl::parse(&fs::read_to_string(path.join("url")).ok()?)
}

fn run_container(engine: &Engine, folder: &Folder) -> Result<ServerUrl, Error> {
    let account = folder.account();
    let call = || account.command(engine.program(), folder.path());
    let name = container_name(folder.path());
    let mut start = call();
    start.args(["run", "--rm", "-d", "--name", &name]);
    start.args([
        "-e",
        "POSTGRES_HOST_AUTH_METHOD=trust",
        "-p",
        "127.0.0.1::5432",
        IMAGE,
    ]);
    let settings = SETTINGS
        .iter()
        .filter(|(name, _)| *name != "listen_addresses");
    for (name, value) in settings {
        start.args(["-c", &format!("{name}={value}")]);
    }
    run(&mut start)?;
    let port = port_in(&run(call().args(["port", &name, "5432"]))?)?;
    let url = ServerUrl::parse(&format!("postgres://{SUPERUSER}@127.0.0.1:{port}"));
    let url = url.ok_or_else(|| Error::Server("no URL".into()))?;
    wait_until(START, "the container's server does not answer", || {
        Ok(url.answers())
    })?;
    Ok(url)
}

fn port_in(printed: &str) -> Result<u16, Error> {
    let mut lines = printed.lines();
    let port = lines.find_map(|line| line.rsplit_once(':')?.1.trim().parse().ok());
    port.ok_or_else(|| {
        let error = io::Error::other(format!("no port in {printed:?}"));
        Error::io("the container's port")(error)
    })
}

/// The same name for whoever looks at the folder.
fn container_name(folder: &Path) -> String {
    let parts = folder
        .iter()
        .rev()
        .take(2)
        .map(|part| part.to_string_lossy());
    let mut parts: Vec<_> = parts.collect();
    parts.reverse();
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    use super::*;

    /// Notes how it is called, and says this port.
    const DOCKER: &str = r#"#!/bin/sh
[ "$1" = version ] || echo "$*" >>"$0.calls"
[ "$1" = port ] && echo "127.0.0.1:PORT"
exit 0
"#;

    /// A port at which something like a server answers as long as the process lives.
    fn answering() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                stream.read_exact(&mut [0; 8]).unwrap();
                stream.write_all(b"N").unwrap();
            }
        });
        port
    }

    #[test]
    fn a_container_is_shared_and_ends_with_its_last_user() {
        let root = tempfile::tempdir().unwrap();
        let (docker, port) = (root.path().join("docker"), answering());
        fs::write(&docker, DOCKER.replace("PORT", &port.to_string())).unwrap();
        fs::set_permissions(&docker, Permissions::from_mode(0o755)).unwrap();
        let found = Search::new([("PATH", "/")], root.path()).run().unwrap();
        let Found::Engine(engine) = found else {
            panic!("there is nothing else");
        };

        let (url, one) = of_engine(&engine, Duration::ZERO).unwrap();
        assert_eq!(
            url.to_string(),
            format!("postgres://postgres@127.0.0.1:{port}/")
        );
        let (same, other) = of_engine(&engine, Duration::ZERO).unwrap();
        assert_eq!(same, url);
        let name = container_name(one.as_ref().unwrap().path());
        drop((one, other));

        let calls = || fs::read_to_string(root.path().join("docker.calls")).unwrap();
        let removed = format!("rm -f {name}\n");
        wait_until(START, "it is not removed", || {
            Ok(calls().ends_with(&removed))
        })
        .unwrap();
        let run = format!("run --rm -d --name {name} -e POSTGRES_HOST_AUTH_METHOD=trust");
        assert!(calls().starts_with(&run));
        assert_eq!(calls().matches("run ").count(), 1, "{}", calls());
    }
}
