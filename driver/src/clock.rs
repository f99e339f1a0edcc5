//! Time for the machines: monotonic milliseconds that count suspend, and the wall clock.
//!
//! A laptop that slept for an hour must find its deadlines passed. The runtime's timers stand still
//! meanwhile on most systems, so the drive loop never sleeps longer than [`LONGEST_SLEEP`] and looks
//! at this clock again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use moorline_core::Now;

/// The longest the drive loop sleeps while a deadline is armed: how late a suspend is noticed.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// A source of time. Tests bring their own.
pub trait Clock: Send + Sync + 'static {
    /// Reads both clocks.
    fn now(&self) -> Now;
}

/// The operating system's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    origin: std::time::Instant,
}

impl SystemClock {
    /// Makes a clock. Where the system has no clock that counts suspend, its origin is now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            origin: std::time::Instant::now(),
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn mono_millis(&self) -> u64 {
        use nix::time::{ClockId, clock_gettime};
        clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| millis(Duration::from(time)))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn mono_millis(&self) -> u64 {
        millis(self.origin.elapsed())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis);
        Now::new(self.mono_millis(), unix)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_does_not_run_backwards() {
        let clock = SystemClock::new();
        let first = clock.now();
        let second = clock.now();
        assert!(second.mono >= first.mono);
        assert!(first.unix.0 > 1_700_000_000_000);
    }
}
