//! Words of ws-daemon that applications spell too.

use crate::api::words::WordTable;
use crate::base::error::{Error, invalid};

/// Commands between daemons: to whom, and what.
pub mod order {
    /// The name of a command to the daemon at the other end.
    pub const REMOTE: &str = "&cmd";
    /// The name of a command to the daemon that a local program asks.
    pub const LOCAL: &str = "+cmd";
    /// The code of one that writes its data to local programs.
    pub const STATUS: &str = "STATUS";
    /// The code of one that sends a client away for its data in milliseconds.
    pub const PAUSE: &str = "PAUSE";
}

/// Every set of constants of the dialect.
pub(crate) const WORDS: &[WordTable] = &[WordTable {
    dialect: "wsdaemon",
    name: "DaemonOrder",
    doc: "Commands between daemons: the names of one for the other end and of one for our own, and what they are.",
    members: &[
        ("Remote", order::REMOTE),
        ("Local", order::LOCAL),
        ("Status", order::STATUS),
        ("Pause", order::PAUSE),
    ],
}];

/// Checks the name of what is to be offered.
///
/// # Errors
/// `ARGUMENT_INVALID`.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.contains('\0') || [order::REMOTE, order::LOCAL].contains(&name) {
        return Err(invalid(format!(
            "{name:?} cannot be offered: a name is any text but {} and {}",
            order::REMOTE,
            order::LOCAL
        )));
    }
    Ok(())
}
