//! The gate: `test` is everything that must pass, `ci` adds the Rust pages.

use std::path::Path;

use crate::prepare;
use crate::steps::Plan;
use crate::{licences, surface, thin};

const SYSTEM: &str = "system packages and wasm32 compiler";
const NODE_PACKAGES: &str = "node packages";
const PYTHON_PACKAGES: &str = "python packages";

/// Runs the gate.
pub(crate) fn run(root: &Path, pages: bool) -> Result<(), String> {
    let mut plan = Plan::default();
    plan.then("languages", prepare::languages);
    plan.start(SYSTEM, prepare::system);
    plan.start(NODE_PACKAGES, |shell| prepare::npm(shell, "bindings-node"));
    plan.start(PYTHON_PACKAGES, |shell| prepare::python_tests(shell).map(drop));
    checks(&mut plan, pages);
    plan.then("rust tests", |shell| {
        shell.run(shell.cargo().args(["test", "--workspace", "--locked"]))
    });
    plan.join(SYSTEM);
    plan.join(NODE_PACKAGES);
    plan.join(PYTHON_PACKAGES);
    plan.run(root)
}

/// Everything that reads sources and runs nothing.
fn checks(plan: &mut Plan, pages: bool) {
    plan.then("format", |shell| shell.run(shell.cargo().args(["fmt", "--all", "--check"])));
    plan.then("generated files", |shell| surface::run(shell.root(), true));
    plan.then("thin bindings, pure core", thin::run);
    plan.then("licences", licences::run);
    plan.then("clippy", |shell| {
        let mut command = shell.cargo();
        command.args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]);
        shell.run(&mut command)
    });
    if pages {
        plan.then("rust pages", |shell| {
            let mut command = shell.cargo();
            command.env("RUSTDOCFLAGS", "-D warnings");
            shell.run(command.args(["doc", "--workspace", "--no-deps", "--locked"]))
        });
    }
}
