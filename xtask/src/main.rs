//! `cargo xtask`: the developer's commands.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    xtask::run(&arguments)
}
