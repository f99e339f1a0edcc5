//! The `moorline` command as people install it: an archive, and a package for Debian and its like.

use std::env::consts::{ARCH, OS};
use std::fs;
use std::path::{Path, PathBuf};

use super::{Place, copy, empty, first, write};
use crate::packages::Profile;
use crate::shell::Shell;

/// Where shells look for completions.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "share/bash-completion/completions/moorline"),
    ("zsh", "share/zsh/site-functions/_moorline"),
    ("fish", "share/fish/vendor_completions.d/moorline.fish"),
];

/// Puts the archive together and tries what it holds.
pub(super) fn package(shell: &Shell, place: &Place) -> Result<(), String> {
    let name = archive(place);
    let tree = stage(shell, &place.trials.join("command-tree").join(&name))?;
    let file = place.out.join(format!("{name}.tar.gz"));
    let mut tar = shell.command("tar");
    tar.arg("-czf").arg(&file).arg("-C").arg(tree.parent().unwrap_or(&tree)).arg(&name);
    shell.run(&mut tar)?;
    let prefix = place.empty("command")?;
    let mut tar = shell.command("tar");
    tar.arg("-xzf").arg(&file).arg("-C").arg(&prefix).arg("--strip-components=1");
    shell.run(&mut tar)?;
    attempt(shell, &prefix)
}

/// Puts the Debian package together, unpacks it as if it were installed, and tries what it holds.
pub(super) fn debian(shell: &Shell, place: &Place) -> Result<(), String> {
    let root = place.trials.join("debian-tree");
    stage(shell, &root.join("usr"))?;
    copy(
        &shell.root().join("deploy/systemd/moorline-hub.service"),
        &root.join("usr/lib/systemd/system/moorline-hub.service"),
    )?;
    let architecture = shell.read(shell.command("dpkg").arg("--print-architecture"))?;
    let architecture = architecture.trim();
    let libc = libc(shell, &root.join("usr/bin/moorline"))?;
    let version = &place.version;
    fs::create_dir_all(root.join("DEBIAN")).map_err(|e| format!("DEBIAN: {e}"))?;
    write(
        &root.join("DEBIAN/control"),
        &format!(
            "Package: moorline\n\
             Version: {version}\n\
             Architecture: {architecture}\n\
             Maintainer: The Moorline maintainers <moorline@localhost>\n\
             Depends: libc6 (>= {libc}), libgcc-s1\n\
             Section: net\n\
             Priority: optional\n\
             Description: workers, dispatchers and a control plane that survive every kind of disconnect\n \
             The command moorline: hub, worker, dispatch, status and more.\n"
        ),
    )?;
    let file = place.out.join(format!("moorline_{version}_{architecture}.deb"));
    let mut build = shell.command("dpkg-deb");
    shell.run(build.args(["--root-owner-group", "--build"]).arg(&root).arg(&file))?;
    let prefix = place.empty("debian")?;
    shell.run(shell.command("dpkg-deb").arg("--extract").arg(&file).arg(&prefix))?;
    attempt(shell, &prefix.join("usr"))
}

/// What the archive is called, without its ending.
pub(super) fn archive(place: &Place) -> String {
    format!("moorline-{}-{ARCH}-{OS}", place.version)
}

/// Puts the program, its pages and its completions below `prefix`.
fn stage(shell: &Shell, prefix: &Path) -> Result<PathBuf, String> {
    let prefix = empty(prefix)?;
    let program = prefix.join("bin/moorline");
    copy(&Profile::Release.folder(shell).join("moorline"), &program)?;
    super::strip(shell, &program)?;
    for (name, file) in COMPLETIONS {
        let text = shell.read(shell.command(&program).args(["completions", name]))?;
        let file = prefix.join(file);
        fs::create_dir_all(file.parent().unwrap_or(&file)).map_err(|e| format!("{name}: {e}"))?;
        write(&file, &text)?;
    }
    let pages = prefix.join("share/man/man1");
    shell.run(shell.command(&program).arg("man").arg(&pages))?;
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        let to = prefix.join("share/doc/moorline").join(licence);
        copy(&shell.root().join(licence), &to)?;
    }
    Ok(prefix)
}

/// Returns the oldest C library that a program runs with.
fn libc(shell: &Shell, program: &Path) -> Result<String, String> {
    let symbols = shell.read(shell.command("objdump").arg("-T").arg(program))?;
    newest(&symbols).ok_or_else(|| String::from("the program asks for no version of the C library"))
}

/// Returns the newest version of the C library among symbols.
fn newest(symbols: &str) -> Option<String> {
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(rest.len());
        let numbers = rest.get(..end)?.split('.').map(|number| number.parse().ok());
        numbers.collect::<Option<Vec<u32>>>()
    });
    let newest = versions.max()?;
    Some(newest.iter().map(u32::to_string).collect::<Vec<_>>().join("."))
}

/// Runs the installed command: a hub, a worker of a program, a dispatch.
fn attempt(shell: &Shell, prefix: &Path) -> Result<(), String> {
    let program = prefix.join("bin/moorline");
    shell.run(shell.command(&program).arg("--version"))?;
    for page in ["moorline.1", "moorline-hub.1", "moorline-worker.1"] {
        if !prefix.join("share/man/man1").join(page).is_file() {
            return Err(format!("there is no page {page}"));
        }
    }
    let mut script = shell.command("bash");
    script.arg(shell.root().join("tests/packages/first.sh")).arg(&program);
    first(shell, script.current_dir(prefix))
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[test]
    fn the_newest_version_counts_by_number() {
        let symbols =
            "0 DF *UND* (GLIBC_2.4) a\n0 DF *UND* (GLIBC_2.34) b\n(GLIBC_2.2.5) c GCC_3.0";
        assert_eq!(newest(symbols).as_deref(), Some("2.34"));
        assert_eq!(newest("GCC_3.0"), None);
    }
}
