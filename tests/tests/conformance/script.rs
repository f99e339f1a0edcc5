//! Scripts: recordings without outputs.

use std::path::{Path, PathBuf};

use moorline_core::trace::read_opening;

/// What one machine is told.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// The folder that it stands in.
    pub(crate) group: String,
    /// Its file.
    pub(crate) name: String,
    pub(crate) dialect: String,
    pub(crate) role: String,
    /// The opening, then what the machine is told, a line each.
    pub(crate) lines: Vec<String>,
}

impl Script {
    pub(crate) fn new(group: &str, name: &str, text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let first = lines.first().map_or("", String::as_str);
        let opening = read_opening(first).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (group, name) = (group.to_owned(), name.to_owned());
        Self { group, name, dialect: opening.dialect, role: opening.role, lines }
    }
}

/// Returns the folder of scripts that are written by hand.
pub(crate) fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/scenarios")
}

/// Reads the scripts in a folder of groups.
pub(crate) fn read(folder: &Path) -> Vec<Script> {
    let mut scripts = Vec::new();
    for path in entries(folder) {
        let files = if path.is_dir() { entries(&path) } else { vec![path.clone()] };
        for file in files {
            let text = std::fs::read_to_string(&file)
                .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            let group = file.parent().and_then(Path::file_name).unwrap_or_default();
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            scripts.push(Script::new(&group.to_string_lossy(), &name, &text));
        }
    }
    assert!(!scripts.is_empty(), "{} has no scripts", folder.display());
    scripts
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths
}
