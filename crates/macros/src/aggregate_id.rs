//! `derive(AggregateId)`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Result, Type};

/// Implements `Display` and `FromStr` by way of the one field.
pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let inner = inner(input)?;
    let ident = &input.ident;
    let (impl_generics, ty_generics, where_clause) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::core::fmt::Display for #ident #ty_generics #where_clause {
            fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Display::fmt(&self.0, formatter)
            }
        }

        #[automatically_derived]
        impl #impl_generics ::core::str::FromStr for #ident #ty_generics #where_clause {
            type Err = <#inner as ::core::str::FromStr>::Err;

            fn from_str(
                text: &::core::primitive::str,
            ) -> ::core::result::Result<Self, Self::Err> {
                <#inner as ::core::str::FromStr>::from_str(text).map(Self)
            }
        }
    })
}

fn inner(input: &DeriveInput) -> Result<&Type> {
    if let Data::Struct(data) = &input.data
        && let Fields::Unnamed(fields) = &data.fields
        && let (Some(field), 1) = (fields.unnamed.first(), fields.unnamed.len())
    {
        return Ok(&field.ty);
    }
    let ident = &input.ident;
    let message = format!("an id is a struct with one unnamed field: `struct {ident}(String);`");
    Err(Error::new(ident.span(), message))
}
