//! Counts the instructions that one item costs in a machine alone: no sockets, no threads, no clock.
//! Counts do not depend on what else the computer does.

use crate::shell::Shell;

/// What `core/examples/instructions.rs` can do.
const SCENARIOS: &[(&str, &str)] = &[
    ("worker", "beacon worker: an item in, its outcome out and taken"),
    ("hub", "hub: a dispatch, its item pushed, reported and answered"),
    ("daemon-calls", "VOLT daemon: a command out, its answer in"),
    ("daemon-commands", "VOLT daemon: a command in, its answer out"),
];

/// The items of the two runs whose difference is counted.
const RUNS: (u64, u64) = (1_000, 3_000);

/// Builds the program and prints a line for each scenario.
pub(super) fn run(shell: &Shell) -> Result<(), String> {
    shell.run(shell.cargo().args([
        "build",
        "--locked",
        "--quiet",
        "--release",
        "--package=moorline-core",
        "--example=instructions",
    ]))?;
    println!("instructions for one item, by callgrind:");
    for (scenario, what) in SCENARIOS {
        let (few, many) = (count(shell, scenario, RUNS.0)?, count(shell, scenario, RUNS.1)?);
        let each = many.saturating_sub(few) / (RUNS.1 - RUNS.0);
        println!("  {each:>8}  {what}");
    }
    Ok(())
}

fn count(shell: &Shell, scenario: &str, items: u64) -> Result<u64, String> {
    let program = shell.target().join("release/examples/instructions");
    let mut command = shell.command("valgrind");
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([scenario, &items.to_string()]);
    let output = command.output().map_err(|e| format!("valgrind: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{scenario}: {said}"));
    }
    collected(&said).ok_or_else(|| format!("valgrind counted nothing: {said}"))
}

/// Finds the sum in what callgrind says: `==7== Collected : 123456`.
fn collected(said: &str) -> Option<u64> {
    said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_found() {
        assert_eq!(collected("==7== Events    : Ir\n==7== Collected : 4711\n"), Some(4_711));
        assert_eq!(collected("==7== Events    : Ir\n"), None);
    }
}
