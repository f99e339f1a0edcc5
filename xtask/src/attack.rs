//! Attacks hubs and workers and compares memory, time and outcome with their bounds.

use std::path::Path;

use crate::packages::Profile;
use crate::shell::Shell;

/// Builds what is attacked and what attacks, then runs everything.
pub(crate) fn run(root: &Path, only: Option<&str>, planted: &[String]) -> Result<(), String> {
    let shell = Shell::new(root);
    shell.run(shell.cargo().args([
        "build",
        "--locked",
        "-p",
        "moorline-cli",
        "-p",
        "moorline-attack",
    ]))?;
    let mut arguments: Vec<&str> = Vec::new();
    arguments.extend(only.iter().flat_map(|entry| ["--only", entry]));
    arguments.extend(planted.iter().flat_map(|option| ["--plant", option]));
    attack(&shell, &arguments)?;
    if only.is_none() && planted.is_empty() { tests(&shell) } else { Ok(()) }
}

/// What the gate runs, with programs that are built already.
pub(crate) fn short(shell: &Shell) -> Result<(), String> {
    attack(shell, &["--short"])
}

fn attack(shell: &Shell, arguments: &[&str]) -> Result<(), String> {
    let programs = Profile::Test.folder(shell);
    let mut command = shell.command(programs.join("moorline-attack"));
    command.arg("--moorline").arg(programs.join("moorline")).args(arguments);
    shell.run(&mut command)
}

/// Runs the tests that show what no process can be made to show.
fn tests(shell: &Shell) -> Result<(), String> {
    let mut list = shell.command(Profile::Test.folder(shell).join("moorline-attack"));
    for line in shell.read(list.arg("--tests"))?.lines() {
        let [entry, package, name] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(format!("not a test: {line}"));
        };
        let output =
            shell.read(shell.cargo().args(["test", "--locked", "-q", "-p", package, name]))?;
        if !output.contains("1 passed") {
            return Err(format!("{package} has no test that is named {name}\n{output}"));
        }
        shell.say(&format!("{entry}: {name} passes"))?;
    }
    Ok(())
}
