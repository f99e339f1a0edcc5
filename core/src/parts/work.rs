//! Matches inbound work to handlers and keeps track of it until it is settled.
//!
//! ```text
//!   offered ──▶ Waiting ──▶ Running ──▶ settled
//!                  │           │
//!                  └─ expired ─┴─ withdrawn ──▶ Withdrawn ──▶ settled, or forgotten after a grace
//! ```
//!
//! A withdrawn item keeps its slot until its handler gives up, so that never more than
//! `max_concurrent` handlers run; one that ignores its withdrawal loses the slot after a grace.

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;

use crate::api::event::{Event, Withdrawal};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::WorkId;
use crate::base::json::Raw;
use crate::base::time::Instant;
use crate::parts::handlers::Handlers;
use crate::parts::slots::Slots;

/// How long the handler of a withdrawn item may keep its slot.
const WITHDRAWN_GRACE_MS: u64 = 10_000;

/// A work item as a dialect understood it.
#[derive(Debug)]
pub(crate) struct Inbound {
    /// Its wire id.
    pub(crate) wire: ByteString,
    /// Which attempt this is, from 1.
    pub(crate) attempt: u32,
    /// The first part of the handler key.
    pub(crate) capability: String,
    /// The second part.
    pub(crate) action: String,
    /// Whether the first handler of the capability may stand in for an unknown action.
    pub(crate) or_first: bool,
    /// The user's part.
    pub(crate) payload: Raw,
    /// Its time limit, counted from its arrival.
    pub(crate) timeout_ms: Option<u64>,
    /// The envelope without the user's part.
    pub(crate) meta: Raw,
    /// Whether the peer may be about to forget it: send a sign of life at once.
    pub(crate) is_stale: bool,
}

/// What became of an offered item.
#[derive(Debug)]
pub(crate) enum Offer {
    /// It runs, or waits for a slot.
    Taken,
    /// It runs here already; the attempt number was adopted if it was higher.
    Known,
    /// It cannot be run here.
    Refused(String),
}

/// An item that left the table.
#[derive(Debug)]
pub(crate) struct Settled {
    /// Its wire id.
    pub(crate) wire: ByteString,
    /// The attempt that ran.
    pub(crate) attempt: u32,
    /// The time limit that passed, for expired items.
    pub(crate) limit_ms: u64,
}

#[derive(Debug)]
enum Phase {
    Waiting { key: String, payload: Raw, meta: Raw },
    Running,
    Withdrawn { until: Instant },
}

#[derive(Debug)]
struct Item {
    wire: ByteString,
    attempt: u32,
    phase: Phase,
    deadline: Option<Instant>,
    limit_ms: u64,
    sign_at: Option<Instant>,
}

/// The table of inbound work.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    handlers: Handlers,
    slots: Slots,
    items: BTreeMap<WorkId, Item>,
    by_wire: BTreeMap<ByteString, WorkId>,
    deadlines: BTreeSet<(Instant, WorkId)>,
    signs: BTreeSet<(Instant, WorkId)>,
    graces: BTreeSet<(Instant, WorkId)>,
    sign_interval_ms: u64,
    next: u64,
}

impl Dispatcher {
    pub(crate) fn new(max_concurrent: usize, max_waiting: usize, sign_interval_ms: u64) -> Self {
        Self {
            handlers: Handlers::default(),
            slots: Slots::new(max_concurrent, max_waiting),
            items: BTreeMap::new(),
            by_wire: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            signs: BTreeSet::new(),
            graces: BTreeSet::new(),
            sign_interval_ms,
            next: 0,
        }
    }

    pub(crate) const fn handlers(&self) -> &Handlers {
        &self.handlers
    }

    pub(crate) const fn handlers_mut(&mut self) -> &mut Handlers {
        &mut self.handlers
    }

    pub(crate) const fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Takes an item, unless it is known, has no handler or finds no room.
    pub(crate) fn offer(&mut self, inbound: Inbound, now: Instant) -> Offer {
        if let Some(work) = self.by_wire.get(&inbound.wire) {
            if let Some(item) = self.items.get_mut(work) {
                item.attempt = item.attempt.max(inbound.attempt);
            }
            return Offer::Known;
        }
        let Some(key) = self.resolve(&inbound) else {
            return Offer::Refused(format!(
                "this worker has no handler for {}/{}",
                inbound.capability, inbound.action
            ));
        };
        if !self.slots.has_free() && !self.slots.has_room() {
            return Offer::Refused(String::from(
                "this worker runs and keeps waiting as much as it may; try another or later",
            ));
        }
        self.next += 1;
        let work = WorkId(self.next);
        let deadline = inbound.timeout_ms.map(|millis| now.after(millis));
        let sign_at =
            if inbound.is_stale { Some(now) } else { Some(now.after(self.sign_interval_ms)) };
        self.deadlines.extend(deadline.map(|at| (at, work)));
        self.signs.extend(sign_at.map(|at| (at, work)));
        let wire = inbound.wire;
        let phase = Phase::Waiting { key, payload: inbound.payload, meta: inbound.meta };
        let limit_ms = inbound.timeout_ms.unwrap_or(0);
        let attempt = inbound.attempt;
        self.by_wire.insert(wire.clone(), work);
        self.items.insert(work, Item { wire, attempt, phase, deadline, limit_ms, sign_at });
        self.slots.wait(work);
        Offer::Taken
    }

    /// Starts the oldest waiting item if a slot is free.
    pub(crate) fn start_next(&mut self, now: Instant) -> Option<Event> {
        loop {
            let work = self.slots.start_waiting()?;
            let Some(item) = self.items.get_mut(&work) else {
                self.slots.finish();
                continue;
            };
            let phase = std::mem::replace(&mut item.phase, Phase::Running);
            let timeout_ms = item.deadline.map(|deadline| deadline.since(now));
            match phase {
                Phase::Waiting { key, payload, meta } => {
                    return Some(Event::Work { work, key, payload, timeout_ms, meta });
                }
                Phase::Running | Phase::Withdrawn { .. } => self.slots.finish(),
            }
        }
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
        let wanted = match item.phase {
            Phase::Running => true,
            Phase::Withdrawn { .. } => false,
            Phase::Waiting { .. } => {
                let message = format!("work item {} was not handed out yet", work.0);
                return Err(Error::new(ErrorCode::WorkUnknown, message));
            }
        };
        self.slots.finish();
        Ok(self.remove(work).filter(|_| wanted))
    }

    /// Returns wire id and attempt of a running item, for a report about it.
    pub(crate) fn running(&self, work: WorkId) -> Option<(&ByteString, u32)> {
        let item = self.items.get(&work)?;
        matches!(item.phase, Phase::Running).then_some((&item.wire, item.attempt))
    }

    /// Returns every item that runs or waits, with its attempt.
    pub(crate) fn held(&self) -> impl Iterator<Item = (&ByteString, u32)> {
        self.items
            .values()
            .filter(|item| !matches!(item.phase, Phase::Withdrawn { .. }))
            .map(|item| (&item.wire, item.attempt))
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
        for work in self.slots.drop_waiting() {
            self.remove(work);
        }
    }

    /// Takes one item whose time limit has passed.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<(Option<Event>, Settled)> {
        while let Some((at, work)) = self.deadlines.first().copied() {
            if at > now {
                return None;
            }
            self.deadlines.remove(&(at, work));
            let withdrawn = self.withdraw_work(work, Withdrawal::Expired, now);
            if withdrawn.is_some() {
                return withdrawn;
            }
        }
        None
    }

    /// Takes the next item that owes a sign of life.
    pub(crate) fn life_sign(&mut self, now: Instant) -> Option<(ByteString, u32)> {
        let (at, work) = self.signs.first().copied().filter(|(at, _)| *at <= now)?;
        self.signs.remove(&(at, work));
        let item = self.items.get_mut(&work)?;
        let next = now.after(self.sign_interval_ms);
        item.sign_at = Some(next);
        self.signs.insert((next, work));
        Some((item.wire.clone(), item.attempt))
    }

    /// Gives back the slots of handlers that ignored their withdrawal; returns the items.
    pub(crate) fn forget_ignored(&mut self, now: Instant) -> Vec<WorkId> {
        let mut forgotten = Vec::new();
        while let Some((at, work)) = self.graces.first().copied().filter(|(at, _)| *at <= now) {
            self.graces.remove(&(at, work));
            self.slots.finish();
            self.remove(work);
            forgotten.push(work);
        }
        forgotten
    }

    /// Tells whether anything runs or waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.held().next().is_none()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let first = self.deadlines.first().map(|(at, _)| *at);
        let grace = self.graces.first().map(|(at, _)| *at);
        first.into_iter().chain(grace).min()
    }

    pub(crate) fn sign_deadline(&self) -> Option<Instant> {
        self.signs.first().map(|(at, _)| *at)
    }

    fn resolve(&self, inbound: &Inbound) -> Option<String> {
        let exact = self.handlers.find(&inbound.capability, &inbound.action);
        let stand_in = || self.handlers.first_of(&inbound.capability).filter(|_| inbound.or_first);
        let handler = exact.or_else(stand_in)?;
        Some(format!("{}/{}", handler.capability, handler.action))
    }

    fn withdraw_work(
        &mut self,
        work: WorkId,
        why: Withdrawal,
        now: Instant,
    ) -> Option<(Option<Event>, Settled)> {
        let item = self.items.get_mut(&work)?;
        match item.phase {
            Phase::Withdrawn { .. } => None,
            Phase::Waiting { .. } => {
                self.slots.forget(work);
                self.remove(work).map(|settled| (None, settled))
            }
            Phase::Running => {
                let until = now.after(WITHDRAWN_GRACE_MS);
                item.phase = Phase::Withdrawn { until };
                let settled = Settled {
                    wire: item.wire.clone(),
                    attempt: item.attempt,
                    limit_ms: item.limit_ms,
                };
                self.graces.insert((until, work));
                self.by_wire.remove(&settled.wire);
                if let Some(at) = item.sign_at.take() {
                    self.signs.remove(&(at, work));
                }
                if let Some(at) = item.deadline.take() {
                    self.deadlines.remove(&(at, work));
                }
                Some((Some(Event::WorkWithdrawn { work, why }), settled))
            }
        }
    }

    fn remove(&mut self, work: WorkId) -> Option<Settled> {
        let item = self.items.remove(&work)?;
        if let Phase::Withdrawn { until } = item.phase {
            self.graces.remove(&(until, work));
        } else {
            self.by_wire.remove(&item.wire);
        }
        if let Some(at) = item.deadline {
            self.deadlines.remove(&(at, work));
        }
        if let Some(at) = item.sign_at {
            self.signs.remove(&(at, work));
        }
        Some(Settled { wire: item.wire, attempt: item.attempt, limit_ms: item.limit_ms })
    }
}
