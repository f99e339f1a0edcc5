//! The daemon's state for people.

use serde::Serialize;

use super::connect::Stage;
use super::{Counters, VoltDaemon};
use crate::base::error::Error;
use crate::base::time::Now;

#[derive(Serialize)]
struct Snapshot<'a> {
    dialect: &'static str,
    role: &'static str,
    id: &'a str,
    state: &'static str,
    transport: &'static str,
    since: String,
    since_ms: u64,
    attempt: u32,
    next_attempt_ms: Option<u64>,
    last_error: Option<&'a Error>,
    pending_calls: usize,
    in_flight: usize,
    queued: usize,
    handlers: usize,
    counters: Counters,
}

impl VoltDaemon {
    pub(super) fn describe(&self, now: Now) -> String {
        let since = self.link.since();
        let retry = self.link.deadline().filter(|_| self.link.stage() == Stage::Waiting);
        let snapshot = Snapshot {
            dialect: "volt",
            role: "daemon",
            id: &self.options.team_cluster_id,
            state: self.link.stage().name(),
            transport: self.engine.transport().as_str(),
            since: since.unix.to_string(),
            since_ms: now.mono.since(since.mono),
            attempt: self.link.attempt(),
            next_attempt_ms: retry.map(|due| due.at.since(now.mono)),
            last_error: self.last_error.as_ref(),
            pending_calls: self.calls.len(),
            in_flight: self.running.len(),
            queued: self.queue.len(),
            handlers: self.handlers.len(),
            counters: self.counters,
        };
        serde_json::to_string(&snapshot).unwrap_or_else(|_| String::from("{}"))
    }
}
