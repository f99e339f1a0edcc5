//! Builds what the users of each language get.

use std::fs;
use std::path::PathBuf;

use crate::prepare;
use crate::shell::Shell;

/// How packages are built: quickly for tests, or as they are released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Test,
    Release,
}

impl Profile {
    /// Returns cargo's name for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Test => "dev",
            Self::Release => "release",
        }
    }

    /// Returns where cargo puts what it builds.
    pub(crate) fn folder(self, shell: &Shell) -> PathBuf {
        shell.target().join(match self {
            Self::Test => "debug",
            Self::Release => "release",
        })
    }
}

/// Builds every package and every test of the workspace at once: what each build of its own would share
/// with the others only in part is compiled once.
pub(crate) fn workspace(shell: &Shell) -> Result<(), String> {
    shell.run(shell.cargo().args(["build", "--locked"]).args(WHOLE))
}

/// What makes another build find everything done that [`workspace`] has built.
pub(crate) const WHOLE: [&str; 2] = ["--workspace", "--all-targets"];

/// Builds programs of the workspace and returns the folder where they are.
pub(crate) fn programs(
    shell: &Shell,
    profile: Profile,
    packages: &[&str],
) -> Result<PathBuf, String> {
    let mut command = shell.cargo();
    command.args(["build", "--locked", "--profile", profile.name()]);
    for package in packages {
        command.args(["--package", package]);
    }
    shell.run(&mut command)?;
    Ok(profile.folder(shell))
}

/// Builds the Node package in its folder: add-on and TypeScript.
pub(crate) fn node(shell: &Shell, profile: Profile) -> Result<(), String> {
    prepare::npm(shell, "bindings-node")?;
    let folder = shell.root().join("bindings-node");
    let mut native = shell.command("node");
    native.arg("scripts/build-native.mjs");
    match profile {
        Profile::Test => native.args(["--locked", "--profile", "dev"]).args(WHOLE),
        Profile::Release => native.args(["--locked", "--release"]),
    };
    shell.run(native.current_dir(&folder))?;
    let mut script = shell.command("npm");
    shell.run(script.current_dir(&folder).args(["run", "--silent", "build:ts"]))
}

/// Builds the wheel and returns its file.
pub(crate) fn wheel(shell: &Shell, profile: Profile) -> Result<PathBuf, String> {
    let python = prepare::python_tests(shell)?;
    let out = shell.target().join("wheels").join(profile.name());
    if out.is_dir() {
        fs::remove_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    }
    let mut command = shell.command(&python);
    command.args(["-m", "maturin", "build", "--locked", "--quiet"]);
    command.args(["--manifest-path", "bindings-python/Cargo.toml", "--profile", profile.name()]);
    shell.run(command.arg("--interpreter").arg(&python).arg("--out").arg(&out))?;
    let wheel = fs::read_dir(&out)
        .map_err(|e| format!("{}: {e}", out.display()))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"));
    wheel.ok_or_else(|| format!("maturin left no wheel in {}", out.display()))
}

/// Builds the wheel, installs it in the virtual environment `name` and returns its Python.
pub(crate) fn python(
    shell: &Shell,
    profile: Profile,
    name: &str,
    packages: &[&str],
) -> Result<PathBuf, String> {
    let wheel = wheel(shell, profile)?;
    let python = prepare::environment(shell, name, packages)?;
    let mut command = shell.command(&python);
    command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    command.args(["--force-reinstall", "--no-deps"]).arg(wheel);
    shell.run(&mut command)?;
    Ok(python)
}
