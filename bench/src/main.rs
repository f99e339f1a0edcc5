//! Benchmarks of Moorline beside hand-written peers; `cargo xtask bench` builds all and runs this.
//!
//! Contestants alternate in rounds; what is printed are medians with the lowest and highest round.
//! The contestant runs on one core, everything else on another. Ratios count, not figures: those belong
//! to the machine.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod child;
mod cluster;
mod hub_rate;
mod idle;
mod process;
mod report;
mod scripted;
mod start;
mod stats;
mod volt;
mod worker_rate;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use crate::process::Failure;

/// The core of whatever is measured.
const MEASURED: usize = 1;
/// The core of everything else.
const OTHER: usize = 0;

/// Benchmarks of Moorline.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure and write the page.
    Run {
        /// What is measured; the page keeps the rest.
        #[arg(long, value_enum, default_value_t = Part::All)]
        part: Part,
        /// Measures this section of the part `volt` alone: prints it and leaves the page as it is.
        #[arg(long, value_enum)]
        only: Option<volt::Section>,
        #[command(flatten)]
        setting: Setting,
    },
    /// Measure network-cluster or ws-daemon and write their page.
    Cluster {
        /// What is measured; the page keeps the rest.
        #[arg(long, value_enum)]
        part: cluster::Part,
        #[command(flatten)]
        setting: cluster::Setting,
    },
    /// Be one of those who take part in that.
    #[command(subcommand)]
    Member(cluster::Role),
    /// Be the Rust worker that is measured.
    Worker {
        /// The control plane.
        url: String,
        /// The most items at once.
        max_concurrent: u64,
    },
    /// Be a fast VOLT control plane; prints its address.
    Responder {
        #[command(subcommand)]
        duty: volt::responder::Duty,
    },
    /// Be a VOLT daemon that is measured, or the floor beside it.
    Volt {
        #[command(subcommand)]
        contestant: volt::Contestant,
    },
    /// Be the hub that is measured; prints its address.
    Hub {
        /// The store's file; empty keeps everything in memory.
        store: String,
    },
}

/// What one run measures.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    All,
    Beacon,
    Volt,
}

/// Where the contestants are and how long they run.
#[derive(Parser)]
struct Setting {
    /// The folder of the Node package, built.
    #[arg(long)]
    node_package: PathBuf,
    /// A Python that has `moorline` and `websockets`.
    #[arg(long)]
    python: PathBuf,
    /// The folder of the hand-written peers, their npm packages installed.
    #[arg(long)]
    peers: PathBuf,
    /// The folder of the official socket.io server, its npm packages installed.
    #[arg(long)]
    official: PathBuf,
    /// The folder of the add-ons that do without Moorline, built.
    #[arg(long)]
    addons: PathBuf,
    /// The page to write.
    #[arg(long)]
    out: PathBuf,
    /// How often each contestant runs.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each run is measured.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

impl Setting {
    fn measured(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Run { only: Some(section), setting, .. } => print(&setting, section),
        Task::Run { part, only: None, setting } => run(part, &setting),
        Task::Cluster { part, setting } => cluster::run(part, &setting),
        Task::Member(role) => cluster::play(role),
        Task::Worker { url, max_concurrent } => child::worker(&url, max_concurrent),
        Task::Responder { duty } => volt::responder::serve(duty),
        Task::Volt { contestant } => volt::contest(contestant),
        Task::Hub { store } => child::hub(&store),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("bench: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Stands on the page before the section on VOLT.
const VOLT: &str =
    "\n<!-- Written by `cargo xtask bench volt`; its notes are in bench/notes-volt.md. -->\n\n";

fn run(part: Part, setting: &Setting) -> Result<(), Failure> {
    let page = std::fs::read_to_string(&setting.out).unwrap_or_default();
    let (beacon, volt) = page.split_once(VOLT).unwrap_or((&page, ""));
    let (mut beacon, mut volt) = (beacon.to_owned(), volt.to_owned());
    if part != Part::Volt {
        beacon = self::beacon(setting)?;
    }
    if part != Part::Beacon {
        volt = volt::text(setting, None)?;
    }
    std::fs::write(&setting.out, [&beacon, VOLT, &volt].concat())?;
    println!("wrote {}", setting.out.display());
    Ok(())
}

fn print(setting: &Setting, section: volt::Section) -> Result<(), Failure> {
    println!("\n{}", volt::text(setting, Some(section))?);
    Ok(())
}

fn beacon(setting: &Setting) -> Result<String, Failure> {
    let workers = worker_rate::measure(setting)?;
    let hub = hub_rate::measure(setting)?;
    let idle = idle::measure(setting)?;
    let packages = start::measure(setting)?;
    Ok(report::write(setting, &workers, &hub, &idle, &packages))
}
