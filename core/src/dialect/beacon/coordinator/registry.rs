//! The workers: their records, found by number, name, id and connection, and which of them is free.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Caller;
use super::item::ItemId;
use super::wire::{self, Registration, Report};
use super::worker::{Overdue, Worker};
use crate::base::ids::{ConnId, PeerId};
use crate::base::time::{Instant, Now, UnixMillis};

/// The most names that are kept as draining, or as running something, while their workers are away; how
/// long as draining.
const MAX_DRAINED: usize = 10_000;
const DRAINED_MS: u64 = 3_600_000;

/// The most items of a worker that are remembered although they hold no slot any more.
const MAX_OVERDUE: usize = 64;

/// The most items that a worker is to stop and has not heard of.
const MAX_CANCELS: usize = 4_096;

/// The most bytes of workers' records.
const MAX_BYTES: usize = 268_435_456;

/// All workers of a hub.
#[derive(Debug, Default)]
pub(super) struct Registry {
    workers: BTreeMap<PeerId, Worker>,
    by_name: BTreeMap<Arc<str>, PeerId>,
    by_id: BTreeMap<Arc<str>, PeerId>,
    by_conn: BTreeMap<ConnId, PeerId>,
    /// Connected workers with a free slot by capability, the least loaded first.
    free: BTreeMap<Arc<str>, BTreeSet<(usize, u64, PeerId)>>,
    /// What workers of others run on that lost their connection, by name, until they are back.
    left: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Overdue>>,
    /// Names whose workers get no new work, and since when they are away.
    drained: BTreeMap<Arc<str>, Option<Instant>>,
    /// The bytes of all records.
    bytes: usize,
    next_worker: u64,
    next_turn: u64,
}

impl Registry {
    pub(super) fn get(&self, worker: PeerId) -> Option<&Worker> {
        self.workers.get(&worker)
    }

    /// Lets `change` alter a worker, and keeps the index of free workers right.
    pub(super) fn update<T>(
        &mut self,
        worker: PeerId,
        change: impl FnOnce(&mut Worker) -> T,
    ) -> Option<T> {
        self.unlist(worker);
        let result = self.workers.get_mut(&worker).map(change);
        self.list(worker);
        result
    }

    /// Notes a sign of life; cheap, since every frame is one. Tells whether the worker was given up.
    pub(super) fn heard(&mut self, worker: PeerId, now: Instant) -> bool {
        let Some(record) = self.workers.get_mut(&worker) else { return false };
        record.heard = now;
        if !record.offline {
            return false;
        }
        self.update(worker, |worker| worker.offline = false);
        true
    }

    /// Notes that a worker polls.
    pub(super) fn polled(&mut self, worker: PeerId) {
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.polls = true;
        }
    }

    /// Notes a heartbeat.
    pub(super) fn heartbeat(&mut self, worker: PeerId, report: &Report<'_>, now: Now) {
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.heartbeat = now.unix;
            worker.host_lag_ms = wire::count(report.host_lag_ms).unwrap_or(0);
            worker.in_flight = wire::count(report.in_flight);
        }
    }

    /// Notes what a worker has still to name of what it runs; returns what that was before.
    pub(super) fn list_later(&mut self, worker: PeerId, new: BTreeSet<ItemId>) -> BTreeSet<ItemId> {
        let own = self.workers.get_mut(&worker);
        own.map(|own| std::mem::replace(&mut own.unlisted, new)).unwrap_or_default()
    }

    /// Lets a worker get no new work, or get it again. Tells whether so many can be kept.
    pub(super) fn drain(&mut self, worker: PeerId, draining: bool) -> bool {
        let Some(name) = self.workers.get(&worker).map(|worker| worker.name.clone()) else {
            return false;
        };
        if !draining {
            self.drained.remove(&name);
        } else if self.drained.len() < MAX_DRAINED || self.drained.contains_key(&name) {
            self.drained.insert(name, None);
        } else {
            return false;
        }
        self.update(worker, |worker| worker.draining = draining);
        true
    }

    /// Forgets drained names whose workers have been away for long.
    pub(super) fn forget_drained(&mut self, now: Instant) {
        self.drained.retain(|name, away| {
            let since = *away.get_or_insert(now);
            if self.by_name.contains_key(name) {
                *away = None;
            }
            away.is_none() || now.since(since) < DRAINED_MS
        });
    }

    /// Lets the next worker of a name get work, whatever was said of this one.
    pub(super) fn end_drain(&mut self, name: &str) {
        self.drained.remove(name);
    }

    /// Gives an item to a worker.
    pub(super) fn assign(&mut self, worker: PeerId, item: ItemId) {
        self.next_turn += 1;
        let turn = self.next_turn;
        self.update(worker, |worker| {
            if worker.may_be_full() {
                worker.doubtful.insert(item);
            }
            worker.running.insert(item);
            worker.turn = turn;
        });
    }

    /// Takes an item from a worker.
    pub(super) fn unassign(&mut self, worker: PeerId, item: ItemId) {
        self.update(worker, |worker| {
            worker.doubtful.remove(&item);
            worker.running.remove(&item)
        });
    }

    /// Notes that a worker has an item for certain.
    pub(super) fn confirm(&mut self, worker: PeerId, item: ItemId) {
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.doubtful.remove(&item);
        }
    }

    /// Notes what a worker runs on although it was taken from it.
    pub(super) fn hold(&mut self, worker: PeerId, hash: Arc<str>, overdue: Overdue) {
        self.update(worker, |worker| worker.overdue.insert(hash, overdue));
    }

    /// Keeps what a worker runs on until it is back.
    pub(super) fn leave(&mut self, worker: PeerId) {
        let overdue = self.update(worker, |worker| std::mem::take(&mut worker.overdue));
        let name = self.workers.get(&worker).map(|worker| worker.name.clone());
        if let (Some(mut overdue), Some(name)) = (overdue, name)
            && self.left.len() < MAX_DRAINED
        {
            overdue.retain(|_, overdue| overdue.holds);
            if !overdue.is_empty() {
                self.left.insert(name, overdue);
            }
        }
    }

    /// Takes what a worker has reported off what it runs on.
    pub(super) fn reported(&mut self, worker: PeerId, hash: &str) -> Option<Overdue> {
        if self.workers.get(&worker)?.overdue.is_empty() {
            return None;
        }
        self.update(worker, |worker| worker.overdue.remove(hash)).flatten()
    }

    /// Lets an item hold its slot no longer; returns the worker.
    pub(super) fn let_go(&mut self, id: ItemId) -> Option<PeerId> {
        self.left.retain(|_, all| {
            all.retain(|_, overdue| overdue.id != id);
            !all.is_empty()
        });
        let holds = |worker: &Worker| worker.overdue.values().any(|overdue| overdue.id == id);
        let worker = self.workers.iter().find(|(_, worker)| holds(worker)).map(|(id, _)| *id)?;
        self.update(worker, |worker| {
            let past = worker.overdue.values().filter(|overdue| !overdue.holds).count();
            worker.overdue.retain(|_, overdue| overdue.id != id || past < MAX_OVERDUE);
            for overdue in worker.overdue.values_mut().filter(|overdue| overdue.id == id) {
                overdue.holds = false;
            }
        });
        Some(worker)
    }

    /// Has a worker told at its next request that it is to stop working on an item.
    pub(super) fn cancel_later(&mut self, worker: PeerId, hash: &str, reason: &str) {
        let Some(worker) = self.workers.get_mut(&worker) else { return };
        worker.cancels.insert(hash.into(), reason.to_owned());
        if worker.cancels.len() > MAX_CANCELS {
            worker.cancels.pop_first();
        }
    }

    /// Notes that a worker has heard of it, or that there is nothing left to stop.
    pub(super) fn forget_cancel(&mut self, worker: PeerId, hash: &str) {
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.cancels.remove(hash);
        }
    }

    /// Returns the workers at which something is kept for an item that is not theirs any more.
    pub(super) fn keepers(&self, hash: &str) -> Vec<PeerId> {
        let keeps = |worker: &Worker| {
            worker.overdue.contains_key(hash) || worker.cancels.contains_key(hash)
        };
        self.workers.iter().filter(|(_, worker)| keeps(worker)).map(|(id, _)| *id).collect()
    }

    /// Adds a record, or brings the one of that name up to date. Returns it and whether it is new.
    pub(super) fn register(
        &mut self,
        name: &Arc<str>,
        registration: &Registration<'_>,
        owner: Option<Caller>,
        now: Now,
    ) -> (PeerId, bool) {
        let known = self.by_name(name);
        let worker = known.unwrap_or_else(|| self.add(name, now));
        let drains = registration.moorline.as_ref().is_some_and(|ours| ours.draining);
        let draining = drains || self.drained.contains_key(name);
        let left = self.left.remove(name).filter(|_| !registration.acks()).unwrap_or_default();
        self.bytes -= self.get(worker).map_or(0, Worker::bytes);
        self.update(worker, |worker| {
            worker.describe(registration);
            worker.overdue.extend(left);
            worker.owner = owner;
            worker.draining = draining;
            worker.heard = now.mono;
            worker.heartbeat = now.unix;
            worker.offline = false;
        });
        self.bytes += self.get(worker).map_or(0, Worker::bytes);
        (worker, known.is_none())
    }

    /// Tells whether there is room for what a registration says.
    pub(super) fn has_room(&self, name: &str, registration: &Registration<'_>) -> bool {
        let own = self.by_name(name).and_then(|worker| self.get(worker)).map_or(0, Worker::bytes);
        self.bytes - own + Worker::bytes_of(registration) <= MAX_BYTES
    }

    fn add(&mut self, name: &Arc<str>, now: Now) -> PeerId {
        let id = PeerId(self.next_worker);
        self.next_worker += 1;
        let worker = Worker::new(self.beacon_id(name, now.unix), name.clone(), now);
        self.by_name.insert(name.clone(), id);
        self.by_id.insert(worker.beacon_id.clone(), id);
        self.bytes += worker.bytes();
        self.workers.insert(id, worker);
        id
    }

    /// Ties a record to a connection, or to none; returns the one it was tied to.
    pub(super) fn connect(&mut self, worker: PeerId, conn: Option<ConnId>) -> Option<ConnId> {
        let before = self
            .update(worker, |worker| {
                worker.polls &= conn.is_none();
                if worker.conn != conn {
                    worker.caught_up();
                }
                std::mem::replace(&mut worker.conn, conn)
            })
            .flatten();
        if let Some(before) = before {
            self.by_conn.remove(&before);
        }
        if let Some(conn) = conn {
            self.by_conn.insert(conn, worker);
        }
        before.filter(|before| Some(*before) != conn)
    }

    /// Removes a record.
    pub(super) fn remove(&mut self, worker: PeerId) -> Option<Worker> {
        self.unlist(worker);
        let record = self.workers.remove(&worker)?;
        self.bytes -= record.bytes();
        self.by_name.remove(&record.name);
        self.by_id.remove(&record.beacon_id);
        if let Some(conn) = record.conn {
            self.by_conn.remove(&conn);
        }
        Some(record)
    }

    pub(super) fn by_conn(&self, conn: ConnId) -> Option<PeerId> {
        self.by_conn.get(&conn).copied()
    }

    pub(super) fn by_id(&self, beacon_id: &str) -> Option<PeerId> {
        self.by_id.get(beacon_id).copied()
    }

    pub(super) fn by_name(&self, name: &str) -> Option<PeerId> {
        self.by_name.get(name).copied()
    }

    /// Returns the connected worker with a free slot that has least to do.
    pub(super) fn least_loaded(&self, capability: &str) -> Option<PeerId> {
        self.free.get(capability)?.first().map(|(_, _, worker)| *worker)
    }

    /// Tells whether any worker offers a capability.
    pub(super) fn offers(&self, capability: &str) -> bool {
        self.workers.values().any(|worker| worker.offers(capability))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerId, &Worker)> + Clone {
        self.workers.iter().map(|(id, worker)| (*id, worker))
    }

    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Returns every capability that is offered, in order of registration.
    pub(super) fn capabilities(&self) -> Vec<&str> {
        let mut seen = BTreeSet::new();
        let all = self.workers.values().flat_map(|worker| &worker.capabilities);
        all.map(|name| &**name).filter(|name| seen.insert(*name)).collect()
    }

    /// Peer: `bcn-<name in lower case, everything else replaced>-<ms>`.
    fn beacon_id(&self, name: &str, now: UnixMillis) -> Arc<str> {
        let plain: String = name
            .to_lowercase()
            .chars()
            .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
            .collect();
        let mut millis = now.0;
        loop {
            let id = format!("bcn-{plain}-{millis}");
            if !self.by_id.contains_key(id.as_str()) {
                return id.into();
            }
            millis += 1;
        }
    }

    fn list(&mut self, id: PeerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        if worker.takes() {
            for capability in &worker.capabilities {
                let entry = (worker.running.len(), worker.turn, id);
                self.free.entry(capability.clone()).or_default().insert(entry);
            }
        }
    }

    fn unlist(&mut self, id: PeerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        for capability in &worker.capabilities {
            if let Some(free) = self.free.get_mut(capability) {
                free.remove(&(worker.running.len(), worker.turn, id));
                if free.is_empty() {
                    self.free.remove(capability);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(registry: &mut Registry, name: &str, max: u64, now: Now) -> (PeerId, bool) {
        let text = format!(r#"{{"Capabilities":["Echo"],"MaxConcurrent":{max}}}"#);
        registry.register(&name.into(), &serde_json::from_str(&text).unwrap(), None, now)
    }

    #[test]
    fn ids_are_made_as_the_peer_makes_them() {
        let mut registry = Registry::default();
        let now = Now::new(0, 1_795_246_980_404);
        let (worker, new) = register(&mut registry, "Ünï Code_Név #1", 1, now);
        assert!(new);
        let id = &registry.get(worker).unwrap().beacon_id;
        assert_eq!(&**id, "bcn--n--code-n-v--1-1795246980404");
        let (other, _) = register(&mut registry, "ünï code_név #1", 1, now);
        assert_eq!(&*registry.get(other).unwrap().beacon_id, "bcn--n--code-n-v--1-1795246980405");
    }

    #[test]
    fn the_least_loaded_connected_worker_with_a_slot_comes_first() {
        let mut registry = Registry::default();
        let now = Now::default();
        let (a, _) = register(&mut registry, "a", 2, now);
        let (b, _) = register(&mut registry, "b", 1, now);
        assert_eq!(registry.least_loaded("Echo"), None);
        registry.connect(a, Some(ConnId(1)));
        registry.connect(b, Some(ConnId(3)));
        assert_eq!(registry.least_loaded("Echo"), Some(a));
        registry.assign(a, ItemId(1));
        assert_eq!(registry.least_loaded("Echo"), Some(b));
        registry.assign(b, ItemId(2));
        assert_eq!(registry.least_loaded("Echo"), Some(a));
        registry.assign(a, ItemId(3));
        assert_eq!(registry.least_loaded("Echo"), None);
        registry.unassign(b, ItemId(2));
        assert_eq!(registry.least_loaded("Echo"), Some(b));
        registry.update(b, |worker| worker.draining = true);
        assert_eq!(registry.least_loaded("Echo"), None);
    }

    #[test]
    fn a_name_has_one_record_and_the_newest_connection() {
        let mut registry = Registry::default();
        let (a, _) = register(&mut registry, "twin", 1, Now::default());
        registry.connect(a, Some(ConnId(1)));
        let (again, new) = register(&mut registry, "twin", 4, Now::default());
        assert_eq!((again, new), (a, false));
        assert_eq!(registry.connect(a, Some(ConnId(3))), Some(ConnId(1)));
        assert_eq!(registry.by_conn(ConnId(1)), None);
        assert_eq!(registry.by_conn(ConnId(3)), Some(a));
        assert_eq!(registry.get(a).unwrap().max_concurrent, 4);
    }
}
