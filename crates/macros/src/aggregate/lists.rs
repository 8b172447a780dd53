//! The lists in `#[aggregate(..)]`.

use quote::ToTokens;
use syn::meta::ParseNestedMeta;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, Path, Result, Token, parenthesized};

/// One listed command or event: `Deposit`, `billing::Opened` or `billing::Opened as BillingOpened`.
pub(crate) struct Entry {
    pub(crate) path: Path,
    pub(crate) variant: Ident,
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let path: Path = input.parse()?;
        let variant = if input.peek(Token![as]) {
            input.parse::<Token![as]>()?;
            input.parse()?
        } else {
            last(&path)?
        };
        Ok(Self { path, variant })
    }
}

fn last(path: &Path) -> Result<Ident> {
    let last = path.segments.last().map(|segment| segment.ident.clone());
    last.ok_or_else(|| Error::new_spanned(path, "expected a type"))
}

impl Entry {
    /// Whether another list means this entry when it says `path`.
    pub(super) fn is_called(&self, path: &Path) -> bool {
        path.is_ident(&self.variant) || written(path) == written(&self.path)
    }
}

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

/// What stands in the parentheses of a key.
pub(crate) fn list<T: Parse>(meta: &ParseNestedMeta<'_>) -> Result<Vec<T>> {
    let content;
    parenthesized!(content in meta.input);
    let list: Punctuated<T, Token![,]> = content.call(Punctuated::parse_terminated)?;
    Ok(list.into_iter().collect())
}

/// Refuses a name that is listed twice.
pub(crate) fn refuse_twice<'a>(entries: impl Iterator<Item = &'a Entry>) -> Result<()> {
    let mut seen: Vec<&Ident> = Vec::new();
    for Entry { path, variant } in entries {
        if seen.contains(&variant) {
            let cure = format!("`path::{variant} as OtherName`");
            let message = format!("`{variant}` is listed twice; two types of one name need {cure}");
            return Err(Error::new_spanned(path, message));
        }
        seen.push(variant);
    }
    Ok(())
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

/// The path as its user writes it.
pub(crate) fn written(path: &Path) -> String {
    path.to_token_stream().to_string().replace(' ', "")
}
