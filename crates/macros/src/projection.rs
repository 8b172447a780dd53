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
    let reader = Reader::read(input, "projection", &["tables", "batches"])?;
    let (krate, ident) = (&reader.krate, &input.ident);
    let generics = on_any_connection(&reader);
    let (_, ty_generics, _) = input.generics.split_for_impl();
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let (beside, items) = (reader.beside(), reader.items());
    let tables = reader.has("tables").then(|| tables(&reader));
    let has_tables = reader.has("tables").then(|| has_tables(&reader));
    let project = match reader.has("batches") {
        true => project_batches(&reader),
        false => project_each(&reader),
    };
    Ok(quote! {
        #beside

        #[automatically_derived]
        impl #impl_generics #krate::Projection<__Conn> for #ident #ty_generics #where_clause {
            #items

            #project

            #tables
        }

        #has_tables
    })
}

/// The type's parameters and the connection, on which every listed event has to be projected.
fn on_any_connection(reader: &Reader<'_>) -> Generics {
    let krate = &reader.krate;
    let mut generics = reader.input.generics.clone();
    generics.params.push(parse_quote!(__Conn));
    let bounds = &mut generics.make_where_clause().predicates;
    bounds.push(parse_quote!(__Conn: ::core::marker::Send));
    if reader.has("tables") {
        bounds.push(parse_quote!(Self: #krate::ReadModel<__Conn>));
    }
    if reader.has("batches") {
        let set = reader.set();
        bounds.push(parse_quote!(Self: #krate::ProjectBatch<#set, __Conn>));
        return generics;
    }
    for Entry { path, .. } in &reader.events {
        let place = located(path);
        let krate = at(krate, place);
        bounds.push(parse_quote_spanned!(place=> Self: #krate::Project<#path, __Conn>));
    }
    generics
}

/// Each event by the `Project` of its type.
fn project_each(reader: &Reader<'_>) -> TokenStream {
    let project = reader.match_event(|krate, event| {
        quote_spanned! {located(event)=>
            <Self as #krate::Project<#event, __Conn>>::project(self, event, context, db).await
        }
    });
    project_one(reader, &project)
}

/// All events by `ProjectBatch`.
fn project_batches(reader: &Reader<'_>) -> TokenStream {
    let (krate, set) = (&reader.krate, reader.set());
    let project = quote! {
        let events = [#krate::Projected { event, context }];
        <Self as #krate::ProjectBatch<#set, __Conn>>::project_batch(self, &events, db).await
    };
    let one = project_one(reader, &project);
    quote! {
        #one

        async fn project_batch(
            &self,
            events: &[#krate::Projected<'_, Self::Events>],
            db: &mut __Conn,
        ) -> ::core::result::Result<(), #krate::BoxError> {
            <Self as #krate::ProjectBatch<#set, __Conn>>::project_batch(self, events, db).await
        }
    }
}

fn project_one(reader: &Reader<'_>, project: &TokenStream) -> TokenStream {
    let krate = &reader.krate;
    quote! {
        async fn project(
            &self,
            event: &Self::Events,
            context: &#krate::EventContext,
            db: &mut __Conn,
        ) -> ::core::result::Result<(), #krate::BoxError> {
            #project
        }
    }
}

/// Says that a `ReadModel` is not written in vain.
fn has_tables(reader: &Reader<'_>) -> TokenStream {
    let (krate, ident) = (&reader.krate, &reader.input.ident);
    let (impl_generics, ty_generics, where_clause) = reader.input.generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #impl_generics #krate::__private::HasTables for #ident #ty_generics #where_clause {}
    }
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
