//! The ladder of delays between attempts: base, growth, cap, jitter, and when it starts anew.
//!
//! Each rung is the one before times the growth, and a millisecond longer at least, up to the largest
//! delay. Jitter spreads a rung both ways, but never beyond the largest delay: at the cap it goes
//! downwards only, so that many who wait do not come back in the same moment.
//!
//! A fleet loses its hub at once and must not come back at once. So the first wait after a lost link is
//! anywhere within a spread, which gives everyone a place in it; later waits are as long as the spread,
//! which keeps the places apart, until a third of the time away is longer. Of 1,000 workers some 27 come
//! in 100 ms, and the last within 5 s of a hub that was away for 10 s.

use crate::api::options::ReconnectOptions;
use crate::base::entropy::Entropy;
use crate::base::time::Instant;

/// The longest delay that a peer may ask for.
const LONGEST_ASKED_MS: u64 = 3_600_000;

/// The spread of those who come back, in first delays and at most in milliseconds.
const SPREAD: (u64, u64) = (15, 3_750);

/// Counts attempts and says how long to wait before the next.
#[derive(Debug)]
pub(crate) struct Backoff {
    options: ReconnectOptions,
    jitter: Jitter,
    /// The number of the attempt that was last announced, from 1; 0 before the first.
    pub(crate) attempt: u32,
}

/// What becomes of the one draw for a delay.
#[derive(Clone, Copy, Debug)]
enum Jitter {
    /// Every deviation within `jitter_percent` is equally likely.
    Even,
    /// Peer: Socket.IO clients take the size of the deviation from the draw, and its direction from the
    /// tenth in which it falls: the first is down, the second up, and so on.
    Tenths,
}

impl Backoff {
    /// Makes a ladder whose jitter is even.
    pub(crate) const fn new(options: ReconnectOptions) -> Self {
        Self { options, jitter: Jitter::Even, attempt: 0 }
    }

    /// Makes a ladder whose jitter is that of Socket.IO clients.
    pub(crate) const fn like_socket_io(options: ReconnectOptions) -> Self {
        Self { options, jitter: Jitter::Tenths, attempt: 0 }
    }

    /// Notes the end of a link that was ready since `ready`: one that held starts the ladder anew.
    /// Tells whether it held.
    pub(crate) fn link_ended(&mut self, ready: Instant, now: Instant) -> bool {
        let has_held = now.since(ready) >= self.options.stable_after_ms;
        if has_held {
            self.attempt = 0;
        }
        has_held
    }

    /// Returns the delay in milliseconds before the next attempt, or `None` when all attempts are used
    /// up.
    pub(crate) fn next(&mut self, entropy: &mut Entropy) -> Option<u64> {
        let rung = self.climb()?;
        Some(self.delay(rung, entropy))
    }

    /// Returns the delay before the next attempt of a link that was ready and has been away for so long.
    /// Without jitter, and with a first delay beyond the spread, the ladder is as always.
    pub(crate) fn next_away(&mut self, away_ms: u64, entropy: &mut Entropy) -> Option<u64> {
        let rung = self.climb()?;
        let ReconnectOptions { base_delay_ms, max_delay_ms, jitter_percent, .. } = self.options;
        let spread = base_delay_ms.saturating_mul(SPREAD.0).min(SPREAD.1).min(max_delay_ms);
        let length = self.length(rung);
        Some(if jitter_percent == 0 || base_delay_ms >= spread {
            self.spread(length, entropy)
        } else if away_ms == 0 {
            entropy.below(spread) + 1
        } else {
            self.spread(length.min(away_ms / 10 * 3).max(spread), entropy)
        })
    }

    /// Returns the largest delay: for a peer that refused us and should not be hammered.
    pub(crate) fn longest(&mut self, entropy: &mut Entropy) -> Option<u64> {
        self.climb()?;
        Some(self.spread(self.options.max_delay_ms, entropy))
    }

    /// Returns the delay that a peer asks for, an hour at most.
    pub(crate) fn after(&mut self, millis: u64) -> Option<u64> {
        self.climb()?;
        Some(millis.clamp(1, LONGEST_ASKED_MS))
    }

    /// Returns the delay of a rung, counted from 0, and leaves the ladder as it is.
    pub(crate) fn delay(&self, rung: u32, entropy: &mut Entropy) -> u64 {
        self.spread(self.length(rung), entropy)
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

    /// Returns the delay of a rung before its jitter.
    fn length(&self, rung: u32) -> u64 {
        let ReconnectOptions { base_delay_ms, max_delay_ms, growth_percent, .. } = self.options;
        let mut delay = base_delay_ms;
        for _ in 0..rung {
            if delay >= max_delay_ms || growth_percent <= 100 {
                break;
            }
            delay = (delay.saturating_mul(growth_percent) / 100).max(delay + 1);
        }
        delay.min(max_delay_ms)
    }

    fn spread(&self, delay: u64, entropy: &mut Entropy) -> u64 {
        match self.jitter {
            Jitter::Even => {
                let deviation = self.share(delay, 1, 1);
                let (least, most) = (delay - deviation, delay + deviation);
                let most = most.min(self.options.max_delay_ms);
                (least + entropy.below(most - least + 1)).max(1)
            }
            Jitter::Tenths => self.tenths(delay, entropy.below(DRAWS)),
        }
    }

    /// `draw` is a fraction of [`DRAWS`].
    fn tenths(&self, delay: u64, draw: u64) -> u64 {
        let max = self.options.max_delay_ms;
        let deviation = self.share(delay, draw, DRAWS);
        let is_down = (draw * 10 / DRAWS).is_multiple_of(2);
        if is_down || delay >= max { delay - deviation } else { (delay + deviation).min(max) }
            .max(1)
    }

    /// Returns a fraction of the largest deviation of a delay.
    fn share(&self, delay: u64, part: u64, whole: u64) -> u64 {
        let percent = self.options.jitter_percent.min(100);
        let share = u128::from(delay) * u128::from(percent) * u128::from(part);
        (share / (100 * u128::from(whole))) as u64
    }
}

/// What a draw is made of: one in this many.
const DRAWS: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const TABLE: &str = include_str!("../../../tests/vectors/volt/52-backoff.jsonl");

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
        assert!(!backoff.link_ended(Instant::from_millis(0), Instant::from_millis(29_999)));
        assert_eq!(backoff.next(&mut entropy), Some(20_000));
        assert!(backoff.link_ended(Instant::from_millis(0), Instant::from_millis(30_000)));
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

    #[test]
    fn a_rung_is_longer_than_the_one_before_by_a_millisecond_at_least() {
        let slow = Backoff::new(ReconnectOptions {
            base_delay_ms: 1,
            max_delay_ms: 6,
            growth_percent: 150,
            ..ReconnectOptions::default()
        });
        assert_eq!([0, 1, 2, 3, 4, 5].map(|rung| slow.length(rung)), [1, 2, 3, 4, 6, 6]);
        let level =
            Backoff::new(ReconnectOptions { growth_percent: 100, ..options(10_000, 300_000, 0) });
        assert_eq!([0, 1, 9].map(|rung| level.length(rung)), [10_000; 3]);
    }

    /// C10 of the VOLT daemon: equal to the recorded table, except where the original overflows and at
    /// the cap, where it does not spread.
    #[test]
    fn c10_delays_equal_the_recorded_ones() {
        let (mut equal, mut capped, mut defects) = (0, 0, 0);
        for line in TABLE.lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            let number = |name: &str| row[name].as_f64().unwrap_or(f64::INFINITY);
            let rung = row["attempt"].as_u64().unwrap() as u32;
            let (base, max) = (number("base") as u64, number("max") as u64);
            // Callers map what the original ignores to no jitter.
            let jitter = number("jitter");
            let jitter = if (0.0..=1.0).contains(&jitter) { (jitter * 100.0).round() } else { 0.0 };
            let jitter = jitter as u64;
            // A hair above the decimal fraction, so that cutting does not fall below it.
            let draw = (number("random") * DRAWS as f64).ceil() as u64;
            let ladder = Backoff::like_socket_io(options(base, max, jitter));
            let ours = ladder.tenths(ladder.length(rung), draw);
            if rung > 1_000 {
                defects += 1;
                assert!(ours >= max - max * jitter / 100, "{line}: {ours}");
            } else if base.saturating_mul(1 << rung.min(40)) >= max {
                capped += 1;
                assert!(ours <= max && ours >= max - max * jitter / 100, "{line}: {ours}");
            } else {
                equal += 1;
                assert_eq!(Some(ours), row["delay"].as_u64(), "{line}");
            }
        }
        assert!(equal >= 10 && capped >= 1 && defects >= 1, "{equal} {capped} {defects}");
    }

    proptest! {
        /// Invariant 5 of the VOLT daemon.
        #[test]
        fn no_delay_leaves_its_bounds(
            base in 1_u64..100_000, max in 1_u64..10_000_000_000, jitter in 0_u64..=100,
            rung in any::<u32>(), seed in any::<[u8; 32]>(),
        ) {
            let mut entropy = Entropy::new(seed);
            let floor = base.min(max);
            let floor = (floor - floor * jitter / 100).max(1);
            let options = options(base, max, jitter);
            for mut ladder in [Backoff::new(options.clone()), Backoff::like_socket_io(options)] {
                for delay in [ladder.delay(rung, &mut entropy), ladder.longest(&mut entropy).unwrap()] {
                    prop_assert!((floor..=max).contains(&delay), "{}", delay);
                }
            }
        }
    }

    fn options(base_delay_ms: u64, max_delay_ms: u64, jitter_percent: u64) -> ReconnectOptions {
        ReconnectOptions {
            base_delay_ms,
            max_delay_ms,
            jitter_percent,
            ..ReconnectOptions::default()
        }
    }

    fn backoff(max_attempts: u64, jitter_percent: u64) -> Backoff {
        Backoff::new(ReconnectOptions { max_attempts, ..options(10_000, 300_000, jitter_percent) })
    }
}
