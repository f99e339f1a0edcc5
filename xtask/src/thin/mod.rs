//! Keeps bindings thin and the core pure and in layers.
//!
//! A binding converts and forwards: it has no timer, no name of the wire, no default. The core performs
//! nothing, its layers import downwards, each of its parts is defined once. Hand-written `unsafe`
//! stands in `bindings-c` only. Packages depend on each other in one direction.

mod bindings;
mod faces;
mod known;
mod layers;
mod packages;
mod parts;
mod paths;
mod purity;
mod rust;
mod scripted;
mod sizes;
mod source;
mod walls;
mod wire;

use std::path::Path;

use crate::shell::Shell;
use source::{File, Language, Problem, files};

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

/// What spells no name of a wire either: the driver knows no dialect, and the Rust API is a face too.
const OTHERS: &[&str] = &["driver/src", "moorline/src"];

/// What is compiled into what users get, and the tools beside it.
const SOURCES: &[&str] = &[
    "attack/src",
    "bench/src",
    "bindings-c/src",
    "bindings-node/src",
    "bindings-python/src",
    "cli/src",
    "core/src",
    "demo/src",
    "driver/src",
    "moorline/src",
    "wasm/src",
];

/// Where nobody writes `unsafe`, tests included.
const SAFE: &[&str] = &[
    "core",
    "driver",
    "moorline",
    "cli",
    "demo",
    "attack",
    "bench",
    "tests",
    "wasm",
    "xtask/src",
    "bindings-node",
    "bindings-python",
];

/// Measures and checks; every problem is reported at once.
pub(crate) fn run(shell: &Shell) -> Result<(), String> {
    let root = shell.root();
    let core = files(root, "core/src")?;
    let bindings = all(root, BINDINGS.iter().flat_map(|binding| binding.folders))?;
    let mut found = Vec::new();
    layers::table(&core, &mut found);
    layers::check(&core, &mut found);
    purity::check(&core, &mut found);
    parts::check(&core, &mut found);
    walls::traits(&core, &all(root, SOURCES)?, &mut found);
    walls::visibility(&core, &mut found);
    walls::order(&core, &mut found);
    let others = all(root, OTHERS)?;
    wire::check(&wire::names(&core)?, bindings.iter().chain(&others), &mut found);
    bindings::check(&bindings, &mut found);
    unsafe_code(&all(root, SAFE)?, &mut found);
    let mut problems = known::without(found);
    sizes::check(root, &core, &mut problems)?;
    faces::check(root, &mut problems)?;
    packages::check(shell, &mut problems)?;
    scripted::makers(root, &mut problems)?;
    if problems.is_empty() {
        println!(
            "thin: bindings only forward; the core is pure, in layers, and has each part once"
        );
        return Ok(());
    }
    Err(problems.join("\n"))
}

fn all<'a>(
    root: &Path,
    folders: impl IntoIterator<Item = &'a &'static str>,
) -> Result<Vec<File>, String> {
    let mut all = Vec::new();
    for folder in folders {
        all.extend(files(root, folder)?);
    }
    Ok(all)
}

fn unsafe_code(sources: &[File], problems: &mut Vec<Problem>) {
    for file in sources.iter().filter(|file| file.language == Language::Rust) {
        for lexeme in file.rust().lexemes {
            if lexeme.word() == Some("unsafe") {
                problems.push(Problem::new(file, lexeme.line, "unsafe outside bindings-c"));
            }
        }
    }
}
