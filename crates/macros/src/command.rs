//! `derive(Command)`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::{Data, DeriveInput, Error, Field, Fields, Ident, LitStr, Member, Path, Result};

use crate::attributes::{self, root};
use crate::stored_type::plain_name;

/// Implements `Command`.
pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    attributes::require_struct(
        input,
        "a command is a struct; for an enum of commands there is `derive(CommandSet)`",
    )?;
    attributes::refuse_generics(input, "a command")?;
    let mut krate = None;
    let (mut named, mut checks) = (Named::default(), Checks::default());
    let keys = ["name", "version", "validate", "fingerprint", "crate"];
    attributes::read(&input.attrs, "command", &keys, |key, meta| {
        match key {
            "name" | "version" => named.read(key, meta)?,
            "crate" => krate = Some(attributes::value(meta)?),
            _ => checks.read(key, meta)?,
        }
        Ok(())
    })?;
    Ok(implement(
        &root(krate),
        input,
        &id_field(input)?,
        &named,
        &checks,
    ))
}

fn implement(
    krate: &Path,
    input: &DeriveInput,
    (member, field): &(Member, &Field),
    named: &Named,
    checks: &Checks,
) -> TokenStream {
    let (ident, id) = (&input.ident, &field.ty);
    let (name, version) = (named.name(ident), named.version());
    let checks = checks.methods(krate);
    quote! {
        #[automatically_derived]
        impl #krate::Command for #ident {
            const NAME: &'static ::core::primitive::str = #name;
            const VERSION: ::core::primitive::u32 = #version;
            type Id = #id;

            fn id(&self) -> &Self::Id {
                &self.#member
            }

            #checks
        }
    }
}

fn id_field(input: &DeriveInput) -> Result<(Member, &Field)> {
    let ident = &input.ident;
    let mut found = None;
    for (member, field) in fields(input).members().zip(fields(input)) {
        let mut marked = false;
        attributes::read(&field.attrs, "command", &["id"], |_, _| {
            marked = true;
            Ok(())
        })?;
        if marked && found.replace((member, field)).is_some() {
            let message = format!("`{ident}` has two fields marked `#[command(id)]`: keep one");
            return Err(Error::new_spanned(field, message));
        }
    }
    found.ok_or_else(|| {
        let mark = "mark one field `#[command(id)]`";
        let message = format!("`{ident}` does not say which aggregate it is for: {mark}");
        Error::new(ident.span(), message)
    })
}

fn fields(input: &DeriveInput) -> &Fields {
    match &input.data {
        Data::Struct(data) => &data.fields,
        _ => &Fields::Unit,
    }
}

/// What `#[command(..)]` says about a command's name.
#[derive(Default)]
pub(crate) struct Named {
    name: Option<LitStr>,
    version: Option<u32>,
}

impl Named {
    /// Takes in one key.
    pub(crate) fn read(&mut self, key: &str, meta: &ParseNestedMeta<'_>) -> Result<()> {
        match key {
            "name" => self.name = Some(attributes::name(meta)?),
            _ => self.version = Some(attributes::number(meta)?),
        }
        Ok(())
    }

    /// The name: the one given, or that of the type or variant.
    pub(crate) fn name(&self, ident: &Ident) -> LitStr {
        self.name.clone().unwrap_or_else(|| plain_name(ident))
    }

    /// The version of its shape.
    pub(crate) fn version(&self) -> u32 {
        self.version.unwrap_or(1)
    }
}

/// The user's functions behind `validate` and `fingerprint`.
#[derive(Default)]
pub(crate) struct Checks {
    validate: Option<Path>,
    fingerprint: Option<Path>,
}

impl Checks {
    /// Takes in one key.
    pub(crate) fn read(&mut self, key: &str, meta: &ParseNestedMeta<'_>) -> Result<()> {
        match key {
            "validate" => self.validate = Some(attributes::value(meta)?),
            _ => self.fingerprint = Some(attributes::value(meta)?),
        }
        Ok(())
    }

    /// The methods that call them; those of `Command` and `CommandSet` look alike.
    pub(crate) fn methods(&self, krate: &Path) -> TokenStream {
        let validate = self.validate.iter().map(|validate| {
            let body = quote! { #validate(self) };
            validate_method(krate, &body)
        });
        let fingerprint = self.fingerprint.iter().map(|fingerprint| {
            fingerprint_method(&quote! { ::core::option::Option::Some(#fingerprint(self)) })
        });
        quote! { #(#validate)* #(#fingerprint)* }
    }
}

/// `fn validate`.
pub(crate) fn validate_method(krate: &Path, body: &TokenStream) -> TokenStream {
    quote! {
        fn validate(&self) -> ::core::result::Result<(), #krate::Invalid> {
            #body
        }
    }
}

/// `fn fingerprint`.
pub(crate) fn fingerprint_method(body: &TokenStream) -> TokenStream {
    quote! {
        fn fingerprint(&self) -> ::core::option::Option<::std::string::String> {
            #body
        }
    }
}
