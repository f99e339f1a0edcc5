//! Logs: to standard error, for people on a terminal, as JSON lines when asked.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing::Level;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use crate::exit::Failure;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

/// Options of the log, the same for every subcommand.
#[derive(Args, Clone, Debug)]
pub(crate) struct LogArgs {
    /// What to log: error, warn, info, debug or trace, or a filter such as `moorline=debug`
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info")]
    #[arg(env = "MOORLINE_LOG_LEVEL", help_heading = "Logs")]
    log_level: String,

    /// How log lines look
    #[arg(long, global = true, value_name = "FORMAT", default_value = "human")]
    #[arg(env = "MOORLINE_LOG_FORMAT", help_heading = "Logs")]
    log_format: LogFormat,
}

impl LogArgs {
    /// Starts logging for the process.
    pub(crate) fn start(&self) -> Result<(), Failure> {
        let filter = EnvFilter::try_new(&self.log_level)
            .map_err(|e| Failure::usage(format!("--log-level {:?}: {e}", self.log_level)))?;
        let filter =
            filter.and(filter_fn(|line| is_ours(line.target()) || *line.level() <= Level::INFO));
        let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
        let registry = tracing_subscriber::registry();
        let started = match self.log_format {
            LogFormat::Human => {
                let lines = lines.with_ansi(std::io::stderr().is_terminal()).compact();
                registry.with(lines.with_filter(filter)).try_init()
            }
            LogFormat::Json => {
                let lines = lines.json().flatten_event(true);
                registry.with(lines.with_filter(filter)).try_init()
            }
        };
        started.map_err(|e| Failure::other(format!("logging could not be started: {e}")))
    }
}

/// Tells whether a line comes from this project. Libraries below know nothing of our secrets: their
/// debug lines quote whole frames, join secrets included.
fn is_ours(target: &str) -> bool {
    target.split("::").next().is_some_and(|name| name.starts_with("moorline"))
}
