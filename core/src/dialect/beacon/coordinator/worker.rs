//! One worker's record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Caller;
use super::item::ItemId;
use super::wire::{self, Registration};
use crate::base::ids::ConnId;
use crate::base::json::Raw;
use crate::base::time::{Instant, Now, UnixMillis};

/// Ids are shorter, in bytes: a name and a time.
const MAX_ID: usize = 512;

/// What a capability costs beside its name, also where free workers are listed, in bytes.
const OVERHEAD: usize = 128;

/// A worker's record.
#[derive(Debug, Default)]
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
    /// The id under which its process was registered before, which it keeps until it hears of this one.
    pub(super) former_id: Option<Arc<str>>,
    /// It understands our acknowledgements.
    pub(super) acks: bool,
    /// The largest message that it says it takes.
    pub(super) max_message: Option<u64>,
    pub(super) running: BTreeSet<ItemId>,
    /// Items that were taken from it, by hash. Peer: a worker of others runs them on, whatever it is told;
    /// what is pushed beyond its slots it drops without a word.
    pub(super) overdue: BTreeMap<Arc<str>, Overdue>,
    /// Items that were pushed while it had no slot left, should it run on what was taken from it.
    pub(super) doubtful: BTreeSet<ItemId>,
    /// Why it is to stop working on items, by hash: what the answers to its requests tell.
    pub(super) cancels: BTreeMap<Arc<str>, String>,
    /// Bytes pushed since its connection last said that all was handed on; whether that is waited for.
    pub(super) waiting: u64,
    pub(super) is_slow: bool,
    /// What it ran when it began to list what it runs, and has not named yet.
    pub(super) unlisted: BTreeSet<ItemId>,
    /// It gets no new work.
    pub(super) draining: bool,
    /// It has been silent for longer than its leases last.
    pub(super) offline: bool,
    pub(super) host_lag_ms: u64,
    pub(super) in_flight: Option<u64>,
    /// When it last got an item, as a count: the one idle longest is served first.
    pub(super) turn: u64,
}

/// An item that was taken from a worker which runs it on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overdue {
    pub(super) id: ItemId,
    /// Until when it holds its slot, unless it is reported.
    pub(super) until: Instant,
    /// It holds its slot.
    pub(super) holds: bool,
}

impl Worker {
    /// Makes the record of a worker that has said nothing about itself yet.
    pub(super) fn new(beacon_id: Arc<str>, name: Arc<str>, now: Now) -> Self {
        Self {
            beacon_id,
            name,
            max_concurrent: 1,
            tags: Raw::empty_object(),
            contexts: Raw::empty_object(),
            bind_addresses: Raw::empty_list(),
            shared_mounts: Raw::empty_list(),
            registered: now.unix,
            ..Self::default()
        }
    }

    /// Takes over what a registration says; what it leaves out stays as it was.
    pub(super) fn describe(&mut self, registration: &Registration<'_>) {
        if let Some(names) = &registration.capabilities {
            let mut seen = BTreeSet::new();
            let unique = names.iter().filter(|name| seen.insert(name.as_str()));
            self.capabilities = unique.map(|name| Arc::from(name.as_str())).collect();
        }
        if let Some(max) = wire::count(registration.max_concurrent) {
            self.max_concurrent = max.clamp(1, 65_536);
        }
        for (own, new) in [
            (&mut self.tags, wire::object(registration.tags)),
            (&mut self.contexts, wire::object(registration.contexts)),
            (&mut self.bind_addresses, wire::array(registration.bind_addresses)),
            (&mut self.shared_mounts, wire::array(registration.shared_mounts)),
        ] {
            if let Some(new) = new {
                *own = Raw::from(new.to_owned());
            }
        }
        if registration.host_id.is_some() {
            self.host_id.clone_from(&registration.host_id);
        }
        let former = Some(registration.former_id());
        self.former_id = former.filter(|id| !id.is_empty() && id.len() < MAX_ID).map(Arc::from);
        self.acks = registration.acks();
        let ours = registration.moorline.as_ref();
        self.max_message = ours.and_then(|ours| ours.max_message_bytes);
    }

    /// Returns how many bytes the record has of what registrations say.
    pub(super) fn bytes(&self) -> usize {
        let names = self.capabilities.iter().map(|name| name.len() + OVERHEAD).sum::<usize>();
        let raws = [&self.tags, &self.contexts, &self.bind_addresses, &self.shared_mounts];
        names + raws.iter().map(|raw| raw.as_str().len()).sum::<usize>()
    }

    /// Returns how many it has at most of one registration.
    pub(super) fn bytes_of(registration: &Registration<'_>) -> usize {
        let Registration { tags, contexts, bind_addresses, shared_mounts, .. } = registration;
        let names = registration.capabilities.iter().flatten();
        let raws = [tags, contexts, bind_addresses, shared_mounts];
        names.map(|name| name.len() + OVERHEAD).sum::<usize>()
            + raws.into_iter().flatten().map(|raw| raw.get().len()).sum::<usize>()
    }

    /// Tells whether it may get another item.
    pub(super) fn has_slot(&self) -> bool {
        !self.draining && !self.offline && (self.running.len() as u64) < self.max_concurrent
    }

    /// Notes that all that was pushed is handed on, or that there is a new connection.
    pub(super) const fn caught_up(&mut self) {
        self.waiting = 0;
        self.is_slow = false;
    }

    /// Tells whether an item may be pushed to it.
    pub(super) fn takes(&self) -> bool {
        let held = self.overdue.values().filter(|overdue| overdue.holds).count();
        let used = (self.running.len() + held) as u64;
        self.conn.is_some() && !self.is_slow && self.has_slot() && used < self.max_concurrent
    }

    /// Tells whether one more item finds no slot, if everything that was taken from it still runs.
    pub(super) fn may_be_full(&self) -> bool {
        let used = (self.running.len() + self.overdue.len()) as u64;
        !self.acks && self.conn.is_some() && used >= self.max_concurrent
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
