//! The state of a worker as JSON.

use serde::Serialize;

use crate::base::json::object::{Object, text_list};
use crate::base::time::Now;

use super::{BeaconWorker, Stage};

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

impl BeaconWorker {
    pub(super) fn describe(&self, now: Now) -> String {
        let is_waiting = matches!(self.link.stage(), Stage::Waiting { .. });
        let next_attempt = self.link.limit.filter(|_| is_waiting);
        Object::with_capacity(768)
            .text("dialect", "beacon")
            .text("role", "worker")
            .text("name", &self.options.name)
            .text("state", self.link.stage().name())
            .text("since", &self.link.since.unix.to_string())
            .number("since_ms", now.mono.since(self.link.since.mono))
            .number("attempt", self.link.backoff.attempt)
            .value("next_attempt_ms", &next_attempt.map(|due| due.at.since(now.mono)))
            .value("last_error", &self.last_error)
            .flag("draining", self.drain.is_on())
            .text_or_null("transport", self.carrier().map(|carrier| carrier.transport().as_str()))
            .text_or_null("id", Some(self.id.as_str()).filter(|id| !id.is_empty()))
            .flag("acknowledged", self.acks)
            .value("in_flight", &self.work.running)
            .value("waiting", &self.work.waiting.len())
            .value("outbox", &self.outbox.len())
            .value("outbox_bytes", &self.outbox.bytes)
            .number("host_lag_ms", self.heartbeat.host_lag_ms)
            .raw("handlers", &text_list(self.handlers.iter().map(|(key, _)| key)))
            .value("counters", &self.counters)
            .end()
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
