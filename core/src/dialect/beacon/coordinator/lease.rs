//! How long a worker may be silent: its leases hold while it is heard, and end together.

use std::sync::Arc;

use super::item::{Ending, ItemId, State};
use super::reports::Reporter;
use super::routes::Route;
use super::worker::Worker;
use super::{Caller, Coordinator, Timer, wire};
use crate::api::event::{Event, PeerEvent};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{ConnId, PeerId};
use crate::base::time::{Instant, Now};

impl Coordinator {
    /// Ends a worker's leases if it was silent for as long as they last; later its record too.
    pub(super) fn check_silence(&mut self, worker: PeerId, now: Now) {
        let Some(record) = self.registry.get(worker) else { return };
        let lease = self.options.lease_ms;
        let ends = record.heard.after(lease).max(self.grace);
        if ends > now.mono {
            self.timers.add(Timer::Silence(worker), ends);
            return;
        }
        if record.offline && now.mono.since(record.heard) >= lease.saturating_mul(2) {
            self.remove_worker(worker, "it was silent for too long", now);
            return;
        }
        self.registry.update(worker, |worker| worker.offline = true);
        self.release_all(worker, "it was silent for too long", false, now);
        self.timers.add(Timer::Silence(worker), now.mono.after(lease));
    }

    /// Takes every item away from a worker, but with `keeps_polled` none that it asked for over HTTP.
    fn release_all(&mut self, worker: PeerId, why: &str, keeps_polled: bool, now: Now) {
        let Some(record) = self.registry.get(worker) else { return };
        for id in record.running.clone() {
            if !keeps_polled || self.items.get(id).is_some_and(|item| !item.polled) {
                self.release(id, why, now);
            }
        }
    }

    /// Removes a worker's record; its items go to others.
    pub(super) fn remove_worker(&mut self, worker: PeerId, why: &str, now: Now) {
        let Some(record) = self.registry.remove(worker) else { return };
        for id in &record.running {
            self.release(*id, why, now);
        }
        self.recent.leave(&record.name, why, now);
        self.replace_reserved(&record.name, &record.capabilities, now);
        let (name, reason) = (record.name.to_string(), why.to_owned());
        self.free_name(&name);
        self.event(Event::Peer(PeerEvent::Left { peer: worker, name, reason }));
    }

    /// Removes a worker that goes, or is removed, for good; its connection may register again.
    pub(super) fn dismiss(&mut self, worker: PeerId, why: &str, now: Now) {
        let Some(Worker { name, conn, .. }) = self.registry.get(worker) else { return };
        let (name, conn) = (name.clone(), *conn);
        self.registry.end_drain(&name);
        self.remove_worker(worker, why, now);
        if let Some(conn) = conn {
            self.accepted.dismiss(conn, now.mono);
            self.send(conn, wire::deregistered());
        }
    }

    /// Keeps in mind what a worker of others runs on that lost its connection.
    pub(super) fn leave_running(&mut self, worker: PeerId, now: Now) {
        let Some(record) = self.registry.get(worker).filter(|record| !record.acks) else { return };
        for id in record.running.clone() {
            self.hold_slot(id, worker, now);
        }
        self.registry.leave(worker);
    }

    /// Notes that a connection is gone. A record that belongs to a newer one stays.
    pub(super) fn handle_lost(&mut self, conn: ConnId, why: &str, now: Now) {
        if let Some(link) = self.conns.get_mut(&conn) {
            link.joining = None;
        }
        let Some(worker) = self.registry.by_conn(conn) else { return };
        let Some(record) = self.registry.get(worker) else { return };
        if !record.polls {
            self.leave_running(worker, now);
            self.remove_worker(worker, why, now);
            return;
        }
        self.registry.connect(worker, None);
        self.release_all(worker, why, true, now);
    }

    /// Acts on a message that was too large: a worker's, by the item's hash, which it `begins` with; or
    /// one of ours, which was the largest if any. That item fails; whatever else its worker ran is handed
    /// out again, as if it had not been.
    pub(super) fn handle_excess(
        &mut self,
        conn: ConnId,
        error: &Error,
        begins: Option<&[u8]>,
        now: Now,
    ) {
        let worker = self.registry.by_conn(conn).and_then(|worker| self.registry.get(worker));
        let Some(worker) = worker else {
            let remote = self.accepted.address(conn).to_owned();
            let text = format!("a connection was closed unregistered: {error}");
            return self.warn(ErrorCode::PeerRefused, &remote, text, now);
        };
        let text = begins.map(String::from_utf8_lossy);
        let rank = |id: &ItemId| {
            let item = self.items.get(*id)?;
            let Some(text) = &text else {
                return Some((usize::MAX - wire::work_frame_bytes(item), *id));
            };
            text.find(&format!("\"{}\"", item.order.hash)).map(|place| (place, *id))
        };
        let culprit = worker.running.iter().filter_map(rank).min().map(|(_, id)| id);
        let others: Vec<_> =
            worker.running.iter().copied().filter(|id| Some(*id) != culprit).collect();
        let whose = if begins.is_some() { "the hub" } else { "the worker" };
        let problem = format!("{} (limits.max_message_bytes of {whose})", error.message());
        self.notice(ErrorCode::TooLarge, format!("worker {:?}: {problem}", worker.name));
        let Some(culprit) = culprit else { return };
        self.finish(culprit, Ending::Error, false, Err(wire::too_large(&problem)), now);
        let worker = self.registry.by_conn(conn);
        for id in others {
            if let Some(worker) = worker {
                self.hold_slot(id, worker, now);
            }
            self.take_back(id);
            self.items.change(id, State::Retry(now.mono));
            self.timers.add(Timer::Retry(id), now.mono);
        }
    }

    /// Acts on a report that was too large for HTTP: the item fails that its path names, or else the body,
    /// which `begins` so. A worker of ours reports the failure itself.
    pub(crate) fn handle_large_report(
        &mut self,
        route: &Route,
        begins: &[u8],
        caller: &Caller,
        now: Now,
    ) {
        let text = String::from_utf8_lossy(begins);
        let id = if let Route::Complete(hash) | Route::Error(hash) = route {
            self.items.find(hash)
        } else if *route == Route::CompleteBatch {
            text.split('"').find_map(|name| self.items.find(name))
        } else {
            None
        };
        let Some((id, item)) = id.and_then(|id| Some((id, self.items.get(id)?))) else { return };
        let worker = item.worker();
        let acks = worker.and_then(|worker| self.registry.get(worker)).is_some_and(|it| it.acks);
        if acks || !self.is_holder(item, &Reporter::Http { caller, beacon_id: "" }) {
            return;
        }
        let max = self.options.max_body_bytes;
        let problem = format!("its report is larger than {max} bytes (max_body_bytes of the hub)");
        self.notice(ErrorCode::TooLarge, format!("{}: {problem}", item.order.hash));
        self.finish(id, Ending::Error, false, Err(wire::too_large(&problem)), now);
        if let Some(worker) = worker {
            self.fill(worker, now);
        }
    }

    /// Gives items that were held for their holder since a restart to others: those of one name, or
    /// all.
    pub(super) fn release_held(&mut self, name: Option<&Arc<str>>, now: Now) {
        let items = match name {
            Some(name) => self.held.remove(name).into_iter().flatten().collect::<Vec<_>>(),
            None => std::mem::take(&mut self.held).into_values().flatten().collect(),
        };
        for id in items {
            self.release(id, "it did not come back after a restart of the hub", now);
        }
    }

    /// Forgets that an item is held, because its holder came back or it is finished.
    pub(super) fn unhold(&mut self, name: &Arc<str>, id: ItemId) {
        if let Some(items) = self.held.get_mut(name) {
            items.remove(&id);
            if items.is_empty() {
                self.held.remove(name);
            }
        }
    }

    /// Gives workers time to be heard when this process was suspended or starved: their frames may
    /// be waiting to be read.
    pub(crate) fn extend_leases(&mut self, now: Instant) {
        self.grace = now.after(self.options.lease_ms.min(10_000));
    }
}
