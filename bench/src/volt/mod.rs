//! The VOLT daemon beside programs on the official client and programs written by hand.

mod calls;
mod clock;
mod daemon;
mod goals;
mod lines;
mod link;
pub(crate) mod memory;
mod moments;
mod peers;
mod report;
pub(crate) mod responder;

use clap::Subcommand;

use self::clock::Load;
use self::peers::{Peer, Row};
use crate::Setting;
use crate::process::Failure;
use crate::stats::Samples;

/// What this program is when it is a contestant.
#[derive(Subcommand)]
pub(crate) enum Contestant {
    /// Be the floor: calls over lines on a bare TCP connection.
    Lines {
        /// The echo's address.
        address: String,
        #[command(flatten)]
        load: Load,
    },
    /// Be the Rust daemon.
    Daemon(daemon::Daemon),
}

/// Runs as a contestant.
pub(crate) fn contest(contestant: Contestant) -> Result<(), Failure> {
    match contestant {
        Contestant::Lines { address, load } => lines::run(&address, load),
        Contestant::Daemon(daemon) => daemon::run(&daemon),
    }
}

/// Everything that was measured.
struct Measured {
    fast: Vec<Row>,
    official: Vec<Row>,
    inbound: Vec<Row>,
    settle: Vec<(Peer, Samples)>,
    events: moments::Events,
    blocked: Vec<moments::Blocked>,
    memory: Samples,
}

/// Measures everything and returns the section of the page.
pub(crate) fn section(setting: &Setting) -> Result<String, Failure> {
    let measured = Measured {
        fast: calls::fast(setting)?,
        official: calls::official(setting)?,
        inbound: calls::inbound(setting)?,
        settle: moments::settle(setting)?,
        events: moments::events(setting)?,
        blocked: moments::blocked(setting)?,
        memory: memory::measure(setting)?,
    };
    Ok(report::write(setting, &measured))
}
