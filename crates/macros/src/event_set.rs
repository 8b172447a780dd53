//! `derive(EventSet)`, and the set behind `derive(Aggregate)`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Data, DataEnum, DeriveInput, Error, Fields, Ident, Path, Result, Type, Variant};

use crate::attributes::{self, at, located, root};
use crate::lists::{self, Entry};
use crate::payload::Payload;
use crate::stored_type::StoredType;

/// Implements `EventSet` for an enum of the user's.
pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    attributes::refuse_generics(input, "a set of events")?;
    let krate = krate(input)?;
    let variants = &data(input)?.variants;
    let members = variants
        .iter()
        .map(|variant| member(&krate, input, variant));
    let set = implement(
        &krate,
        &input.ident,
        located(&input.ident),
        &members.collect::<Result<Vec<_>>>()?,
    );
    let conversions = variants.iter().filter_map(|variant| {
        let ty = newtype(&variant.fields)?;
        Some(convert(&input.ident, &variant.ident, ty))
    });
    Ok(quote! { #set #(#conversions)* })
}

fn krate(input: &DeriveInput) -> Result<Path> {
    let mut krate = None;
    attributes::read(&input.attrs, "event", &["crate"], |_, meta| {
        krate = Some(attributes::value(meta)?);
        Ok(())
    })?;
    Ok(root(krate))
}

fn data(input: &DeriveInput) -> Result<&DataEnum> {
    match &input.data {
        Data::Enum(data) => Ok(data),
        _ => {
            let message = "a set of events is an enum; for one event there is `derive(Event)`";
            Err(Error::new(input.ident.span(), message))
        }
    }
}

fn newtype(fields: &Fields) -> Option<&Type> {
    match fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
            fields.unnamed.first().map(|field| &field.ty)
        }
        _ => None,
    }
}

fn member(krate: &Path, input: &DeriveInput, variant: &Variant) -> Result<Member> {
    let ident = &variant.ident;
    match (&variant.fields, newtype(&variant.fields)) {
        (_, Some(ty)) => {
            refuse_attributes(variant)?;
            Ok(Member::of_type(krate, ident, ty))
        }
        (Fields::Unnamed(_), None) => {
            let message = format!("`{ident}` needs named fields, or one value that is an `Event`");
            Err(Error::new(ident.span(), message))
        }
        _ => Ok(Member {
            event_type: stored_type(variant)?.to_event_type(krate, ident),
            payload: Payload::object(krate, &input.attrs, variant),
        }),
    }
}

fn refuse_attributes(variant: &Variant) -> Result<()> {
    match variant
        .attrs
        .iter()
        .find(|attribute| attribute.path().is_ident("event"))
    {
        Some(attribute) => {
            let message = "the name and version of this event are those of its type: say it there";
            Err(Error::new_spanned(attribute, message))
        }
        None => Ok(()),
    }
}

fn stored_type(variant: &Variant) -> Result<StoredType> {
    let mut stored = StoredType::default();
    attributes::read(&variant.attrs, "event", &StoredType::KEYS, |key, meta| {
        stored.read(key, meta)
    })?;
    stored.check(&variant.ident)?;
    Ok(stored)
}

/// One event type of a set.
struct Member {
    event_type: TokenStream,
    payload: Payload,
}

impl Member {
    /// A variant that holds a type that is an `Event`.
    fn of_type(krate: &Path, variant: &Ident, ty: &impl ToTokens) -> Self {
        let place = located(variant);
        let krate = at(krate, place);
        Self {
            event_type: quote_spanned! {place=> #krate::EventType::of::<#ty>() },
            payload: Payload::newtype(variant, ty),
        }
    }
}

/// `EventSet` for the enum of what an attribute lists.
pub(crate) fn of_entries(krate: &Path, set: &Ident, entries: &[Entry]) -> TokenStream {
    let members = entries
        .iter()
        .map(|Entry { path, variant }| Member::of_type(krate, variant, path));
    let place = lists::place(entries.first(), set);
    implement(krate, set, place, &members.collect::<Vec<_>>())
}

/// The conversion of one event into the set.
pub(crate) fn convert(set: &Ident, variant: &Ident, ty: &impl ToTokens) -> TokenStream {
    quote! {
        #[automatically_derived]
        impl ::core::convert::From<#ty> for #set {
            fn from(event: #ty) -> Self {
                Self::#variant(event)
            }
        }
    }
}

/// `EventSet`, and the set's conversion into the `Events` of its aggregate.
fn implement(krate: &Path, set: &Ident, place: Span, members: &[Member]) -> TokenStream {
    let types = members.iter().map(|member| &member.event_type);
    let definitions = members.iter().map(|member| &member.payload.definitions);
    let (event_type, encode) = (event_type(krate, members), encode(krate, members));
    let (decode, visit) = (decode(krate, members), visit(krate, members));
    let distinct = distinct(krate, set, place);
    quote! {
        const _: () = {
            #(#definitions)*

            #[automatically_derived]
            impl #krate::EventSet for #set {
                const TYPES: &'static [#krate::EventType] = &[#(#types),*];

                #event_type
                #encode
                #decode
                #visit
            }

            #[automatically_derived]
            impl<__A> ::core::convert::From<#set> for #krate::Events<__A>
            where
                __A: #krate::Aggregate<Event = #set>,
            {
                fn from(event: #set) -> Self {
                    Self::one(event)
                }
            }
        };

        #distinct
    }
}

fn distinct(krate: &Path, set: &Ident, place: Span) -> TokenStream {
    let krate = at(krate, place);
    quote_spanned! {place=>
        const _: () = ::core::assert!(
            #krate::__private::distinct(<#set as #krate::EventSet>::TYPES),
            "two of the listed events have the same stored name"
        );
    }
}

/// A match on a reference to a set, which may be empty.
pub(crate) fn match_ref(on: &TokenStream, arms: &[TokenStream]) -> TokenStream {
    match arms {
        [] => quote! { match *#on {} },
        _ => quote! { match #on { #(#arms,)* } },
    }
}

fn types(krate: &Path) -> TokenStream {
    quote! { <Self as #krate::EventSet>::TYPES }
}

fn event_type(krate: &Path, members: &[Member]) -> TokenStream {
    let types = types(krate);
    let arms = members.iter().enumerate().map(|(index, member)| {
        let any = &member.payload.any;
        quote! { #any => &#types[#index] }
    });
    let body = match_ref(&quote! { self }, &arms.collect::<Vec<_>>());
    quote! {
        fn event_type(&self) -> &'static #krate::EventType {
            #body
        }
    }
}

fn encode(krate: &Path, members: &[Member]) -> TokenStream {
    let arms = members.iter().map(|Member { payload, .. }| {
        let (borrow, view) = (&payload.borrow, &payload.view);
        quote! { #borrow => __codec.encode(#view) }
    });
    let body = match_ref(&quote! { self }, &arms.collect::<Vec<_>>());
    quote! {
        fn encode(
            &self,
            __codec: &#krate::Codec,
        ) -> ::core::result::Result<#krate::__private::Bytes, #krate::CodecError> {
            #body
        }
    }
}

fn decode(krate: &Path, members: &[Member]) -> TokenStream {
    let types = types(krate);
    let tries = members
        .iter()
        .enumerate()
        .map(|(index, Member { payload, .. })| {
            let (owned, build) = (&payload.owned, &payload.build);
            quote! {
                if #types[#index].is_called(raw.event_type) {
                    return ::core::option::Option::Some(raw.decode::<#owned>().map(#build));
                }
            }
        });
    quote! {
        fn decode(
            raw: &#krate::RawEvent<'_>,
        ) -> ::core::option::Option<::core::result::Result<Self, #krate::CodecError>> {
            #(#tries)*
            let _ = raw;
            ::core::option::Option::None
        }
    }
}

fn visit(krate: &Path, members: &[Member]) -> TokenStream {
    let types = types(krate);
    let visits = members
        .iter()
        .enumerate()
        .map(|(index, Member { payload, .. })| {
            let owned = &payload.owned;
            quote! {
                #krate::EventTypeVisitor::event_type::<#owned>(visitor, &#types[#index]);
            }
        });
    quote! {
        fn visit<__V: #krate::EventTypeVisitor>(visitor: &mut __V) {
            #(#visits)*
            let _ = visitor;
        }
    }
}
