use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::Instant;

use tempfile::TempDir;

use super::*;

/// A machine that has next to nothing.
struct Machine {
    root: TempDir,
}

impl Machine {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    /// With a server of this version in this folder.
    fn server(self, folder: &str, version: &str) -> Self {
        let says = format!("echo 'postgres (PostgreSQL) {version} (Test)'");
        self.program(&format!("{folder}/postgres"), &says)
            .program(&format!("{folder}/initdb"), "exit 1")
            .program(&format!("{folder}/pg_ctl"), "exit 1")
    }

    fn program(self, path: &str, script: &str) -> Self {
        let file = self.root.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn search(&self, environment: &[(&str, &str)]) -> Search {
        Search::new(environment.iter().copied(), self.root.path())
    }

    /// The version and the folder that are found with this PATH.
    fn found(&self, path: &str) -> (String, String) {
        let found = self.search(&[("PATH", path)]).binaries().unwrap();
        let root = self.root.path().canonicalize().unwrap();
        let folder = found.folder().canonicalize().unwrap();
        let folder = folder.strip_prefix(root).unwrap().to_string_lossy();
        (found.version().to_owned(), folder.into_owned())
    }
}

fn is(version: &str, folder: &str) -> (String, String) {
    (version.to_owned(), folder.to_owned())
}

/// A server that answers one request for TLS.
fn answering() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 8]).unwrap();
        stream.write_all(b"N").unwrap();
    });
    format!("postgres://ann@{address}/app")
}

#[test]
fn the_newest_of_debians_servers_is_taken() {
    let machine = Machine::new()
        .server("usr/lib/postgresql/9.6/bin", "9.6.24")
        .server("usr/lib/postgresql/17/bin", "17.2")
        .server("usr/lib/postgresql/15/bin", "15.10");
    assert_eq!(machine.found(""), is("17.2", "usr/lib/postgresql/17/bin"));
}

#[test]
fn other_packages_have_other_places() {
    for folder in [
        "usr/pgsql-16/bin",
        "usr/bin",
        "usr/libexec/postgresql16",
        "opt/homebrew/opt/postgresql@16/bin",
        "usr/local/opt/postgresql@16/bin",
    ] {
        let machine = Machine::new().server(folder, "16.4");
        assert_eq!(machine.found(""), is("16.4", folder));
    }
}

#[test]
fn the_path_comes_first_then_pg_config() {
    let machine = Machine::new()
        .server("usr/lib/postgresql/17/bin", "17.2")
        .server("opt/mine", "14.1")
        .server("opt/configured", "15.1")
        .program("home/bin/pg_config", "echo /opt/configured");
    assert_eq!(machine.found("/home/bin:/opt/mine"), is("14.1", "opt/mine"));
    assert_eq!(machine.found("/home/bin"), is("15.1", "opt/configured"));
    assert_eq!(machine.found("/nothing").0, "17.2");
}

#[test]
fn links_in_the_path_lead_to_all_programs() {
    let machine = Machine::new().server("usr/lib/postgresql/15/bin", "15.10");
    let root = machine.root.path();
    fs::create_dir_all(root.join("bin")).unwrap();
    for name in ["postgres", "initdb", "pg_ctl"] {
        let program = root.join("usr/lib/postgresql/15/bin").join(name);
        std::os::unix::fs::symlink(program, root.join("bin").join(name)).unwrap();
    }
    let expected = is("15.10", "usr/lib/postgresql/15/bin");
    assert_eq!(machine.found("/bin"), expected);
}

#[test]
fn what_is_old_or_broken_is_passed_over() {
    let machine = Machine::new()
        .server("opt/old", "13.18")
        .server("opt/broken", "17.2")
        .program("opt/broken/postgres", "exit 1")
        .program("opt/partial/postgres", "echo 17.2")
        .server("usr/lib/postgresql/18/bin", "18beta1");
    let found = machine.found("/opt/old:/opt/broken:/opt/partial");
    assert_eq!(found, is("18beta1", "usr/lib/postgresql/18/bin"));
}

#[test]
fn a_url_that_answers_comes_first() {
    let machine = Machine::new().server("usr/bin", "17.2");
    let url = answering();
    let found = machine.search(&[("DATABASE_URL", &url)]).run().unwrap();
    assert_eq!(found, Found::Url(ServerUrl::parse(&url).unwrap()));
}

#[test]
fn a_url_of_something_else_is_passed_over() {
    let machine = Machine::new().server("usr/bin", "17.2");
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = dead.local_addr().unwrap();
    for url in [format!("postgres://{dead}/app"), "sqlite:a.db".to_owned()] {
        let found = machine.search(&[("DATABASE_URL", &url)]).run().unwrap();
        assert!(matches!(found, Found::Binaries(_)), "{found}");
    }
}

#[test]
fn an_engine_that_answers_comes_last() {
    let machine = Machine::new()
        .program("usr/bin/docker", "exit 1")
        .program("usr/bin/podman", r#"[ "$1" = version ]"#);
    let search = machine.search(&[("PATH", "/usr/bin")]);
    let Found::Engine(engine) = search.run().unwrap() else {
        panic!("there is nothing else");
    };
    assert!(engine.program().ends_with("podman"));
    search.binaries().unwrap_err();
}

#[test]
fn an_engine_that_is_silent_is_asked_once() {
    let machine = Machine::new().program("usr/bin/docker", "read -r _ <>\"$0.fifo\"");
    let fifo = machine.root.path().join("usr/bin/docker.fifo");
    assert!(Command::new("mkfifo").arg(fifo).status().unwrap().success());
    fs::create_dir(machine.root.path().join("tmp")).unwrap();
    let search = machine.search(&[("PATH", "/usr/bin")]);
    let begun = Instant::now();
    search.run().unwrap_err();
    assert!(begun.elapsed() >= program::PATIENCE);
    let begun = Instant::now();
    search.run().unwrap_err();
    assert!(begun.elapsed() < program::PATIENCE);
}

#[test]
fn what_was_tried_is_told() {
    let machine = Machine::new();
    let told = |environment: &[(&str, &str)]| {
        let error = machine
            .search(environment)
            .run_with_advice(&["and that".into()]);
        error.unwrap_err().to_string()
    };
    assert!(told(&[]).contains("DATABASE_URL is not set"));
    assert!(told(&[("DATABASE_URL", "sqlite:a.db")]).contains("is not a URL of PostgreSQL"));
    let unwrapped = format!("{:?}", machine.search(&[]).binaries().unwrap_err());
    assert!(unwrapped.contains("apt-get install") && !unwrapped.contains("Or set"));
    let dead = "postgres:///x?host=/no/such/folder";
    let told = told(&[("DATABASE_URL", dead)]);
    assert!(told.contains("no PostgreSQL answers there") && told.contains("* and that"));
}

#[test]
fn programs_of_administrators_are_found() {
    let machine = Machine::new().program("usr/sbin/pgbouncer", "exit 0");
    File::create(machine.root.path().join("usr/sbin/readme")).unwrap();
    let search = machine.search(&[]);
    assert!(
        search
            .program("pgbouncer")
            .unwrap()
            .ends_with("usr/sbin/pgbouncer")
    );
    assert_eq!(search.program("readme"), None);
    assert_eq!(
        search.rooted(Path::new("/a/./b")),
        machine.root.path().join("a/b")
    );
}
