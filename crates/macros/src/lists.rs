//! The lists in the attributes.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::meta::ParseNestedMeta;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, Path, Result, Token, Visibility, parenthesized};

use crate::attributes::located;
use crate::event_set::match_ref;

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
    pub(crate) fn is_called(&self, path: &Path) -> bool {
        path.is_ident(&self.variant) || written(path) == written(&self.path)
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

/// The path as its user writes it.
pub(crate) fn written(path: &Path) -> String {
    path.to_token_stream().to_string().replace(' ', "")
}

/// Where what concerns a whole list is reported.
pub(crate) fn place(first: Option<&Entry>, otherwise: &Ident) -> Span {
    first.map_or_else(|| located(otherwise), |entry| located(&entry.path))
}

/// The enum of what is listed. Its `Debug` says which one it is, and asks nothing of what it holds.
pub(crate) fn define(vis: &Visibility, set: &Ident, doc: &str, entries: &[Entry]) -> TokenStream {
    let docs = entries
        .iter()
        .map(|Entry { path, .. }| format!("`{}`", written(path)));
    let variants = entries
        .iter()
        .map(|Entry { path, variant }| quote! { #variant(#path) });
    let names = entries.iter().map(|Entry { variant, .. }| {
        let name = variant.to_string();
        quote! { Self::#variant(_) => formatter.write_str(#name) }
    });
    let debug = match_ref(&quote! { self }, &names.collect::<Vec<_>>());
    quote! {
        #[doc = #doc]
        #vis enum #set {
            #(#[doc = #docs] #variants,)*
        }

        #[automatically_derived]
        impl ::core::fmt::Debug for #set {
            fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                let _ = &formatter;
                #debug
            }
        }
    }
}
