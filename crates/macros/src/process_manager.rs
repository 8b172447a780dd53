//! `derive(ProcessManager)`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::meta::ParseNestedMeta;
use syn::{DeriveInput, Error, Ident, LitStr, Path, Result, Type};

use crate::attributes::{self, at, located, root};
use crate::event_set::{self, match_ref};
use crate::lists::{self, Entry, list, refuse_twice};

const KEYS: &[&str] = &[
    "name",
    "id",
    "events",
    "timer",
    "version",
    "state_version",
    "options",
    "on_failure",
    "on_command_failure",
    "apply_command_failure",
    "migrate",
    "crate",
];

/// Makes the enum of its events, and implements `ProcessManager`.
pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    attributes::refuse_generics(input, "a process manager")?;
    let expansion = Expansion::new(input)?;
    let (events, implementation) = (expansion.events(), expansion.implement());
    Ok(quote! { #events #implementation })
}

/// The attribute, as it was given.
#[derive(Default)]
struct Given {
    krate: Option<Path>,
    name: Option<LitStr>,
    id: Option<Type>,
    events: Vec<Entry>,
    timer: Option<Type>,
    version: Option<u32>,
    state_version: Option<u32>,
    options: Option<Path>,
    on_failure: Option<Path>,
    on_command_failure: Option<Path>,
    apply_command_failure: Option<Path>,
    migrate: Option<Path>,
}

impl Given {
    fn read(&mut self, key: &str, meta: &ParseNestedMeta<'_>) -> Result<()> {
        match key {
            "name" => self.name = Some(name(meta)?),
            "id" => self.id = Some(attributes::value(meta)?),
            "events" => self.events = list(meta)?,
            "timer" => self.timer = Some(attributes::value(meta)?),
            "version" => self.version = Some(attributes::number(meta)?),
            "state_version" => self.state_version = Some(attributes::number(meta)?),
            "options" => self.options = Some(attributes::value(meta)?),
            "on_failure" => self.on_failure = Some(attributes::value(meta)?),
            "on_command_failure" => self.on_command_failure = Some(attributes::value(meta)?),
            "apply_command_failure" => self.apply_command_failure = Some(attributes::value(meta)?),
            "migrate" => self.migrate = Some(attributes::value(meta)?),
            _ => self.krate = Some(attributes::value(meta)?),
        }
        Ok(())
    }
}

fn name(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    let name = attributes::name(meta)?;
    if name.value().starts_with('$') {
        let message = "a name cannot begin with `$`: such names are the framework's own";
        return Err(Error::new(name.span(), message));
    }
    Ok(name)
}

/// All that the pieces of the expansion share.
struct Expansion<'a> {
    input: &'a DeriveInput,
    krate: Path,
    name: LitStr,
    id: Type,
    given: Given,
    /// The name of the enum of its events.
    set: Ident,
}

impl<'a> Expansion<'a> {
    fn new(input: &'a DeriveInput) -> Result<Self> {
        let mut given = Given::default();
        attributes::read(&input.attrs, "process_manager", KEYS, |key, meta| {
            given.read(key, meta)
        })?;
        refuse_twice(given.events.iter())?;
        let ident = &input.ident;
        let missing = |what: &str| Error::new(ident.span(), format!("`{ident}` {what}"));
        let nameless = "has no name to remember it by: add `#[process_manager(name = \"..\")]`";
        let unidentified = "does not say what tells its instances apart: add `id = Type`";
        Ok(Self {
            krate: root(given.krate.take()),
            name: given.name.take().ok_or_else(|| missing(nameless))?,
            id: given.id.take().ok_or_else(|| missing(unidentified))?,
            set: format_ident!("{ident}Event"),
            given,
            input,
        })
    }

    /// The enum of its events.
    fn events(&self) -> TokenStream {
        let (krate, set, entries) = (&self.krate, &self.set, &self.given.events);
        let (vis, ident) = (&self.input.vis, &self.input.ident);
        let doc = format!("The events that `{ident}` processes.");
        let definition = lists::define(vis, set, &doc, entries);
        let implementation = event_set::of_entries(krate, set, entries);
        let conversions = entries
            .iter()
            .map(|Entry { path, variant }| event_set::convert(set, variant, path));
        quote! {
            #definition
            #implementation
            #(#conversions)*
        }
    }

    fn implement(&self) -> TokenStream {
        let (krate, ident, name) = (&self.krate, &self.input.ident, &self.name);
        let vis = &self.input.vis;
        let (items, timers, hooks) = (self.items(), self.timers(), self.hooks());
        let (route, handle, apply) = (self.route(), self.handle(), self.apply());
        quote! {
            #[automatically_derived]
            impl #ident {
                /// The name under which it is remembered how far it has come.
                #[allow(dead_code)]
                #vis const NAME: &'static ::core::primitive::str = #name;
            }

            #[automatically_derived]
            impl #krate::ProcessManager for #ident {
                #items
                #route
                #handle
                #apply
                #timers
                #hooks
            }
        }
    }

    fn items(&self) -> TokenStream {
        let (krate, name, id, set) = (&self.krate, &self.name, &self.id, &self.set);
        let version = self.given.version.unwrap_or(1);
        let state_version = self.given.state_version.unwrap_or(1);
        let timer = match &self.given.timer {
            Some(timer) => quote! { #timer },
            None => quote! { #krate::NoTimer },
        };
        quote! {
            const NAME: &'static ::core::primitive::str = #name;
            const VERSION: ::core::primitive::u32 = #version;
            const STATE_VERSION: ::core::primitive::u32 = #state_version;
            type Id = #id;
            type Events = #set;
            type Timer = #timer;
        }
    }

    /// A match over the events, with a call of `Process` for each.
    fn each(&self, method: &str, arguments: &TokenStream) -> TokenStream {
        let (set, method) = (&self.set, format_ident!("{method}"));
        let arms = self.given.events.iter().map(|Entry { path, variant }| {
            let place = located(path);
            let krate = at(&self.krate, place);
            let call = quote_spanned! {place=>
                <Self as #krate::Process<#path>>::#method(#arguments)
            };
            quote! { #set::#variant(event) => #call }
        });
        match_ref(&quote! { event }, &arms.collect::<Vec<_>>())
    }

    fn route(&self) -> TokenStream {
        let krate = &self.krate;
        let body = self.each("route", &quote! { event, context });
        quote! {
            fn route(
                event: &Self::Events,
                context: &#krate::EventContext,
            ) -> #krate::Route<Self::Id> {
                let _ = context;
                #body
            }
        }
    }

    fn handle(&self) -> TokenStream {
        let krate = &self.krate;
        let body = self.each("handle", &quote! { self, event, context });
        quote! {
            fn handle(
                &self,
                event: &Self::Events,
                context: &#krate::ProcessContext,
            ) -> #krate::Reaction<Self> {
                let _ = context;
                #body
            }
        }
    }

    fn apply(&self) -> TokenStream {
        let body = self.each("apply", &quote! { self, event });
        quote! {
            fn apply(&mut self, event: &Self::Events) {
                #body
            }
        }
    }

    fn timers(&self) -> Option<TokenStream> {
        let krate = &self.krate;
        self.given.timer.as_ref().map(|timer| {
            let place = located(timer);
            let here = at(krate, place);
            let on_timer = quote_spanned! {place=>
                <Self as #here::OnTimer<#timer>>::on_timer(self, timer, context)
            };
            let apply = quote_spanned! {place=>
                <Self as #here::OnTimer<#timer>>::apply_timer(self, timer)
            };
            quote! {
                fn on_timer(
                    &self,
                    timer: &Self::Timer,
                    context: &#krate::TimerContext,
                ) -> #krate::Reaction<Self> {
                    #on_timer
                }

                fn apply_timer(&mut self, timer: &Self::Timer) {
                    #apply
                }
            }
        })
    }

    /// The methods that call the user's functions.
    fn hooks(&self) -> TokenStream {
        let krate = &self.krate;
        let options = self.given.options.iter().map(|options| {
            quote! {
                fn options() -> #krate::ProcessOptions {
                    #options()
                }
            }
        });
        let on_failure = self.given.on_failure.iter().map(|on_failure| {
            quote! {
                fn on_failure(failure: &#krate::Failure) -> #krate::FailureAction {
                    #on_failure(failure)
                }
            }
        });
        let migrate = self.given.migrate.iter().map(|migrate| {
            quote! {
                fn migrate(
                    version: ::core::primitive::u32,
                    state: #krate::__private::serde_json::Value,
                ) -> ::core::option::Option<Self> {
                    #migrate(version, state)
                }
            }
        });
        let commands = self.command_hooks();
        quote! { #(#options)* #(#on_failure)* #(#migrate)* #commands }
    }

    fn command_hooks(&self) -> TokenStream {
        let krate = &self.krate;
        let on_failure = self.given.on_command_failure.iter().map(|on_failure| {
            quote! {
                fn on_command_failure(
                    &self,
                    failure: &#krate::CommandFailure,
                ) -> #krate::CommandAction<Self> {
                    #on_failure(self, failure)
                }
            }
        });
        let apply = self.given.apply_command_failure.iter().map(|apply| {
            quote! {
                fn apply_command_failure(&mut self, failure: &#krate::CommandFailure) {
                    #apply(self, failure)
                }
            }
        });
        quote! { #(#on_failure)* #(#apply)* }
    }
}
