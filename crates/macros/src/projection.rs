//! `derive(Projection)`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{DeriveInput, Generics, Result, parse_quote, parse_quote_spanned};

use crate::attributes::{at, located};
use crate::lists::Entry;
use crate::reader::Reader;

/// Makes the enum of the listed events, and hands each of them to its `Project`, whatever the
/// connection.
pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let reader = Reader::read(input, "projection", "tables")?;
    let (krate, ident) = (&reader.krate, &input.ident);
    let generics = on_any_connection(&reader);
    let (_, ty_generics, _) = input.generics.split_for_impl();
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let (beside, items) = (reader.beside(), reader.items());
    let tables = reader.is_flagged.then(|| tables(&reader));
    let project = reader.match_event(|krate, event| {
        quote_spanned! {located(event)=>
            <Self as #krate::Project<#event, __Conn>>::project(self, event, context, db).await
        }
    });
    Ok(quote! {
        #beside

        #[automatically_derived]
        impl #impl_generics #krate::Projection<__Conn> for #ident #ty_generics #where_clause {
            #items

            async fn project(
                &self,
                event: &Self::Events,
                context: &#krate::EventContext,
                db: &mut __Conn,
            ) -> ::core::result::Result<(), #krate::BoxError> {
                #project
            }

            #tables
        }
    })
}

/// The type's parameters and the connection, on which every listed event has to be projected.
fn on_any_connection(reader: &Reader<'_>) -> Generics {
    let krate = &reader.krate;
    let mut generics = reader.input.generics.clone();
    generics.params.push(parse_quote!(__Conn));
    let bounds = &mut generics.make_where_clause().predicates;
    bounds.push(parse_quote!(__Conn: ::core::marker::Send));
    if reader.is_flagged {
        bounds.push(parse_quote!(Self: #krate::ReadModel<__Conn>));
    }
    for Entry { path, .. } in &reader.events {
        let place = located(path);
        let krate = at(krate, place);
        bounds.push(parse_quote_spanned!(place=> Self: #krate::Project<#path, __Conn>));
    }
    generics
}

fn tables(reader: &Reader<'_>) -> TokenStream {
    let krate = &reader.krate;
    let methods = ["setup", "reset", "take_over"].map(|method| {
        let method = format_ident!("{method}");
        quote! {
            async fn #method(
                &self,
                db: &mut __Conn,
            ) -> ::core::result::Result<(), #krate::BoxError> {
                <Self as #krate::ReadModel<__Conn>>::#method(self, db).await
            }
        }
    });
    methods.into_iter().collect()
}
