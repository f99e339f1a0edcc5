//! The VOLT daemon beside programs on the official client and programs written by hand.

mod clock;
mod lines;
mod link;
pub(crate) mod responder;

use clap::Subcommand;

use self::clock::Load;
use crate::process::Failure;

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
}

/// Runs as a contestant.
pub(crate) fn contest(contestant: Contestant) -> Result<(), Failure> {
    match contestant {
        Contestant::Lines { address, load } => lines::run(&address, load),
    }
}
