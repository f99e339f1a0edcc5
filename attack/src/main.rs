//! `moorline-attack`: runs the attacks and prints the table; exit code 1 if a bound is missed.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use moorline_attack::own_worker::{self, OwnWorker};
use moorline_attack::process::Programs;
use moorline_attack::{Row, TESTS, attacks, run, table};

/// Attacks hubs and workers on loopback, and prints memory, time and outcome beside their bounds.
#[derive(Debug, Parser)]
#[command(name = "moorline-attack", version, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,

    /// The moorline command
    #[arg(long, value_name = "FILE", default_value = "moorline")]
    moorline: PathBuf,

    /// Only what the gate runs
    #[arg(long)]
    short: bool,

    /// Only the attacks of this entry, such as K2 or K2.1
    #[arg(long, value_name = "ENTRY")]
    only: Option<String>,

    /// Only list the tests that show what no process can be made to show: entry, package, name
    #[arg(long)]
    tests: bool,

    /// An option that every hub gets on top; a fault to be noticed
    #[arg(long, value_name = "OPTION=VALUE")]
    plant: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// A worker of the Rust package, started by the attacks themselves
    #[command(hide = true)]
    OwnWorker(OwnWorker),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.role {
        Some(Role::OwnWorker(own)) => own_worker::run(own),
        None => attack(cli),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "moorline-attack: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn attack(cli: Cli) -> Result<(), String> {
    if cli.tests {
        let lines: String = TESTS
            .iter()
            .map(|(entry, package, name)| format!("{entry} {package} {name}\n"))
            .collect();
        return write!(std::io::stdout(), "{lines}").map_err(|e| e.to_string());
    }
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let programs =
        Programs { moorline: cli.moorline, own, planted: cli.plant, address_space_kib: None };
    let mut rows: Vec<Row> = Vec::new();
    for attack in attacks() {
        let is_wanted =
            cli.only.as_ref().is_none_or(|only| attack.entry.starts_with(only.as_str()));
        if is_wanted && (attack.is_short || !cli.short) {
            let _ = writeln!(std::io::stderr(), "{}: {}", attack.entry, attack.what);
            rows.push(run(attack, &programs));
        }
    }
    let missed = rows.iter().filter(|row| !row.missed().is_empty()).count();
    let _ = writeln!(std::io::stdout(), "{}\n{} attacks", table(&rows), rows.len());
    if rows.is_empty() {
        return Err("no attack is of that entry".to_owned());
    }
    if missed > 0 { Err(format!("{missed} of {} bounds were missed", rows.len())) } else { Ok(()) }
}
