//! The `moorline` command: hub, worker, dispatch, status, list, result, cancel,
//! capabilities, drain, undrain, enroll, call, backup, restore, dev, doctor, replay, completions, man.
//!
//! It maps file, environment and flags to the options of `moorline-core`, drives the roles, and turns
//! how they end into exit codes. Protocol decisions are not made here.

mod args;
mod call;
mod config;
mod connect;
mod copy;
mod descriptors;
mod dev;
mod dispatch;
mod doctor;
mod drain;
mod enroll;
mod exit;
mod hub;
mod items;
mod json;
mod logs;
mod manual;
mod output;
mod replay;
mod session;
mod signals;
mod status;
mod table;
mod worker;
mod wsdaemon;

use std::process::ExitCode;

use clap::Parser;

use args::{Action, Cli};
use exit::{Exit, Failure};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let exit = run(cli).unwrap_or_else(|failure| {
        output::problem(&failure.message);
        failure.exit
    });
    ExitCode::from(exit as u8)
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    if matches!(cli.command, Action::KeepCommands) {
        return worker::keep();
    }
    cli.logs.start()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::other(format!("the runtime could not be started: {e}")))?;
    let exit = runtime.block_on(async {
        match cli.command {
            Action::Hub(args) => hub::run(args).await,
            Action::Worker(args) => worker::run(args).await,
            Action::WsDaemon(args) => wsdaemon::run(args).await,
            Action::Dispatch(args) => dispatch::run(args).await,
            Action::Status(args) => status::run(args).await,
            Action::List(args) => items::list(args).await,
            Action::Result(args) => items::result(args).await,
            Action::Cancel(args) => items::cancel(args).await,
            Action::Capabilities(args) => items::capabilities(args).await,
            Action::Drain(args) => drain::run(args).await,
            Action::Undrain(args) => drain::resume(&args.worker, &args.connect).await,
            Action::Dev(args) => dev::run(args).await,
            Action::Doctor(args) => doctor::run(args).await,
            Action::Replay(args) => replay::run(&args),
            Action::Enroll(args) => enroll::run(args).await,
            Action::Call(args) => call::run(args).await,
            Action::Backup(args) => copy::backup(&args),
            Action::Restore(args) => copy::restore(&args),
            Action::Completions(args) => manual::completions(&args),
            Action::Man(args) => manual::pages(&args),
            Action::KeepCommands => worker::keep(),
        }
    });
    runtime.shutdown_background();
    exit
}
