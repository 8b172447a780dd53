//! `derive(Aggregate)`.

mod enums;
mod existence;
mod methods;
mod options;
mod tolerance;

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Ident, Result};

use self::existence::Existence;
use self::options::{Given, Options};
use crate::attributes;
use crate::command_set::as_command;

/// Makes the two enums, says what belongs to the aggregate, and implements `Aggregate`.
pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    if let Data::Union(_) = input.data {
        let message = "an aggregate's state is a struct or an enum";
        return Err(Error::new(input.ident.span(), message));
    }
    attributes::refuse_lifetimes(input, "an aggregate")?;
    let expansion = Expansion::new(input, Options::read(input)?)?;
    let (commands, events) = (expansion.commands(), expansion.events());
    let implementation = expansion.implement();
    Ok(quote! { #commands #events #implementation })
}

/// All that the pieces of the expansion share.
struct Expansion<'a> {
    input: &'a DeriveInput,
    options: Options,
    tolerated: Vec<TokenStream>,
    existence: Existence,
    /// The name of the enum of its commands.
    command_set: Ident,
    /// The name of the enum of its events.
    event_set: Ident,
    /// The type of its id.
    id: TokenStream,
}

impl<'a> Expansion<'a> {
    fn new(input: &'a DeriveInput, options: Options) -> Result<Self> {
        let ident = &input.ident;
        let command_set = format_ident!("{ident}Command");
        let event_set = format_ident!("{ident}Event");
        Ok(Self {
            input,
            tolerated: methods::tolerated(&options.given, &command_set, &event_set)?,
            existence: Existence::new(&options.given)?,
            command_set,
            event_set,
            id: id(input, &options)?,
            options,
        })
    }

    fn given(&self) -> &Given {
        &self.options.given
    }

    fn implement(&self) -> TokenStream {
        let (krate, ident) = (&self.options.krate, &self.input.ident);
        let (impl_generics, ty_generics, where_clause) = self.input.generics.split_for_impl();
        let (items, methods) = (self.items(), self.methods());
        quote! {
            #[automatically_derived]
            impl #impl_generics #krate::Aggregate for #ident #ty_generics #where_clause {
                #items
                #methods
            }
        }
    }
}

fn id(input: &DeriveInput, options: &Options) -> Result<TokenStream> {
    if let Some(id) = &options.given.id {
        return Ok(quote! { #id });
    }
    let Some(first) = options.given.all_commands().next() else {
        let ident = &input.ident;
        let message = format!("`{ident}` has no command to take its id from: add `id = Type`");
        return Err(Error::new(ident.span(), message));
    };
    let command = as_command(&options.krate, &first.path);
    Ok(quote! { #command::Id })
}
