//! Writes on their way to the store, and what must wait for them.
//!
//! At most one commit is in flight. What is written meanwhile is collected, the last write of a
//! record winning, and goes out as the next commit: commits group themselves under load. Answers
//! that promise something wait until the commit that holds it has succeeded. One that fails is tried
//! again until it succeeds; one that does not end is noticed by whoever looks now and then.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::base::error::Error;
use crate::base::ids::StoreId;
use crate::base::store::{StoreReply, StoreRequest, Write};
use crate::base::time::Instant;

/// How long to wait before a commit that failed is tried again.
const RETRY_MS: u64 = 1_000;

/// The number of the first commit; those before it are for other questions to the store.
const FIRST: StoreId = StoreId(1);

/// The latest write of each key; `None` deletes.
type Writes = BTreeMap<(&'static str, String), Option<Bytes>>;

/// Writes and what waits for them; `D` is whatever the machine defers.
#[derive(Debug)]
pub(crate) struct Journal<D> {
    writes: Writes,
    deferred: Vec<D>,
    flight: Option<Flight<D>>,
    /// When a failed commit is tried again.
    pub(crate) retry_at: Option<Instant>,
    /// Since the last one that succeeded a commit has failed, or takes too long: nothing new is promised.
    pub(crate) is_failing: bool,
    /// The commit that was in flight at the last look.
    seen: Option<StoreId>,
    next: u64,
}

#[derive(Debug)]
struct Flight<D> {
    store: StoreId,
    writes: Writes,
    deferred: Vec<D>,
}

impl<D> Journal<D> {
    pub(crate) const fn new() -> Self {
        let writes = BTreeMap::new();
        Self {
            writes,
            deferred: Vec::new(),
            flight: None,
            retry_at: None,
            is_failing: false,
            seen: None,
            next: FIRST.0,
        }
    }

    pub(crate) fn put(&mut self, space: &'static str, key: &str, value: String) {
        self.writes.insert((space, key.to_owned()), Some(Bytes::from(value)));
    }

    pub(crate) fn delete(&mut self, space: &'static str, key: &str) {
        self.writes.insert((space, key.to_owned()), None);
    }

    /// Keeps `what` until everything written so far is committed; gives it back if it is already.
    pub(crate) fn after(&mut self, what: D) -> Option<D> {
        if self.writes.is_empty() && self.flight.is_none() {
            return Some(what);
        }
        self.deferred.push(what);
        None
    }

    /// Returns the next commit, if there is something to write and none is in flight.
    pub(crate) fn flush(&mut self) -> Option<(StoreId, StoreRequest)> {
        if self.flight.is_some() || self.retry_at.is_some() || self.writes.is_empty() {
            return None;
        }
        let writes = std::mem::take(&mut self.writes);
        let deferred = std::mem::take(&mut self.deferred);
        let request =
            writes.iter().map(|((space, key), value)| match (key.clone(), value.clone()) {
                (key, Some(value)) => Write::Put { space, key, value },
                (key, None) => Write::Delete { space, key },
            });
        let request = StoreRequest::Commit { writes: request.collect() };
        let store = self.number();
        self.flight = Some(Flight { store, writes, deferred });
        Some((store, request))
    }

    /// Numbers a request to the store.
    pub(crate) const fn number(&mut self) -> StoreId {
        let store = StoreId(self.next);
        self.next += 1;
        store
    }

    /// Takes the answer to a commit; returns what waited for it.
    ///
    /// # Errors
    /// The commit failed: it goes out again after a while, before anything is promised. Of those that fail
    /// one after the other only the first is told.
    pub(crate) fn stored(
        &mut self,
        store: StoreId,
        result: Result<StoreReply, Error>,
        now: Instant,
    ) -> Result<Vec<D>, Error> {
        let is_commit = !matches!(result, Ok(StoreReply::Loaded(_)));
        let Some(Flight { writes, mut deferred, .. }) =
            self.flight.take_if(|flight| is_commit && flight.store == store)
        else {
            return Ok(Vec::new());
        };
        if let Err(error) = result {
            for (key, value) in writes {
                self.writes.entry(key).or_insert(value);
            }
            deferred.append(&mut self.deferred);
            self.deferred = deferred;
            self.retry_at = Some(now.after(RETRY_MS));
            let is_news = !std::mem::replace(&mut self.is_failing, true);
            return if is_news { Err(error) } else { Ok(Vec::new()) };
        }
        self.is_failing = false;
        if self.writes.is_empty() {
            deferred.append(&mut self.deferred);
        }
        Ok(deferred)
    }

    /// Looks whether the commit in flight was there at the last look; tells it when it is found out.
    pub(crate) fn look(&mut self) -> bool {
        let flight = self.flight.as_ref().map(|flight| flight.store);
        let is_stuck = flight.is_some() && std::mem::replace(&mut self.seen, flight) == flight;
        is_stuck && !std::mem::replace(&mut self.is_failing, true)
    }

    /// Drops what no longer needs to wait.
    pub(crate) fn drop_deferred(&mut self, is_void: impl Fn(&D) -> bool) {
        self.deferred.retain(|what| !is_void(what));
        if let Some(flight) = &mut self.flight {
            flight.deferred.retain(|what| !is_void(what));
        }
    }

    /// Returns a last commit of what is still to be written; one that is in flight ends before it.
    pub(crate) fn last(&mut self) -> Option<(StoreId, StoreRequest)> {
        (self.flight, self.retry_at) = (None, None);
        self.flush()
    }

    /// Lets a failed commit be tried again when its time has come.
    pub(crate) fn retry(&mut self, now: Instant) {
        self.retry_at = self.retry_at.filter(|at| *at > now);
    }

    /// Gives up what waits: nothing will be committed any more.
    pub(crate) fn abandon(&mut self) -> Vec<D> {
        let mut waiting = self.flight.take().map_or_else(Vec::new, |flight| flight.deferred);
        waiting.append(&mut self.deferred);
        waiting
    }

    /// Counts the writes that are not committed.
    pub(crate) fn unwritten(&self) -> usize {
        self.writes.len() + self.flight.as_ref().map_or(0, |flight| flight.writes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::ErrorCode;

    fn writes(request: StoreRequest) -> Vec<Write> {
        match request {
            StoreRequest::Commit { writes } => writes,
            StoreRequest::Load { .. } | StoreRequest::Find { .. } => panic!("a load"),
        }
    }

    fn committed(journal: &mut Journal<u8>, store: StoreId) -> Vec<u8> {
        journal.stored(store, Ok(StoreReply::Committed), Instant::default()).unwrap()
    }

    #[test]
    fn what_is_written_during_a_commit_goes_out_as_the_next_one() {
        let mut journal = Journal::<u8>::new();
        assert_eq!(journal.after(0), Some(0), "nothing to wait for");
        journal.put("s", "a", "1".into());
        assert_eq!(journal.after(1), None);
        let (first, _) = journal.flush().unwrap();
        journal.put("s", "b", "2".into());
        journal.delete("s", "b");
        journal.put("s", "c", "3".into());
        journal.after(2);
        assert!(journal.flush().is_none(), "one at a time");
        assert_eq!(committed(&mut journal, first), vec![1]);
        let (second, request) = journal.flush().unwrap();
        assert_eq!(writes(request).len(), 2, "the last write of a record wins");
        assert_eq!(committed(&mut journal, second), vec![2]);
        assert_eq!(journal.unwritten(), 0);
    }

    #[test]
    fn a_failed_commit_goes_out_again_before_anything_is_promised() {
        let mut journal = Journal::<u8>::new();
        journal.put("s", "a", "old".into());
        journal.after(1);
        let (first, _) = journal.flush().unwrap();
        journal.put("s", "a", "new".into());
        journal.after(2);
        let failed = Err(ErrorCode::StoreFailed.into());
        assert!(journal.stored(first, failed, Instant::default()).is_err());
        assert!(journal.flush().is_none());
        journal.retry(Instant::from_millis(RETRY_MS));
        let (second, request) = journal.flush().unwrap();
        let value = Bytes::from_static(b"new");
        assert_eq!(writes(request), [Write::Put { space: "s", key: "a".into(), value }]);
        assert_eq!(committed(&mut journal, second), vec![1, 2]);
    }

    #[test]
    fn what_needs_only_the_commit_in_flight_does_not_wait_for_another() {
        let mut journal = Journal::<u8>::new();
        journal.put("s", "a", "1".into());
        let (first, _) = journal.flush().unwrap();
        assert_eq!(journal.after(7), None);
        assert_eq!(committed(&mut journal, first), vec![7]);
    }

    #[test]
    fn a_commit_that_does_not_end_is_told_once() {
        let mut journal = Journal::<u8>::new();
        journal.put("s", "a", "1".into());
        let (first, _) = journal.flush().unwrap();
        assert!(!journal.look() && !journal.is_failing);
        assert!(journal.look() && journal.is_failing && !journal.look());
        journal.put("s", "b", "1".into());
        committed(&mut journal, first);
        assert!(!journal.is_failing);
        journal.flush().unwrap();
        assert!(!journal.look(), "another one");
    }

    #[test]
    fn of_failures_in_a_row_the_first_is_told() {
        let mut journal = Journal::<u8>::new();
        journal.put("s", "a", "1".into());
        let now = Instant::from_millis(0);
        for is_told in [true, false, false] {
            let (store, _) = journal.flush().unwrap();
            let result = Err(ErrorCode::StoreFailed.into());
            assert_eq!(journal.stored(store, result, now).is_err(), is_told);
            assert!(journal.is_failing);
            journal.retry(now.after(RETRY_MS));
        }
        let (store, _) = journal.flush().unwrap();
        committed(&mut journal, store);
        assert!(!journal.is_failing);
    }
}
