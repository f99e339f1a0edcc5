//! The delay before an attempt to connect again.
//!
//! Peer: the original's formula, one draw for size and sign, with three corrections. The doubling ends
//! at the cap: the original overflows after a thousand failures and then does not wait at all. A
//! capped delay is spread too, downwards: the original lets all daemons return in the same moment.
//! Delays are 64 bits wide.

use crate::api::options::ReconnectOptions;

/// What a draw is made of: one in this many.
pub(super) const DRAWS: u64 = 1 << 32;

/// Returns the delay in milliseconds before attempt number `attempt`, counted from 0.
///
/// `draw` is a fraction of [`DRAWS`]. The result is never below `min(base, max)` less its jitter, and
/// never above `max`.
pub(super) fn delay(options: &ReconnectOptions, attempt: u32, draw: u64) -> u64 {
    let (base, max) = (options.base_delay_ms, options.max_delay_ms);
    let mut delay = base;
    for _ in 0..attempt {
        if delay >= max {
            break;
        }
        delay = delay.saturating_mul(options.growth_percent) / 100;
    }
    let draw = draw % DRAWS;
    let is_capped = delay >= max;
    let delay = delay.min(max);
    let spread = share(delay, options.jitter_percent, draw);
    let is_down = (u128::from(draw) * 10 / u128::from(DRAWS)).is_multiple_of(2);
    if is_capped || is_down { delay - spread } else { (delay + spread).min(max) }.max(1)
}

/// Returns the longest delay: for a control plane that should not be hammered.
pub(super) fn longest(options: &ReconnectOptions, draw: u64) -> u64 {
    let max = options.max_delay_ms;
    (max - share(max, options.jitter_percent, draw % DRAWS)).max(1)
}

fn share(delay: u64, percent: u64, draw: u64) -> u64 {
    let share = u128::from(delay) * u128::from(percent.min(100)) * u128::from(draw);
    (share / (100 * u128::from(DRAWS))) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const TABLE: &str = include_str!("../../../../tests/vectors/volt/52-backoff.jsonl");

    fn options(base: u64, max: u64, jitter_percent: u64) -> ReconnectOptions {
        ReconnectOptions {
            base_delay_ms: base,
            max_delay_ms: max,
            jitter_percent,
            ..ReconnectOptions::default()
        }
    }

    /// C10: equal to the recorded table, except where the original overflows and at the cap.
    #[test]
    fn c10_delays_equal_the_recorded_ones() {
        let (mut equal, mut capped, mut defects) = (0, 0, 0);
        for line in TABLE.lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            let number = |name: &str| row[name].as_f64().unwrap_or(f64::INFINITY);
            let attempt = row["attempt"].as_u64().unwrap() as u32;
            let (base, max) = (number("base") as u64, number("max") as u64);
            // Callers map what the original ignores to no jitter.
            let jitter = number("jitter");
            let jitter = if (0.0..=1.0).contains(&jitter) { (jitter * 100.0).round() } else { 0.0 };
            let jitter = jitter as u64;
            // A hair above the decimal fraction, so that cutting does not fall below it.
            let draw = (number("random") * DRAWS as f64).ceil() as u64;
            let ours = delay(&options(base, max, jitter), attempt, draw);
            if attempt > 1_000 {
                defects += 1;
                assert!(ours >= max - max * jitter / 100, "{line}: {ours}");
            } else if base.saturating_mul(1 << attempt.min(40)) >= max {
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
        /// Invariant 5 of the daemon.
        #[test]
        fn no_delay_leaves_its_bounds(
            base in 1_u64..100_000, max in 1_u64..10_000_000_000, jitter in 0_u64..=100,
            attempt in any::<u32>(), draw in any::<u64>(),
        ) {
            let floor = base.min(max);
            let floor = floor - floor * jitter / 100;
            for delay in [
                delay(&options(base, max, jitter), attempt, draw),
                longest(&options(base, max, jitter), draw),
            ] {
                prop_assert!(delay >= floor.max(1) && delay <= max, "{delay}");
            }
        }
    }
}
