//! The crates: packed, unpacked, and used by a project that has nothing else.

use std::fs;

use super::{Place, copy, first, write};
use crate::shell::Shell;

/// What is published, in the order in which one needs the other.
pub(super) const CRATES: [&str; 4] =
    ["moorline-core", "moorline-driver", "moorline", "moorline-cli"];

/// Packs the crates and compiles a first program with what was packed.
pub(super) fn package(shell: &Shell, place: &Place) -> Result<(), String> {
    let mut cargo = shell.cargo();
    // What was packed is compiled below, all of it together.
    cargo.args(["package", "--locked", "--quiet", "--no-verify", "--allow-dirty"]);
    shell.run(cargo.args(CRATES.iter().flat_map(|name| ["--package", name])))?;
    let project = place.empty("crates")?;
    let mut patches = String::new();
    for name in CRATES {
        let packed = format!("{name}-{}", place.version);
        let file = shell.target().join("package").join(format!("{packed}.crate"));
        copy(&file, &place.out.join(format!("{packed}.crate")))?;
        shell.run(shell.command("tar").arg("-xzf").arg(&file).arg("-C").arg(&project))?;
        patches.push_str(&format!("{name} = {{ path = \"{packed}\" }}\n"));
    }
    fs::create_dir_all(project.join("src")).map_err(|e| format!("{}: {e}", project.display()))?;
    copy(&shell.root().join("tests/packages/first.rs"), &project.join("src/main.rs"))?;
    copy(&shell.root().join("Cargo.lock"), &project.join("Cargo.lock"))?;
    write(
        &project.join("Cargo.toml"),
        &format!(
            "[package]\nname = \"first\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
             [dependencies]\nmoorline = \"{}\"\nserde_json = \"1\"\n\
             tokio = {{ version = \"1\", features = [\"macros\", \"rt\"] }}\n\n\
             [patch.crates-io]\n{patches}",
            place.version
        ),
    )?;
    let target = shell.target().join("packages-trial");
    let mut cargo = shell.cargo();
    cargo.env("CARGO_TARGET_DIR", &target).current_dir(&project);
    shell.run(cargo.args(["build", "--quiet"]))?;
    first(shell, &mut shell.command(target.join("debug/first")))
}
