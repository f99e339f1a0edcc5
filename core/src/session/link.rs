//! The life of the link, from the first dial to the end.
//!
//! ```text
//!            ┌─────────────── stop ────────────────────────────────────────┐
//! Idle ─start─▶ Preflight ─▶ Dialing ─▶ Greeting ─▶ Ready ─stop─▶ Leaving ─▶ Ended
//!                  │            │           │          │                      ▲
//!                  └────────────┴──── fails ┴── lost ──┘        attempts used │
//!                                     ▼                         up, refused at│
//!                                  Waiting ─ due ─▶ Preflight   the first try ┘
//! ```
//!
//! A failed dial or greeting on the first transport tries the fallback before it counts as failed.
//! While the link is ready on the fallback, the first transport is dialed in the background; only its
//! greeting moves the link, so that exactly one transport is active at any time.

use crate::base::ids::ConnId;
use crate::base::time::{Deadline, Instant, Why};
use crate::dialect::Transport;

/// What carries the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// A connection.
    Connection(ConnId),
    /// HTTP requests.
    Requests,
}

impl Carrier {
    pub(crate) const fn transport(self) -> Transport {
        match self {
            Self::Connection(_) => Transport::WebSocket,
            Self::Requests => Transport::Polling,
        }
    }
}

/// The state of the link.
#[derive(Debug)]
pub(crate) enum Link {
    Idle,
    /// Outcomes are being read back from the store.
    Recalling {
        until: Instant,
    },
    Preflight,
    Dialing {
        conn: ConnId,
        until: Instant,
    },
    Greeting {
        carrier: Carrier,
        until: Instant,
    },
    Ready {
        carrier: Carrier,
        since: Instant,
    },
    Waiting {
        until: Instant,
    },
    /// The farewell was said.
    Leaving {
        carrier: Carrier,
        until: Instant,
    },
    Ended,
}

impl Link {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Recalling { .. } | Self::Preflight => "preflight",
            Self::Dialing { .. } => "dialing",
            Self::Greeting { .. } => "greeting",
            Self::Ready { .. } => "ready",
            Self::Waiting { .. } => "waiting",
            Self::Leaving { .. } => "leaving",
            Self::Ended => "ended",
        }
    }

    /// Returns the connection that the link stands on, dials or leaves.
    pub(crate) const fn conn(&self) -> Option<ConnId> {
        match self {
            Self::Dialing { conn, .. }
            | Self::Greeting { carrier: Carrier::Connection(conn), .. }
            | Self::Ready { carrier: Carrier::Connection(conn), .. }
            | Self::Leaving { carrier: Carrier::Connection(conn), .. } => Some(*conn),
            Self::Idle
            | Self::Recalling { .. }
            | Self::Preflight
            | Self::Greeting { carrier: Carrier::Requests, .. }
            | Self::Ready { carrier: Carrier::Requests, .. }
            | Self::Waiting { .. }
            | Self::Leaving { carrier: Carrier::Requests, .. }
            | Self::Ended => None,
        }
    }

    /// Returns what carries a link that is ready.
    pub(crate) const fn ready(&self) -> Option<Carrier> {
        match self {
            Self::Ready { carrier, .. } => Some(*carrier),
            Self::Idle
            | Self::Recalling { .. }
            | Self::Preflight
            | Self::Dialing { .. }
            | Self::Greeting { .. }
            | Self::Waiting { .. }
            | Self::Leaving { .. }
            | Self::Ended => None,
        }
    }

    pub(crate) const fn deadline(&self) -> Option<Deadline> {
        match self {
            Self::Recalling { until } => Some(Deadline { at: *until, why: Why::Store }),
            Self::Dialing { until, .. } => Some(Deadline { at: *until, why: Why::Connect }),
            Self::Greeting { until, .. } => Some(Deadline { at: *until, why: Why::Registration }),
            Self::Waiting { until } => Some(Deadline { at: *until, why: Why::Backoff }),
            Self::Leaving { until, .. } => Some(Deadline { at: *until, why: Why::Farewell }),
            Self::Idle | Self::Preflight | Self::Ready { .. } | Self::Ended => None,
        }
    }
}

/// How soon to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// By the ladder.
    Ladder,
    /// As late as allowed: the peer refused us.
    Longest,
}
