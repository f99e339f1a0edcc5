//! What cargo knows about the packages of the workspace.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::shell::Shell;

/// `cargo metadata`, as far as it is read here.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    workspace_members: Vec<String>,
}

/// One package.
#[derive(Deserialize)]
pub(crate) struct Package {
    id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) features: BTreeMap<String, Vec<String>>,
}

/// One line of a manifest's dependencies.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Option<String>,
    pub(crate) features: Vec<String>,
}

impl Metadata {
    /// Asks cargo; nothing is changed.
    pub(crate) fn read(shell: &Shell) -> Result<Self, String> {
        let text =
            shell.read(shell.cargo().args(["metadata", "--format-version=1", "--locked"]))?;
        serde_json::from_str(&text).map_err(|e| format!("cargo metadata is not understood: {e}"))
    }

    /// Returns the packages of the workspace by name.
    pub(crate) fn members(&self) -> BTreeMap<&str, &Package> {
        self.packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
            .map(|package| (package.name.as_str(), package))
            .collect()
    }
}
