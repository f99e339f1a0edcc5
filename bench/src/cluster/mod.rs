//! Providers and consumers of network-cluster, and daemons of ws-daemon, beside plain programs.

mod echo;
mod load;
mod memory;
mod report;
mod servers;
mod starts;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::process::Failure;

/// What this program is when it takes part.
#[derive(Subcommand)]
pub(crate) enum Role {
    /// Be our provider; prints its port.
    Provider,
    /// Be an echo on bare TCP; prints its port.
    Echo,
    /// Keep messages at a server and print how many came back, and what that cost it.
    Load(load::Load),
    /// Be consumers that say nothing but that they live; prints a line when all are connected.
    Idle {
        /// The provider's port.
        port: u16,
        /// How many.
        consumers: usize,
    },
    /// Be a ws-daemon that serves; prints its address.
    Daemon {
        /// The folder of its scripts.
        scripts: PathBuf,
        /// How many MiB it holds meanwhile.
        held: usize,
    },
}

/// Takes part.
pub(crate) fn play(role: Role) -> Result<(), Failure> {
    match role {
        Role::Provider => servers::provider(),
        Role::Echo => servers::echo(),
        Role::Load(load) => load::run(load),
        Role::Idle { port, consumers } => load::idle(port, consumers),
        Role::Daemon { scripts, held } => starts::daemon(&scripts, held),
    }
}

/// A part of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Messages and memory of network-cluster.
    Netcluster,
    /// Ten minutes of 10,000 idle consumers.
    Hold,
    /// Script starts of ws-daemon.
    Wsdaemon,
}

/// Where the contestants are and how long they run.
#[derive(Args)]
pub(crate) struct Setting {
    /// The folder of the Node package, built.
    #[arg(long)]
    node_package: PathBuf,
    /// The folder of the hand-written peers, their npm packages installed.
    #[arg(long)]
    peers: PathBuf,
    /// The page to write.
    #[arg(long)]
    out: PathBuf,
    /// How often each contestant runs.
    #[arg(long)]
    rounds: usize,
    /// How long a run is measured: a quarter of this for each cell of network-cluster's tables. `hold` takes
    /// as many minutes, times the rounds.
    #[arg(long)]
    seconds: f64,
}

/// Measures one part and writes it on the page, which keeps the others.
pub(crate) fn run(part: Part, setting: &Setting) -> Result<(), Failure> {
    let text = match part {
        Part::Netcluster => {
            let measured = report::Measured {
                echoes: echo::servers(setting)?,
                consumers: echo::consumers(setting)?,
                sends: echo::sends()?,
                memory: memory::measure(setting)?,
            };
            report::netcluster(setting, &measured)
        }
        Part::Hold => report::hold(&memory::hold(setting)?),
        Part::Wsdaemon => report::wsdaemon(setting, &starts::measure(setting)?),
    };
    let page = std::fs::read_to_string(&setting.out).unwrap_or_default();
    std::fs::write(&setting.out, report::page(&page, part, &text))?;
    println!("wrote {}", setting.out.display());
    Ok(())
}
