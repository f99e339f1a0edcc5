//! Builds the contestants as they are released and runs the benchmarks.

use std::path::Path;

use crate::packages::{self, Profile};
use crate::prepare;
use crate::steps::Plan;
use crate::test::VOLT_PEER;

const ENVIRONMENT: &str = "bench-python";

/// Builds, measures and writes `docs/benchmarks.md`.
pub(crate) fn run(root: &Path, part: String, rounds: u32, seconds: f64) -> Result<(), String> {
    let mut plan = Plan::default();
    plan.then("languages", prepare::languages);
    plan.then("rust programs", |shell| {
        packages::programs(shell, Profile::Release, &["moorline-bench"]).map(drop)
    });
    plan.then("node package", |shell| packages::node(shell, Profile::Release));
    plan.then("node peers", |shell| {
        prepare::npm(shell, "bench/peers").and_then(|()| prepare::npm(shell, VOLT_PEER))
    });
    plan.then("python package and peers", |shell| {
        let list = shell.root().join("bench/peers/requirements.txt");
        let list =
            std::fs::read_to_string(&list).map_err(|e| format!("{}: {e}", list.display()))?;
        let packages: Vec<_> = list.lines().collect();
        packages::python(shell, Profile::Release, ENVIRONMENT, &packages).map(drop)
    });
    plan.then("benchmarks", move |shell| {
        let root = shell.root();
        let python = shell.target().join(ENVIRONMENT).join("bin/python");
        let mut command = shell.command(Profile::Release.folder(shell).join("moorline-bench"));
        command
            .args(["run", "--part", &part])
            .arg("--node-package")
            .arg(root.join("bindings-node"));
        command.arg("--python").arg(python).arg("--peers").arg(root.join("bench/peers"));
        command.arg("--official").arg(root.join(VOLT_PEER));
        command.arg("--out").arg(root.join("docs/benchmarks.md"));
        command.args(["--rounds", &rounds.to_string(), "--seconds", &seconds.to_string()]);
        shell.run(&mut command)
    });
    plan.run(root)
}
