//! Time as data: the core never asks a clock, every entry point takes [`Now`].

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::words;

/// Monotonic milliseconds since an origin that the driver chose.
///
/// The driver's origin must not move while the process lives, and suspended time must count.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Instant(u64);

impl Instant {
    /// Makes an instant from milliseconds since the driver's origin.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since the driver's origin.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the instant `millis` milliseconds later; saturates at the end of time.
    #[must_use]
    pub const fn after(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Returns how many milliseconds have passed since `earlier`, or 0 if it is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z. Used for wire fields only, never for deadlines.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

/// The last millisecond that ISO-8601 can write with four year digits.
const LAST_ISO_MILLIS: u64 = 253_402_300_799_999;

impl fmt::Display for UnixMillis {
    /// Writes ISO-8601 with milliseconds and `Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = UNIX_EPOCH + Duration::from_millis(self.0.min(LAST_ISO_MILLIS));
        humantime::format_rfc3339_millis(at).fmt(f)
    }
}

/// Both clocks, read once per turn by the driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Monotonic time: what deadlines are made of.
    pub mono: Instant,
    /// Wall-clock time: what peers and people read.
    pub unix: UnixMillis,
}

impl Now {
    /// Makes a `Now` from monotonic and unix milliseconds.
    #[must_use]
    pub const fn new(mono_millis: u64, unix_millis: u64) -> Self {
        Self { mono: Instant(mono_millis), unix: UnixMillis(unix_millis) }
    }
}

/// When a machine wants [`handle_timeout`](crate::machine::Machine::handle_timeout), and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// The instant.
    pub at: Instant,
    /// The reason, for logs and traces.
    pub why: Why,
}

words! {
    /// What a deadline is for: in lower case, words joined by a hyphen.
    #[derive(PartialOrd, Ord)]
    #[non_exhaustive]
    pub enum Why {
        /// The next attempt to connect.
        Backoff = "backoff",
        /// A call of the application has waited long enough.
        Call = "call",
        /// A connection, or the session on it, takes too long to open.
        Connect = "connect",
        /// A drain has lasted long enough.
        Drain = "drain",
        /// The peer is asked to prove what has arrived.
        Evidence = "evidence",
        /// A farewell takes too long.
        Farewell = "farewell",
        /// The next heartbeat.
        Heartbeat = "heartbeat",
        /// Holders of work from before a restart had their chance.
        Held = "held",
        /// An HTTP exchange takes too long.
        Http = "http",
        /// A worker may have been silent for too long.
        Lease = "lease",
        /// A running item shows that it runs.
        LifeSign = "life-sign",
        /// The next login.
        Login = "login",
        /// Someone who waits for an item of others has waited long enough.
        Patience = "patience",
        /// The next ping, or the answer to one is missing.
        Ping = "ping",
        /// The peer is asked for work.
        Poll = "poll",
        /// Heartbeats of peers are checked.
        Presence = "presence",
        /// A registration is due, or takes too long.
        Registration = "registration",
        /// Reports that failed are sent again.
        Report = "report",
        /// Something that failed is tried again.
        Retry = "retry",
        /// The store takes too long, or is asked again.
        Store = "store",
        /// Expired records are swept out.
        Sweep = "sweep",
        /// A better transport is tried, or the attempt takes too long.
        Upgrade = "upgrade",
        /// Those who watch a hub are told what has changed.
        Viewers = "viewers",
        /// The time limit of a work item.
        Work = "work",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_millis_are_written_as_iso_with_milliseconds() {
        assert_eq!(UnixMillis(1_795_246_617_932).to_string(), "2026-11-21T07:36:57.932Z");
        assert_eq!(UnixMillis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(UnixMillis(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }
}
