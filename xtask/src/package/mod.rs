//! Builds what is released, installs each piece into an empty place, and runs it from there.

mod command;
mod crates;
mod library;
mod node;
mod python;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::packages::{self, Profile};
use crate::prepare;
use crate::shell::Shell;
use crate::steps::Plan;

/// From an empty folder to a connected worker and an answered dispatch.
const FIRST: Duration = Duration::from_secs(10);

/// Everything with a library or a program of its own, for one build of what they share.
const RELEASED: [&str; 8] = [
    "--package",
    "moorline-cli",
    "--package",
    "moorline-node",
    "--package",
    "moorline-python",
    "--package",
    "moorline-c",
];

/// Builds all packages into `out`, tries them, and writes the table of `docs/packages.md`.
pub(crate) fn run(root: &Path, out: &Path, only: Option<&str>) -> Result<(), String> {
    let place = Place::new(root, out)?;
    let mut plan = Plan::default();
    plan.then("languages", prepare::languages);
    plan.start("system packages and wasm32 compiler", |shell| {
        prepare::system(shell)?;
        prepare::programs(shell, prepare::PACKAGING)
    });
    plan.then("node packages", |shell| {
        ["bindings-node", "wasm"].iter().try_for_each(|folder| prepare::npm(shell, folder))
    });
    plan.then("python packages", |shell| prepare::python_tests(shell).map(drop));
    plan.then("release build", |shell| packages::build(shell, Profile::Release, &RELEASED));
    plan.join("system packages and wasm32 compiler");
    let mut add = |name, work: fn(&Shell, &Place) -> Result<(), String>| {
        let place = place.clone();
        plan.then(name, move |shell| work(shell, &place));
    };
    add("command", command::package);
    add("debian package", command::debian);
    add("web package", node::web);
    add("npm packages", node::package);
    add("wheel", python::wheel);
    add("source distribution", python::sources);
    add("c library", library::package);
    add("crates", crates::package);
    add("table", table::write_page);
    if let Some(part) = only {
        plan.only(part);
    }
    plan.run(root)
}

/// Where packages are put, and where they are tried.
#[derive(Clone, Debug)]
struct Place {
    out: PathBuf,
    trials: PathBuf,
    version: String,
}

impl Place {
    fn new(root: &Path, out: &Path) -> Result<Self, String> {
        let out = root.join(out);
        let trials = out.join("trials");
        fs::create_dir_all(&trials).map_err(|e| format!("{}: {e}", trials.display()))?;
        let manifest = read(&root.join("Cargo.toml"))?;
        let manifest: toml::Table =
            manifest.parse().map_err(|e| format!("Cargo.toml is not understood: {e}"))?;
        let version = ["workspace", "package", "version"]
            .iter()
            .try_fold(&toml::Value::Table(manifest), |value, key| value.get(key))
            .and_then(toml::Value::as_str)
            .ok_or("Cargo.toml names no version")?
            .to_owned();
        Ok(Self { out, trials, version })
    }

    /// Makes an empty folder for a trial.
    fn empty(&self, name: &str) -> Result<PathBuf, String> {
        empty(&self.trials.join(name))
    }

    /// Returns the package whose file name has this beginning and this end.
    fn find(&self, begin: &str, end: &str) -> Result<PathBuf, String> {
        let is_it = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(begin) && name.ends_with(end)
        };
        let found = fs::read_dir(&self.out).map_err(|e| format!("{}: {e}", self.out.display()))?;
        let mut paths = found.filter_map(Result::ok).map(|entry| entry.path());
        paths
            .find(is_it)
            .ok_or_else(|| format!("there is no {begin}…{end} in {}", self.out.display()))
    }
}

/// Makes a folder, or empties it.
fn empty(folder: &Path) -> Result<PathBuf, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    if folder.is_dir() {
        fs::remove_dir_all(folder).map_err(failed)?;
    }
    fs::create_dir_all(folder).map_err(failed)?;
    Ok(folder.to_owned())
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|e| format!("{}: {e}", file.display()))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let folder = to.parent().unwrap_or(to);
    fs::create_dir_all(folder)
        .and_then(|()| fs::copy(from, to))
        .map(drop)
        .map_err(|e| format!("{} to {}: {e}", from.display(), to.display()))
}

/// The first file below a folder whose name has this end.
fn find(folder: &Path, end: &str) -> Result<PathBuf, String> {
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in entries(&next)? {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.to_string_lossy().ends_with(end) {
                return Ok(entry);
            }
        }
    }
    Err(format!("there is no *{end} in {}", folder.display()))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let found = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(found.filter_map(Result::ok).map(|entry| entry.path()).collect())
}

/// Takes from a library or program what only debuggers read.
fn strip(shell: &Shell, file: &Path) -> Result<(), String> {
    shell.run(shell.command("strip").arg("--strip-unneeded").arg(file))
}

/// Runs a first program: a hub, a worker, a dispatch and its answer, in the time that a newcomer has.
fn first(shell: &Shell, program: &mut std::process::Command) -> Result<(), String> {
    let began = Instant::now();
    let said = shell.read(program)?;
    let took = began.elapsed();
    if said.trim() != "hello" {
        return Err(format!("the first program says {said:?} instead of hello"));
    }
    if took > FIRST {
        return Err(format!("the first program took {took:?}; {FIRST:?} are allowed"));
    }
    shell.say(&format!("the first program was answered after {} ms", took.as_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_program_that_is_not_answered_is_noticed() {
        let shell = Shell::new(Path::new("/"));
        let say = |word: &str| first(&shell, shell.command("echo").arg(word));
        assert!(say("hello").is_ok());
        assert!(say("bye").unwrap_err().contains("bye"));
    }
}
