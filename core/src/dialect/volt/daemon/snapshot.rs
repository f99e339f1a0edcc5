//! The daemon's state for people.

use super::VoltDaemon;
use super::connect::Stage;
use crate::base::json::object::Object;
use crate::base::time::Now;

impl VoltDaemon {
    pub(super) fn describe(&self, now: Now) -> String {
        let since = self.link.since();
        let retry = self.link.deadline().filter(|_| self.link.stage() == Stage::Waiting);
        Object::with_capacity(512)
            .text("dialect", "volt")
            .text("role", "daemon")
            .text("id", &self.options.team_cluster_id)
            .text("state", self.link.stage().name())
            .text("transport", self.engine.transport().as_str())
            .text("since", &since.unix.to_string())
            .number("since_ms", now.mono.since(since.mono))
            .number("attempt", self.link.attempt())
            .value("next_attempt_ms", &retry.map(|due| due.at.since(now.mono)))
            .value("last_error", &self.last_error)
            .value("pending_calls", &self.calls.len())
            .value("in_flight", &self.running.len())
            .value("queued", &self.queue.len())
            .value("handlers", &self.handlers.len())
            .value("counters", &self.counters)
            .end()
    }
}
