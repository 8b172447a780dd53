//! `derive(CommandSet)`, and the set behind `derive(Aggregate)`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Data, DeriveInput, Error, Field, Fields, Ident, Path, Result, Type, Variant};

use crate::attributes::{self, at, located, root};
use crate::command::{Checks, Named, fingerprint_method, validate_method};
use crate::event_set::match_ref;
use crate::payload::Payload;

/// Implements `CommandSet` for an enum of the user's, and routes it to its aggregate.
pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    attributes::refuse_generics(input, "a set of commands")?;
    let Data::Enum(data) = &input.data else {
        let message = "a set of commands is an enum; for one command there is `derive(Command)`";
        return Err(Error::new(input.ident.span(), message));
    };
    let options = Options::read(input)?;
    let Options {
        krate,
        id,
        aggregate,
        checks,
    } = &options;
    let ids = data.variants.iter().map(|variant| id_field(variant, id));
    let ids = ids.collect::<Result<Vec<_>>>()?;
    let Some(&id_type) = ids.first() else {
        let message = format!("`{}` has no commands", input.ident);
        return Err(Error::new(input.ident.span(), message));
    };
    let members = data
        .variants
        .iter()
        .zip(&ids)
        .map(|(variant, ty)| member(krate, input, variant, id, &id_type.ty, ty));
    let members = members.collect::<Result<Vec<_>>>()?;
    let set = implement(
        krate,
        &input.ident,
        &id_type.ty,
        &members,
        &checks.methods(krate),
    );
    let route = route(krate, &input.ident, aggregate);
    let distinct = distinct(
        krate,
        located(&input.ident),
        members.iter().map(|member| &member.name),
    );
    Ok(quote! { #set #route #distinct })
}

struct Options {
    krate: Path,
    id: Ident,
    aggregate: Type,
    checks: Checks,
}

impl Options {
    fn read(input: &DeriveInput) -> Result<Self> {
        let (mut krate, mut id, mut aggregate) = (None, None, None);
        let mut checks = Checks::default();
        let keys = ["id", "aggregate", "validate", "fingerprint", "crate"];
        attributes::read(&input.attrs, "command", &keys, |key, meta| {
            match key {
                "id" => id = Some(attributes::value(meta)?),
                "aggregate" => aggregate = Some(attributes::value(meta)?),
                "crate" => krate = Some(attributes::value(meta)?),
                _ => checks.read(key, meta)?,
            }
            Ok(())
        })?;
        let ident = &input.ident;
        let missing = |what| Error::new(ident.span(), format!("`{ident}` does not say {what}"));
        Ok(Self {
            krate: root(krate),
            id: id.ok_or_else(|| missing(ID_MISSING))?,
            aggregate: aggregate.ok_or_else(|| missing(AGGREGATE_MISSING))?,
            checks,
        })
    }
}

const ID_MISSING: &str = "which field of its commands is the id: add `#[command(id = field)]`";
const AGGREGATE_MISSING: &str = "whose commands they are: add `#[command(aggregate = Type)]`";

fn id_field<'a>(variant: &'a Variant, id: &Ident) -> Result<&'a Field> {
    let ident = &variant.ident;
    let Fields::Named(fields) = &variant.fields else {
        let message = format!("`{ident}` needs named fields, one of them `{id}`");
        return Err(Error::new(ident.span(), message));
    };
    let field = fields
        .named
        .iter()
        .find(|field| field.ident.as_ref() == Some(id));
    field.ok_or_else(|| {
        let message = format!("`{ident}` has no field `{id}` to say which aggregate it is for");
        Error::new(ident.span(), message)
    })
}

fn member(
    krate: &Path,
    input: &DeriveInput,
    variant: &Variant,
    id: &Ident,
    id_type: &Type,
    field: &Field,
) -> Result<Member> {
    let mut named = Named::default();
    attributes::read(
        &variant.attrs,
        "command",
        &["name", "version"],
        |key, meta| named.read(key, meta),
    )?;
    let ident = &variant.ident;
    let place = located(&field.ty);
    let same = same_id(krate, id_type, place, &quote_spanned! {place=> id });
    Ok(Member {
        name: named.name(ident).to_token_stream(),
        version: named.version().to_token_stream(),
        id: quote! { Self::#ident { #id: id, .. } => #same },
        payload: Payload::object(krate, &input.attrs, variant),
    })
}

fn route(krate: &Path, set: &Ident, aggregate: &Type) -> TokenStream {
    quote! {
        #[automatically_derived]
        impl #krate::CommandOf<#aggregate> for #set {
            fn route(self) -> #krate::Routed<#aggregate> {
                #krate::Routed::Decide(self)
            }
        }
    }
}

/// One command of a set.
pub(crate) struct Member {
    name: TokenStream,
    version: TokenStream,
    id: TokenStream,
    payload: Payload,
}

impl Member {
    /// A variant that holds a type that is a `Command`.
    pub(crate) fn of_type(
        krate: &Path,
        variant: &Ident,
        ty: &impl ToTokens,
        id_type: &TokenStream,
    ) -> Self {
        let command = as_command(krate, ty);
        let place = located(variant);
        let id = quote_spanned! {place=> #command::id(payload) };
        let same = same_id(krate, id_type, place, &id);
        Self {
            name: quote! { #command::NAME },
            version: quote! { #command::VERSION },
            id: quote! { Self::#variant(payload) => #same },
            payload: Payload::newtype(variant, ty),
        }
    }
}

/// `<C as Command>`, at the place of `C`.
pub(crate) fn as_command(krate: &Path, ty: &impl ToTokens) -> TokenStream {
    let place = located(&ty.to_token_stream());
    let krate = at(krate, place);
    quote_spanned! {place=> <#ty as #krate::Command> }
}

/// The id, if it is of the aggregate's type.
pub(crate) fn same_id(
    krate: &Path,
    id_type: &impl ToTokens,
    place: Span,
    id: &TokenStream,
) -> TokenStream {
    let krate = at(krate, place);
    quote_spanned! {place=> #krate::__private::SameId::<#id_type>::same(#id) }
}

/// What listed commands say about themselves: the methods that ask each of them.
pub(crate) fn ask_each(krate: &Path, commands: &[(&Ident, TokenStream)]) -> TokenStream {
    let ask = |method: TokenStream| {
        let arms = commands.iter().map(|(variant, command)| {
            quote! { Self::#variant(payload) => #command::#method(payload) }
        });
        match_ref(&quote! { self }, &arms.collect::<Vec<_>>())
    };
    let validate = validate_method(krate, &ask(quote! { validate }));
    let fingerprint = fingerprint_method(&ask(quote! { fingerprint }));
    quote! { #validate #fingerprint }
}

/// `CommandSet`.
pub(crate) fn implement(
    krate: &Path,
    set: &Ident,
    id_type: &impl ToTokens,
    members: &[Member],
    checks: &TokenStream,
) -> TokenStream {
    let names = members.iter().map(|member| &member.name);
    let definitions = members.iter().map(|member| &member.payload.definitions);
    let (getters, json) = (getters(id_type, members), json(krate, members));
    quote! {
        const _: () = {
            #(#definitions)*

            #[automatically_derived]
            impl #krate::CommandSet<#id_type> for #set {
                const NAMES: &'static [&'static ::core::primitive::str] = &[#(#names),*];

                #getters
                #json
                #checks
            }
        };
    }
}

/// The assertion that no two of the names are equal.
pub(crate) fn distinct<'a>(
    krate: &Path,
    place: Span,
    names: impl Iterator<Item = &'a TokenStream>,
) -> TokenStream {
    let krate = at(krate, place);
    quote_spanned! {place=>
        const _: () = ::core::assert!(
            #krate::__private::distinct_names(&[#(#names),*]),
            "two of the listed commands have the same name"
        );
    }
}

fn getters(id_type: &impl ToTokens, members: &[Member]) -> TokenStream {
    let each = |arm: fn(&Member) -> TokenStream| {
        match_ref(
            &quote! { self },
            &members.iter().map(arm).collect::<Vec<_>>(),
        )
    };
    let id = each(|member| member.id.clone());
    let name = each(|Member { payload, name, .. }| arm(&payload.any, name));
    let version = each(
        |Member {
             payload, version, ..
         }| arm(&payload.any, version),
    );
    quote! {
        fn id(&self) -> &#id_type {
            #id
        }

        fn name(&self) -> &'static ::core::primitive::str {
            #name
        }

        fn version(&self) -> ::core::primitive::u32 {
            #version
        }
    }
}

fn arm(pattern: &TokenStream, value: &TokenStream) -> TokenStream {
    quote! { #pattern => #value }
}

fn json(krate: &Path, members: &[Member]) -> TokenStream {
    let json = quote! { #krate::__private::serde_json };
    let reads = members.iter().map(|Member { name, payload, .. }| {
        let (owned, build) = (&payload.owned, &payload.build);
        quote! {
            #name => ::core::option::Option::Some(
                #json::from_value::<#owned>(__body).map(#build),
            )
        }
    });
    let writes = members.iter().map(|Member { payload, .. }| {
        let (borrow, view) = (&payload.borrow, &payload.view);
        quote! { #borrow => #json::to_value(#view) }
    });
    let write = match_ref(&quote! { self }, &writes.collect::<Vec<_>>());
    quote! {
        fn from_json(
            __name: &::core::primitive::str,
            __body: #json::Value,
        ) -> ::core::option::Option<::core::result::Result<Self, #json::Error>> {
            match __name {
                #(#reads,)*
                _ => ::core::option::Option::None,
            }
        }

        fn to_json(&self) -> ::core::result::Result<#json::Value, #json::Error> {
            #write
        }
    }
}
