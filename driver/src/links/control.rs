//! How many pings and pongs a peer may send: each costs a turn and an answer, and carries nothing. A
//! pong that answers a ping of ours does not count.

use moorline_core::Instant;

/// Control frames that pass at once.
const BURST: u64 = 40;
/// The time that each has to wait for in the long run: 20 a second.
const SPACING_MS: u64 = 50;

/// Said to a peer that sends more.
pub(super) const EXCEEDED: &str = "more than 20 pings and pongs a second";

/// What is left of one peer's allowance.
#[derive(Clone, Copy, Debug)]
pub(super) struct ControlRate {
    /// Milliseconds; a frame costs [`SPACING_MS`].
    left: u64,
    at: Instant,
    /// Pings of ours that were not answered.
    awaited: u64,
}

impl ControlRate {
    pub(super) const fn new(now: Instant) -> Self {
        Self { left: BURST * SPACING_MS, at: now, awaited: 0 }
    }

    /// We have sent a ping.
    pub(super) const fn pinged(&mut self) {
        self.awaited += 1;
    }

    /// Takes a pong; false if it is one too many.
    pub(super) fn pong(&mut self, now: Instant) -> bool {
        match self.awaited.checked_sub(1) {
            Some(left) => {
                self.awaited = left;
                true
            }
            None => self.ping(now),
        }
    }

    /// Takes a ping; false if it is one too many.
    pub(super) fn ping(&mut self, now: Instant) -> bool {
        self.left = (self.left + now.since(self.at)).min(BURST * SPACING_MS);
        self.at = now;
        let left = self.left.checked_sub(SPACING_MS);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_twenty_a_second() {
        let begin = Instant::from_millis(5_000);
        let mut rate = ControlRate::new(begin);
        assert!((0..BURST).all(|_| rate.ping(begin)));
        assert!(!rate.ping(begin));
        let passed = (1..=1_000).filter(|ms| rate.ping(begin.after(*ms))).count();
        assert_eq!(passed, 20);
        assert!((0..BURST).all(|_| rate.ping(begin.after(60_000))));
        assert!(!rate.ping(begin.after(60_000)));
    }

    #[test]
    fn a_pong_that_we_asked_for_is_free() {
        let mut rate = ControlRate::new(Instant::from_millis(0));
        for _ in 0..1_000 {
            rate.pinged();
            assert!(rate.pong(Instant::from_millis(0)));
        }
        assert!((0..BURST).all(|_| rate.pong(Instant::from_millis(0))));
        assert!(!rate.pong(Instant::from_millis(0)));
    }
}
