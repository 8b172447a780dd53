//! What the user reads when he makes a mistake.
//!
//! Every file in `tests/ui` is a program with one mistake. A comment marks the line that the
//! compiler has to point at, with a part of *our* text: `//~ ERROR text` on the line itself, or
//! `//~^ ERROR text` below it, with one `^` for each line up. `NOTE` instead of `ERROR` asks for a
//! text in what the compiler adds to an error at that line. Programs in `tests/ui/pass` have to
//! compile without a warning. Those in `tests/ui/runtime` need the feature of that name; the others
//! show that the derives of a domain do not.

#![expect(clippy::unwrap_used, reason = "it is all test")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

#[test]
fn mistakes_are_explained_where_they_are() {
    compare("tests/ui", &["macros"]);
}

#[test]
fn mistakes_of_what_runs_are_explained_where_they_are() {
    compare("tests/ui/runtime", &["macros", "runtime"]);
}

fn compare(folder: &str, features: &[&str]) {
    let (failing, passing) = (cases(folder), cases(&format!("{folder}/pass")));
    assert!(!failing.is_empty() && !passing.is_empty());
    let found = check(&package(features, failing.iter().chain(&passing)));
    let of = |case: &Case| found.get(&case.name).map_or(&[][..], Vec::as_slice);

    let mut report = String::new();
    for case in &failing {
        case.compare(of(case), &mut report).unwrap();
    }
    for case in &passing {
        for Diagnostic { rendered, .. } in of(case) {
            write!(report, "{} should pass\n{rendered}", case.name).unwrap();
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

struct Case {
    name: String,
    path: PathBuf,
    markers: Vec<Marker>,
}

/// What the compiler has to say about a line.
struct Marker {
    line: usize,
    is_note: bool,
    text: String,
}

/// What the compiler said.
struct Diagnostic {
    is_error: bool,
    lines: Vec<usize>,
    message: String,
    notes: String,
    rendered: String,
}

fn cases(folder: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.is_file()).collect();
    paths.sort();
    paths.into_iter().map(Case::read).collect()
}

impl Case {
    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().enumerate();
        let markers = lines.filter_map(|(index, line)| Marker::read(index + 1, line));
        Self {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            markers: markers.collect(),
            path,
        }
    }

    fn compare(&self, found: &[Diagnostic], report: &mut String) -> std::fmt::Result {
        let name = &self.name;
        if !found.iter().any(|diagnostic| diagnostic.is_error) {
            writeln!(report, "{name} compiles")?;
        }
        if self.markers.is_empty() {
            writeln!(report, "{name} marks no line")?;
        }
        let mut missed = false;
        for marker in self.markers.iter().filter(|marker| !marker.is_met(found)) {
            missed = true;
            let Marker { line, text, .. } = marker;
            writeln!(report, "{name}, line {line}: nobody says `{text}`")?;
        }
        if missed {
            for Diagnostic { rendered, .. } in found {
                writeln!(report, "{rendered}")?;
            }
        }
        Ok(())
    }
}

impl Marker {
    fn read(line: usize, text: &str) -> Option<Self> {
        let (_, marker) = text.split_once("//~")?;
        let text = marker.trim_start_matches('^');
        let up = marker.len() - text.len();
        let (kind, text) = text.trim_start().split_once(' ').unwrap();
        assert!(kind == "ERROR" || kind == "NOTE", "{kind}");
        Some(Self {
            line: line - up,
            is_note: kind == "NOTE",
            text: text.trim().to_owned(),
        })
    }

    fn is_met(&self, found: &[Diagnostic]) -> bool {
        let errors = found.iter().filter(|diagnostic| diagnostic.is_error);
        let mut here = errors.filter(|diagnostic| diagnostic.lines.contains(&self.line));
        here.any(|diagnostic| match self.is_note {
            true => diagnostic.notes.contains(&self.text),
            false => diagnostic.message.contains(&self.text),
        })
    }
}

/// A package with every case as a program, in this package's target folder.
fn package<'a>(features: &[&str], cases: impl Iterator<Item = &'a Case>) -> PathBuf {
    let name = format!("ui-{}", features.join("-"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
    let macros = Path::new(env!("CARGO_MANIFEST_DIR"));
    let core = macros.join("../core");
    let mut manifest = format!(
        r#"
        [package]
        name = {name:?}
        version = "0.0.0"
        edition = "2024"

        [dependencies]
        ordain = {{ path = {core:?}, default-features = false, features = {features:?} }}
        serde = {{ version = "1", features = ["derive"] }}
        serde_json = "1"

        [workspace]
        "#
    );
    for Case { name, path, .. } in cases {
        write!(manifest, "\n[[bin]]\nname = {name:?}\npath = {path:?}\n").unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::copy(macros.join("../../Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    folder
}

/// What the compiler says about each program.
fn check(package: &Path) -> HashMap<String, Vec<Diagnostic>> {
    let output = Command::new(env!("CARGO"))
        .args(["check", "--bins", "--keep-going", "--offline", "--quiet"])
        .arg("--message-format=json")
        .current_dir(package)
        .env("CARGO_TARGET_DIR", package.join("target"))
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for line in output.stdout.split(|byte| *byte == b'\n') {
        let Ok(message) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        let target = message["target"]["name"].as_str().unwrap_or_default();
        if let Some(diagnostic) = Diagnostic::read(&message["message"]) {
            found.entry(target.to_owned()).or_default().push(diagnostic);
        }
    }
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(!found.is_empty(), "cargo did not come to the cases:\n{log}");
    found
}

impl Diagnostic {
    /// `None` if it says nothing about any line.
    fn read(message: &Value) -> Option<Self> {
        let spans = list(&message["spans"]);
        let primary = spans.iter().filter(|span| span["is_primary"] == true);
        let lines: Vec<_> = primary.map(line).collect();
        let labels = spans.iter().map(|span| text(&span["label"]));
        let children = list(&message["children"]).iter();
        let notes = labels.chain(children.map(|child| text(&child["message"])));
        (!lines.is_empty()).then(|| Self {
            is_error: message["level"] == "error",
            lines,
            message: text(&message["message"]).to_owned(),
            notes: notes.collect::<Vec<_>>().join("\n"),
            rendered: text(&message["rendered"]).to_owned(),
        })
    }
}

/// The line where a span begins; of one inside another crate's macro, where the case calls that.
fn line(span: &Value) -> usize {
    let expansion = &span["expansion"]["span"];
    if !text(&span["file_name"]).contains("tests/ui/") && expansion.is_object() {
        return line(expansion);
    }
    usize::try_from(span["line_start"].as_u64().unwrap()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
