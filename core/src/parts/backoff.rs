//! The ladder of delays between attempts: base, growth, cap, jitter, and when it starts anew.

use crate::api::options::ReconnectOptions;
use crate::base::entropy::Entropy;
use crate::base::time::Instant;

/// Counts attempts and says how long to wait before the next.
#[derive(Debug)]
pub(crate) struct Backoff {
    options: ReconnectOptions,
    attempt: u32,
}

impl Backoff {
    pub(crate) const fn new(options: ReconnectOptions) -> Self {
        Self { options, attempt: 0 }
    }

    /// Notes the end of a link that was ready since `ready`: one that held starts the ladder anew.
    pub(crate) fn link_ended(&mut self, ready: Instant, now: Instant) {
        if now.since(ready) >= self.options.stable_after_ms {
            self.attempt = 0;
        }
    }

    /// Returns the delay before the next attempt, or `None` when all attempts are used up.
    pub(crate) fn next(&mut self, entropy: &mut Entropy) -> Option<u64> {
        let rung = self.climb()?;
        let mut delay = self.options.base_delay_ms;
        for _ in 0..rung {
            if delay >= self.options.max_delay_ms {
                break;
            }
            delay = delay.saturating_mul(self.options.growth_percent) / 100;
        }
        Some(self.spread(delay, entropy))
    }

    /// Returns the largest delay: for a peer that refused us and should not be hammered.
    pub(crate) fn longest(&mut self, entropy: &mut Entropy) -> Option<u64> {
        self.climb()?;
        Some(self.spread(self.options.max_delay_ms, entropy))
    }

    /// Returns the number of the attempt that was last announced, from 1; 0 before the first.
    pub(crate) const fn attempt(&self) -> u32 {
        self.attempt
    }

    fn climb(&mut self) -> Option<u32> {
        let max = self.options.max_attempts;
        if max > 0 && u64::from(self.attempt) >= max {
            return None;
        }
        let rung = self.attempt;
        self.attempt = self.attempt.saturating_add(1);
        Some(rung)
    }

    fn spread(&self, delay: u64, entropy: &mut Entropy) -> u64 {
        let percent = u8::try_from(self.options.jitter_percent).unwrap_or(100);
        entropy.jitter(delay.min(self.options.max_delay_ms), percent).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_doubles_up_to_its_cap() {
        let mut backoff = backoff(0, 0);
        let mut entropy = Entropy::new([0; 32]);
        let delays: Vec<_> = (0..7).filter_map(|_| backoff.next(&mut entropy)).collect();
        assert_eq!(delays, [10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
    }

    #[test]
    fn only_a_link_that_held_starts_the_ladder_anew() {
        let mut backoff = backoff(0, 0);
        let mut entropy = Entropy::new([0; 32]);
        backoff.next(&mut entropy);
        backoff.link_ended(Instant::from_millis(0), Instant::from_millis(29_999));
        assert_eq!(backoff.next(&mut entropy), Some(20_000));
        backoff.link_ended(Instant::from_millis(0), Instant::from_millis(30_000));
        assert_eq!(backoff.next(&mut entropy), Some(10_000));
    }

    #[test]
    fn attempts_are_used_up() {
        let mut backoff = backoff(2, 0);
        let mut entropy = Entropy::new([0; 32]);
        assert!(backoff.next(&mut entropy).is_some());
        assert_eq!(backoff.longest(&mut entropy), Some(300_000));
        assert_eq!(backoff.next(&mut entropy), None);
    }

    #[test]
    fn jitter_spreads_both_ways_and_within_bounds() {
        let mut backoff = backoff(0, 20);
        let mut entropy = Entropy::new([3; 32]);
        let delays: Vec<_> = (0..200)
            .filter_map(|_| {
                backoff.attempt = 0;
                backoff.next(&mut entropy)
            })
            .collect();
        assert!(delays.iter().all(|delay| (8_000..=12_000).contains(delay)));
        assert!(delays.iter().any(|delay| *delay < 9_000));
        assert!(delays.iter().any(|delay| *delay > 11_000));
    }

    fn backoff(max_attempts: u64, jitter_percent: u64) -> Backoff {
        Backoff::new(ReconnectOptions {
            max_attempts,
            jitter_percent,
            ..ReconnectOptions::default()
        })
    }
}
