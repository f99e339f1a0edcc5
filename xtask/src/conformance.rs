//! The conformance test: what the other tests told their machines goes through every executor. See
//! `tests/conformance/README.md`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::packages::{self, Profile, SCRIPTED, WHOLE};
use crate::prepare;
use crate::shell::Shell;

/// The tests that leave scripts.
const SOURCES: [&str; 8] = [
    "--test=vectors_worker",
    "--test=vectors_hub",
    "--test=vectors_netcluster",
    "--test=vectors_volt",
    "--test=vectors_volt_hub",
    "--test=volt_daemon",
    "--test=vectors_wsdaemon",
    "--test=simulation",
];

/// Runs the tests whose machines leave scripts. Those with random misuse leave none: no host can do it.
fn leave_scripts(shell: &Shell) -> Result<(), String> {
    let scripts = scripts(shell);
    if scripts.is_dir() {
        fs::remove_dir_all(&scripts).map_err(|e| format!("{}: {e}", scripts.display()))?;
    }
    shell.run(tests(shell).args(SOURCES).env("MOORLINE_SCRIPTS", scripts))
}

/// Makes the scripts, runs them through all executors, and prints the table.
pub(crate) fn run(shell: &Shell) -> Result<(), String> {
    leave_scripts(shell)?;
    // Another build may have put something else in the place of the libraries.
    packages::build(shell, Profile::Test, &WHOLE)?;
    let folder = shell.target().join("conformance");
    let programs = json!({
        "node": ["node", "tests/conformance/node.mjs", "bindings-node"],
        "python": python(shell, &folder)?,
        "c": [c(shell, &folder)?],
        "wasm": wasm(shell)?,
    });
    let file = folder.join("executors.json");
    fs::write(&file, programs.to_string()).map_err(|e| format!("{}: {e}", file.display()))?;
    let mut command = tests(shell);
    command.args(["--test=conformance", "--", "--nocapture", "every_executor"]);
    shell.run(command.env("MOORLINE_SCRIPTS", scripts(shell)).env("MOORLINE_EXECUTORS", file))
}

fn scripts(shell: &Shell) -> PathBuf {
    shell.target().join("conformance/scripts")
}

/// Runs tests of the workspace with the executors in its libraries.
pub(crate) fn tests(shell: &Shell) -> std::process::Command {
    let mut command = shell.cargo();
    command.args(["test", "--workspace", "--locked", "--features", SCRIPTED]);
    command
}

fn python(shell: &Shell, folder: &Path) -> Result<[String; 4], String> {
    let package = folder.join("python");
    packages::python_unpacked(shell, Profile::Test, &package)?;
    let path = format!("PYTHONPATH={}", package.display());
    let program = String::from("tests/conformance/python.py");
    Ok([String::from("env"), path, prepare::interpreter(), program])
}

fn c(shell: &Shell, folder: &Path) -> Result<PathBuf, String> {
    // The library's soname differs from its file's name.
    let libraries = folder.join("lib");
    let failed = |e: std::io::Error| format!("{}: {e}", libraries.display());
    if libraries.is_dir() {
        fs::remove_dir_all(&libraries).map_err(failed)?;
    }
    fs::create_dir_all(&libraries).map_err(failed)?;
    for name in ["libmoorline.so", "libmoorline.so.0"] {
        let built = Profile::Test.folder(shell).join("libmoorline.so");
        symlink(built, libraries.join(name)).map_err(failed)?;
    }
    let program = folder.join("c");
    let mut command = shell.command("cc");
    command.args(["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror", "-g"]);
    command.args(["-Ibindings-c/include", "tests/conformance/c.c", "-lmoorline", "-o"]);
    command.arg(&program).arg(format!("-L{}", libraries.display()));
    shell.run(command.arg(format!("-Wl,-rpath,{}", libraries.display())))?;
    Ok(program)
}

fn wasm(shell: &Shell) -> Result<[&'static str; 2], String> {
    let generator = Profile::Test.folder(shell).join("moorline-wasm-generator");
    let mut command = shell.command("bash");
    command.env("MOORLINE_WASM_GENERATOR", generator);
    shell.run(command.args(["wasm/build.sh", "--scripted"]))?;
    Ok(["node", "tests/conformance/wasm.mjs"])
}
