//! One work item: what was asked, where it is, who waits for it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::wire::Progress;
use crate::api::event::Withdrawal;
use crate::base::error::ErrorCode;
use crate::base::ids::{CallId, ConnId, HttpId, PeerId};
use crate::base::json::Raw;
use crate::base::time::{Instant, UnixMillis};

/// An item's number in this process; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ItemId(pub(super) u64);

/// The place of a waiting item: priority first, then order of arrival.
pub(super) type Rank = (Reverse<i64>, u64, ItemId);

/// Where an item waits: for any worker with the capability, or for the one of that name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lane {
    pub(super) capability: Arc<str>,
    /// The worker's name; `None` for any worker.
    pub(super) name: Option<Arc<str>>,
}

/// Where an item is.
///
/// ```text
///              ┌──── error with retries left ──▶ Retry ──┐
///   Pending ──▶ Running ──▶ (finished: a result)         │
///      ▲ └──────── worker lost ◀─┘   ▲                   │
///      └──────────────────────────── Held ◀── restart    │
///      └─────────────────────────────────────────────────┘
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for a slot.
    Pending(Lane),
    /// A worker holds its lease.
    Running(PeerId),
    /// It ran when the hub was restarted; its holder may come back for it.
    #[default]
    Held,
    /// It failed and runs again after a delay.
    Retry(Instant),
}

/// Who ran the latest attempt.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Holder {
    pub(super) beacon_id: Arc<str>,
    pub(super) name: Arc<str>,
}

/// Who waits for the outcome of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Waiter {
    /// A client that dispatched over HTTP; with `stream` it wants progress too.
    Http { http: HttpId, stream: bool },
    /// The application, by an in-process call.
    Call { call: CallId, stream: bool },
    /// A login that an auth worker decides.
    Login { http: HttpId },
    /// A registration that an auth worker decides.
    Join { conn: ConnId },
}

/// What was asked for. Does not change.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Order {
    #[serde(skip)]
    pub(super) hash: Arc<str>,
    pub(super) capability: Arc<str>,
    pub(super) action: String,
    pub(super) settings: Raw,
    pub(super) run_id: String,
    pub(super) run_hash: String,
    pub(super) node_hash: String,
    pub(super) operation_hash: String,
    pub(super) affinity_key: String,
    /// Only the worker named by the affinity key may run it.
    pub(super) strict: bool,
    pub(super) timeout_ms: u64,
    pub(super) max_attempts: u64,
    pub(super) retry_backoff_ms: u64,
    /// The caller's idempotency key, scoped to the caller.
    pub(super) key: Option<String>,
    /// Someone waits for it: its time runs from the beginning, not from its delivery.
    pub(super) direct: bool,
    /// The hub asks for itself: not stored, not shown.
    #[serde(skip)]
    pub(super) internal: bool,
    pub(super) enqueued: UnixMillis,
}

impl Order {
    /// Makes an order of one attempt, without limits and names.
    pub(super) fn new(
        hash: Arc<str>,
        capability: &str,
        action: &str,
        settings: Raw,
        enqueued: UnixMillis,
    ) -> Self {
        Self {
            hash,
            capability: capability.into(),
            action: action.to_owned(),
            settings,
            max_attempts: 1,
            enqueued,
            ..Self::default()
        }
    }
}

/// What an item costs beside its settings, its names and its lines, in bytes.
const OVERHEAD: u64 = 900;

/// One work item.
#[derive(Clone, Debug, Default)]
pub(crate) struct Item {
    pub(super) order: Order,
    pub(super) priority: i64,
    /// The place among items of equal priority.
    pub(super) turn: u64,
    pub(super) state: State,
    /// The number of the latest delivery; 0 before the first.
    pub(super) attempt: u64,
    /// Attempts that ended in an error, and the latest of them.
    pub(super) failures: u64,
    pub(super) failed_attempt: Option<u64>,
    /// Attempts whose worker was lost.
    pub(super) losses: u64,
    pub(super) holder: Option<Holder>,
    /// Its worker asked for it over HTTP: the end of a connection says nothing about it.
    pub(super) polled: bool,
    pub(super) assigned: Option<UnixMillis>,
    pub(super) last_event: UnixMillis,
    pub(super) deadline: Option<Instant>,
    pub(super) retry_after: Option<UnixMillis>,
    pub(super) last_error: Option<String>,
    pub(super) cancel_reason: Option<String>,
    pub(super) progress: Progress,
    /// The inside of the JSON list of lines reported with progress.
    pub(super) log: String,
    pub(super) waiters: Vec<Waiter>,
    /// The bytes that it counts with.
    pub(super) counted: u64,
}

impl Item {
    pub(super) fn new(order: Order, priority: i64, turn: u64) -> Self {
        let lane = Lane { capability: order.capability.clone(), name: None };
        Self {
            last_event: order.enqueued,
            order,
            priority,
            turn,
            state: State::Pending(lane),
            ..Self::default()
        }
    }

    pub(super) const fn rank(&self, id: ItemId) -> Rank {
        (Reverse(self.priority), self.turn, id)
    }

    /// Returns the worker that holds the lease.
    pub(super) const fn worker(&self) -> Option<PeerId> {
        if let State::Running(worker) = self.state { Some(worker) } else { None }
    }

    /// Tells whether it waits to be given out, and is not the hub's own.
    pub(super) const fn is_upcoming(&self) -> bool {
        matches!(self.state, State::Pending(_) | State::Retry(_)) && !self.order.internal
    }

    /// Returns the bytes that count towards the queue's limit.
    pub(super) fn size(&self) -> u64 {
        let Order { settings, action, run_id, run_hash, node_hash, .. } = &self.order;
        let Order { operation_hash, affinity_key, key, .. } = &self.order;
        let names = [action, run_id, run_hash, node_hash, operation_hash, affinity_key];
        let names: usize = names.into_iter().chain(key).chain(key).map(String::len).sum();
        let said =
            self.last_error.iter().chain(&self.cancel_reason).map(String::len).sum::<usize>();
        let said = said + self.log.len() + self.progress.bytes();
        (settings.as_str().len() + said + names) as u64 + OVERHEAD
    }

    /// Returns the part of a snapshot of the queue that it belongs to. Source: `ultravisor` 1.3.24.
    pub(super) const fn bucket(&self) -> &'static str {
        match self.state {
            State::Pending(_) | State::Retry(_) => "Upcoming",
            State::Running(_) | State::Held => "InProgress",
        }
    }

    /// Returns the status on the wire; `reserved` if the worker it waits for is here.
    pub(super) fn status(&self, reserved: bool) -> &'static str {
        match self.state {
            State::Pending(_) if reserved => "Assigned",
            State::Pending(_) => "Pending",
            State::Running(_) | State::Held => "Running",
            State::Retry(_) => "RetryScheduled",
        }
    }
}

/// How an item ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ending {
    Complete,
    Error,
    #[serde(rename = "Canceled")]
    Cancelled,
    Timeout,
}

impl Ending {
    /// Returns the name on the wire, by which it is stored too.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Complete => "Complete",
            Self::Error => "Error",
            Self::Cancelled => "Canceled",
            Self::Timeout => "Timeout",
        }
    }

    /// Returns the code of a call whose item ended so, without outputs.
    pub(super) const fn code(self) -> ErrorCode {
        match self {
            Self::Timeout => ErrorCode::CallTimeout,
            Self::Cancelled => ErrorCode::CallCancelled,
            Self::Complete | Self::Error => ErrorCode::RemoteError,
        }
    }

    /// Returns what the worker that still runs the item is told.
    pub(super) const fn withdrawal(self) -> Withdrawal {
        if let Self::Timeout = self { Withdrawal::Expired } else { Withdrawal::Cancelled }
    }
}

/// Items waiting in lanes, and how many do not wait since they run.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<Lane, BTreeSet<Rank>>,
    pub(super) running: usize,
}

impl Lanes {
    /// Notes that an item has come into a state.
    pub(super) fn enter(&mut self, state: &State, rank: Rank) {
        match state {
            State::Pending(lane) => drop(self.lanes.entry(lane.clone()).or_default().insert(rank)),
            State::Running(_) | State::Held => self.running += 1,
            State::Retry(_) => {}
        }
    }

    /// Notes that an item has left a state.
    pub(super) fn leave(&mut self, state: &State, rank: Rank) {
        match state {
            State::Pending(lane) => {
                if let Some(ranks) = self.lanes.get_mut(lane) {
                    ranks.remove(&rank);
                    if ranks.is_empty() {
                        self.lanes.remove(lane);
                    }
                }
            }
            State::Running(_) | State::Held => self.running -= 1,
            State::Retry(_) => {}
        }
    }

    /// Returns the first rank of a lane.
    pub(super) fn first(&self, lane: &Lane) -> Option<Rank> {
        self.lanes.get(lane)?.first().copied()
    }

    /// Returns every item of a lane in order.
    pub(super) fn items(&self, lane: &Lane) -> Vec<ItemId> {
        self.lanes
            .get(lane)
            .map_or_else(Vec::new, |ranks| ranks.iter().map(|rank| rank.2).collect())
    }
}
