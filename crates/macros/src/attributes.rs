//! What the attributes of all derives have in common.

use std::fmt::Display;
use std::str::FromStr;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::meta::ParseNestedMeta;
use syn::parse::Parse;
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DeriveInput, Error, Generics, LitInt, LitStr, Path, Result, parse_quote,
};

const REPEATABLE: &[&str] = &["alias"];

/// Reads every `#[name(..)]` among `attributes`, key by key.
pub(crate) fn read(
    attributes: &[Attribute],
    name: &str,
    keys: &[&str],
    mut each: impl FnMut(&str, &ParseNestedMeta<'_>) -> Result<()>,
) -> Result<()> {
    let mut seen = Vec::new();
    for attribute in attributes.iter().filter(|a| a.path().is_ident(name)) {
        attribute.parse_nested_meta(|meta| {
            let key = keys.iter().find(|key| meta.path.is_ident(key));
            let key = *key.ok_or_else(|| unknown_key(&meta, name, keys))?;
            if seen.contains(&key) && !REPEATABLE.contains(&key) {
                return Err(meta.error(format_args!("`{key}` is given twice")));
            }
            seen.push(key);
            each(key, &meta)
        })?;
    }
    Ok(())
}

fn unknown_key(meta: &ParseNestedMeta<'_>, name: &str, keys: &[&str]) -> Error {
    let keys: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
    let keys = keys.join(", ");
    meta.error(format_args!(
        "unknown key; here `#[{name}(..)]` takes {keys}"
    ))
}

/// The value after `=`.
pub(crate) fn value<T: Parse>(meta: &ParseNestedMeta<'_>) -> Result<T> {
    meta.value()?.parse()
}

/// A name after `=`.
pub(crate) fn name(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    let name: LitStr = value(meta)?;
    if name.value().trim().is_empty() {
        return Err(Error::new(name.span(), "a name cannot be blank"));
    }
    Ok(name)
}

/// A number after `=`, from 1.
pub(crate) fn number<N: Number>(meta: &ParseNestedMeta<'_>) -> Result<N> {
    from_one(&value(meta)?)
}

/// A number after `=`, from 1, or the path to a constant.
pub(crate) fn constant(meta: &ParseNestedMeta<'_>) -> Result<TokenStream> {
    let value = meta.value()?;
    if !value.peek(LitInt) {
        return Ok(value.parse::<Path>()?.into_token_stream());
    }
    let number: u32 = from_one(&value.parse()?)?;
    Ok(number.into_token_stream())
}

/// Whole numbers.
pub(crate) trait Number: FromStr<Err: Display> + Default + PartialEq {}

impl<N: FromStr<Err: Display> + Default + PartialEq> Number for N {}

fn from_one<N: Number>(literal: &LitInt) -> Result<N> {
    let number = literal.base10_parse()?;
    if number == N::default() {
        return Err(Error::new(literal.span(), "it counts from 1"));
    }
    Ok(number)
}

/// The path to the framework's crate: what `crate = ..` says, or `::ordain`.
pub(crate) fn root(given: Option<Path>) -> Path {
    given.unwrap_or_else(|| parse_quote!(::ordain))
}

/// Refuses what is not a struct.
pub(crate) fn require_struct(input: &DeriveInput, otherwise: &str) -> Result<()> {
    match input.data {
        Data::Struct(_) => Ok(()),
        _ => Err(Error::new(input.ident.span(), otherwise)),
    }
}

/// Refuses parameters of every kind, each with its reason.
pub(crate) fn refuse_generics(input: &DeriveInput, kind: &str) -> Result<()> {
    let ident = &input.ident;
    refuse_lifetimes(input, kind)?;
    if input.generics.params.is_empty() {
        return Ok(());
    }
    let message = format!("`{ident}` is generic, but {kind} is one type under one name");
    Err(Error::new(parameters(&input.generics), message))
}

/// Refuses lifetimes.
pub(crate) fn refuse_lifetimes(input: &DeriveInput, kind: &str) -> Result<()> {
    let ident = &input.ident;
    if input.generics.lifetimes().next().is_none() {
        return Ok(());
    }
    let message = format!("`{ident}` borrows, but {kind} has to own all it holds: no lifetimes");
    Err(Error::new(parameters(&input.generics), message))
}

fn parameters(generics: &Generics) -> Span {
    generics.params.span()
}

/// A span at the same place whose tokens count as generated, for lints.
pub(crate) fn located(at: &impl Spanned) -> Span {
    at.span().resolved_at(Span::call_site())
}

/// The same path, standing at another place.
pub(crate) fn at(krate: &Path, place: Span) -> Path {
    let mut krate = krate.clone();
    if let Some(colons) = &mut krate.leading_colon {
        colons.spans = [place; 2];
    }
    // `$crate` is resolved by its span.
    for segment in krate
        .segments
        .iter_mut()
        .filter(|segment| segment.ident != "$crate")
    {
        segment.ident.set_span(place);
    }
    krate
}
