//! `created_by` and `may_create`: what a command asks of the aggregate's past.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Error, Path, Result};

use super::options::Given;
use super::tolerance::find;
use crate::lists::Entry;

const UNKNOWN: &str = "is not among its commands: list it in `commands(..)` or `outside(..)`";

/// Which commands may find no aggregate; `None` if nothing is said, and nothing checked.
pub(super) struct Existence {
    said: Option<Said>,
}

struct Said {
    created_by: Vec<Path>,
    may_create: Vec<Path>,
}

impl Existence {
    pub(super) fn new(given: &Given) -> Result<Self> {
        if given.created_by.is_none() && given.may_create.is_none() {
            return Ok(Self { said: None });
        }
        let said = Said {
            created_by: given.created_by.clone().unwrap_or_default(),
            may_create: given.may_create.clone().unwrap_or_default(),
        };
        for path in &said.created_by {
            find(path, given.all_commands(), UNKNOWN)?;
        }
        for path in &said.may_create {
            let entry = find(path, given.all_commands(), UNKNOWN)?;
            if said.created_by.iter().any(|path| entry.is_called(path)) {
                let message = "it stands in `created_by(..)` too: it either may or has to create";
                return Err(Error::new_spanned(path, message));
            }
        }
        Ok(Self { said: Some(said) })
    }

    /// Whether there is anything to say about `entries`.
    pub(super) fn concerns(&self, entries: &[Entry]) -> bool {
        self.said.is_some() && !entries.is_empty()
    }

    /// The `Existence` that the command asks for.
    pub(super) fn of(&self, krate: &Path, entry: &Entry) -> TokenStream {
        let variant = format_ident!("{}", self.name(entry));
        quote! { #krate::Existence::#variant }
    }

    fn name(&self, entry: &Entry) -> &'static str {
        let listed = |paths: &[Path]| paths.iter().any(|path| entry.is_called(path));
        match &self.said {
            None => "Any",
            Some(said) if listed(&said.created_by) => "Absent",
            Some(said) if listed(&said.may_create) => "Any",
            Some(_) => "Present",
        }
    }
}
