//! Signals: the first SIGTERM, SIGINT or SIGQUIT drains, the second ends now. SIGHUP, which a terminal
//! sends when it closes, ends nothing.

use std::time::{Duration, Instant};

use moorline_core::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::StopArgs;
use crate::exit::{Exit, Failure};

/// The signals that end the program, and how far they have got.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
    drain_ms: u64,
    first: Option<(&'static str, Instant)>,
    is_cut: bool,
}

impl Signals {
    /// Takes the signals over from their default action.
    pub(crate) fn listen(args: &StopArgs) -> Result<Self, Failure> {
        let take = |kind| {
            signal(kind).map_err(|e| Failure::other(format!("signals cannot be received: {e}")))
        };
        Ok(Self {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
            quit: take(SignalKind::quit())?,
            hang_up: take(SignalKind::hangup())?,
            drain_ms: args.drain_timeout.0,
            first: None,
            is_cut: false,
        })
    }

    /// Waits for the next signal and returns the stop that it asks for.
    pub(crate) async fn next(&mut self) -> Command {
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.quit.recv() => "SIGQUIT",
                _ = self.hang_up.recv() => {
                    tracing::info!(
                        signal = "SIGHUP",
                        "going on; certificates are read again whenever they change"
                    );
                    continue;
                }
            };
            match self.first {
                None => {
                    self.first = Some((name, Instant::now()));
                    let drain_ms = self.drain_ms;
                    tracing::info!(
                        signal = name,
                        drain_ms,
                        "draining; a second signal ends at once"
                    );
                    return Command::Stop { drain_ms };
                }
                Some((first, at)) if first == name && at.elapsed() < ECHO => {}
                Some(_) => {
                    self.is_cut = true;
                    tracing::info!(signal = name, "ending now");
                    return Command::Stop { drain_ms: 0 };
                }
            }
        }
    }

    /// Returns how the program ends when its role has ended without an error.
    pub(crate) const fn exit(&self) -> Exit {
        if self.is_cut { Exit::DrainCut } else { Exit::Success }
    }
}

/// Some programs signal a process and its group, so that one order arrives twice.
const ECHO: Duration = Duration::from_millis(100);
