//! Builds what the users of each language get.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};

use crate::prepare;
use crate::shell::Shell;

/// How packages are built: quickly for tests and the demonstration, or as they are released.
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
    build(shell, Profile::Test, &WHOLE)
}

/// What makes another build find everything done that [`workspace`] has built.
pub(crate) const WHOLE: [&str; 4] = ["--workspace", "--all-targets", "--features", SCRIPTED];

/// Features of tests: endpoints that a script leads. What is released is never built with them.
pub(crate) const SCRIPTED: &str =
    "moorline-node/scripted,moorline-python/scripted,moorline-c/scripted,moorline-wasm/scripted";

/// What the demonstration runs, for one build as well.
pub(crate) const SHOWN: [&str; 8] = [
    "--package",
    "moorline-cli",
    "--package",
    "moorline-demo",
    "--package",
    "moorline-node",
    "--package",
    "moorline-python",
];

/// Builds what `selection` names.
pub(crate) fn build(shell: &Shell, profile: Profile, selection: &[&str]) -> Result<(), String> {
    check(profile, selection)?;
    let mut command = shell.cargo();
    command.args(["build", "--locked", "--profile", profile.name()]);
    shell.run(command.args(selection))
}

/// Refuses to build for a release what only tests have.
fn check(profile: Profile, selection: &[&str]) -> Result<(), String> {
    match selection.iter().find(|word| word.contains("scripted")) {
        Some(word) if profile == Profile::Release => Err(format!("a release with {word}")),
        Some(_) | None => Ok(()),
    }
}

/// Builds the Node package in its folder: the add-on, with all that `selection` names, and TypeScript.
pub(crate) fn node(shell: &Shell, profile: Profile, selection: &[&str]) -> Result<(), String> {
    check(profile, selection)?;
    prepare::npm(shell, "bindings-node")?;
    let folder = shell.root().join("bindings-node");
    let mut native = shell.command("node");
    native.args(["scripts/build-native.mjs", "--locked", "--profile", profile.name()]);
    shell.run(native.args(selection).current_dir(&folder))?;
    let mut script = shell.command("npm");
    shell.run(script.current_dir(&folder).args(["run", "--silent", "build:ts"]))
}

/// Puts the Python package together in `folder`, from its sources and the library that was built: for a
/// wheel, maturin has cargo build that once more. Programs with `folder` in `PYTHONPATH` import it.
pub(crate) fn python_unpacked(
    shell: &Shell,
    profile: Profile,
    folder: &Path,
) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    if folder.is_dir() {
        fs::remove_dir_all(folder).map_err(failed)?;
    }
    let package = folder.join("moorline");
    copy_python(&shell.root().join("bindings-python/python/moorline"), &package).map_err(failed)?;
    let library = profile.folder(shell).join(format!("{DLL_PREFIX}_native{DLL_SUFFIX}"));
    fs::copy(&library, package.join("_native.abi3.so"))
        .map_err(|e| format!("{}: {e}", library.display()))
        .map(drop)
}

/// Copies the Python sources in `from` and below.
fn copy_python(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, copy) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_python(&source, &copy)?;
        } else if source.extension().is_some_and(|extension| extension == "py") {
            fs::copy(&source, &copy)?;
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_released_with_a_feature_of_tests() {
        assert!(check(Profile::Release, &WHOLE).is_err());
        assert!(check(Profile::Test, &WHOLE).is_ok());
        assert!(check(Profile::Release, &SHOWN).is_ok());
    }
}
