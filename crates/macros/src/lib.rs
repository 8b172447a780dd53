//! The derive macros of ordain.

mod aggregate;
mod aggregate_id;
mod attributes;
mod command;
mod command_set;
mod event;
mod event_set;
mod payload;
mod stored_type;

use proc_macro::TokenStream;
use syn::{DeriveInput, Error, Result, parse_macro_input};

/// event
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    expand(input, event::derive)
}

/// command
#[proc_macro_derive(Command, attributes(command))]
pub fn derive_command(input: TokenStream) -> TokenStream {
    expand(input, command::derive)
}

/// aggregate
#[proc_macro_derive(Aggregate, attributes(aggregate))]
pub fn derive_aggregate(input: TokenStream) -> TokenStream {
    expand(input, aggregate::derive)
}

/// event set
#[proc_macro_derive(EventSet, attributes(event, serde))]
pub fn derive_event_set(input: TokenStream) -> TokenStream {
    expand(input, event_set::derive)
}

/// command set
#[proc_macro_derive(CommandSet, attributes(command, serde))]
pub fn derive_command_set(input: TokenStream) -> TokenStream {
    expand(input, command_set::derive)
}

/// aggregate id
#[proc_macro_derive(AggregateId)]
pub fn derive_aggregate_id(input: TokenStream) -> TokenStream {
    expand(input, aggregate_id::derive)
}

fn expand(
    input: TokenStream,
    derive: fn(&DeriveInput) -> Result<proc_macro2::TokenStream>,
) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    derive(&input)
        .unwrap_or_else(Error::into_compile_error)
        .into()
}
