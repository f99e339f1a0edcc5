//! Our heartbeats: on schedule whatever the host does, and honest about it.
//!
//! Each beat reports how long the application has left its events unread. With `max_stall_ms` set, a
//! worker whose application hangs for longer stops beating, so that the control plane gives its work
//! to somebody else.

use crate::base::time::Instant;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Nothing yet.
    NotDue,
    /// Send a heartbeat.
    Send,
    /// The application hangs: send none. `first` marks the first beat withheld.
    Withhold {
        /// Whether beats were sent until now.
        first: bool,
    },
}

/// The schedule of heartbeats and what is known of the host.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    interval_ms: u64,
    max_stall_ms: u64,
    /// When the next beat is due, while the schedule runs.
    pub(crate) next: Option<Instant>,
    /// How long the application has left its events unread.
    pub(crate) host_lag_ms: u64,
    withheld: bool,
}

impl Heartbeat {
    pub(crate) const fn new(interval_ms: u64, max_stall_ms: u64) -> Self {
        Self { interval_ms, max_stall_ms, next: None, host_lag_ms: 0, withheld: false }
    }

    /// Starts the schedule; the first beat is one interval away.
    pub(crate) fn arm(&mut self, now: Instant) {
        self.next = Some(now.after(self.interval_ms));
        self.withheld = false;
    }

    /// Makes the next beat due at once, when the schedule runs.
    pub(crate) fn hasten(&mut self, now: Instant) {
        if self.next.is_some() {
            self.next = Some(now);
        }
    }

    /// Takes the beat that is due. The cadence is kept: a late beat does not move those after it,
    /// but beats that were missed are not made up for.
    pub(crate) fn take(&mut self, now: Instant) -> Beat {
        let Some(due) = self.next.filter(|due| *due <= now) else { return Beat::NotDue };
        let next = due.after(self.interval_ms);
        self.next = Some(if next > now { next } else { now.after(self.interval_ms) });
        if self.max_stall_ms > 0 && self.host_lag_ms >= self.max_stall_ms {
            let first = !self.withheld;
            self.withheld = true;
            return Beat::Withhold { first };
        }
        self.withheld = false;
        Beat::Send
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_beat_keeps_the_cadence() {
        let mut heartbeat = Heartbeat::new(1_000, 0);
        heartbeat.arm(at(0));
        assert_eq!(heartbeat.take(at(999)), Beat::NotDue);
        assert_eq!(heartbeat.take(at(1_200)), Beat::Send);
        assert_eq!(heartbeat.next, Some(at(2_000)));
        assert_eq!(heartbeat.take(at(1_200)), Beat::NotDue);
    }

    #[test]
    fn beats_missed_while_suspended_are_not_made_up_for() {
        let mut heartbeat = Heartbeat::new(1_000, 0);
        heartbeat.arm(at(0));
        assert_eq!(heartbeat.take(at(90_000)), Beat::Send);
        assert_eq!(heartbeat.next, Some(at(91_000)));
    }

    #[test]
    fn a_hung_host_stops_the_beats_until_it_is_back() {
        let mut heartbeat = Heartbeat::new(1_000, 5_000);
        heartbeat.arm(at(0));
        heartbeat.host_lag_ms = 4_999;
        assert_eq!(heartbeat.take(at(1_000)), Beat::Send);
        heartbeat.host_lag_ms = 5_000;
        assert_eq!(heartbeat.take(at(2_000)), Beat::Withhold { first: true });
        assert_eq!(heartbeat.take(at(3_000)), Beat::Withhold { first: false });
        heartbeat.host_lag_ms = 0;
        assert_eq!(heartbeat.take(at(4_000)), Beat::Send);
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }
}
