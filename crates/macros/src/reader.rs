//! What the derives of handlers and projections have in common.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::meta::ParseNestedMeta;
use syn::{DeriveInput, Error, Ident, LitStr, Path, Result};

use crate::attributes::{self, at, located, root};
use crate::event_set;
use crate::lists::{self, Entry, list, refuse_twice};

const KEYS: [&str; 7] = [
    "name",
    "version",
    "events",
    "options",
    "ordering",
    "on_failure",
    "crate",
];

/// A type that reads events, and what its attribute says.
pub(crate) struct Reader<'a> {
    pub(crate) input: &'a DeriveInput,
    pub(crate) krate: Path,
    pub(crate) events: Vec<Entry>,
    name: LitStr,
    /// The name of the enum of its events.
    set: Ident,
    given: Given,
}

/// The attribute, as it was given.
#[derive(Default)]
struct Given {
    krate: Option<Path>,
    name: Option<LitStr>,
    version: Option<TokenStream>,
    events: Vec<Entry>,
    options: Option<Path>,
    ordering: Option<Path>,
    on_failure: Option<Path>,
    /// The words that are there, of those that this attribute takes.
    flags: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Reads the attribute, which takes these words beside what they all take.
    pub(crate) fn read(input: &'a DeriveInput, attribute: &str, flags: &[&str]) -> Result<Self> {
        attributes::refuse_lifetimes(input, "what reads events")?;
        let keys: Vec<_> = KEYS.iter().chain(flags).copied().collect();
        let mut given = Given::default();
        attributes::read(&input.attrs, attribute, &keys, |key, meta| {
            given.read(key, meta)
        })?;
        refuse_twice(given.events.iter())?;
        let ident = &input.ident;
        let missing = |what: &str, cure: &str| {
            let message = format!("`{ident}` has no {what}: add `#[{attribute}({cure})]`");
            Error::new(ident.span(), message)
        };
        let nameless = "name to remember under how far it has come";
        let name = given.name.take();
        let name = name.ok_or_else(|| missing(nameless, "name = \"..\""))?;
        if given.events.is_empty() {
            return Err(missing("events", "events(..)"));
        }
        Ok(Self {
            input,
            krate: root(given.krate.take()),
            events: std::mem::take(&mut given.events),
            name,
            set: format_ident!("{ident}Event"),
            given,
        })
    }

    /// Whether this word is there.
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.given.flags.iter().any(|given| given == flag)
    }

    /// The name of the enum of its events.
    pub(crate) fn set(&self) -> &Ident {
        &self.set
    }

    /// The enum of its events, and the name as a constant of the type itself: that of a trait with
    /// parameters could not be named without them.
    pub(crate) fn beside(&self) -> TokenStream {
        let Self { krate, set, .. } = self;
        let (vis, ident, name) = (&self.input.vis, &self.input.ident, &self.name);
        let (impl_generics, ty_generics, where_clause) = self.input.generics.split_for_impl();
        let doc = format!("The events of `{ident}`.");
        let definition = lists::define(vis, set, &doc, &self.events);
        let implementation = event_set::of_entries(krate, set, &self.events);
        let conversions = self
            .events
            .iter()
            .map(|Entry { path, variant }| event_set::convert(set, variant, path));
        quote! {
            #definition
            #implementation
            #(#conversions)*

            #[automatically_derived]
            impl #impl_generics #ident #ty_generics #where_clause {
                /// The name under which it is remembered how far it has come.
                #vis const NAME: &'static ::core::primitive::str = #name;
            }
        }
    }

    /// The constants, types and choices of the trait.
    pub(crate) fn items(&self) -> TokenStream {
        let set = &self.set;
        let version = self.given.version.as_ref().map(|version| {
            quote! { const VERSION: ::core::primitive::u32 = #version; }
        });
        let (options, ordering, on_failure) = (self.options(), self.ordering(), self.on_failure());
        quote! {
            const NAME: &'static ::core::primitive::str = Self::NAME;
            #version
            type Events = #set;
            #options
            #ordering
            #on_failure
        }
    }

    /// A match on `event` that hands what each variant holds to the method of its own trait.
    pub(crate) fn match_event(&self, call: impl Fn(&Path, &Path) -> TokenStream) -> TokenStream {
        let set = &self.set;
        let arms = self.events.iter().map(|Entry { path, variant }| {
            let krate = at(&self.krate, located(path));
            let call = call(&krate, path);
            quote! { #set::#variant(event) => #call }
        });
        event_set::match_ref(&quote! { event }, &arms.collect::<Vec<_>>())
    }

    fn options(&self) -> Option<TokenStream> {
        let krate = &self.krate;
        self.given.options.as_ref().map(|options| {
            quote! {
                fn options(&self) -> #krate::subscription::SubscriptionOptions {
                    #options(self)
                }
            }
        })
    }

    fn ordering(&self) -> TokenStream {
        let krate = &self.krate;
        let Some(ordering) = &self.given.ordering else {
            return quote! { const ORDERED_BY_STREAM: ::core::primitive::bool = true; };
        };
        quote! {
            fn ordering(
                &self,
                event: &Self::Events,
                context: &#krate::EventContext,
            ) -> #krate::Ordering {
                #ordering(self, event, context)
            }
        }
    }

    fn on_failure(&self) -> Option<TokenStream> {
        let krate = &self.krate;
        self.given.on_failure.as_ref().map(|on_failure| {
            quote! {
                fn on_failure(&self, failure: &#krate::Failure) -> #krate::FailureAction {
                    #on_failure(self, failure)
                }
            }
        })
    }
}

impl Given {
    fn read(&mut self, key: &str, meta: &ParseNestedMeta<'_>) -> Result<()> {
        match key {
            "name" => self.name = Some(attributes::name(meta)?),
            "version" => self.version = Some(attributes::constant(meta)?),
            "events" => self.events = list(meta)?,
            "options" => self.options = Some(attributes::value(meta)?),
            "ordering" => self.ordering = Some(attributes::value(meta)?),
            "on_failure" => self.on_failure = Some(attributes::value(meta)?),
            "crate" => self.krate = Some(attributes::value(meta)?),
            flag => self.flags.push(flag.to_owned()),
        }
        Ok(())
    }
}
