//! Whether one connection answers its pings.

/// Unanswered pings that end a connection.
const MAX_MISSED: u8 = 2;

/// How long the last of them has before the end: the one before has had a whole interval more.
const LAST_CHANCE_MS: u64 = 1_000;

/// What was pinged and not answered.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    missed: u8,
}

impl Liveness {
    /// Notes any frame: a busy peer may answer pings late.
    pub(super) const fn heard(&mut self) {
        self.missed = 0;
    }

    /// Notes that a ping is sent.
    pub(super) const fn pinged(&mut self) {
        self.missed = self.missed.saturating_add(1);
    }

    /// Returns when to look again after a ping.
    pub(super) fn wait_ms(&self, interval_ms: u64) -> u64 {
        if self.is_lost() { interval_ms.min(LAST_CHANCE_MS) } else { interval_ms }
    }

    /// Tells whether as many pings as allowed are unanswered.
    pub(super) const fn is_lost(&self) -> bool {
        self.missed >= MAX_MISSED
    }
}
