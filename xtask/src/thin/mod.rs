//! Keeps bindings thin and the core pure.
//!
//! A binding converts and forwards: it has no timer, no name of the wire, no default. The core names no
//! runtime. Hand-written `unsafe` stands in `bindings-c` only. Packages depend on each other in one
//! direction.

mod arrows;
mod source;

use std::path::Path;

use moorline_core::options::{COMMANDS, Field, Kind, ROLES};

use crate::shell::Shell;
use source::{File, Language, files};

/// How much of core's size each binding's native part, and each one's host part, may have.
const BUDGET: f64 = 0.12;

/// A binding and where its sources are. Tests and generated files do not count.
struct Binding {
    name: &'static str,
    folders: &'static [&'static str],
}

const BINDINGS: &[Binding] = &[
    Binding { name: "node, native", folders: &["bindings-node/src"] },
    Binding { name: "node, TypeScript", folders: &["bindings-node/ts"] },
    Binding { name: "python, native", folders: &["bindings-python/src"] },
    Binding { name: "python, Python", folders: &["bindings-python/python"] },
    Binding { name: "c", folders: &["bindings-c/src"] },
    Binding { name: "wasm, native", folders: &["wasm/src"] },
    Binding { name: "wasm, JavaScript", folders: &["wasm/ts", "wasm/js"] },
];

/// Files that are allowed what others are not, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("wasm/ts/driver.ts", "it is the browser's driver: it performs the machine's deadlines"),
    (
        "bindings-node/ts/volt/heartbeat.ts",
        "the original exports this loop; clients beat from core",
    ),
];

/// What sets a timer, by language.
const TIMERS: &[(Language, &[&str])] = &[
    (
        Language::Rust,
        &["thread::sleep", "tokio::time", "Instant::now", "SystemTime::now", "recv_timeout"],
    ),
    (Language::TypeScript, &["setTimeout", "setInterval"]),
    (
        Language::Python,
        &["call_later", "call_at", "asyncio.sleep", "time.sleep", "threading.Timer"],
    ),
];

/// Measures and checks; every problem is reported at once.
pub(crate) fn run(shell: &Shell) -> Result<(), String> {
    let root = shell.root();
    let mut problems = Vec::new();
    sizes(root, &mut problems)?;
    bindings(root, &mut problems)?;
    unsafe_code(root, &mut problems)?;
    arrows::check(shell, &mut problems)?;
    if problems.is_empty() {
        println!("thin: no timers, wire names or defaults in bindings; the core is pure");
        return Ok(());
    }
    Err(problems.join("\n"))
}

fn sizes(root: &Path, problems: &mut Vec<String>) -> Result<(), String> {
    let core: usize = files(root, "core/src")?.iter().map(File::lines).sum();
    println!("{:<20} {:>6} lines of code", "core", core);
    for binding in BINDINGS {
        let mut lines = 0;
        for folder in binding.folders {
            lines += files(root, folder)?.iter().map(File::lines).sum::<usize>();
        }
        let ratio = lines as f64 / core.max(1) as f64;
        println!("{:<20} {lines:>6} {ratio:>8.3} of core", binding.name);
        if ratio > BUDGET {
            problems.push(format!(
                "{} has {lines} lines, {ratio:.3} of core; its budget is {BUDGET}",
                binding.name
            ));
        }
    }
    Ok(())
}

fn bindings(root: &Path, problems: &mut Vec<String>) -> Result<(), String> {
    let names = wire_names(root)?;
    let defaults = defaults();
    for folder in BINDINGS.iter().flat_map(|binding| binding.folders) {
        for file in files(root, folder)? {
            if EXCEPTIONS.iter().any(|(path, _)| *path == file.path) {
                continue;
            }
            let timers = TIMERS
                .iter()
                .filter(|(language, _)| *language == file.language)
                .flat_map(|(_, calls)| *calls);
            for (number, line) in file.code() {
                for call in timers.clone().filter(|call| line.contains(**call)) {
                    problems.push(format!("{}:{number}: sets a timer: {call}", file.path));
                }
                for name in names.iter().filter(|name| source::has_word(&line, name)) {
                    problems.push(format!("{}:{number}: names the wire: {name}", file.path));
                }
                for default in defaults.iter().filter(|default| source::has_number(&line, default))
                {
                    problems.push(format!("{}:{number}: spells a default: {default}", file.path));
                }
            }
        }
    }
    Ok(())
}

/// Reads the names of the wire from the files that alone may spell them: compound words only, since
/// words such as `Name` are everybody's.
fn wire_names(root: &Path) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for file in files(root, "core/src/dialect")? {
        if !file.path.ends_with("/wire.rs") {
            continue;
        }
        for (_, line) in file.code() {
            names.extend(source::compound_words(&line));
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Numbers of five digits and more that are the default of an option.
fn defaults() -> Vec<String> {
    fn collect(fields: &[Field], into: &mut Vec<String>) {
        for field in fields {
            if let Kind::Table(rows) | Kind::TableList(rows) = field.kind {
                collect(&rows(), into);
            }
            if matches!(field.kind, Kind::Integer) && field.default.len() > 4 {
                into.push(field.default.clone());
            }
        }
    }
    let mut all = Vec::new();
    for fields in ROLES.iter().map(|row| row.fields).chain(COMMANDS.iter().map(|row| row.fields)) {
        collect(&fields(), &mut all);
    }
    all.sort();
    all.dedup();
    all
}

fn unsafe_code(root: &Path, problems: &mut Vec<String>) -> Result<(), String> {
    const FOLDERS: &[&str] = &[
        "core",
        "driver",
        "moorline",
        "cli",
        "demo",
        "bench",
        "tests",
        "wasm",
        "xtask/src",
        "bindings-node",
        "bindings-python",
    ];
    for folder in FOLDERS {
        for file in files(root, folder)? {
            if file.language != Language::Rust {
                continue;
            }
            for (number, line) in file.code() {
                if source::has_word(&source::unquoted(&line), "unsafe") {
                    problems.push(format!("{}:{number}: unsafe outside bindings-c", file.path));
                }
            }
        }
    }
    Ok(())
}
