//! Signals: the first SIGTERM or SIGINT drains, the second ends now.

use moorline_core::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::StopArgs;
use crate::exit::{Exit, Failure};

/// The signals that end the program, and how far they have got.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    drain_ms: u64,
    received: u32,
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
            drain_ms: args.drain_timeout.0,
            received: 0,
        })
    }

    /// Waits for the next signal and returns the stop that it asks for.
    pub(crate) async fn next(&mut self) -> Command {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        self.received += 1;
        let drain_ms = if self.received == 1 { self.drain_ms } else { 0 };
        if drain_ms == 0 {
            tracing::info!(signal = name, "ending now");
        } else {
            tracing::info!(signal = name, drain_ms, "draining; a second signal ends at once");
        }
        Command::Stop { drain_ms }
    }

    /// Returns how the program ends when its role has ended without an error.
    pub(crate) const fn exit(&self) -> Exit {
        if self.received > 1 { Exit::DrainCut } else { Exit::Success }
    }
}
