//! Builds everything that the demonstration needs and runs it.

use std::fs;
use std::path::Path;

use crate::packages::{self, Profile};
use crate::prepare;
use crate::shell::Shell;
use crate::steps::Plan;

/// The virtual environment that gets the wheel.
const ENVIRONMENT: &str = "demo-python";

/// Builds, then runs the demonstration with `items` work items.
pub(crate) fn run(root: &Path, items: u32) -> Result<(), String> {
    let mut plan = Plan::default();
    plan.then("languages", prepare::languages);
    plan.then("hub, worker and demonstration", |shell| {
        packages::programs(shell, Profile::Release, &["moorline-cli", "moorline-demo"]).map(drop)
    });
    plan.then("node package", |shell| packages::node(shell, Profile::Release));
    plan.then("python package", |shell| {
        packages::python(shell, Profile::Release, ENVIRONMENT, &[]).map(drop)
    });
    plan.then("demonstration", move |shell| play(shell, Profile::Release, ENVIRONMENT, items));
    plan.run(root)
}

/// Runs the demonstration with packages that are built already; `environment` has the wheel.
pub(crate) fn play(
    shell: &Shell,
    profile: Profile,
    environment: &str,
    items: u32,
) -> Result<(), String> {
    install_beside(shell, "demo/workers")?;
    let programs = profile.folder(shell);
    let python = shell.target().join(environment).join("bin/python");
    let mut command = shell.command(programs.join("moorline-demo"));
    command.arg("--moorline").arg(programs.join("moorline"));
    command.args(["--node", "demo/workers/worker.mjs"]).arg("--python").arg(python);
    command.args(["--python-worker", "demo/workers/worker.py", "--items", &items.to_string()]);
    shell.run(command.arg("--out").arg(shell.target().join("demo")))
}

/// Lets the programs in `folder` import the package that was built, as if npm had installed it.
fn install_beside(shell: &Shell, folder: &str) -> Result<(), String> {
    let modules = shell.root().join(folder).join("node_modules");
    let link = modules.join("moorline");
    let failed = |e: std::io::Error| format!("{}: {e}", link.display());
    fs::create_dir_all(&modules).map_err(failed)?;
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link).map_err(failed)?;
    }
    std::os::unix::fs::symlink(shell.root().join("bindings-node"), &link).map_err(failed)
}
