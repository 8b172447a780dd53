//! The stored name and version of an event.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::{Error, Ident, LitStr, Path, Result};

use crate::attributes;

/// What `#[event(..)]` says about how an event is stored.
#[derive(Default)]
pub(crate) struct StoredType {
    name: Option<LitStr>,
    aliases: Vec<LitStr>,
    version: Option<u32>,
    first_version: Option<u32>,
}

impl StoredType {
    /// The keys of the attribute.
    pub(crate) const KEYS: [&str; 4] = ["name", "alias", "version", "first_version"];

    /// Takes in one key.
    pub(crate) fn read(&mut self, key: &str, meta: &ParseNestedMeta<'_>) -> Result<()> {
        match key {
            "name" => self.name = Some(attributes::name(meta)?),
            "alias" => self.aliases.push(attributes::name(meta)?),
            "version" => self.version = Some(attributes::number(meta)?),
            _ => self.first_version = Some(attributes::number(meta)?),
        }
        Ok(())
    }

    /// Refuses what contradicts itself.
    pub(crate) fn check(&self, ident: &Ident) -> Result<()> {
        let (first, version) = (self.first_version(), self.version());
        if first > version {
            let message =
                format!("its first version is {first}, but its version is only {version}");
            return Err(Error::new(ident.span(), message));
        }
        let name = self.name(ident).value();
        match self.aliases.iter().find(|alias| alias.value() == name) {
            Some(alias) => {
                let message = format!("`{name}` is its name; an alias is a name it had before");
                Err(Error::new(alias.span(), message))
            }
            None => Ok(()),
        }
    }

    /// The name: the one given, or that of the type or variant.
    pub(crate) fn name(&self, ident: &Ident) -> LitStr {
        self.name.clone().unwrap_or_else(|| plain_name(ident))
    }

    /// The names it had before.
    pub(crate) fn aliases(&self) -> &[LitStr] {
        &self.aliases
    }

    /// The version of its shape.
    pub(crate) fn version(&self) -> u32 {
        self.version.unwrap_or(1)
    }

    /// The oldest shape.
    pub(crate) fn first_version(&self) -> u32 {
        self.first_version.unwrap_or(1)
    }

    /// The `EventType` of a variant.
    pub(crate) fn to_event_type(&self, krate: &Path, ident: &Ident) -> TokenStream {
        let (name, aliases) = (self.name(ident), self.aliases());
        let (version, first_version) = (self.version(), self.first_version());
        quote! {
            #krate::EventType {
                name: #name,
                version: #version,
                first_version: #first_version,
                aliases: &[#(#aliases),*],
            }
        }
    }
}

/// An identifier as a name, without `r#`.
pub(crate) fn plain_name(ident: &Ident) -> LitStr {
    let name = ident.to_string();
    LitStr::new(name.strip_prefix("r#").unwrap_or(&name), ident.span())
}
