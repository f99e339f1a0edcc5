//! Who gets what: the one place that assigns.
//!
//! An item waits in one lane: that of its capability, or that of its capability and one worker's name
//! when its affinity key draws it there. A worker with a free slot takes the first item of its lanes:
//! highest priority, then longest waiting. A new item goes to the least loaded connected worker with a
//! free slot. Each step costs the logarithm of the queue, whatever its length.

use std::sync::Arc;

use super::item::{Ending, Holder, Item, ItemId, Lane, State};
use super::worker::{Overdue, Worker};
use super::{Coordinator, Timer, wire};
use crate::base::error::ErrorCode;
use crate::base::ids::PeerId;
use crate::base::time::Now;
use crate::machine::Output;

/// The most that the frame of an item is longer than its settings: names of at most 256 bytes, escaped.
const LARGEST_ENVELOPE: u64 = 32_768;

impl Coordinator {
    /// Gives an item to a worker, or lets it wait in its lane.
    pub(super) fn place(&mut self, id: ItemId, now: Now) {
        let Some(lane) = self.lane_of(id, now) else { return };
        if !self.check_size(id, None, now) {
            return;
        }
        let worker = match &lane.name {
            None => self.registry.least_loaded(&lane.capability),
            Some(name) => self.registry.by_name(name).filter(|worker| {
                let worker = self.registry.get(*worker);
                worker.is_some_and(|worker| worker.takes() && worker.offers(&lane.capability))
            }),
        };
        match worker.filter(|_| self.is_open) {
            Some(worker) if self.check_size(id, Some(worker), now) => {
                self.deliver(id, worker, false, now);
            }
            Some(_) => {}
            None => {
                self.items.change(id, State::Pending(lane));
            }
        }
    }

    /// Gives a connected worker items until its slots are full.
    pub(super) fn fill(&mut self, worker: PeerId, now: Now) {
        while self.is_open && self.registry.get(worker).is_some_and(Worker::takes) {
            let Some(id) = self.next_for(worker) else { return };
            if self.check_size(id, Some(worker), now) {
                self.deliver(id, worker, false, now);
            }
        }
    }

    /// Takes the next item for a worker that asks for one.
    pub(super) fn take_for(&mut self, worker: PeerId, now: Now) -> Option<ItemId> {
        let free = self.registry.get(worker).is_some_and(Worker::has_slot);
        if !free || !self.is_open {
            return None;
        }
        let id = loop {
            let id = self.next_for(worker)?;
            if self.check_size(id, Some(worker), now) {
                break id;
            }
        };
        self.deliver(id, worker, true, now);
        Some(id)
    }

    /// Takes an item away from its worker and lets it wait again; `lost` counts as a lost worker.
    pub(super) fn release(&mut self, id: ItemId, why: &str, now: Now) {
        let Some(item) = self.items.get_mut(id) else { return };
        item.losses += 1;
        item.last_event = now.unix;
        item.last_error = Some(why.to_owned());
        let (losses, max) = (item.losses, self.options.max_redeliveries);
        let cancelled = item.cancel_reason.clone();
        let worker = item.worker();
        self.items.recount(id);
        if let Some(worker) = worker {
            self.hold_slot(id, worker, now);
        }
        self.take_back(id);
        if let Some(reason) = cancelled {
            let text = format!("Work item was canceled: {reason}");
            self.finish(id, Ending::Cancelled, false, Err(text), now);
        } else if losses > max {
            let times = max.saturating_add(1);
            let text = format!("Its worker was lost {times} times; the last time {why}.");
            self.finish(id, Ending::Error, false, Err(text), now);
        } else {
            self.place(id, now);
        }
    }

    /// Takes an item away from its worker. Unless someone waits for it, its time limit begins anew with
    /// its next delivery.
    pub(super) fn take_back(&mut self, id: ItemId) {
        let Some(item) = self.items.get_mut(id) else { return };
        let worker = item.worker();
        let limit = if item.order.direct { None } else { item.deadline.take() };
        if let Some(limit) = limit {
            self.timers.remove(Timer::Limit(id), limit);
        }
        if let Some(worker) = worker {
            self.registry.unassign(worker, id);
        }
    }

    /// Tells whether an item can be delivered, to a worker if one is named, or why not.
    pub(super) fn fits(&self, item: &Item, worker: Option<PeerId>) -> Result<(), String> {
        let worker = worker.and_then(|worker| self.registry.get(worker)?.max_message);
        let own = self.options.limits.max_message_bytes;
        let (max, whose) = match worker.filter(|max| *max < own) {
            Some(max) => (max, "the worker's"),
            None => (own, "the hub's"),
        };
        // Most are so small that the rest of the frame need not be written.
        if item.order.settings.as_str().len() as u64 + LARGEST_ENVELOPE <= max {
            return Ok(());
        }
        let bytes = wire::work_frame_bytes(item);
        if bytes as u64 <= max {
            return Ok(());
        }
        Err(wire::too_large(&format!(
            "the work item is a message of {bytes} bytes; {whose} limits.max_message_bytes is {max}"
        )))
    }

    /// Ends an item that cannot be delivered; tells whether it can.
    pub(super) fn check_size(&mut self, id: ItemId, worker: Option<PeerId>, now: Now) -> bool {
        let Some(item) = self.items.get(id) else { return false };
        let Err(problem) = self.fits(item, worker) else { return true };
        self.notice(ErrorCode::TooLarge, format!("{}: {problem}", item.order.hash));
        self.finish(id, Ending::Error, false, Err(problem), now);
        false
    }

    /// Finds other places for items that wait for a worker which is gone or offers something else.
    pub(super) fn replace_reserved(&mut self, name: &Arc<str>, lanes: &[Arc<str>], now: Now) {
        for capability in lanes {
            let lane = Lane { capability: capability.clone(), name: Some(name.clone()) };
            for id in self.items.lanes.items(&lane) {
                self.place(id, now);
            }
        }
    }

    /// Takes an item over that a worker of ours says it runs. Tells whether it may keep it.
    pub(super) fn adopt(&mut self, id: ItemId, worker: PeerId, now: Now) {
        let Some(record) = self.registry.get(worker) else { return };
        let holder = Holder { beacon_id: record.beacon_id.clone(), name: record.name.clone() };
        let Some(item) = self.items.change(id, State::Running(worker)) else { return };
        let renamed = item.holder.as_ref() != Some(&holder);
        item.holder = Some(holder);
        item.last_event = now.unix;
        self.registry.assign(worker, id);
        self.limit(id, now);
        if renamed {
            self.store_attempt(id);
        }
    }

    /// Starts the time limit of an item that runs, unless it is running already.
    pub(super) fn limit(&mut self, id: ItemId, now: Now) {
        let Some(item) = self.items.get_mut(id) else { return };
        if item.deadline.is_none() {
            let at = now.mono.after(item.order.timeout_ms);
            item.deadline = Some(at);
            self.timers.add(Timer::Limit(id), at);
        }
    }

    /// Returns the lane where an item belongs now.
    fn lane_of(&self, id: ItemId, now: Now) -> Option<Lane> {
        let order = &self.items.get(id)?.order;
        let capability = order.capability.clone();
        let key = order.affinity_key.as_str();
        let here = |worker: PeerId| {
            let worker = self.registry.get(worker)?;
            (worker.offers(&capability) && !worker.offline).then(|| worker.name.clone())
        };
        let name = if key.is_empty() {
            None
        } else if order.strict {
            Some(key.into())
        } else {
            self.registry.by_name(key).and_then(here).or_else(|| {
                let bound = self.affinity.find(key, now.mono)?;
                self.registry.by_id(bound).and_then(here)
            })
        };
        Some(Lane { capability, name })
    }

    fn next_for(&self, worker: PeerId) -> Option<ItemId> {
        let worker = self.registry.get(worker)?;
        worker
            .capabilities
            .iter()
            .flat_map(|capability| {
                [None, Some(worker.name.clone())]
                    .map(|name| Lane { capability: capability.clone(), name })
            })
            .filter_map(|lane| self.items.lanes.first(&lane))
            .min()
            .map(|(_, _, id)| id)
    }

    /// Hands the lease of an item to a worker, and the item too unless it was `polled`. The next attempt is
    /// stored before anything is sent.
    pub(super) fn deliver(&mut self, id: ItemId, worker: PeerId, polled: bool, now: Now) {
        let Some(record) = self.registry.get(worker) else { return };
        let holder = Holder { beacon_id: record.beacon_id.clone(), name: record.name.clone() };
        let Some(item) = self.items.change(id, State::Running(worker)) else { return };
        item.attempt += 1;
        item.polled = polled;
        item.assigned = Some(now.unix);
        item.last_event = now.unix;
        item.retry_after = None;
        let redelivered = item.losses > 0 && item.attempt > 1;
        let key = item.order.affinity_key.clone();
        if !key.is_empty() {
            self.affinity.bind(&key, &holder.beacon_id, now);
        }
        item.holder = Some(holder);
        self.counts.redelivered += u64::from(redelivered);
        let hash = item.order.hash.clone();
        if let Some(Overdue { until, .. }) = self.registry.reported(worker, &hash) {
            self.timers.remove(Timer::Overdue(id), until);
        }
        self.registry.assign(worker, id);
        self.limit(id, now);
        self.store_attempt(id);
        if !polled {
            self.push(id, worker);
        }
    }

    fn push(&mut self, id: ItemId, worker: PeerId) {
        let Some(Worker { conn: Some(conn), acks, .. }) = self.registry.get(worker) else { return };
        let (conn, acks) = (*conn, *acks);
        let Some(item) = self.items.get(id) else { return };
        let text = wire::work_frame(item, acks);
        let (bytes, most) = (text.len() as u64, self.options.limits.max_send_queue_bytes / 2);
        self.promise_text(conn, text);
        let is_slow = self.registry.update(worker, |worker| {
            worker.waiting += bytes;
            worker.is_slow = worker.waiting >= most;
            worker.is_slow
        });
        if is_slow == Some(true) {
            self.promise(Output::AskSent { conn });
        }
    }
}
