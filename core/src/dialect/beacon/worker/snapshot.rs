//! The state of a worker as JSON.

use serde::Serialize;

use crate::base::error::Error;
use crate::base::time::Now;

use super::{BeaconWorker, Carrier, Stage};

/// What has happened since the worker was opened.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Counters {
    /// Work items that came in.
    pub(super) received: u64,
    /// Work items that handlers completed.
    pub(super) completed: u64,
    /// Work items that handlers failed.
    pub(super) failed: u64,
    /// Work items that ran too long.
    pub(super) expired: u64,
    /// Work items that the control plane took back.
    pub(super) withdrawn: u64,
    /// Work items that could not be run here.
    pub(super) refused: u64,
    /// Outcomes that the control plane has taken.
    pub(super) taken: u64,
    /// Outcomes that the control plane did not want any more.
    pub(super) lost: u64,
    /// Heartbeats sent.
    pub(super) heartbeats: u64,
    /// Times the link came back.
    pub(super) reconnects: u64,
    /// Frames that were not understood.
    pub(super) noise: u64,
}

#[derive(Serialize)]
struct Snapshot<'a> {
    dialect: &'a str,
    role: &'a str,
    name: &'a str,
    state: &'a str,
    since: String,
    since_ms: u64,
    attempt: u32,
    next_attempt_ms: Option<u64>,
    last_error: Option<&'a Error>,
    draining: bool,
    transport: Option<&'a str>,
    id: Option<&'a str>,
    acknowledged: bool,
    in_flight: usize,
    waiting: usize,
    outbox: usize,
    outbox_bytes: usize,
    host_lag_ms: u64,
    handlers: Vec<&'a str>,
    counters: Counters,
}

impl BeaconWorker {
    pub(super) fn describe(&self, now: Now) -> String {
        let is_waiting = matches!(self.link.stage(), Stage::Waiting { .. });
        let next_attempt = self.link.deadline().filter(|_| is_waiting);
        let snapshot = Snapshot {
            dialect: "beacon",
            role: "worker",
            name: &self.options.name,
            state: self.link.stage().name(),
            since: self.link.since().unix.to_string(),
            since_ms: now.mono.since(self.link.since().mono),
            attempt: self.link.attempt(),
            next_attempt_ms: next_attempt.map(|due| due.at.since(now.mono)),
            last_error: self.last_error.as_ref(),
            draining: self.drain.is_on(),
            transport: self.carrier().map(Carrier::name),
            id: Some(self.id.as_str()).filter(|id| !id.is_empty()),
            acknowledged: self.acks,
            in_flight: self.work.slots().running(),
            waiting: self.work.slots().waiting(),
            outbox: self.outbox.len(),
            outbox_bytes: self.outbox.bytes(),
            host_lag_ms: self.heartbeat.host_lag_ms(),
            handlers: self.handlers.iter().map(|(key, _)| key).collect(),
            counters: self.counters,
        };
        serde_json::to_string(&snapshot).unwrap_or_else(|_| String::from("{}"))
    }
}

impl Stage {
    const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Recalling | Self::Preflight => "preflight",
            Self::Dialing(_) => "dialing",
            Self::Greeting(_) => "greeting",
            Self::Ready(_) => "ready",
            Self::Waiting { .. } => "waiting",
            Self::Leaving(_) => "leaving",
            Self::Ended => "ended",
        }
    }
}
