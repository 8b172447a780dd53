//! How many lines an account takes.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use crate::Result;
use crate::workspace::Workspace;

/// An account, and the most lines that it may take.
struct Shape {
    name: &'static str,
    file: &'static str,
    lines_max: usize,
}

const SHAPES: [Shape; 2] = [
    Shape {
        name: "a struct per command and event",
        file: "crates/core/tests/shapes/struct_shape.rs",
        lines_max: 85,
    },
    Shape {
        name: "two enums",
        file: "crates/core/tests/shapes/enum_shape.rs",
        lines_max: 60,
    },
];

/// Counts, and compares with what is promised.
pub(crate) fn run() -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let mut exit = ExitCode::SUCCESS;
    for shape in &SHAPES {
        let lines = shape.count(&workspace.root)?;
        let Shape {
            name, lines_max, ..
        } = shape;
        println!("{lines:>3} of at most {lines_max} lines: {name}");
        if lines > *lines_max {
            exit = ExitCode::FAILURE;
        }
    }
    Ok(exit)
}

impl Shape {
    fn count(&self, root: &Path) -> Result<usize> {
        Ok(count(&fs::read_to_string(root.join(self.file))?))
    }
}

/// Counts lines that are neither blank nor comments nor part of a `use`.
fn count(source: &str) -> usize {
    let mut in_use = false;
    let mut lines = 0;
    for line in source.lines().map(str::trim) {
        if line.is_empty() || line.starts_with("//") {
            continue;
        }
        in_use |= line.starts_with("use ") || line.starts_with("pub use ");
        if !in_use {
            lines += 1;
        }
        in_use &= !line.ends_with(';');
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn root() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    #[test]
    fn the_accounts_are_as_short_as_promised() {
        for shape in &SHAPES {
            let lines = shape.count(root()).unwrap();
            let (name, max) = (shape.name, shape.lines_max);
            assert!(lines <= max, "{name}: {lines} lines, promised are {max}");
        }
    }

    #[test]
    fn the_accounts_are_formatted_by_the_defaults() {
        let mut rustfmt = Command::new("rustfmt");
        rustfmt.args(["--check", "--edition", "2024"]);
        rustfmt.args(SHAPES.iter().map(|shape| root().join(shape.file)));
        crate::steps::run(&mut rustfmt).unwrap();
    }

    #[test]
    fn blank_lines_comments_and_uses_do_not_count() {
        let source = "\
// comment
use a::b;
use a::{
    b,
    c,
};

/// documentation
struct A {
    b: u8, // counts
}
";
        assert_eq!(count(source), 3);
        assert_eq!(count("fn user() {}\n"), 1);
    }
}
