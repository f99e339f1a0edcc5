//! Generates what other languages and the documentation say about errors, options, events and metrics.

#[cfg(test)]
mod dashboard;
mod model;
mod pages;
mod python;
mod typescript;

use std::fs;
use std::path::Path;
use std::process::Command;

use model::Surface;

/// Writes every generated file, or with `check` fails if one differs.
pub(crate) fn run(root: &Path, check: bool) -> Result<(), String> {
    let surface = Surface::read()?;
    let json = serde_json::to_string_pretty(&surface)
        .map_err(|e| format!("the surface cannot be written as JSON: {e}"))?;
    let files = [
        ("tests/surface/surface.json", format!("{json}\n")),
        ("bindings-node/ts/generated.ts", typescript::write(&surface)),
        ("bindings-python/python/moorline/_generated.py", python::write(&surface)),
        ("docs/errors.md", pages::errors(&surface)),
        ("docs/options.md", pages::options(&surface)),
        ("docs/metrics.md", pages::metrics(&surface)),
    ];
    let mut stale = Vec::new();
    for (path, text) in &files {
        let file = root.join(path);
        if fs::read_to_string(&file).is_ok_and(|present| present == *text) {
            continue;
        }
        if check {
            stale.push(*path);
            continue;
        }
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()))?;
        println!("wrote {path}");
    }
    if !check {
        header(root)?;
    }
    if stale.is_empty() {
        println!("surface: {} generated files are up to date", files.len());
        return Ok(());
    }
    Err(format!(
        "generated files differ from the tables in core: {}\nrun `cargo xtask surface` and commit the result",
        stale.join(", ")
    ))
}

/// Writes the C header. A test of `moorline-c` generates it and compares: here it may write, too.
fn header(root: &Path) -> Result<(), String> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--quiet", "--package", "moorline-c", "--test", "header"]);
    let status = command.env("MOORLINE_WRITE_HEADER", "1").current_dir(root).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("bindings-c/include/moorline.h was not written: {status}")),
        Err(error) => Err(format!("cargo cannot be run: {error}")),
    }
}
