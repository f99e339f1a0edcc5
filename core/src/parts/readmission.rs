//! Who comes back when: so many a second are let in, the others are told when it is their turn.
//!
//! A hub that was away is found again by all its workers at once. Whoever comes while there is room is let
//! in; each further one is booked for the next free moment and told how long to wait until then. When it
//! comes back it is let in without a new place, so that nobody is sent away twice.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::time::Instant;

/// How many may come before their moment, in milliseconds of the rate.
const SLACK_MS: u64 = 50;

/// The longest wait that is asked for: beyond, whoever comes is let in, so that strangers who book every
/// place keep nobody away for longer.
const LONGEST_MS: u64 = 30_000;

/// How long a place is kept for whoever has booked it and is late.
const KEPT_MS: u64 = 10_000;

/// How much of a name counts, in bytes: strangers choose it, and it is kept.
const MAX_NAME: usize = 256;

/// The queue of those who come back.
#[derive(Debug)]
pub(crate) struct Readmission {
    per_second: u64,
    /// When the next place is free, in millionths of a second.
    free_at: u64,
    booked: BTreeMap<String, Instant>,
    ends: BTreeSet<(Instant, String)>,
}

impl Readmission {
    /// Lets so many in per second; 0 lets everybody in.
    pub(crate) const fn new(per_second: u64) -> Self {
        Self { per_second, free_at: 0, booked: BTreeMap::new(), ends: BTreeSet::new() }
    }

    /// Takes a place for whoever goes by this name.
    ///
    /// # Errors
    /// Milliseconds until it is the turn of that name.
    pub(crate) fn enter(&mut self, name: &str, now: Instant) -> Result<(), u64> {
        if self.per_second == 0 {
            return Ok(());
        }
        let name = name.get(..name.floor_char_boundary(MAX_NAME)).unwrap_or_default();
        while self.ends.first().is_some_and(|(at, _)| at.after(KEPT_MS) <= now) {
            if let Some((_, name)) = self.ends.pop_first() {
                self.booked.remove(&name);
            }
        }
        if let Some(at) = self.booked.get(name).copied() {
            if at > now.after(SLACK_MS) {
                return Err(at.since(now));
            }
            self.booked.remove(name);
            self.ends.remove(&(at, name.to_owned()));
            return Ok(());
        }
        let micros = now.as_millis().saturating_mul(1_000);
        let place = self.free_at.max(micros);
        let at = Instant::from_millis(place.div_ceil(1_000));
        let wait = at.since(now);
        if wait > LONGEST_MS {
            return Ok(());
        }
        self.free_at = place + 1_000_000 / self.per_second;
        if wait <= SLACK_MS {
            return Ok(());
        }
        self.booked.insert(name.to_owned(), at);
        self.ends.insert((at, name.to_owned()));
        Err(wait)
    }

    /// Returns how long each of so many should stay away who are sent away together: evenly over the time
    /// that they need to come back, and over `least_ms` at least.
    pub(crate) fn turns(&self, count: u64, least_ms: u64) -> impl Iterator<Item = u64> + use<> {
        let needed = (count * 1_000).checked_div(self.per_second).unwrap_or(0);
        let span = needed.max(least_ms);
        (1..=count).map(move |turn| turn * span / (count + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn little_is_kept_of_a_long_name() {
        let mut readmission = Readmission::new(1);
        for number in 0..20 {
            let name = format!("{number}{}", "long ".repeat(100_000));
            let wait = readmission.enter(&name, at(0)).err();
            assert!(wait.is_none() || readmission.enter(&name, at(0)).err() == wait, "it is known");
        }
        let kept: usize = readmission.booked.keys().map(String::len).sum();
        assert!(!readmission.booked.is_empty() && kept <= 20 * MAX_NAME, "{kept}");
    }

    #[test]
    fn whoever_comes_too_soon_is_told_when_and_let_in_then() {
        let mut door = Readmission::new(10);
        assert_eq!(door.enter("a", at(0)), Ok(()));
        assert_eq!(door.enter("b", at(0)), Err(100));
        assert_eq!(door.enter("c", at(0)), Err(200));
        assert_eq!(door.enter("b", at(40)), Err(60), "it has its place already");
        assert_eq!(door.enter("b", at(100)), Ok(()));
        assert_eq!(door.enter("c", at(150)), Ok(()), "a little early is no harm");
        assert_eq!(door.enter("d", at(1_000)), Ok(()));
        assert_eq!(Readmission::new(0).enter("a", at(0)), Ok(()));
    }

    #[test]
    fn strangers_who_book_every_place_keep_nobody_away_for_long() {
        let mut door = Readmission::new(100);
        for stranger in 0..100_000 {
            let _ = door.enter(&stranger.to_string(), at(0));
        }
        assert!(door.booked.len() <= 3_001, "{}", door.booked.len());
        assert_eq!(door.enter("worker", at(0)), Ok(()));
        let _ = door.enter("late", at(50_000));
        assert!(door.booked.is_empty() && door.ends.is_empty());
    }

    #[test]
    fn those_who_are_sent_away_together_come_back_one_by_one() {
        let door = Readmission::new(1_000);
        assert_eq!(door.turns(3, 400).collect::<Vec<_>>(), [100, 200, 300]);
        let turns: Vec<_> = door.turns(9_999, 400).collect();
        assert_eq!((turns[0], turns[9_998]), (0, 9_998));
        assert_eq!(Readmission::new(0).turns(1, 400).collect::<Vec<_>>(), [200]);
    }
}
