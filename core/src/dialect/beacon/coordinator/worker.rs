//! One worker's record.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Caller;
use super::item::ItemId;
use crate::base::ids::ConnId;
use crate::base::json::Raw;
use crate::base::time::{Instant, UnixMillis};

/// A worker's record.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(super) beacon_id: Arc<str>,
    pub(super) name: Arc<str>,
    /// Who registered it; nobody if it did so over a connection without having logged in.
    pub(super) owner: Option<Caller>,
    pub(super) capabilities: Vec<Arc<str>>,
    pub(super) max_concurrent: u64,
    pub(super) tags: Raw,
    pub(super) contexts: Raw,
    pub(super) bind_addresses: Raw,
    pub(super) host_id: Option<String>,
    pub(super) shared_mounts: Raw,
    pub(super) registered: UnixMillis,
    pub(super) heartbeat: UnixMillis,
    pub(super) heard: Instant,
    /// The connection that items are pushed on; `None` for a worker that polls.
    pub(super) conn: Option<ConnId>,
    /// It has polled since its connection was opened. Peer: workers fall back to HTTP after a failed
    /// upgrade while an older connection of theirs may still look alive.
    pub(super) polls: bool,
    /// It understands our acknowledgements.
    pub(super) acks: bool,
    pub(super) running: BTreeSet<ItemId>,
    /// It gets no new work.
    pub(super) draining: bool,
    /// It has been silent for longer than its leases last.
    pub(super) offline: bool,
    pub(super) host_lag_ms: u64,
    pub(super) in_flight: Option<u64>,
    /// When it last got an item, as a count: the one idle longest is served first.
    pub(super) turn: u64,
}

impl Worker {
    /// Tells whether it may get another item.
    pub(super) fn has_slot(&self) -> bool {
        !self.draining && !self.offline && (self.running.len() as u64) < self.max_concurrent
    }

    pub(super) fn offers(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|own| &**own == capability)
    }

    pub(super) fn status(&self) -> &'static str {
        if self.offline {
            "Offline"
        } else if self.running.len() as u64 >= self.max_concurrent {
            "Busy"
        } else {
            "Online"
        }
    }
}
