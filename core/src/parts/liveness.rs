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

/// Whether a connection lives that is pinged once: each interval without the answer is a strike, and there
/// are as many as allowed before the end. The answer clears them all, however late.
#[derive(Debug, Default)]
pub(crate) struct Strikes {
    /// The ping is not answered yet.
    is_awaiting: bool,
    /// Strikes so far.
    pub(crate) count: u32,
}

/// What is due for such a connection after an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StrikeDue {
    /// Send it a ping.
    Ping,
    /// It has one strike more.
    Strike,
    /// It has had all of them.
    End,
}

impl Strikes {
    /// Notes the answer.
    pub(crate) const fn answered(&mut self) {
        self.is_awaiting = false;
        self.count = 0;
    }

    /// An interval is over.
    pub(crate) const fn due(&mut self, max: u64) -> StrikeDue {
        if !self.is_awaiting {
            self.is_awaiting = true;
            return StrikeDue::Ping;
        }
        if self.count as u64 >= max {
            return StrikeDue::End;
        }
        self.count += 1;
        StrikeDue::Strike
    }
}

/// How long nothing at all has come from a connection, in rounds of one timer for many of them.
#[derive(Debug, Default)]
pub(crate) struct Silence(u16);

impl Silence {
    /// Notes anything.
    pub(crate) const fn broken(&mut self) {
        self.0 = 0;
    }

    /// Counts a round; returns how many there were.
    pub(crate) const fn round(&mut self) -> u16 {
        self.0 = self.0.saturating_add(1);
        self.0
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

    #[test]
    fn an_unanswered_ping_is_followed_by_strikes_and_the_end() {
        let mut strikes = Strikes::default();
        let mut due = || strikes.due(2);
        assert_eq!(
            [due(), due(), due(), due()],
            [StrikeDue::Ping, StrikeDue::Strike, StrikeDue::Strike, StrikeDue::End,]
        );
        strikes.answered();
        assert_eq!((strikes.count, strikes.due(0)), (0, StrikeDue::Ping));
        assert_eq!(strikes.due(0), StrikeDue::End);
    }

    #[test]
    fn silence_is_counted_until_it_is_broken() {
        let mut silence = Silence::default();
        assert_eq!([silence.round(), silence.round()], [1, 2]);
        silence.broken();
        assert_eq!(silence.round(), 1);
    }
}
