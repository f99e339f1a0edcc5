//! Builds everything that the demonstration needs and runs it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::packages::{self, Profile};
use crate::prepare;
use crate::shell::Shell;
use crate::steps::Plan;

/// Where the Python package is put together.
const PYTHON_PACKAGE: &str = "demo-python";

/// Builds, then runs the demonstration with `items` work items.
pub(crate) fn run(root: &Path, items: u32) -> Result<(), String> {
    let mut plan = Plan::default();
    plan.then("languages", prepare::languages);
    plan.then("programs and libraries", |shell| {
        packages::build(shell, Profile::Test, &packages::SHOWN)
    });
    plan.then("node package", |shell| packages::node(shell, Profile::Test, &packages::SHOWN));
    plan.then("python package", |shell| {
        packages::python_unpacked(shell, Profile::Test, &shell.target().join(PYTHON_PACKAGE))
    });
    plan.then("demonstration", move |shell| {
        let python = Python {
            interpreter: prepare::interpreter().into(),
            path: Some(shell.target().join(PYTHON_PACKAGE)),
        };
        play(shell, &python, items)
    });
    plan.run(root)
}

/// A Python that can import the package.
pub(crate) struct Python {
    /// The program.
    pub(crate) interpreter: PathBuf,
    /// Where the package is, if it is not installed.
    pub(crate) path: Option<PathBuf>,
}

/// Runs the demonstration with packages that are built already.
pub(crate) fn play(shell: &Shell, python: &Python, items: u32) -> Result<(), String> {
    install_beside(shell, "demo/workers")?;
    let programs = Profile::Test.folder(shell);
    let mut command = shell.command(programs.join("moorline-demo"));
    if let Some(path) = &python.path {
        command.env("PYTHONPATH", path);
    }
    command.arg("--moorline").arg(programs.join("moorline"));
    command.args(["--node", "demo/workers/worker.mjs"]);
    command.arg("--python").arg(&python.interpreter);
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
