//! Which package may depend on which, and that the core's tree names no runtime.

use crate::metadata::Metadata;
use crate::shell::Shell;
use crate::thin::scripted;

/// Each package and those of the workspace that it may depend on; tests and tools may use them all.
const ARROWS: &[(&str, &[&str])] = &[
    ("moorline-core", &[]),
    ("moorline-driver", &["moorline-core"]),
    ("moorline", &["moorline-core", "moorline-driver"]),
    ("moorline-cli", &["moorline-core", "moorline-driver"]),
    ("moorline-node", &["moorline-core", "moorline-driver"]),
    ("moorline-python", &["moorline-core", "moorline-driver"]),
    ("moorline-c", &["moorline-core", "moorline-driver"]),
    ("moorline-wasm", &["moorline-core"]),
    ("moorline-wasm-generator", &[]),
    ("moorline-demo", &["moorline-core", "moorline"]),
    ("moorline-attack", &["moorline"]),
    ("moorline-bench", &["moorline-core", "moorline"]),
    ("moorline-tests", &["moorline-core", "moorline-driver", "moorline"]),
    ("xtask", &["moorline-core"]),
];

/// What the core must not depend on: runtimes, and sources of randomness.
const IMPURE: &[&str] = &["tokio", "async-std", "smol", "mio", "getrandom", "chrono", "reqwest"];

/// Adds what is wrong to `problems`.
pub(super) fn check(shell: &Shell, problems: &mut Vec<String>) -> Result<(), String> {
    let metadata = Metadata::read(shell)?;
    let members = metadata.members();
    for (name, package) in &members {
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| known == name) else {
            problems.push(format!("{name} is not in the table of arrows in xtask"));
            continue;
        };
        scripted::manifest(name, package, problems);
        for dependency in &package.dependencies {
            let other = dependency.name.as_str();
            let for_tests = dependency.kind.as_deref() == Some("dev");
            if members.contains_key(other) && !for_tests && !allowed.contains(&other) {
                problems.push(format!("{name} must not depend on {other}"));
            }
        }
    }
    let tree = shell.read(shell.cargo().args([
        "tree",
        "--locked",
        "--package=moorline-core",
        "--edges=normal",
        "--prefix=none",
        "--format={p}",
    ]))?;
    for line in tree.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        if IMPURE.contains(&name) {
            problems.push(format!("moorline-core depends on {name}"));
        }
    }
    Ok(())
}
