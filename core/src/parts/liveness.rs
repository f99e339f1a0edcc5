//! Whether a connection lives: it answers pings, or sends anything else. Two unanswered in a row end it.

/// Unanswered pings that end a connection.
const MAX_UNANSWERED: u8 = 2;

/// How long the last of them has before the end: a dead connection is noticed within two intervals and
/// this.
const LAST_CHANCE_MS: u64 = 1_000;

/// What one connection was pinged and has not answered.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    unanswered: u8,
}

impl Liveness {
    /// Notes any frame: a busy peer may answer pings late. Tells whether an answer was missing.
    pub(crate) const fn heard(&mut self) -> bool {
        let was_missing = self.unanswered > 0;
        self.unanswered = 0;
        was_missing
    }

    /// A ping is due: returns in how many milliseconds the next one is, or `None` if the connection has
    /// had as many as it may leave unanswered.
    pub(crate) fn ping(&mut self, interval_ms: u64) -> Option<u64> {
        if self.unanswered >= MAX_UNANSWERED {
            return None;
        }
        self.unanswered += 1;
        let is_last = self.unanswered >= MAX_UNANSWERED;
        Some(if is_last { interval_ms.min(LAST_CHANCE_MS) } else { interval_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_unanswered_pings_end_a_connection_within_two_intervals_and_a_second() {
        let mut liveness = Liveness::default();
        assert_eq!(liveness.ping(10_000), Some(10_000));
        assert_eq!(liveness.ping(10_000), Some(1_000));
        assert_eq!(liveness.ping(10_000), None);
    }

    #[test]
    fn a_short_interval_is_no_longer_in_the_end() {
        let mut liveness = Liveness::default();
        assert_eq!(liveness.ping(300), Some(300));
        assert_eq!(liveness.ping(300), Some(300));
        assert_eq!(liveness.ping(300), None);
    }

    #[test]
    fn any_sign_of_the_peer_counts() {
        let mut liveness = Liveness::default();
        assert!(!liveness.heard());
        liveness.ping(10_000);
        liveness.ping(10_000);
        assert!(liveness.heard());
        assert_eq!(liveness.ping(10_000), Some(10_000));
    }
}
