//! The orderly end: refuse new work, keep beating, let running work finish, flush the outbox, say
//! farewell.
//!
//! ```text
//! Finishing ── idle, or deadline ──▶ Flushing ── outbox empty, or grace over ──▶ farewell
//! ```

use crate::api::event::SessionEvent;
use crate::api::event::{Event, Withdrawal};
use crate::base::error::{Error, ErrorCode};
use crate::base::time::{Instant, Now};
use crate::dialect::Dialect;
use crate::session::{Link, Session};

/// How long finished outcomes may still be flushed after the drain deadline.
const FLUSH_GRACE_MS: u64 = 2_000;

/// The state of a drain.
#[derive(Debug)]
pub(crate) struct Drain {
    deadline: Instant,
    flush_until: Option<Instant>,
    withdrawn: usize,
    told: (usize, usize),
}

impl Drain {
    fn new(now: Instant, drain_ms: u64) -> Self {
        Self {
            deadline: now.after(drain_ms),
            flush_until: None,
            withdrawn: 0,
            told: (usize::MAX, usize::MAX),
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.flush_until.unwrap_or(self.deadline)
    }
}

impl<D: Dialect> Session<D> {
    pub(super) fn begin_drain(&mut self, drain_ms: u64, now: Now) {
        if let Some(drain) = &mut self.drain {
            let deadline = now.mono.after(drain_ms);
            drain.deadline = drain.deadline.min(deadline);
            drain.flush_until = drain.flush_until.map(|until| until.min(deadline));
            return;
        }
        self.drain = Some(Drain::new(now.mono, drain_ms));
        self.dispatcher.drop_waiting();
        if let Some(conn) = self.upgrade.stop() {
            self.close(conn, 1000, "");
        }
        match self.link {
            Link::Idle => self.end(None, now),
            // What is still to be said needs a link: do not wait for the ladder.
            Link::Waiting { .. } if !self.is_spent() && drain_ms > 0 => self.begin_attempt(now),
            Link::Waiting { .. }
            | Link::Recalling { .. }
            | Link::Preflight
            | Link::Dialing { .. }
            | Link::Greeting { .. }
            | Link::Ready { .. }
            | Link::Leaving { .. }
            | Link::Ended => {}
        }
        self.heartbeat.hasten(now.mono);
        self.evidence_at = self.evidence_at.map(|_| now.mono);
    }

    /// Advances the drain as far as it goes.
    pub(super) fn advance_drain(&mut self, now: Now) {
        if matches!(self.link, Link::Leaving { .. } | Link::Ended) {
            return;
        }
        let counts = (self.dispatcher.held().count(), self.outbox.len());
        let Some(drain) = &mut self.drain else { return };
        let has_changed = std::mem::replace(&mut drain.told, counts) != counts;
        let is_cut = now.mono >= drain.deadline;
        if has_changed {
            self.event(Event::Session(SessionEvent::Draining {
                in_flight: counts.0,
                outbox: counts.1,
            }));
        }
        if counts.0 > 0 && is_cut {
            let events = self.dispatcher.withdraw_all(Withdrawal::Draining, now.mono);
            if let Some(drain) = &mut self.drain {
                drain.withdrawn += events.len();
            }
            events.into_iter().for_each(|event| self.event(event));
        }
        if !self.dispatcher.is_idle() {
            return;
        }
        let has_outcomes = !self.outbox.is_empty();
        // A registration on its way is waited for: the peer may know us by now.
        let is_greeting = matches!(self.link, Link::Greeting { .. });
        let Some(drain) = &mut self.drain else { return };
        let flush_until = *drain
            .flush_until
            .get_or_insert_with(|| drain.deadline.max(now.mono.after(FLUSH_GRACE_MS)));
        if (has_outcomes || is_greeting) && now.mono < flush_until {
            return;
        }
        self.leave(now);
    }

    /// Ends a drained session and says what was lost by it.
    pub(super) fn finish(&mut self, now: Now) {
        let withdrawn = self.drain.as_ref().map_or(0, |drain| drain.withdrawn);
        let left = self.outbox.len();
        let error = if withdrawn > 0 {
            let message = format!("{withdrawn} work items were still running at the deadline");
            Some(Error::new(ErrorCode::DrainTimeout, message))
        } else if left > 0 && !self.dialect.policy().is_durable {
            let message = format!("{left} outcomes were not taken by the control plane");
            Some(Error::new(ErrorCode::ConnectionLost, message))
        } else {
            None
        };
        self.end(error, now);
    }

    fn is_spent(&self) -> bool {
        self.dispatcher.is_idle() && self.outbox.is_empty()
    }
}
