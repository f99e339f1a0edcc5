//! The demonstration: one hub, workers in three languages, two faults, nothing lost.
//!
//! Everything runs as a separate process on loopback, as it would in production. On the way one
//! worker and then the hub are killed without warning and started again. The program succeeds only
//! if every item was answered exactly once, with the right result.

mod faults;
mod fleet;
mod load;
mod plot;
mod process;
mod progress;
mod rust_worker;
mod tally;
mod task;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::time::timeout;

use fleet::{Fleet, Programs};
use task::Language;

#[derive(Debug, Parser)]
#[command(name = "moorline-demo", version, about, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    demo: DemoArgs,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// The worker written in Rust, started by the demonstration itself
    #[command(hide = true)]
    RustWorker {
        /// The hub
        url: String,
        /// The worker's name
        name: String,
    },
}

#[derive(Args, Debug)]
struct DemoArgs {
    /// The moorline command
    #[arg(long, value_name = "FILE", default_value = "moorline")]
    moorline: PathBuf,

    /// The worker for Node; the package `moorline` must be installed beside it
    #[arg(long, value_name = "FILE")]
    node: Option<PathBuf>,

    /// A Python that has the package `moorline`
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,

    /// The worker for Python
    #[arg(long, value_name = "FILE")]
    python_worker: Option<PathBuf>,

    /// Work items to dispatch
    #[arg(long, value_name = "COUNT", default_value_t = 6_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(30..=1_000_000))]
    items: u32,

    /// Languages to use; all if not given
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Language>,

    /// Where the plot and the logs go
    #[arg(long, value_name = "FOLDER", default_value = "target/demo")]
    out: PathBuf,

    /// Seconds after which the demonstration fails
    #[arg(long, value_name = "SECONDS", default_value_t = 110)]
    limit: u64,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the runtime could not be started: {error}")),
    };
    let result = runtime.block_on(async {
        match cli.role {
            Some(Role::RustWorker { url, name }) => rust_worker::run(url, name).await,
            None => interruptible(demonstrate(cli.demo)).await,
        }
    });
    runtime.shutdown_background();
    result.map_or_else(|problem| fail(&problem), |()| ExitCode::SUCCESS)
}

fn fail(problem: &str) -> ExitCode {
    progress::line(&format!("moorline-demo: {problem}"));
    ExitCode::FAILURE
}

/// Lets Ctrl-C and SIGTERM end the demonstration in the ordinary way, which ends its processes.
async fn interruptible(
    demonstration: impl Future<Output = Result<(), String>>,
) -> Result<(), String> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    tokio::select! {
        result = demonstration => result,
        _ = tokio::signal::ctrl_c() => Err(String::from("interrupted")),
        _ = terminate.recv() => Err(String::from("terminated")),
    }
}

async fn demonstrate(args: DemoArgs) -> Result<(), String> {
    std::fs::create_dir_all(&args.out)
        .map_err(|e| format!("{} cannot be made: {e}", args.out.display()))?;
    let languages =
        if args.only.is_empty() { Language::value_variants().to_vec() } else { args.only.clone() };
    let programs = Programs {
        moorline: args.moorline,
        node_worker: args.node,
        python: args.python,
        python_worker: args.python_worker,
        logs: args.out.clone(),
    };
    let mut fleet = Fleet::start(programs, &languages).await?;
    progress::line(&format!("hub on {}, workers: {}", fleet.url(), fleet.names().join(", ")));

    let load = load::Load::new(fleet.url(), &languages, args.items).await?;
    let limit = Duration::from_secs(args.limit);
    let work = async {
        tokio::try_join!(
            load.run(),
            faults::inject(&mut fleet, load.watch(), args.items, load.began()),
            progress::show(load.watch(), args.items),
        )
    };
    let done = timeout(limit, work).await.map_err(|_| {
        let missing = args.items as usize - *load.watch().borrow();
        format!("{missing} of {} items are unanswered after {} s", args.items, args.limit)
    })?;
    let (settled, faults, ()) = done?;
    fleet.end().await;

    let tally = tally::Tally::new(args.items, &settled);
    progress::result(&tally.table(&faults));
    let plot = args.out.join("demo.svg");
    plot::draw(&plot, &settled, &faults).map_err(|e| format!("the plot failed: {e}"))?;
    progress::result(&format!("plot: {}", plot.display()));
    tally.verdict()
}
