//! Prepares the README and the guides for their doctests: their snippets can name the account's types.

use std::path::Path;
use std::{env, fs, io};

/// Each under the name that it is prepared as.
const PAGES: [(&str, &str); 4] = [
    ("../README.md", "readme.md"),
    ("../docs/handlers.md", "handlers.md"),
    ("../docs/projections.md", "projections.md"),
    ("../docs/process-managers.md", "process-managers.md"),
];
const ACCOUNT: &str = "../crates/core/tests/shapes/struct_shape.rs";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={ACCOUNT}");
    let account = fs::read_to_string(ACCOUNT)?;
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    for (page, prepared) in PAGES {
        println!("cargo::rerun-if-changed={page}");
        let text = with_account(&fs::read_to_string(page)?, &account);
        fs::write(Path::new(&out).join(prepared), text)?;
    }
    Ok(())
}

/// Puts the account, hidden, at the top of every snippet that asks for it.
fn with_account(page: &str, account: &str) -> String {
    let mut prepared = String::new();
    let mut opened = false;
    for line in page.lines() {
        if std::mem::take(&mut opened) && line.starts_with("use account::") {
            prepared += "# mod account {\n";
            for line in account.lines() {
                prepared += &format!("# {line}\n");
            }
            prepared += "# }\n";
        }
        opened = line.starts_with("```rust");
        prepared += line;
        prepared.push('\n');
    }
    prepared
}
