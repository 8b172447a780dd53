//! Prepares the README for its doctests: what stands below the account can name its types.

use std::path::Path;
use std::{env, fs, io};

const README: &str = "../README.md";
const ACCOUNT: &str = "../crates/core/tests/shapes/struct_shape.rs";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={README}");
    println!("cargo::rerun-if-changed={ACCOUNT}");
    let account = fs::read_to_string(ACCOUNT)?;
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    let readme = with_account(&fs::read_to_string(README)?, &account);
    fs::write(Path::new(&out).join("readme.md"), readme)
}

/// Puts the account, hidden, at the top of every snippet that asks for it.
fn with_account(readme: &str, account: &str) -> String {
    let mut prepared = String::new();
    let mut opened = false;
    for line in readme.lines() {
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
