//! Builds the contestants as they are released, each as its package is built, and runs the benchmarks.

mod cluster;
mod machine;

use std::fs;
use std::path::{Path, PathBuf};

use crate::packages::{self, Profile};
use crate::prepare;
use crate::shell::Shell;
use crate::steps::Plan;
use crate::test::VOLT_PEER;

/// A workspace of its own, so that only this command builds it.
const ADDONS: &str = "bench/addons";
/// What cargo builds there, and how it is loaded.
const ADDON_FILES: [(&str, &str); 2] =
    [("libpromised.so", "promised.node"), ("libawaited.so", "awaited.abi3.so")];
const ENVIRONMENT: &str = "bench-python";

/// Builds, measures and writes the part's page; with `only`, prints a section of VOLT instead.
pub(crate) fn run(
    root: &Path,
    part: String,
    only: Option<String>,
    rounds: u32,
    seconds: f64,
) -> Result<(), String> {
    if part == "machine" {
        return machine::run(&Shell::new(root));
    }
    if cluster::PARTS.contains(&part.as_str()) {
        return cluster::run(root, part, rounds, seconds);
    }
    let mut plan = Plan::default();
    plan.then("languages", prepare::languages);
    plan.then("rust programs", |shell| {
        packages::build(shell, Profile::Release, &["--package", "moorline-bench"])
    });
    plan.then("node package", |shell| packages::node(shell, Profile::Release, &[]));
    plan.then("add-ons that do without us", addons);
    plan.then("node peers", |shell| {
        prepare::npm(shell, "bench/peers").and_then(|()| prepare::npm(shell, VOLT_PEER))
    });
    plan.then("python package and peers", |shell| {
        let list = shell.root().join("bench/peers/requirements.txt");
        let list = fs::read_to_string(&list).map_err(|e| format!("{}: {e}", list.display()))?;
        let packages: Vec<_> = list.lines().collect();
        packages::python(shell, Profile::Release, ENVIRONMENT, &packages).map(drop)
    });
    plan.then("benchmarks", move |shell| {
        let root = shell.root();
        let python = shell.target().join(ENVIRONMENT).join("bin/python");
        let mut command = shell.command(Profile::Release.folder(shell).join("moorline-bench"));
        command
            .args(["run", "--part", &part])
            .args(only.iter().flat_map(|section| ["--only", section]))
            .arg("--node-package")
            .arg(root.join("bindings-node"));
        command.arg("--python").arg(python).arg("--peers").arg(root.join("bench/peers"));
        command.arg("--addons").arg(addon_folder(shell));
        command.arg("--official").arg(root.join(VOLT_PEER));
        command.arg("--out").arg(root.join("docs/benchmarks.md"));
        command.args(["--rounds", &rounds.to_string(), "--seconds", &seconds.to_string()]);
        shell.run(&mut command)
    });
    plan.run(root)
}

fn addon_folder(shell: &Shell) -> PathBuf {
    shell.target().join("bench-addons")
}

/// Builds the add-ons and gives them the names that Node and Python load.
fn addons(shell: &Shell) -> Result<(), String> {
    let folder = addon_folder(shell);
    let mut cargo = shell.cargo();
    cargo.args(["build", "--release", "--locked"]).arg("--target-dir").arg(&folder);
    shell.run(cargo.arg("--manifest-path").arg(shell.root().join(ADDONS).join("Cargo.toml")))?;
    for (built, loaded) in ADDON_FILES {
        let built = folder.join("release").join(built);
        fs::copy(&built, folder.join(loaded)).map_err(|e| format!("{}: {e}", built.display()))?;
    }
    Ok(())
}
