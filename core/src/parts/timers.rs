//! Timers of many things in one order: which is due first, which have become due.
//!
//! When a timer is due is also kept beside what it is for, in a slot that its owner lends: moving or
//! stopping a timer needs no search for where it stands.

use std::collections::BTreeSet;

use crate::base::time::{Deadline, Instant, Why};

/// Timers by instant; those of one instant by key.
#[derive(Debug, Default)]
pub(crate) struct Timers<K>(BTreeSet<(Instant, K)>);

impl<K: Copy + Ord> Timers<K> {
    pub(crate) const fn new() -> Self {
        Self(BTreeSet::new())
    }

    /// Makes `key` due at `at`, and not when `slot` says; `slot` says `at` from here on.
    pub(crate) fn set(&mut self, slot: &mut Option<Instant>, key: K, at: Instant) {
        self.clear(slot, key);
        self.add(key, at);
        *slot = Some(at);
    }

    /// Makes `key` due not when `slot` says; `slot` is empty from here on.
    pub(crate) fn clear(&mut self, slot: &mut Option<Instant>, key: K) {
        if let Some(at) = slot.take() {
            self.remove(key, at);
        }
    }

    /// Makes `key` due at `at`, whenever else it is due: for what is never moved.
    pub(crate) fn add(&mut self, key: K, at: Instant) {
        self.0.insert((at, key));
    }

    /// Makes `key` not due at `at`.
    pub(crate) fn remove(&mut self, key: K, at: Instant) {
        self.0.remove(&(at, key));
    }

    /// Returns the first timer.
    pub(crate) fn first(&self) -> Option<(Instant, K)> {
        self.0.first().copied()
    }

    /// Returns the first timer as a deadline.
    pub(crate) fn deadline(&self, why: impl FnOnce(K) -> Why) -> Option<Deadline> {
        self.first().map(|(at, key)| Deadline { at, why: why(key) })
    }

    /// Takes the first timer if it is due. Its slot goes on saying when it was.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(Instant, K)> {
        if self.first().is_none_or(|(at, _)| at > now) {
            return None;
        }
        self.0.pop_first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_become_due_by_instant_and_by_key() {
        let mut timers = Timers::new();
        timers.add("b", at(20));
        timers.add("a", at(20));
        timers.add("c", at(10));
        assert_eq!(timers.deadline(|_| Why::Retry), Some(Deadline { at: at(10), why: Why::Retry }));
        assert_eq!(timers.take_due(at(9)), None);
        assert_eq!(timers.take_due(at(20)), Some((at(10), "c")));
        assert_eq!(timers.take_due(at(20)), Some((at(20), "a")));
        assert_eq!(timers.take_due(at(20)), Some((at(20), "b")));
        assert_eq!(timers.first(), None);
    }

    #[test]
    fn a_timer_that_is_set_again_is_moved() {
        let (mut timers, mut slot) = (Timers::new(), None);
        timers.set(&mut slot, 1, at(10));
        timers.set(&mut slot, 1, at(30));
        assert_eq!(slot, Some(at(30)));
        assert_eq!(timers.take_due(at(29)), None);
        timers.clear(&mut slot, 1);
        assert_eq!((slot, timers.first()), (None, None));
    }

    #[test]
    fn what_a_slot_says_of_a_timer_that_was_taken_stops_no_other() {
        let (mut timers, mut slot) = (Timers::new(), None);
        timers.set(&mut slot, 1, at(10));
        timers.add(2, at(10));
        assert_eq!(timers.take_due(at(10)), Some((at(10), 1)));
        timers.set(&mut slot, 1, at(10));
        timers.clear(&mut slot, 1);
        assert_eq!(timers.first(), Some((at(10), 2)));
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }
}
