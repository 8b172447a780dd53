//! The items of `impl Aggregate`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Ident, Result};

use super::Expansion;
use super::options::{Given, Snapshot};
use super::tolerance::{Tolerance, find};
use crate::attributes::{at, located};
use crate::command_set::as_command;
use crate::event_set::match_ref;
use crate::lists::Entry;

impl Expansion<'_> {
    /// The constants and types.
    pub(super) fn items(&self) -> TokenStream {
        let krate = &self.options.krate;
        let (id, error) = (&self.id, &self.options.error);
        let (command_set, event_set) = (&self.command_set, &self.event_set);
        let category = &self.options.category;
        let snapshots = self
            .given()
            .snapshot
            .iter()
            .map(|snapshot| self.snapshots(snapshot));
        let unlisted = self.given().ignores_unlisted.then(|| {
            quote! {
                const UNLISTED_EVENTS: #krate::UnlistedEvents = #krate::UnlistedEvents::Ignore;
            }
        });
        quote! {
            const CATEGORY: &'static ::core::primitive::str = #category;
            #(#snapshots)*
            #unlisted
            type Id = #id;
            type Command = #command_set;
            type Event = #event_set;
            type Error = #error;
        }
    }

    fn snapshots(&self, Snapshot { every, version }: &Snapshot) -> TokenStream {
        let place = located(&self.input.ident);
        let krate = at(&self.options.krate, place);
        quote_spanned! {place=>
            const SNAPSHOTS: ::core::option::Option<#krate::Snapshots<Self>> =
                ::core::option::Option::Some(#krate::Snapshots::every(#every).version(#version));
        }
    }

    /// The methods.
    pub(super) fn methods(&self) -> TokenStream {
        let all = [
            Some(self.new_state()),
            self.existence(),
            self.outside_existence(),
            self.tolerates(),
            Some(self.execute()),
            Some(self.apply()),
            self.lifespan(),
            self.outside_commands(),
        ];
        all.into_iter().flatten().collect()
    }

    fn new_state(&self) -> TokenStream {
        let place = located(&self.input.ident);
        match &self.given().new {
            Some(new) => quote! {
                fn new(id: &Self::Id) -> Self {
                    #new(id)
                }
            },
            None => quote_spanned! {place=>
                fn new(_id: &Self::Id) -> Self {
                    <Self as ::core::default::Default>::default()
                }
            },
        }
    }

    fn existence(&self) -> Option<TokenStream> {
        let krate = &self.options.krate;
        let (set, commands) = (&self.command_set, &self.given().commands);
        let arms = commands.iter().map(|entry| {
            let (variant, existence) = (&entry.variant, self.existence.of(krate, entry));
            quote! { #set::#variant(_) => #existence }
        });
        self.existence.concerns(commands).then(|| {
            quote! {
                fn existence(command: &Self::Command) -> #krate::Existence {
                    match command { #(#arms,)* }
                }
            }
        })
    }

    fn outside_existence(&self) -> Option<TokenStream> {
        let krate = &self.options.krate;
        let outside = &self.given().outside;
        let arms = outside.iter().map(|entry| {
            let existence = self.existence.of(krate, entry);
            let command = as_command(krate, &entry.path);
            quote! { #command::NAME => #existence }
        });
        self.existence.concerns(outside).then(|| {
            quote! {
                fn outside_existence(name: &::core::primitive::str) -> #krate::Existence {
                    match name {
                        #(#arms,)*
                        _ => #krate::Existence::Any,
                    }
                }
            }
        })
    }

    fn tolerates(&self) -> Option<TokenStream> {
        let tolerated = &self.tolerated;
        (!tolerated.is_empty()).then(|| {
            quote! {
                fn tolerates(
                    command: &Self::Command,
                    foreign: &Self::Event,
                ) -> ::core::primitive::bool {
                    ::core::matches!((command, foreign), #(#tolerated)|*)
                }
            }
        })
    }

    fn execute(&self) -> TokenStream {
        let (krate, set) = (&self.options.krate, &self.command_set);
        let arms = self.given().commands.iter().map(|Entry { path, variant }| {
            let place = located(path);
            let krate = at(krate, place);
            let execute = quote_spanned! {place=>
                <Self as #krate::ExecuteWith<#path>>::execute_with(self, command, context)
            };
            quote! { #set::#variant(command) => #execute }
        });
        let body = match_ref(&quote! { command }, &arms.collect::<Vec<_>>());
        quote! {
            fn execute(
                &self,
                command: &Self::Command,
                context: &#krate::Context<'_, Self>,
            ) -> #krate::Decision<Self> {
                let _ = context;
                #body
            }
        }
    }

    fn apply(&self) -> TokenStream {
        let (krate, set) = (&self.options.krate, &self.event_set);
        let arms = self.given().events.iter().map(|Entry { path, variant }| {
            let place = located(path);
            let krate = at(krate, place);
            let apply = quote_spanned! {place=>
                <Self as #krate::Apply<#path>>::apply(self, event)
            };
            quote! { #set::#variant(event) => #apply }
        });
        let body = match_ref(&quote! { event }, &arms.collect::<Vec<_>>());
        quote! {
            fn apply(&mut self, event: &Self::Event) {
                #body
            }
        }
    }

    fn lifespan(&self) -> Option<TokenStream> {
        let krate = &self.options.krate;
        self.given().lifespan.as_ref().map(|lifespan| {
            quote! {
                fn lifespan(&self, after: #krate::After<'_, Self>) -> #krate::Lifespan {
                    #lifespan(self, after)
                }
            }
        })
    }

    fn outside_commands(&self) -> Option<TokenStream> {
        let krate = &self.options.krate;
        let outside = &self.given().outside;
        let routes = outside.iter().map(|Entry { path, .. }| {
            let place = located(path);
            let krate = at(krate, place);
            quote_spanned! {place=> #krate::OutsideRoute::of::<#path>() }
        });
        (!outside.is_empty()).then(|| {
            quote! {
                fn outside_commands() -> ::std::vec::Vec<#krate::OutsideRoute<Self>> {
                    ::std::vec::Vec::from([#(#routes),*])
                }
            }
        })
    }
}

/// The patterns of what is tolerated.
pub(super) fn tolerated(
    given: &Given,
    command_set: &Ident,
    event_set: &Ident,
) -> Result<Vec<TokenStream>> {
    let pattern = |Tolerance { command, events }: &Tolerance| {
        let unknown = "is not among the commands it decides: list it in `commands(..)`";
        let command = &find(command, given.commands.iter(), unknown)?.variant;
        let events = events.iter().map(|event| {
            let unknown = "is not among its events: list it in `events(..)`";
            find(event, given.events.iter(), unknown).map(|entry| &entry.variant)
        });
        let events = events.collect::<Result<Vec<_>>>()?;
        Ok(quote! { (#command_set::#command(_), #(#event_set::#events(_))|*) })
    };
    given.tolerates.iter().map(pattern).collect()
}
