//! What `#[aggregate(..)]` says.

use syn::meta::ParseNestedMeta;
use syn::{DeriveInput, Error, Ident, LitStr, Path, Result, Type, parse_quote};

use super::tolerance::Tolerance;
use crate::attributes::{self, root};
use crate::lists::{Entry, list, refuse_twice};

const KEYS: &[&str] = &[
    "category",
    "commands",
    "outside",
    "events",
    "created_by",
    "may_create",
    "error",
    "id",
    "snapshot",
    "tolerates",
    "unlisted_events",
    "lifespan",
    "new",
    "crate",
];

/// The attribute, checked.
pub(super) struct Options {
    pub(super) krate: Path,
    pub(super) category: LitStr,
    pub(super) error: Type,
    pub(super) given: Given,
}

/// The attribute, as it was given.
#[derive(Default)]
pub(super) struct Given {
    krate: Option<Path>,
    category: Option<LitStr>,
    error: Option<Type>,
    pub(super) commands: Vec<Entry>,
    pub(super) outside: Vec<Entry>,
    pub(super) events: Vec<Entry>,
    pub(super) created_by: Option<Vec<Path>>,
    pub(super) may_create: Option<Vec<Path>>,
    pub(super) tolerates: Vec<Tolerance>,
    pub(super) snapshot: Option<Snapshot>,
    pub(super) ignores_unlisted: bool,
    pub(super) id: Option<Type>,
    pub(super) lifespan: Option<Path>,
    pub(super) new: Option<Path>,
}

/// How often the state is kept, and as which version of it.
pub(super) struct Snapshot {
    pub(super) every: u64,
    pub(super) version: u32,
}

impl Options {
    pub(super) fn read(input: &DeriveInput) -> Result<Self> {
        let mut given = Given::default();
        attributes::read(&input.attrs, "aggregate", KEYS, |key, meta| {
            given.read(key, meta)
        })?;
        refuse_twice(given.all_commands())?;
        refuse_twice(given.events.iter())?;
        let krate = root(given.krate.take());
        let error = given.error.take();
        Ok(Self {
            category: category(&input.ident, given.category.take())?,
            error: error.unwrap_or_else(|| parse_quote!(#krate::NoError)),
            krate,
            given,
        })
    }
}

impl Given {
    /// The commands that it decides, and those decided outside.
    pub(super) fn all_commands(&self) -> impl Iterator<Item = &Entry> {
        self.commands.iter().chain(&self.outside)
    }

    fn read(&mut self, key: &str, meta: &ParseNestedMeta<'_>) -> Result<()> {
        match key {
            "category" => self.category = Some(attributes::value(meta)?),
            "commands" => self.commands = list(meta)?,
            "outside" => self.outside = list(meta)?,
            "events" => self.events = list(meta)?,
            "created_by" => self.created_by = Some(list(meta)?),
            "may_create" => self.may_create = Some(list(meta)?),
            "tolerates" => self.tolerates = list(meta)?,
            "snapshot" => self.snapshot = Some(snapshot(meta)?),
            "unlisted_events" => self.ignores_unlisted = ignores_unlisted(meta)?,
            "error" => self.error = Some(attributes::value(meta)?),
            "id" => self.id = Some(attributes::value(meta)?),
            "lifespan" => self.lifespan = Some(attributes::value(meta)?),
            "new" => self.new = Some(attributes::value(meta)?),
            _ => self.krate = Some(attributes::value(meta)?),
        }
        Ok(())
    }
}

fn category(ident: &Ident, given: Option<LitStr>) -> Result<LitStr> {
    let Some(category) = given else {
        let cure = "add `#[aggregate(category = \"..\")]`";
        let message = format!("`{ident}` has no category to name its streams by: {cure}");
        return Err(Error::new(ident.span(), message));
    };
    match refusal(&category.value()) {
        Some(refusal) => Err(Error::new(category.span(), refusal)),
        None => Ok(category),
    }
}

fn refusal(category: &str) -> Option<&'static str> {
    let blank = |c: char| c.is_whitespace() || c.is_control();
    if category.is_empty() {
        Some("a category cannot be empty")
    } else if category.starts_with('$') {
        Some("a category cannot begin with `$`: such names are the store's own")
    } else if category.contains('-') {
        Some("a category cannot contain `-`: it stands between category and id")
    } else if category.contains(blank) {
        Some("a category cannot contain white space or control characters")
    } else {
        None
    }
}

fn snapshot(meta: &ParseNestedMeta<'_>) -> Result<Snapshot> {
    let (mut every, mut version) = (None, 1);
    meta.parse_nested_meta(|meta| {
        if meta.path.is_ident("every") {
            every = Some(attributes::number(&meta)?);
        } else if meta.path.is_ident("version") {
            version = attributes::number(&meta)?;
        } else {
            return Err(meta.error("unknown key; `snapshot(..)` takes `every`, `version`"));
        }
        Ok(())
    })?;
    match every {
        Some(every) => Ok(Snapshot { every, version }),
        None => Err(meta.error("`snapshot(..)` needs `every = N`: after how many events")),
    }
}

fn ignores_unlisted(meta: &ParseNestedMeta<'_>) -> Result<bool> {
    let choice: LitStr = attributes::value(meta)?;
    match choice.value().as_str() {
        "refuse" => Ok(false),
        "ignore" => Ok(true),
        _ => Err(Error::new(choice.span(), "it is \"refuse\" or \"ignore\"")),
    }
}
