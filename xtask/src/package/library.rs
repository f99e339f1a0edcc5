//! The C library: header, libraries, and what pkg-config and CMake ask for.

use std::env::consts::{ARCH, OS};

use super::{Place, first};
use crate::shell::Shell;

/// Builds the archive, unpacks it and compiles programs against it, found by each of the two tools.
pub(super) fn package(shell: &Shell, place: &Place) -> Result<(), String> {
    let name = format!("moorline-c-{}-{ARCH}-{OS}", place.version);
    let tree = place.empty("c-tree")?;
    let mut install = shell.command("bash");
    install.arg("bindings-c/install.sh").arg(tree.join(&name));
    shell.run(install.env("MOORLINE_BUILD", super::RELEASED.join(" ")))?;
    super::strip(
        shell,
        &super::find(&tree.join(&name).join("lib"), &format!(".so.{}", place.version))?,
    )?;
    let file = place.out.join(format!("{name}.tar.gz"));
    shell.run(shell.command("tar").arg("-czf").arg(&file).arg("-C").arg(&tree).arg(&name))?;
    let prefix = place.empty("c")?;
    let mut tar = shell.command("tar");
    shell.run(tar.arg("-xzf").arg(&file).arg("-C").arg(&prefix).arg("--strip-components=1"))?;
    for tool in ["pkg-config", "cmake"] {
        let mut script = shell.command("bash");
        script.arg("tests/packages/first_c.sh").arg(tool).arg(&prefix);
        let program = place.empty(&format!("c-{tool}"))?;
        shell.run(script.arg(&program))?;
        first(shell, &mut shell.command(program.join("first")))?;
    }
    Ok(())
}
