//! The wheel and the sources of the Python package.

use super::{Place, copy, first};
use crate::packages::{self, Profile};
use crate::prepare;
use crate::shell::Shell;

/// Builds the wheel and installs it where nothing else is.
pub(super) fn wheel(shell: &Shell, place: &Place) -> Result<(), String> {
    let built = packages::wheel(shell, Profile::Release)?;
    let name = built.file_name().ok_or("the wheel has no name")?;
    let wheel = place.out.join(name);
    copy(&built, &wheel)?;
    attempt(shell, place, "wheel", &wheel)
}

/// Packs the sources, and builds and installs them as pip does where there is no wheel.
pub(super) fn sources(shell: &Shell, place: &Place) -> Result<(), String> {
    let python = prepare::python_tests(shell)?;
    let mut command = shell.command(&python);
    command.args(["-m", "maturin", "sdist", "--manifest-path"]);
    shell.run(command.arg("bindings-python/Cargo.toml").arg("--out").arg(&place.out))?;
    attempt(
        shell,
        place,
        "sources",
        &place.find("moorline-", &format!("{}.tar.gz", place.version))?,
    )
}

fn attempt(
    shell: &Shell,
    place: &Place,
    name: &str,
    package: &std::path::Path,
) -> Result<(), String> {
    let folder = place.empty(name)?;
    shell.run(
        shell.command(prepare::interpreter()).args(["-m", "venv", "."]).current_dir(&folder),
    )?;
    let python = folder.join("bin/python");
    let mut pip = shell.command(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).arg(package);
    // Crates of others are compiled there already.
    shell.run(pip.env("CARGO_TARGET_DIR", shell.target()).current_dir(&folder))?;
    let program = shell.root().join("tests/packages/first.py");
    first(shell, shell.command(&python).arg(program).current_dir(&folder))
}
