//! Development tasks of Moorline: `cargo xtask --help`.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod attack;
mod bench;
mod conformance;
mod demo;
mod fuzz;
mod licences;
mod metadata;
mod package;
mod packages;
mod prepare;
mod shell;
mod steps;
mod surface;
mod test;
mod thin;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::shell::Shell;

/// Development tasks of Moorline.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the tests need, then run them all.
    Test {
        /// Run only the steps whose name holds this; what they need must be there.
        #[arg(long)]
        only: Option<String>,
    },
    /// The whole gate: what `test` does, and the Rust pages without warnings.
    Ci,
    /// Write the types, tables and pages that are generated from the tables in core.
    Surface {
        /// Write nothing; fail if a file differs from what would be written.
        #[arg(long)]
        check: bool,
    },
    /// Measure the bindings and check that they decide nothing and that the core is pure.
    Thin,
    /// Build everything, unoptimised, and run the main job: workers in three languages, two faults.
    Demo {
        /// How many work items are dispatched.
        #[arg(long, default_value_t = 6_000)]
        items: u32,
    },
    /// Attack hubs and workers on loopback; memory, time and outcome beside their bounds. Fails if one is missed.
    Attack {
        /// Only the attacks of this entry of the list of faults, such as K2 or K2.1.
        #[arg(long)]
        only: Option<String>,
        /// An option that every hub gets on top, such as `max_unadmitted_per_address=9999`: a fault to be noticed.
        #[arg(long)]
        plant: Vec<String>,
    },
    /// Measure beside hand-written peers and write `docs/benchmarks.md` or `docs/benchmarks-netcluster.md`.
    Bench {
        /// What is measured: `all`, `beacon` or `volt`; the page keeps the rest. `netcluster`, `wsdaemon` and
        /// `hold`, which keeps 10,000 idle consumers for ten minutes, have a page of their own. `machine` counts
        /// the instructions of an item with valgrind and prints them.
        #[arg(default_value = "all")]
        part: String,
        /// Measures one section of `volt` alone, prints it and leaves the page as it is: `calls`, `official`,
        /// `commands`, `boundary`, `cut`, `messages`, `blocked` or `memory`.
        #[arg(long)]
        only: Option<String>,
        /// How often each contestant runs.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        /// How long each run is measured.
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
    },
    /// Build what is released, install each package into an empty place and run it from there; write the
    /// table of `docs/packages.md`.
    Package {
        /// Where the packages go.
        #[arg(long, default_value = "target/packages")]
        out: PathBuf,
        /// Run only the steps whose name holds this; what they need must be there.
        #[arg(long)]
        only: Option<String>,
    },
    /// Check the licences and sources of all dependencies.
    Licences,
    /// Fuzz the codecs with libFuzzer; needs a C++ compiler.
    Fuzz {
        /// Which codec; all of them side by side if left out.
        target: Option<String>,
        /// How long each is fuzzed.
        #[arg(long, default_value_t = 600)]
        seconds: u32,
    },
}

fn main() -> ExitCode {
    let root = root();
    let shell = Shell::new(&root);
    let result = match Arguments::parse().task {
        Task::Surface { check } => surface::run(&root, check),
        Task::Test { only } => test::run(&root, false, only.as_deref()),
        Task::Ci => test::run(&root, true, None),
        Task::Demo { items } => demo::run(&root, items),
        Task::Attack { only, plant } => attack::run(&root, only.as_deref(), &plant),
        Task::Bench { part, only, rounds, seconds } => {
            bench::run(&root, part, only, rounds, seconds)
        }
        Task::Thin => thin::run(&shell),
        Task::Package { out, only } => package::run(&root, &out, only.as_deref()),
        Task::Licences => licences::run(&shell),
        Task::Fuzz { target, seconds } => {
            fuzz::run(&shell, &fuzz::SEEDS, target.as_deref(), seconds)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("\nxtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the workspace's folder.
fn root() -> PathBuf {
    let mut folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    folder.pop();
    folder
}
