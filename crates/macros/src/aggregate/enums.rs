//! The enums of the listed commands and events, and who belongs to the aggregate.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};

use super::Expansion;
use crate::attributes::{at, located};
use crate::command_set::{self, as_command};
use crate::event_set;
use crate::lists::{self, Entry};

impl Expansion<'_> {
    /// The enum of the commands that it decides, and the routes of all.
    pub(super) fn commands(&self) -> TokenStream {
        let krate = &self.options.krate;
        let doc = format!("The commands that `{}` decides.", self.input.ident);
        let vis = &self.input.vis;
        let definition = lists::define(vis, &self.command_set, &doc, &self.given().commands);
        let set = self.command_set();
        let own = self.own();
        let decided = self
            .given()
            .commands
            .iter()
            .map(|entry| self.decided(entry));
        let outside = self.given().outside.iter().map(|entry| self.outside(entry));
        let names: Vec<_> = self
            .given()
            .all_commands()
            .map(|entry| self.name(entry))
            .collect();
        let place = lists::place(self.given().all_commands().next(), &self.command_set);
        let distinct = command_set::distinct(krate, place, names.iter());
        quote! { #definition #set #own #(#decided)* #(#outside)* #distinct }
    }

    /// The enum of its events.
    pub(super) fn events(&self) -> TokenStream {
        let krate = &self.options.krate;
        let (set, entries) = (&self.event_set, &self.given().events);
        let doc = format!("The events of `{}`.", self.input.ident);
        let definition = lists::define(&self.input.vis, set, &doc, entries);
        let implementation = event_set::of_entries(krate, set, entries);
        let memberships = entries.iter().map(|entry| self.listed(entry));
        quote! { #definition #implementation #(#memberships)* }
    }

    fn command_set(&self) -> TokenStream {
        let (krate, id) = (&self.options.krate, &self.id);
        let commands = &self.given().commands;
        let members = commands
            .iter()
            .map(|Entry { path, variant }| command_set::Member::of_type(krate, variant, path, id));
        let asked = commands
            .iter()
            .map(|Entry { path, variant }| (variant, as_command(krate, path)));
        let checks = command_set::ask_each(krate, &asked.collect::<Vec<_>>());
        let members = members.collect::<Vec<_>>();
        command_set::implement(krate, &self.command_set, id, &members, &checks)
    }

    fn name(&self, entry: &Entry) -> TokenStream {
        let command = as_command(&self.options.krate, &entry.path);
        quote! { #command::NAME }
    }

    fn decided(&self, entry: &Entry) -> TokenStream {
        let (krate, set, variant) = (&self.options.krate, &self.command_set, &entry.variant);
        self.route(
            &entry.path,
            &quote! { #krate::Routed::Decide(#set::#variant(self)) },
        )
    }

    fn outside(&self, entry: &Entry) -> TokenStream {
        let place = located(&entry.path);
        let krate = &at(&self.options.krate, place);
        let command = as_command(krate, &entry.path);
        let id = quote_spanned! {place=> #command::id(&self) };
        let same = command_set::same_id(krate, &self.id, place, &id);
        let wrapped = quote_spanned! {place=> #krate::OutsideCommand::new(self) };
        self.route(
            &entry.path,
            &quote! {
                let _ = #same;
                #krate::Routed::Outside(#wrapped)
            },
        )
    }

    /// The enum itself is dispatched like what it holds.
    fn own(&self) -> TokenStream {
        let (krate, set) = (&self.options.krate, &self.command_set);
        self.route(set, &quote! { #krate::Routed::Decide(self) })
    }

    fn route(&self, path: &impl ToTokens, to: &TokenStream) -> TokenStream {
        let (krate, ident) = (&self.options.krate, &self.input.ident);
        let (impl_generics, ty_generics, where_clause) = self.input.generics.split_for_impl();
        quote! {
            #[automatically_derived]
            impl #impl_generics #krate::CommandOf<#ident #ty_generics> for #path #where_clause {
                fn route(self) -> #krate::Routed<#ident #ty_generics> {
                    #to
                }
            }
        }
    }

    fn listed(&self, Entry { path, variant }: &Entry) -> TokenStream {
        let (krate, ident) = (&self.options.krate, &self.input.ident);
        let (impl_generics, ty_generics, where_clause) = self.input.generics.split_for_impl();
        let conversion = event_set::convert(&self.event_set, variant, path);
        quote! {
            #conversion

            #[automatically_derived]
            impl #impl_generics #krate::EventOf<#ident #ty_generics> for #path #where_clause {}
        }
    }
}
