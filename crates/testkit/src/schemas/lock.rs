//! The file, and how it differs from the code.

use std::collections::BTreeMap;
use std::path::Path;

use ordain::EventType;
use serde::{Deserialize, Serialize};

use super::shape::Shape;
use crate::diff::diff;

/// All events by stored name.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Lock {
    events: BTreeMap<String, Entry>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    version: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
    shape: Shape,
}

/// What differs: what may be written to the file, and what must not be.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) updates: Vec<String>,
    pub(super) refused: Vec<String>,
}

impl Entry {
    pub(super) fn new(event_type: &EventType, shape: Shape) -> Self {
        let mut aliases: Vec<_> = event_type
            .aliases
            .iter()
            .map(|&alias| alias.to_owned())
            .collect();
        aliases.sort();
        Self {
            version: event_type.version,
            aliases,
            shape,
        }
    }
}

impl Lock {
    pub(super) fn contains(&self, name: &str) -> bool {
        self.events.contains_key(name)
    }

    /// False if the name stands for something else already.
    pub(super) fn insert(&mut self, name: &str, entry: Entry) -> bool {
        match self.events.get(name) {
            Some(known) => *known == entry,
            None => self.events.insert(name.to_owned(), entry).is_none(),
        }
    }

    pub(super) fn read(path: &Path) -> Result<Option<Self>, String> {
        match std::fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|error| format!("{} cannot be understood: {error}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
        }
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        std::fs::write(path, text + "\n")
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }

    pub(super) fn compare(&self, known: Option<&Self>) -> Changes {
        let mut changes = Changes::default();
        let Some(known) = known else {
            changes
                .updates
                .push("the file does not exist yet".to_owned());
            return changes;
        };
        for (name, entry) in &self.events {
            match known.events.get(name) {
                Some(known) => changes.compare(name, known, entry),
                None => changes.updates.push(format!("`{name}` is new")),
            }
        }
        for name in known.events.keys().filter(|name| !self.contains(name)) {
            changes.refused.push(format!(
                "`{name}` is gone, but events of this type may be stored: keep it as an alias or have an \
                 upcaster rename or drop it, and delete its entry from the file by hand"
            ));
        }
        changes
    }
}

impl Changes {
    fn compare(&mut self, name: &str, known: &Entry, entry: &Entry) {
        let gone = known
            .aliases
            .iter()
            .filter(|alias| !entry.aliases.contains(alias));
        for alias in gone {
            self.refused.push(format!(
                "`{name}` is not read under the name `{alias}` any more, but events may be stored under it"
            ));
        }
        let (was, is) = (known.version, entry.version);
        if is < was {
            let problem = format!("`{name}` went back from version {was} to version {is}");
            self.refused.push(problem);
        } else if is > was {
            self.updates.push(format!(
                "`{name}` has version {is}; in the file it has version {was}"
            ));
        } else if entry.shape != known.shape {
            self.refused.push(changed_shape(name, known, entry));
        } else if entry.aliases.len() > known.aliases.len() {
            self.updates.push(format!("`{name}` has a new alias"));
        }
    }
}

fn changed_shape(name: &str, known: &Entry, entry: &Entry) -> String {
    let (version, next) = (entry.version, entry.version + 1);
    let text = |shape| serde_json::to_string_pretty(shape).unwrap_or_default() + "\n";
    let difference = diff(&text(&known.shape), &text(&entry.shape));
    format!(
        "the shape of `{name}` changed, and its version is still {version}:\n{difference}\n\
         give it version {next} and an upcaster from {version} to {next} (`Upcaster::compatible` where the \
         new shape reads the old one); if version {version} was never stored, delete its entry from the \
         file by hand"
    )
}
