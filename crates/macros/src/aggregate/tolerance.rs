//! The events after which a command may go on.

use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Path, Result, Token, parenthesized};

use crate::lists::{Entry, written};

/// The events after which a command may go on.
pub(super) struct Tolerance {
    pub(super) command: Path,
    pub(super) events: Punctuated<Path, Token![,]>,
}

impl Parse for Tolerance {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let command = input.call(Path::parse_mod_style)?;
        let content;
        parenthesized!(content in input);
        let events: Punctuated<_, _> = content.call(Punctuated::parse_terminated)?;
        if events.is_empty() {
            return Err(Error::new_spanned(
                command,
                "name the events that it tolerates",
            ));
        }
        Ok(Self { command, events })
    }
}

/// The entry that `path` means.
pub(super) fn find<'a>(
    path: &Path,
    mut entries: impl Iterator<Item = &'a Entry>,
    unknown: &str,
) -> Result<&'a Entry> {
    entries
        .find(|entry| entry.is_called(path))
        .ok_or_else(|| Error::new_spanned(path, format!("`{}` {unknown}", written(path))))
}
