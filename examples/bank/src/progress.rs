//! How a run goes on, for whoever waits for it.

use std::io::{self, IsTerminal, Write};

use bank::{Malformed, Place, Watch};
use indicatif::{ProgressBar, ProgressStyle};

const EVERY: u64 = 1_000;

/// Shows on the standard error how a run goes on.
pub(crate) struct Progress {
    /// Commands answered in this run.
    pub(crate) answered: u64,
    /// Those of them that a run before had carried out.
    pub(crate) before: u64,
    show: Show,
}

enum Show {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

impl Progress {
    pub(crate) fn new(lines: bool) -> Self {
        let show = match lines {
            true => Show::Lines,
            false if io::stderr().is_terminal() => Show::Bar(bar()),
            false => Show::Nothing,
        };
        let (answered, before) = (0, 0);
        Self {
            answered,
            before,
            show,
        }
    }

    /// Takes what is shown away.
    pub(crate) fn finish(&self) {
        if let Show::Bar(bar) = &self.show {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{spinner} {human_pos} commands, {per_sec}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

impl Watch for Progress {
    fn answered(&mut self, before: bool) {
        self.answered += 1;
        self.before += u64::from(before);
        match &self.show {
            Show::Bar(bar) => bar.inc(1),
            Show::Lines if self.answered.is_multiple_of(EVERY) => {
                say(&format!("progress {}", self.answered));
            }
            Show::Lines | Show::Nothing => {}
        }
    }

    fn malformed(&mut self, place: &Place, problem: &Malformed) {
        let text = format!("{place}: {problem}");
        match &self.show {
            Show::Bar(bar) => bar.suspend(|| say(&text)),
            Show::Lines | Show::Nothing => say(&text),
        }
    }
}

/// Writes a line to the standard error; what files say is kept from steering the terminal.
pub(crate) fn say(text: &str) {
    let text: String = text.chars().flat_map(printable).collect();
    // Whoever closed it does not want to know.
    let _ = writeln!(io::stderr(), "{text}");
}

fn printable(character: char) -> impl Iterator<Item = char> {
    let (plain, escaped) = match character.is_control() {
        false => (Some(character), None),
        true => (None, Some(character.escape_default())),
    };
    plain.into_iter().chain(escaped.into_iter().flatten())
}
