//! Container engines.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{Search, program};

const NAMES: [&str; 2] = ["docker", "podman"];

/// A container engine that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    program: PathBuf,
}

impl Engine {
    /// The program that speaks to it.
    pub fn program(&self) -> &Path {
        &self.program
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a container of {}", self.program.display())
    }
}

/// The first engine that answers.
pub(super) fn find(search: &Search) -> Option<Engine> {
    let programs = NAMES.iter().filter_map(|name| search.program(name));
    programs
        .map(|program| Engine { program })
        .find(|engine| answers(search, engine))
}

fn answers(search: &Search, engine: &Engine) -> bool {
    // `info` of docker ends well without an engine; `version` does not.
    let mut version = search.command(&engine.program);
    version.arg("version");
    let host = search.variable("DOCKER_HOST").unwrap_or_default();
    let question = format!("{} at {}", engine.program.display(), host.display());
    search.ask(&question, || program::answer(&mut version).is_some())
}
