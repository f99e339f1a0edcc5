//! Logs: to standard error, for people on a terminal, as JSON lines when asked.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

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
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_target(false);
        let started = match self.log_format {
            LogFormat::Human => {
                lines.with_ansi(std::io::stderr().is_terminal()).compact().try_init()
            }
            LogFormat::Json => lines.json().flatten_event(true).try_init(),
        };
        started.map_err(|e| Failure::other(format!("logging could not be started: {e}")))
    }
}
