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

use clap::{Subcommand, ValueEnum};

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

/// A part of what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Section {
    /// Commands of the daemon, against the fast responder.
    Calls,
    /// Commands of the daemon, against the official server.
    Official,
    /// Commands of the server.
    Commands,
    /// What passes between Rust and a host.
    Boundary,
    /// A cut connection.
    Cut,
    /// Messages to the application.
    Messages,
    /// A blocked host.
    Blocked,
    /// Memory of the hub.
    Memory,
}

/// What was measured; the rest is empty.
#[derive(Default)]
struct Measured {
    fast: Vec<Row>,
    official: Vec<Row>,
    inbound: Vec<Row>,
    asking: Vec<Row>,
    awaited: Vec<Row>,
    settle: Vec<(Peer, Samples)>,
    events: Option<moments::Events>,
    blocked: Vec<moments::Blocked>,
    memory: Option<Samples>,
}

/// Measures everything, or one section, and returns the text of the page.
pub(crate) fn text(setting: &Setting, only: Option<Section>) -> Result<String, Failure> {
    let mut measured = Measured::default();
    for section in Section::value_variants() {
        if only.is_none_or(|only| only == *section) {
            measured.add(*section, setting)?;
        }
    }
    Ok(report::write(setting, &measured))
}

impl Measured {
    fn add(&mut self, section: Section, setting: &Setting) -> Result<(), Failure> {
        match section {
            Section::Calls => self.fast = calls::fast(setting)?,
            Section::Official => self.official = calls::official(setting)?,
            Section::Commands => self.inbound = calls::inbound(setting)?,
            Section::Boundary => (self.asking, self.awaited) = calls::boundary(setting)?,
            Section::Cut => self.settle = moments::settle(setting)?,
            Section::Messages => self.events = Some(moments::events(setting)?),
            Section::Blocked => self.blocked = moments::blocked(setting)?,
            Section::Memory => self.memory = Some(memory::measure(setting)?),
        }
        Ok(())
    }
}
