//! `derive(Event)`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Path, Result};

use crate::attributes::{self, root};
use crate::stored_type::StoredType;

/// Implements `Event`, and its conversion into the `Events` of every aggregate that lists it.
pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    attributes::require_struct(
        input,
        "an event is a struct; for an enum of events there is `derive(EventSet)`",
    )?;
    attributes::refuse_generics(input, "an event")?;
    let (krate, stored) = read(input)?;
    let (implementation, conversion) = (implement(&krate, input, &stored), convert(&krate, input));
    Ok(quote! { #implementation #conversion })
}

fn read(input: &DeriveInput) -> Result<(Path, StoredType)> {
    let mut krate = None;
    let mut stored = StoredType::default();
    let [name, alias, version, first_version] = StoredType::KEYS;
    let keys = [name, alias, version, first_version, "crate"];
    attributes::read(&input.attrs, "event", &keys, |key, meta| match key {
        "crate" => {
            krate = Some(attributes::value(meta)?);
            Ok(())
        }
        _ => stored.read(key, meta),
    })?;
    stored.check(&input.ident)?;
    Ok((root(krate), stored))
}

fn implement(krate: &Path, input: &DeriveInput, stored: &StoredType) -> TokenStream {
    let ident = &input.ident;
    let (name, aliases) = (stored.name(ident), stored.aliases());
    let (version, first_version) = (stored.version(), stored.first_version());
    quote! {
        #[automatically_derived]
        impl #krate::Event for #ident {
            const NAME: &'static ::core::primitive::str = #name;
            const VERSION: ::core::primitive::u32 = #version;
            const FIRST_VERSION: ::core::primitive::u32 = #first_version;
            const ALIASES: &'static [&'static ::core::primitive::str] = &[#(#aliases),*];
        }
    }
}

fn convert(krate: &Path, input: &DeriveInput) -> TokenStream {
    let ident = &input.ident;
    quote! {
        #[automatically_derived]
        impl<__A: #krate::Aggregate> ::core::convert::From<#ident> for #krate::Events<__A>
        where
            __A: #krate::__private::Lists<#ident>,
        {
            fn from(event: #ident) -> Self {
                Self::one(<__A as #krate::__private::Lists<#ident>>::event(event))
            }
        }
    }
}
