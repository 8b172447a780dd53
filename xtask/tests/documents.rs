//! What the documents say about files and snippets is so.
#![expect(clippy::unwrap_used, reason = "it is all test")]

use std::path::{Path, PathBuf};
use std::{fs, iter};

/// A block between ``` and ```.
struct Fence<'a> {
    /// Its first line, counted from 1.
    line: usize,
    language: &'a str,
    /// The last line of text before it.
    before: &'a str,
    text: String,
}

#[test]
fn the_readme_shows_the_account_as_it_is() {
    let readme = read("README.md");
    let mut shown = 0;
    for fence in fences(&readme) {
        let file = fence.before.strip_prefix("<!-- file: ");
        if let Some(file) = file.and_then(|rest| rest.strip_suffix(" -->")) {
            let line = fence.line;
            assert_eq!(fence.text, read(file), "README.md:{line} is not {file}");
            shown += 1;
        }
    }
    assert_eq!(shown, 1);
}

/// A guide that xtask does not know is not compiled, nor is a snippet that is marked.
#[test]
fn the_snippets_of_the_guides_are_run() {
    let prepared = read("xtask/build.rs");
    for guide in files_in("docs") {
        let name = guide.file_name().unwrap().to_string_lossy();
        let text = fs::read_to_string(&guide).unwrap();
        let is_prepared = prepared.contains(&*format!("../docs/{name}"));
        for Fence { line, language, .. } in fences(&text) {
            assert!(is_prepared, "{name}:{line} is not in xtask's build.rs");
            assert!(!language.contains(','), "{name}:{line} is not run");
        }
    }
}

/// A marked snippet (`ignore`, `no_run`) would not be run; one is ignored only as long as a crate
/// that it names is not there.
#[test]
fn the_snippets_of_the_readme_are_run() {
    for fence in fences(&read("README.md")) {
        let is_marked = fence.language.starts_with("rust,");
        let is_early = crates_in(&fence.text).any(|folder| !root().join(folder).exists());
        let line = fence.line;
        assert!(
            !is_marked || is_early,
            "README.md:{line}: what it needs is there: take the mark away, \
             and add the crate to xtask's dev-dependencies"
        );
    }
}

#[test]
fn links_between_files_lead_somewhere() {
    let mut dead = Vec::new();
    for document in documents() {
        let folder = document.parent().unwrap();
        let text = fs::read_to_string(&document).unwrap();
        for target in links(&text) {
            if !folder.join(target).exists() {
                dead.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn all_decisions_are_listed() {
    let list = read("docs/decisions/README.md");
    let missing = files_in("docs/decisions").into_iter().find(|file| {
        let name = file.file_name().unwrap().to_string_lossy();
        name != "README.md" && !list.contains(&format!("]({name})"))
    });
    assert_eq!(missing, None);
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

fn documents() -> impl Iterator<Item = PathBuf> {
    let folders = [".", "docs", "docs/decisions"];
    let documents = folders.into_iter().flat_map(files_in);
    documents.filter(|file| file.extension().is_some_and(|extension| extension == "md"))
}

fn files_in(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let files = entries.map(|entry| entry.unwrap().path());
    files.filter(|path| path.is_file()).collect()
}

/// The targets of links to files, without the part after `#`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let files = targets.filter(|target| !target.contains("://"));
    let files = files.filter_map(|target| target.split('#').next());
    files.filter(|target| !target.is_empty())
}

/// The folders of the crates beside `ordain` that a snippet names.
fn crates_in(snippet: &str) -> impl Iterator<Item = String> {
    let words = snippet.split(|c: char| !c.is_alphanumeric() && c != '_');
    let names = words.filter_map(|word| word.strip_prefix("ordain_"));
    names.map(|name| format!("crates/{name}"))
}

fn fences(text: &str) -> Vec<Fence<'_>> {
    let mut fences = Vec::new();
    let mut lines = iter::zip(1.., text.lines());
    let mut before = "";
    while let Some((line, opening)) = lines.next() {
        if let Some(language) = opening.strip_prefix("```") {
            let block = lines.by_ref().take_while(|(_, line)| *line != "```");
            let text = block.map(|(_, line)| format!("{line}\n")).collect();
            fences.push(Fence {
                line: line + 1,
                language,
                before,
                text,
            });
            before = "";
        } else if !opening.is_empty() {
            before = opening;
        }
    }
    fences
}
