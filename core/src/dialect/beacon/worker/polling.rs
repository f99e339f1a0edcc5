//! A link that stands on HTTP requests: when to ask for work, and when to try a connection again.

use crate::base::ids::ConnId;
use crate::base::time::{Instant, Now};

use super::{BeaconWorker, Carrier};

impl BeaconWorker {
    /// Asks for work, when it is time and there is room for it.
    pub(super) fn poll(&mut self, now: Now) {
        if self.polling.deadline().is_some_and(|at| at <= now.mono) && self.may_poll() {
            self.polling.turn(true, now.mono.after(self.options.poll_interval_ms));
            self.say_poll(now);
        }
    }

    pub(super) fn may_poll(&self) -> bool {
        self.carrier() == Some(Carrier::Requests)
            && !self.drain.is_on()
            && self.work.wants_more()
            && !self.is_full()
    }

    /// Dials a connection in the background, or gives the dial up.
    pub(super) fn try_upgrade(&mut self, now: Now) {
        if self.upgrade.deadline().is_none_or(|at| at > now.mono) {
            return;
        }
        if !self.stop_upgrade() && self.carrier() == Some(Carrier::Requests) {
            let conn = self.dial();
            self.upgrade = Upgrade::Dialing(conn, now.mono.after(self.dial_ms()));
        } else {
            self.plan_upgrade(now);
        }
    }

    /// Makes the next attempt due.
    pub(super) fn plan_upgrade(&mut self, now: Now) {
        self.upgrade = Upgrade::Waiting(now.mono.after(self.options.upgrade_interval_ms));
    }

    /// Ends the attempt; tells whether a connection was being dialed.
    pub(super) fn stop_upgrade(&mut self) -> bool {
        let Upgrade::Dialing(conn, _) = std::mem::take(&mut self.upgrade) else { return false };
        self.close(conn);
        true
    }
}

/// When to ask for work. At most one question is on its way.
#[derive(Debug, Default)]
pub(super) struct Polling {
    /// When the next question is due; `None` to ask no more.
    pub(super) next: Option<Instant>,
    /// A question is on its way; it may still be answered when no more are asked.
    pub(super) is_asking: bool,
}

impl Polling {
    /// Makes the next question due at `at`, unless it is due earlier.
    pub(super) fn hasten(&mut self, at: Instant) {
        self.next = self.next.map(|next| next.min(at));
    }

    /// Notes that a question was asked, or answered.
    pub(super) fn turn(&mut self, is_asking: bool, next: Instant) {
        self.is_asking = is_asking;
        self.next = self.next.map(|_| next);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next.filter(|_| !self.is_asking)
    }
}

/// The attempt to get back to a connection.
#[derive(Debug, Default)]
pub(super) enum Upgrade {
    /// None is wanted.
    #[default]
    Off,
    /// One is due at this instant.
    Waiting(Instant),
    /// A dial in the background, given up at this instant.
    Dialing(ConnId, Instant),
}

impl Upgrade {
    pub(super) fn is_dialing(&self, conn: ConnId) -> bool {
        matches!(self, Self::Dialing(dialed, _) if *dialed == conn)
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Off => None,
            Self::Waiting(at) | Self::Dialing(_, at) => Some(*at),
        }
    }
}
