//! The orderly end: no new work, time for what runs, a little more for reports of it.

use crate::base::time::{Deadline, Instant, Why};

/// A drain, once it has begun.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    until: Option<Instant>,
    /// Until when reports may be handed over, once that has begun.
    pub(crate) flush_until: Option<Instant>,
    told: Option<(usize, usize)>,
}

impl Drain {
    /// Begins, or brings the end forward; tells whether it begins.
    pub(crate) fn begin(&mut self, drain_ms: u64, now: Instant) -> bool {
        let until = now.after(drain_ms);
        let begins = self.until.is_none();
        self.until = Some(self.until.map_or(until, |before| before.min(until)));
        self.flush_until = self.flush_until.map(|before| before.min(until));
        begins
    }

    /// Tells whether it has begun.
    pub(crate) const fn is_on(&self) -> bool {
        self.until.is_some()
    }

    /// Tells whether what runs has had its time.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// Nothing runs any more: tells whether there is time for reports, until the end of the drain and
    /// for `grace_ms` from the first time that this is asked.
    pub(crate) fn may_flush(&mut self, grace_ms: u64, now: Instant) -> bool {
        let Some(until) = self.until else { return false };
        now < *self.flush_until.get_or_insert(until.max(now.after(grace_ms)))
    }

    /// Tells whether these counts of what is left are news.
    pub(crate) fn has_news(&mut self, running: usize, reports: usize) -> bool {
        self.told.replace((running, reports)) != Some((running, reports))
    }

    /// Returns when its present half ends.
    pub(crate) fn deadline(&self) -> Option<Deadline> {
        self.flush_until.or(self.until).map(|at| Deadline { at, why: Why::Drain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_drain_can_only_be_shorter() {
        let mut drain = Drain::default();
        assert!(!drain.is_on() && !drain.is_over(at(u64::MAX)));
        assert!(drain.begin(1_000, at(0)));
        assert!(!drain.begin(5_000, at(100)));
        assert!(!drain.is_over(at(999)) && drain.is_over(at(1_000)));
        assert!(!drain.begin(200, at(300)));
        assert!(!drain.is_over(at(499)) && drain.is_over(at(500)));
    }

    #[test]
    fn reports_get_what_is_left_and_at_least_the_grace() {
        let mut drain = Drain::default();
        assert!(!drain.may_flush(2_000, at(0)));
        drain.begin(1_000, at(0));
        assert_eq!(drain.deadline(), Some(Deadline { at: at(1_000), why: Why::Drain }));
        assert!(drain.may_flush(2_000, at(100)));
        assert!(drain.may_flush(2_000, at(2_099)), "the grace is given once");
        assert!(!drain.may_flush(2_000, at(2_100)));
        assert_eq!(drain.deadline(), Some(Deadline { at: at(2_100), why: Why::Drain }));
        drain.begin(0, at(500));
        assert!(!drain.may_flush(2_000, at(500)), "a shorter drain cuts the grace");
    }

    #[test]
    fn only_changed_counts_are_news() {
        let mut drain = Drain::default();
        assert!(drain.has_news(0, 0));
        assert!(!drain.has_news(0, 0));
        assert!(drain.has_news(0, 1));
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }
}
