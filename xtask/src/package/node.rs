//! The packages of npm: the main one, the one of this platform, and that of browsers.

use std::path::Path;
use std::process::Command;

use super::{Place, first, write};
use crate::packages::{self, Profile};
use crate::shell::Shell;

/// A project that nobody publishes.
const PROJECT: &str = r#"{"name":"trial","private":true,"type":"module"}"#;

/// Packs the main package and the one with the add-on, and installs both.
pub(super) fn package(shell: &Shell, place: &Place) -> Result<(), String> {
    packages::node(shell, Profile::Release, &super::RELEASED)?;
    let folder = shell.root().join("bindings-node");
    super::strip(shell, &super::find(&folder.join("dist"), ".node")?)?;
    let mut pack = shell.command("node");
    pack.arg("scripts/package.mjs").arg(&place.out).arg("--fallback");
    shell.run(pack.current_dir(folder))?;
    let project = place.empty("node")?;
    write(&project.join("package.json"), PROJECT)?;
    let packed = [place.find("moorline-node-", ".tgz")?, main(place)];
    shell.run(npm(shell, &project).args(packed))?;
    let program = project.join("first.mjs");
    super::copy(&shell.root().join("tests/packages/first.mjs"), &program)?;
    first(shell, shell.command("node").arg("first.mjs").current_dir(&project))
}

/// Packs the package of browsers, and has Node load it.
pub(super) fn web(shell: &Shell, place: &Place) -> Result<(), String> {
    shell.run(shell.command("bash").arg("wasm/build.sh"))?;
    let mut pack = shell.command("npm");
    pack.args(["pack", "--silent", "--pack-destination"]).arg(&place.out);
    shell.run(pack.current_dir(shell.root().join("wasm")))?;
    let project = place.empty("web")?;
    write(&project.join("package.json"), PROJECT)?;
    shell.run(npm(shell, &project).arg(place.find("moorline-web-", ".tgz")?))?;
    let program = "import { Worker } from '@moorline/web'; console.log(typeof Worker)";
    let mut node = shell.command("node");
    let said =
        shell.read(node.args(["--input-type=module", "--eval", program]).current_dir(project))?;
    if said.trim() == "function" { Ok(()) } else { Err(format!("the web package says {said}")) }
}

/// The file of the main package.
pub(super) fn main(place: &Place) -> std::path::PathBuf {
    place.out.join(format!("moorline-{}.tgz", place.version))
}

fn npm(shell: &Shell, project: &Path) -> Command {
    let mut npm = shell.command("npm");
    npm.current_dir(project);
    npm.args(["install", "--offline", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]);
    npm
}
