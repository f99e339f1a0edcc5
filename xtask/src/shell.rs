//! Runs programs for a step: where they run, where their output goes, what a missing one means.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How to get a program that is missing.
const WAYS: &[(&str, &str)] = &[
    ("cargo", "install Rust 1.95 with rustup"),
    ("bash", "install bash with your system's package manager"),
    ("node", "install Node 20 or later"),
    ("npm", "install Node 20 or later; npm comes with it"),
    ("npx", "install Node 20 or later; npx comes with it"),
    ("python3", "install Python 3.9 or later with venv (Debian: apt-get install python3-venv)"),
    ("cc", "install a C compiler (Debian: apt-get install gcc)"),
    ("c++", "install a C++ compiler (Debian: apt-get install g++)"),
    ("valgrind", "install valgrind (Debian: apt-get install valgrind)"),
    ("apt-get", "install what the message above names with your system's package manager"),
];

/// Where a step runs its programs.
pub(crate) struct Shell {
    root: PathBuf,
    log: Option<File>,
}

impl Shell {
    /// Programs run in `root` and write to the terminal.
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), log: None }
    }

    /// The same, but programs write to `log`.
    pub(crate) fn logged(root: &Path, log: File) -> Self {
        Self { root: root.to_owned(), log: Some(log) }
    }

    /// Returns the workspace's folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder for what builds leave behind.
    pub(crate) fn target(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| self.root.join("target"), |target| self.root.join(target))
    }

    /// Prepares a program to run in the workspace's folder.
    ///
    /// It does not see what cargo tells this command about its package: build scripts ask for that, and
    /// what they build would be built again by every cargo that was started otherwise.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(about_package) {
                command.env_remove(name);
            }
        }
        command
    }

    /// Prepares the cargo that runs us.
    pub(crate) fn cargo(&self) -> Command {
        self.command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    /// Runs a program to its end; anything but success is an error that names it.
    pub(crate) fn run(&self, command: &mut Command) -> Result<(), String> {
        if let Some(log) = &self.log {
            let copy = || log.try_clone().map_err(|e| format!("the log cannot be written: {e}"));
            command.stdout(copy()?).stderr(copy()?);
        }
        command.stdin(Stdio::null());
        let status = command.status().map_err(|e| missing(command, &e))?;
        if status.success() {
            return Ok(());
        }
        Err(format!("`{}` ended with {status}", line(command)))
    }

    /// Writes a line to where the output of programs goes.
    pub(crate) fn say(&self, text: &str) -> Result<(), String> {
        let Some(mut log) = self.log.as_ref() else {
            println!("{text}");
            return Ok(());
        };
        writeln!(log, "{text}").map_err(|e| format!("the log cannot be written: {e}"))
    }

    /// Runs a program and returns what it wrote to its standard output.
    pub(crate) fn read(&self, command: &mut Command) -> Result<String, String> {
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let output = command.output().map_err(|e| missing(command, &e))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(format!(
            "`{}` ended with {}\n{}",
            line(command),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}

/// Tells whether cargo sets the variable `name` for a program that it runs.
fn about_package(name: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix))
}

fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    words.join(" ")
}

fn missing(command: &Command, error: &std::io::Error) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    if error.kind() != ErrorKind::NotFound {
        return format!("{name} cannot be run: {error}");
    }
    WAYS.iter().find(|(known, _)| *known == name).map_or_else(
        || format!("{} is missing", program.display()),
        |(_, way)| format!("{name} is missing: {way}"),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Shell;

    #[test]
    fn hides_what_cargo_says_of_this_package() {
        // Cargo sets these for tests as it does for programs.
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME"] {
            assert!(std::env::var_os(name).is_some());
            let command = Shell::new(Path::new("/")).command("cargo");
            let hidden = command.get_envs().any(|(known, value)| known == name && value.is_none());
            assert!(hidden, "{name}");
        }
        let cargo = Shell::new(Path::new("/")).command("cargo");
        assert!(cargo.get_envs().all(|(name, _)| name != "CARGO"));
    }
}
