//! The state of a session as JSON.

use serde::Serialize;

use crate::base::error::Error;
use crate::base::time::Now;
use crate::dialect::Dialect;
use crate::session::{Link, Session};

/// What has happened since the session was opened.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Counters {
    /// Work items that came in.
    pub(crate) received: u64,
    /// Work items that handlers completed.
    pub(crate) completed: u64,
    /// Work items that handlers failed.
    pub(crate) failed: u64,
    /// Work items that ran too long.
    pub(crate) expired: u64,
    /// Work items that the control plane took back.
    pub(crate) withdrawn: u64,
    /// Work items that could not be run here.
    pub(crate) refused: u64,
    /// Outcomes that the control plane has taken.
    pub(crate) taken: u64,
    /// Outcomes that the control plane did not want any more.
    pub(crate) lost: u64,
    /// Heartbeats sent.
    pub(crate) heartbeats: u64,
    /// Times the link came back.
    pub(crate) reconnects: u64,
    /// Frames that were not understood.
    pub(crate) noise: u64,
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
    handlers: Vec<String>,
    counters: Counters,
}

impl<D: Dialect> Session<D> {
    pub(super) fn describe(&self, now: Now) -> String {
        let policy = self.dialect.policy();
        let until = if let Link::Waiting { until } = self.link { Some(until) } else { None };
        let keys = self.dispatcher.handlers().iter();
        let snapshot = Snapshot {
            dialect: policy.dialect,
            role: policy.role,
            name: &policy.name,
            state: self.link.name(),
            since: self.since.unix.to_string(),
            since_ms: now.mono.since(self.since.mono),
            attempt: self.backoff.attempt(),
            next_attempt_ms: until.map(|until| until.since(now.mono)),
            last_error: self.last_error.as_ref(),
            draining: self.drain.is_some(),
            transport: self.link.ready().map(|carrier| carrier.transport().as_str()),
            id: Some(self.id.as_str()).filter(|id| !id.is_empty()),
            acknowledged: self.acks,
            in_flight: self.dispatcher.slots().running(),
            waiting: self.dispatcher.slots().waiting(),
            outbox: self.outbox.len(),
            outbox_bytes: self.outbox.bytes(),
            host_lag_ms: self.heartbeat.host_lag_ms(),
            handlers: keys
                .map(|handler| format!("{}/{}", handler.capability, handler.action))
                .collect(),
            counters: self.counters,
        };
        serde_json::to_string(&snapshot).unwrap_or_else(|_| String::from("{}"))
    }
}
