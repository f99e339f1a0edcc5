//! Work for handlers: which runs, which waits for a slot, until each is settled.
//!
//! ```text
//!   offered ──▶ Waiting ──▶ Running ──▶ settled
//!                  │           │
//!                  └─ expired ─┴─ withdrawn ──▶ Withdrawn ──▶ settled, or forgotten after a grace
//! ```
//!
//! A withdrawn item keeps its slot until its handler gives up, so that never more than
//! `max_concurrent` handlers run; one that ignores its withdrawal loses the slot after a grace.

use std::collections::{BTreeMap, VecDeque};

use bytestring::ByteString;

use crate::api::event::{Event, Withdrawal, WorkEvent};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::WorkId;
use crate::base::json::Raw;
use crate::base::time::{Deadline, Instant, Why};
use crate::parts::timers::Timers;

/// How long the handler of a withdrawn item may keep its slot.
const WITHDRAWN_GRACE_MS: u64 = 10_000;

/// A work item for a handler.
#[derive(Debug)]
pub(crate) struct Inbound {
    /// Its wire id.
    pub(crate) wire: ByteString,
    /// Which attempt this is, from 1.
    pub(crate) attempt: u32,
    /// The key of its handler.
    pub(crate) key: String,
    /// The user's part.
    pub(crate) payload: Raw,
    /// Its time limit, counted from its arrival.
    pub(crate) timeout_ms: Option<u64>,
    /// The envelope without the user's part.
    pub(crate) meta: Raw,
    /// Whether the peer may be about to forget it: send a sign of life at once.
    pub(crate) is_stale: bool,
}

/// What is left of an item that left the table.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    /// Its wire id.
    pub(crate) wire: ByteString,
    /// The attempt that ran.
    pub(crate) attempt: u32,
    /// The time limit that passed, for expired items.
    pub(crate) limit_ms: u64,
}

#[derive(Debug)]
enum State {
    Waiting { key: String, payload: Raw, meta: Raw },
    Running,
    Withdrawn,
}

#[derive(Debug)]
struct Item {
    settled: Settled,
    state: State,
    deadline: Option<Instant>,
    sign_at: Option<Instant>,
    grace: Option<Instant>,
}

/// The items of one role.
#[derive(Debug, Default)]
pub(crate) struct Work {
    max_concurrent: usize,
    max_waiting: usize,
    /// The most bytes that wait.
    max_waiting_bytes: u64,
    /// The bytes that wait.
    pub(crate) waiting_bytes: u64,
    /// How many have a slot.
    pub(crate) running: usize,
    /// What waits for a slot, oldest first.
    pub(crate) waiting: VecDeque<WorkId>,
    items: BTreeMap<WorkId, Item>,
    by_wire: BTreeMap<ByteString, WorkId>,
    deadlines: Timers<WorkId>,
    signs: Timers<WorkId>,
    graces: Timers<WorkId>,
    sign_interval_ms: u64,
    next: u64,
}

impl Work {
    pub(crate) fn new(max_concurrent: usize, max_waiting: usize, sign_interval_ms: u64) -> Self {
        let max_waiting_bytes = u64::MAX;
        Self { max_concurrent, max_waiting, max_waiting_bytes, sign_interval_ms, ..Self::default() }
    }

    /// Lets only so many bytes wait.
    pub(crate) fn with_most_bytes(self, max_waiting_bytes: u64) -> Self {
        Self { max_waiting_bytes, ..self }
    }

    /// Takes over the attempt number of an item that is here already, if it is higher; tells whether
    /// there is one.
    pub(crate) fn adopt(&mut self, wire: &str, attempt: u32) -> bool {
        let Some(item) = self.by_wire.get(wire).and_then(|work| self.items.get_mut(work)) else {
            return false;
        };
        item.settled.attempt = item.settled.attempt.max(attempt);
        true
    }

    /// Takes an item that is not here yet, to run or to wait; tells whether there was room.
    pub(crate) fn offer(&mut self, inbound: Inbound, now: Instant) -> bool {
        // One that could start must not overtake those that wait.
        let can_start = self.running < self.max_concurrent && self.waiting.is_empty();
        let bytes = weight(&inbound.payload, &inbound.meta);
        let is_full = self.waiting.len() >= self.max_waiting
            || self.waiting_bytes + bytes > self.max_waiting_bytes;
        if !can_start && is_full {
            return false;
        }
        self.waiting_bytes += bytes;
        self.next += 1;
        let work = WorkId(self.next);
        self.by_wire.insert(inbound.wire.clone(), work);
        let Inbound { wire, attempt, key, payload, timeout_ms, meta, is_stale } = inbound;
        let settled = Settled { wire, attempt, limit_ms: timeout_ms.unwrap_or(0) };
        let state = State::Waiting { key, payload, meta };
        let mut item = Item { settled, state, deadline: None, sign_at: None, grace: None };
        if let Some(millis) = timeout_ms {
            self.deadlines.set(&mut item.deadline, work, now.after(millis));
        }
        let sign_ms = if is_stale { 0 } else { self.sign_interval_ms };
        self.signs.set(&mut item.sign_at, work, now.after(sign_ms));
        self.items.insert(work, item);
        self.waiting.push_back(work);
        true
    }

    /// Starts the oldest waiting item if a slot is free.
    pub(crate) fn start_next(&mut self, now: Instant) -> Option<Event> {
        if self.running >= self.max_concurrent {
            return None;
        }
        let work = self.waiting.pop_front()?;
        let item = self.items.get_mut(&work)?;
        let waited = std::mem::replace(&mut item.state, State::Running);
        let State::Waiting { key, payload, meta } = waited else { return None };
        self.waiting_bytes -= weight(&payload, &meta);
        self.running += 1;
        let timeout_ms = item.deadline.map(|deadline| deadline.since(now));
        Some(Event::Work(WorkEvent::Assigned { work, key, payload, timeout_ms, meta }))
    }

    /// Settles an item on behalf of its handler. `None` if it had been withdrawn: nobody waits.
    ///
    /// # Errors
    /// `WORK_UNKNOWN` if no such item runs here.
    pub(crate) fn settle(&mut self, work: WorkId) -> Result<Option<Settled>, Error> {
        let Some(item) = self.items.get(&work) else {
            let message = format!("work item {} is not running here", work.0);
            return Err(Error::new(ErrorCode::WorkUnknown, message));
        };
        let wanted = match item.state {
            State::Running => true,
            State::Withdrawn => false,
            State::Waiting { .. } => {
                let message = format!("work item {} was not handed out yet", work.0);
                return Err(Error::new(ErrorCode::WorkUnknown, message));
            }
        };
        self.running = self.running.saturating_sub(1);
        Ok(self.remove(work).filter(|_| wanted))
    }

    /// Returns wire id and attempt of a running item, for a report about it.
    pub(crate) fn running(&self, work: WorkId) -> Option<(&ByteString, u32)> {
        let item = self.items.get(&work)?;
        matches!(item.state, State::Running).then_some((&item.settled.wire, item.settled.attempt))
    }

    /// Returns the attempt of the item with this wire id, if it runs or waits.
    pub(crate) fn attempt(&self, wire: &str) -> Option<u32> {
        Some(self.items.get(self.by_wire.get(wire)?)?.settled.attempt)
    }

    /// Returns every item that runs or waits, with its attempt.
    pub(crate) fn held(&self) -> impl Iterator<Item = (&ByteString, u32)> {
        self.items
            .values()
            .filter(|item| !matches!(item.state, State::Withdrawn))
            .map(|item| (&item.settled.wire, item.settled.attempt))
    }

    /// Takes back the item with this wire id; returns what to tell its handler.
    pub(crate) fn withdraw(&mut self, wire: &str, why: Withdrawal, now: Instant) -> Vec<Event> {
        let Some(work) = self.by_wire.get(wire).copied() else { return Vec::new() };
        self.withdraw_work(work, why, now).map(|(event, _)| event).into_iter().flatten().collect()
    }

    /// Takes back everything; returns what to tell the handlers.
    pub(crate) fn withdraw_all(&mut self, why: Withdrawal, now: Instant) -> Vec<Event> {
        let works: Vec<_> = self.items.keys().copied().collect();
        works
            .into_iter()
            .filter_map(|work| self.withdraw_work(work, why, now).and_then(|(event, _)| event))
            .collect()
    }

    /// Forgets what waits for a slot: it was never started, and goes back to the control plane.
    pub(crate) fn drop_waiting(&mut self) {
        for work in std::mem::take(&mut self.waiting) {
            self.remove(work);
        }
    }

    /// Takes one item whose time limit has passed.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<(Option<Event>, Settled)> {
        while let Some((_, work)) = self.deadlines.take_due(now) {
            let withdrawn = self.withdraw_work(work, Withdrawal::Expired, now);
            if withdrawn.is_some() {
                return withdrawn;
            }
        }
        None
    }

    /// Takes the next item that owes a sign of life.
    pub(crate) fn life_sign(&mut self, now: Instant) -> Option<(ByteString, u32)> {
        let (_, work) = self.signs.take_due(now)?;
        let item = self.items.get_mut(&work)?;
        self.signs.set(&mut item.sign_at, work, now.after(self.sign_interval_ms));
        Some((item.settled.wire.clone(), item.settled.attempt))
    }

    /// Gives back the slots of handlers that ignored their withdrawal; returns the items.
    pub(crate) fn forget_ignored(&mut self, now: Instant) -> Vec<(WorkId, Settled)> {
        let mut forgotten = Vec::new();
        while let Some((_, work)) = self.graces.take_due(now) {
            self.running = self.running.saturating_sub(1);
            forgotten.extend(self.remove(work).map(|settled| (work, settled)));
        }
        forgotten
    }

    /// Tells whether more work is wanted: a slot is free even after all that waits has started.
    pub(crate) fn wants_more(&self) -> bool {
        self.running + self.waiting.len() < self.max_concurrent
    }

    /// Tells whether anything runs or waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.held().next().is_none()
    }

    pub(crate) fn deadline(&self) -> Option<Deadline> {
        let timers = [
            self.deadlines.deadline(|_| Why::Work),
            self.graces.deadline(|_| Why::Work),
            self.signs.deadline(|_| Why::LifeSign),
        ];
        timers.into_iter().flatten().min()
    }

    fn withdraw_work(
        &mut self,
        work: WorkId,
        why: Withdrawal,
        now: Instant,
    ) -> Option<(Option<Event>, Settled)> {
        let item = self.items.get_mut(&work)?;
        match item.state {
            State::Withdrawn => None,
            State::Waiting { .. } => {
                self.waiting.retain(|waiting| *waiting != work);
                self.remove(work).map(|settled| (None, settled))
            }
            State::Running => {
                item.state = State::Withdrawn;
                let settled = item.settled.clone();
                self.graces.set(&mut item.grace, work, now.after(WITHDRAWN_GRACE_MS));
                self.by_wire.remove(&settled.wire);
                self.signs.clear(&mut item.sign_at, work);
                self.deadlines.clear(&mut item.deadline, work);
                Some((Some(Event::Work(WorkEvent::Withdrawn { work, why })), settled))
            }
        }
    }

    fn remove(&mut self, work: WorkId) -> Option<Settled> {
        let mut item = self.items.remove(&work)?;
        if let State::Waiting { payload, meta, .. } = &item.state {
            self.waiting_bytes -= weight(payload, meta);
        }
        if !matches!(item.state, State::Withdrawn) {
            self.by_wire.remove(&item.settled.wire);
        }
        self.deadlines.clear(&mut item.deadline, work);
        self.signs.clear(&mut item.sign_at, work);
        self.graces.clear(&mut item.grace, work);
        Some(item.settled)
    }
}

/// Returns the bytes of an item that waits.
fn weight(payload: &Raw, meta: &Raw) -> u64 {
    (payload.as_str().len() + meta.as_str().len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(work: &mut Work, wire: &'static str) -> bool {
        let inbound = Inbound {
            wire: ByteString::from_static(wire),
            attempt: 1,
            key: String::from("Echo/Say"),
            payload: Raw::null(),
            timeout_ms: None,
            meta: Raw::null(),
            is_stale: false,
        };
        work.offer(inbound, Instant::default())
    }

    fn start(work: &mut Work) -> Option<WorkId> {
        let event = work.start_next(Instant::default())?;
        let Event::Work(WorkEvent::Assigned { work, .. }) = event else { panic!("{event:?}") };
        Some(work)
    }

    #[test]
    fn waiting_items_start_in_order_as_slots_free_up() {
        let mut work = Work::new(1, 2, 1_000);
        assert!(offer(&mut work, "a") && !work.wants_more());
        assert_eq!(start(&mut work), Some(WorkId(1)));
        assert!(offer(&mut work, "b") && offer(&mut work, "c"));
        assert!(!offer(&mut work, "d"), "there is no room");
        assert_eq!(start(&mut work), None);
        assert!(work.settle(WorkId(1)).unwrap().is_some());
        assert!(!offer(&mut work, "e"), "a newcomer must not overtake");
        assert_eq!(start(&mut work), Some(WorkId(2)));
        assert_eq!((work.running, work.waiting.len()), (1, 1));
    }

    #[test]
    fn what_waits_is_bounded_by_its_bytes() {
        // Each weighs eight.
        let mut work = Work::new(1, 9, 1_000).with_most_bytes(16);
        assert!(offer(&mut work, "a") && start(&mut work).is_some());
        assert!(offer(&mut work, "b") && offer(&mut work, "c") && !offer(&mut work, "d"));
        work.withdraw("b", Withdrawal::Expired, Instant::default());
        assert!(offer(&mut work, "d") && !offer(&mut work, "e"));
        assert!(work.settle(WorkId(1)).is_ok() && start(&mut work).is_some());
        assert!(offer(&mut work, "e"));
        work.drop_waiting();
        assert_eq!(work.waiting_bytes, 0);
    }

    #[test]
    fn a_slot_is_given_back_once() {
        let mut work = Work::new(1, 0, 1_000);
        assert!(offer(&mut work, "a"));
        assert_eq!(start(&mut work), Some(WorkId(1)));
        assert!(work.settle(WorkId(1)).is_ok() && work.settle(WorkId(1)).is_err());
        assert!(offer(&mut work, "b"));
        assert_eq!(start(&mut work), Some(WorkId(2)));
        assert!(!offer(&mut work, "c"));
    }
}
