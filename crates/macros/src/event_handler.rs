//! `derive(EventHandler)`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{DeriveInput, Result};

use crate::attributes::located;
use crate::reader::Reader;

/// Makes the enum of the listed events, and hands each of them to its `Handle`.
pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let reader = Reader::read(input, "event_handler", &["replays"])?;
    let (krate, ident) = (&reader.krate, &input.ident);
    let (impl_generics, ty_generics, where_clause) = input.generics.split_for_impl();
    let (beside, items) = (reader.beside(), reader.items());
    let replays = reader.has("replays").then(|| {
        quote! { const REPLAYS: ::core::primitive::bool = true; }
    });
    let handle = reader.match_event(|krate, event| {
        quote_spanned! {located(event)=>
            <Self as #krate::Handle<#event>>::handle(self, event, context).await
        }
    });
    Ok(quote! {
        #beside

        #[automatically_derived]
        impl #impl_generics #krate::EventHandler for #ident #ty_generics #where_clause {
            #items
            #replays

            async fn handle(
                &self,
                event: &Self::Events,
                context: &#krate::EventContext,
            ) -> ::core::result::Result<(), #krate::BoxError> {
                #handle
            }
        }
    })
}
