//! Two small clocks of a link that stands on HTTP requests: when to ask for work, and when to try the
//! better transport again.

use crate::base::ids::ConnId;
use crate::base::time::Instant;

/// When to ask for work. At most one question is on its way.
#[derive(Debug, Default)]
pub(crate) struct Polling {
    next: Option<Instant>,
    is_asking: bool,
}

impl Polling {
    pub(crate) fn start(&mut self, now: Instant) {
        self.next = Some(now);
    }

    /// Asks no more; a question that is on its way may still be answered.
    pub(crate) fn stop(&mut self) {
        self.next = None;
    }

    /// Forgets the question that was on its way.
    pub(crate) fn forget(&mut self) {
        self.is_asking = false;
    }

    /// Makes the next question due at `at`, unless it is due earlier.
    pub(crate) fn hasten(&mut self, at: Instant) {
        self.next = self.next.map(|next| next.min(at));
    }

    /// Tells whether to ask now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        !self.is_asking && self.next.is_some_and(|next| next <= now)
    }

    pub(crate) fn asked(&mut self, next: Instant) {
        self.is_asking = true;
        self.next = self.next.map(|_| next);
    }

    pub(crate) fn answered(&mut self, next: Instant) {
        self.is_asking = false;
        self.next = self.next.map(|_| next);
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next.filter(|_| !self.is_asking)
    }
}

/// The attempt to get back to the first transport.
#[derive(Debug, Default)]
pub(crate) enum Upgrade {
    /// None is wanted.
    #[default]
    Off,
    /// One is due at this instant.
    Waiting(Instant),
    /// A dial in the background, given up at this instant.
    Dialing(ConnId, Instant),
}

impl Upgrade {
    pub(crate) fn wait(&mut self, at: Instant) {
        *self = Self::Waiting(at);
    }

    pub(crate) fn dial(&mut self, conn: ConnId, until: Instant) {
        *self = Self::Dialing(conn, until);
    }

    /// Ends it; returns the connection being dialed, if any.
    pub(crate) fn stop(&mut self) -> Option<ConnId> {
        match std::mem::take(self) {
            Self::Dialing(conn, _) => Some(conn),
            Self::Off | Self::Waiting(_) => None,
        }
    }

    pub(crate) fn is_dialing(&self, conn: ConnId) -> bool {
        matches!(self, Self::Dialing(dialed, _) if *dialed == conn)
    }

    pub(crate) const fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Off => None,
            Self::Waiting(at) | Self::Dialing(_, at) => Some(*at),
        }
    }
}
