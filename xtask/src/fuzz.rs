//! Fuzzes the codecs with libFuzzer on the stable compiler.
//!
//! The targets are built with the coverage counters that libFuzzer reads; a sanitizer is not needed
//! for code without `unsafe`. Inputs that reach something new are kept in `target/fuzz/corpus`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

use crate::packages::{self, Profile};
use crate::shell::Shell;

/// The targets of the crate `fuzz`: one per codec.
const TARGETS: [&str; 5] = ["engineio", "socketio", "json", "split", "websocket"];

/// What makes the compiler count: edges, and the operands of comparisons.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// The largest input tried, in bytes.
const MAX_INPUT: u32 = 4_096;

/// What cargo is asked for to build the program that writes the seeds, and nothing more.
pub(crate) const SEEDS: [&str; 2] = ["--package=moorline-tests", "--example=fuzz_seeds"];

/// Fuzzes one target, or all of them side by side, for so many seconds each. The program that writes
/// the seeds is built with all that `selection` names.
pub(crate) fn run(
    shell: &Shell,
    selection: &[&str],
    target: Option<&str>,
    seconds: u32,
) -> Result<(), String> {
    let targets: Vec<&str> = match target {
        None => TARGETS.to_vec(),
        Some(name) => TARGETS.iter().copied().filter(|known| *known == name).collect(),
    };
    if targets.is_empty() {
        return Err(format!("no target has this name; there are {}", TARGETS.join(", ")));
    }
    let folder = shell.target().join("fuzz");
    packages::build(shell, Profile::Test, selection)?;
    let seeds = Profile::Test.folder(shell).join("examples/fuzz_seeds");
    shell.run(shell.command(seeds).arg(folder.join("seeds")))?;
    let binaries = build(shell, &folder)?;
    thread::scope(|scope| {
        let running: Vec<_> = targets
            .iter()
            .map(|target| {
                let (folder, binary) = (&folder, binaries.join(target));
                scope.spawn(move || fuzz(shell, folder, &binary, target, seconds))
            })
            .collect();
        let results: Vec<_> = running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a target panicked".to_owned())))
            .collect();
        results.into_iter().collect()
    })
}

/// Builds the targets; returns the folder that holds them.
fn build(shell: &Shell, folder: &Path) -> Result<PathBuf, String> {
    let version = shell.read(shell.command("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("rustc does not say what it compiles for")?;
    let mut cargo = shell.cargo();
    // With a target named, build scripts are built without the counters.
    cargo.args(["build", "--release", "--locked", "--manifest-path=fuzz/Cargo.toml", "--target"]);
    cargo.arg(host).arg("--target-dir").arg(folder).env("RUSTFLAGS", COVERAGE);
    shell.run(&mut cargo)?;
    Ok(folder.join(host).join("release"))
}

fn fuzz(
    shell: &Shell,
    folder: &Path,
    binary: &Path,
    target: &str,
    seconds: u32,
) -> Result<(), String> {
    let make = |kind: &str| {
        let path = folder.join(kind).join(target);
        fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok::<_, String>(path)
    };
    let (corpus, seeds, findings) = (make("corpus")?, make("seeds")?, make("findings")?);
    let log = folder.join(format!("{target}.log"));
    let file = fs::File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
    let copy = file.try_clone().map_err(|e| format!("{}: {e}", log.display()))?;
    let status = shell
        .command(binary)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={MAX_INPUT}"))
        .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1", "-use_value_profile=1"])
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .args([&corpus, &seeds])
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(copy)
        .status()
        .map_err(|e| format!("{}: {e}", binary.display()))?;
    let text = fs::read(&log).map_err(|e| format!("{}: {e}", log.display()))?;
    let text = String::from_utf8_lossy(&text);
    if !status.success() {
        let tail: Vec<&str> = text.lines().rev().take(40).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        return Err(format!(
            "{target}: a finding, kept in {}\n{}",
            findings.display(),
            tail.join("\n")
        ));
    }
    let number = |name: &str| {
        text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim())).unwrap_or("?")
    };
    let last = text.lines().rev().find(|line| line.contains(" cov: ")).unwrap_or_default();
    let word = |name: &str| {
        last.split_once(name).and_then(|(_, rest)| rest.split_whitespace().next()).unwrap_or("?")
    };
    shell.say(&format!(
        "{target}: {} inputs in {seconds} s, {} edges covered, {} inputs kept, no finding",
        number("stat::number_of_executed_units:"),
        word(" cov: "),
        word(" corp: "),
    ))
}
