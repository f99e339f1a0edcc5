//! Whether one connection answers its pings.

/// Unanswered pings that end a connection.
const MAX_MISSED: u8 = 2;

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

    /// Tells whether as many pings as allowed are unanswered.
    pub(super) const fn is_lost(&self) -> bool {
        self.missed >= MAX_MISSED
    }
}
