//! What cargo knows of the workspace.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::Result;
use crate::steps::{cargo, output};

/// The workspace.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) members: Vec<Package>,
}

/// A package.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) folder: PathBuf,
    pub(crate) is_published: bool,
    pub(crate) rust_version: Option<String>,
    /// Without `default`.
    pub(crate) features: Vec<String>,
    /// The names of its test targets.
    pub(crate) tests: Vec<String>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn load() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let metadata = metadata(here, &["--no-deps"])?;
        let path = |key: &str| Ok::<_, String>(PathBuf::from(text(&metadata, key)?));
        Ok(Self {
            root: path("workspace_root")?,
            target: path("target_directory")?,
            members: packages(&metadata)?,
        })
    }

    /// The members, and all that they depend on on this machine.
    pub(crate) fn with_dependencies(&self) -> Result<Vec<Package>> {
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let version = output(Command::new(rustc).arg("-vV"))?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.ok_or("rustc does not say its host")?;
        let asked = ["--all-features", "--filter-platform", host];
        packages(&metadata(&self.root, &asked)?)
    }

    /// The member of this name.
    pub(crate) fn member(&self, name: &str) -> Option<&Package> {
        self.members.iter().find(|package| package.name == name)
    }

    /// The members that are published.
    pub(crate) fn published(&self) -> impl Iterator<Item = &Package> {
        self.members.iter().filter(|package| package.is_published)
    }
}

impl Package {
    fn read(package: &Value) -> Result<Self> {
        let manifest = PathBuf::from(text(package, "manifest_path")?);
        let folder = manifest.parent().ok_or("a manifest has no folder")?;
        let features = package["features"].as_object().into_iter().flatten();
        let features = features.map(|(name, _)| name.clone());
        Ok(Self {
            name: text(package, "name")?.to_owned(),
            version: text(package, "version")?.to_owned(),
            folder: folder.to_owned(),
            is_published: package["publish"] != Value::Array(Vec::new()),
            rust_version: package["rust_version"].as_str().map(str::to_owned),
            features: features.filter(|name| name != "default").collect(),
            tests: tests_of(package),
        })
    }
}

fn tests_of(package: &Value) -> Vec<String> {
    let targets = package["targets"].as_array().into_iter().flatten();
    let tests = targets.filter(|target| target["kind"][0] == "test");
    let names = tests.filter_map(|target| target["name"].as_str());
    names.map(str::to_owned).collect()
}

fn metadata(folder: &Path, arguments: &[&str]) -> Result<Value> {
    let mut metadata = cargo(folder, ["metadata", "--format-version=1"]);
    Ok(serde_json::from_str(&output(metadata.args(arguments))?)?)
}

fn packages(metadata: &Value) -> Result<Vec<Package>> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages.map(Package::read).collect()
}

fn text<'a>(object: &'a Value, key: &str) -> std::result::Result<&'a str, String> {
    let text = object[key].as_str();
    text.ok_or_else(|| format!("cargo metadata has no `{key}`"))
}
