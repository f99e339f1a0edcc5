//! Gets what the tests need: packages of npm and pip, programs of the system, a compiler for wasm32.
//!
//! Everything is safe to repeat: what is there already is left alone.

use std::fs;
use std::path::PathBuf;

use crate::shell::Shell;

/// What tests need.
const PROGRAMS: &[Program] = &[
    ("curl", &["curl"]),
    ("valgrind", &["valgrind"]),
    ("chromium", &["chromium"]),
    ("chromedriver", &["chromium-driver"]),
];

/// What packages are made and tried with.
pub(crate) const PACKAGING: &[Program] = &[
    ("cmake", &["cmake"]),
    ("pkg-config", &["pkg-config"]),
    ("dpkg-deb", &["dpkg"]),
    ("objdump", &["binutils"]),
    ("strip", &["binutils"]),
];

/// A program of the system, and the Debian packages that bring it.
type Program = (&'static str, &'static [&'static str]);

/// What the Python tests need beside the wheel.
pub(crate) const PYTHON_PACKAGES: &[&str] = &[
    "maturin>=1.9,<2",
    "pytest>=8,<9",
    "pytest-timeout>=2.3,<3",
    "mypy>=1.13,<2",
    "pyright[nodejs]>=1.1.390,<2",
    "orjson>=3.9,<4",
    "prometheus-client>=0.21,<1",
    "websockets>=14,<16",
];

/// Fails, naming what is missing, unless the languages are there.
pub(crate) fn languages(shell: &Shell) -> Result<(), String> {
    let rust = shell.read(shell.cargo().arg("--version"))?;
    let node = shell.read(shell.command("node").arg("--version"))?;
    let npm = shell.read(shell.command("npm").arg("--version"))?;
    let python = shell.read(shell.command(interpreter()).arg("--version"))?;
    let c = shell.read(shell.command("cc").arg("-dumpfullversion"))?;
    println!(
        "{}, Node {}, npm {}, {}, cc {}",
        rust.trim(),
        node.trim(),
        npm.trim(),
        python.trim(),
        c.trim()
    );
    let major = node.trim().trim_start_matches('v').split('.').next().and_then(|n| n.parse().ok());
    if major.is_none_or(|major: u32| major < 20) {
        return Err(format!("Node {} is too old: install Node 20 or later", node.trim()));
    }
    let venv = shell.read(shell.command(interpreter()).args(["-c", "import venv, ensurepip"]));
    venv.map(drop).map_err(|_| {
        String::from("Python lacks venv: install it (Debian: apt-get install python3-venv)")
    })
}

/// Installs programs of the system and prepares the wasm32 compiler.
pub(crate) fn system(shell: &Shell) -> Result<(), String> {
    programs(shell, PROGRAMS)?;
    shell.run(shell.command("bash").arg("ci/wasm-toolchain.sh"))
}

/// Installs those of `programs` that are missing.
pub(crate) fn programs(shell: &Shell, programs: &[Program]) -> Result<(), String> {
    let missing: Vec<_> = programs.iter().filter(|(program, _)| !on_path(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<_> = missing.iter().flat_map(|(_, packages)| *packages).collect();
    let names: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
    install(shell, &packages)
        .map_err(|e| format!("{} could not be installed\n{e}", names.join(", ")))
}

fn install(shell: &Shell, packages: &[&&str]) -> Result<(), String> {
    let apt = || {
        let mut command = shell.command("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    shell.run(apt().args(["update", "-qq"]))?;
    shell.run(apt().args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages))
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Installs the npm packages of a folder as its lock file states them.
pub(crate) fn npm(shell: &Shell, folder: &str) -> Result<(), String> {
    let folder = shell.root().join(folder);
    let lock = folder.join("package-lock.json");
    let wanted = fs::read(&lock).map_err(|e| format!("{}: {e}", lock.display()))?;
    let stamp = folder.join("node_modules/.moorline-lock");
    if fs::read(&stamp).is_ok_and(|present| present == wanted) {
        return Ok(());
    }
    let mut command = shell.command("npm");
    shell.run(command.current_dir(&folder).args(["ci", "--no-audit", "--no-fund"]))?;
    fs::create_dir_all(folder.join("node_modules"))
        .and_then(|()| fs::write(&stamp, wanted))
        .map_err(|e| format!("{}: {e}", stamp.display()))
}

/// Makes the virtual environment `name` below the target folder, with `packages`.
pub(crate) fn environment(shell: &Shell, name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let folder = shell.target().join(name);
    let executable = folder.join("bin/python");
    let stamp = folder.join("moorline-packages");
    let wanted = packages.join("\n");
    if executable.is_file() && fs::read_to_string(&stamp).is_ok_and(|present| present == wanted) {
        return Ok(executable);
    }
    shell.run(shell.command(interpreter()).args(["-m", "venv"]).arg(&folder))?;
    if !packages.is_empty() {
        let mut command = shell.command(&executable);
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        shell.run(command.args(packages))?;
    }
    fs::write(&stamp, wanted).map_err(|e| format!("{}: {e}", stamp.display()))?;
    Ok(executable)
}

/// Makes the virtual environment that builds and tests the Python package.
pub(crate) fn python_tests(shell: &Shell) -> Result<PathBuf, String> {
    environment(shell, "python", PYTHON_PACKAGES)
}

/// Returns the Python that makes environments.
pub(crate) fn interpreter() -> String {
    std::env::var("PYTHON").unwrap_or_else(|_| String::from("python3"))
}
