//! Outcomes of finished items, kept for look-up and for retries of whoever asked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::item::{Ending, Holder};
use crate::base::json::Raw;
use crate::base::time::{Instant, UnixMillis};

/// One outcome.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Finished {
    #[serde(skip)]
    pub(super) hash: Arc<str>,
    pub(super) key: Option<String>,
    pub(super) capability: Arc<str>,
    pub(super) action: String,
    pub(super) run_id: String,
    pub(super) priority: i64,
    pub(super) enqueued: UnixMillis,
    pub(super) finished: UnixMillis,
    pub(super) ending: Ending,
    /// It is its holder's own word, rather than a time limit, a cancellation or a loss.
    pub(super) reported: bool,
    pub(super) attempt: u64,
    #[serde(skip)]
    pub(super) holder: Option<Holder>,
    /// `Outputs` and `Log` of a success, or the error.
    #[serde(skip, default = "unsaid")]
    pub(super) result: Result<(Raw, Raw), String>,
}

/// What stands for the result while the rest of a record is read.
fn unsaid() -> Result<(Raw, Raw), String> {
    Err(String::new())
}

impl Finished {
    fn size(&self) -> u64 {
        let outputs = |(outputs, log): &(Raw, Raw)| outputs.as_str().len() + log.as_str().len();
        let said = self.result.as_ref().map_or_else(String::len, outputs);
        let names =
            self.key.as_ref().map_or(0, String::len) + self.action.len() + self.run_id.len();
        (said + names) as u64 + 512
    }
}

/// Outcomes in order of their end.
#[derive(Debug, Default)]
pub(super) struct Results {
    max_items: u64,
    max_bytes: u64,
    /// By when they end, which is in the order of their end: lives are equally long.
    items: BTreeMap<u64, (Instant, Finished)>,
    by_hash: HashMap<Arc<str>, u64>,
    by_key: HashMap<String, u64>,
    next: u64,
    bytes: u64,
}

impl Results {
    pub(super) fn new(max_items: u64, max_bytes: u64) -> Self {
        Self { max_items, max_bytes, ..Self::default() }
    }

    /// Keeps an outcome for so long; returns the hashes of those that had to go for it.
    pub(super) fn insert(&mut self, finished: Finished, until: Instant) -> Vec<Arc<str>> {
        let order = self.next;
        self.next += 1;
        self.bytes += finished.size();
        self.by_hash.insert(finished.hash.clone(), order);
        if let Some(key) = &finished.key {
            self.by_key.insert(key.clone(), order);
        }
        self.items.insert(order, (until, finished));
        let mut gone = Vec::new();
        // The latest stays, however large: whoever asked must be able to look it up.
        while self.items.len() as u64 > self.max_items
            || (self.bytes > self.max_bytes && self.items.len() > 1)
        {
            gone.extend(self.remove_first());
        }
        gone
    }

    pub(super) fn find(&self, hash: &str) -> Option<&Finished> {
        self.items.get(self.by_hash.get(hash)?).map(|(_, done)| done)
    }

    pub(super) fn find_key(&self, key: &str) -> Option<&Finished> {
        self.items.get(self.by_key.get(key)?).map(|(_, done)| done)
    }

    /// Forgets outcomes that are too old; returns their hashes.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Arc<str>> {
        let mut gone = Vec::new();
        while self.items.first_key_value().is_some_and(|(_, (until, _))| *until <= now) {
            gone.extend(self.remove_first());
        }
        gone
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    fn remove_first(&mut self) -> Option<Arc<str>> {
        let (order, (_, finished)) = self.items.pop_first()?;
        self.bytes = self.bytes.saturating_sub(finished.size());
        // A later item may have the key since.
        if let Some(key) = &finished.key
            && self.by_key.get(key) == Some(&order)
        {
            self.by_key.remove(key);
        }
        if self.by_hash.get(&finished.hash) == Some(&order) {
            self.by_hash.remove(&finished.hash);
        }
        Some(finished.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn finished(hash: &str, size: usize) -> Finished {
        Finished {
            hash: hash.into(),
            key: Some(format!("key-{hash}")),
            capability: "Echo".into(),
            action: "Say".into(),
            run_id: String::new(),
            priority: 0,
            enqueued: UnixMillis(0),
            finished: UnixMillis(0),
            ending: Ending::Complete,
            reported: true,
            attempt: 1,
            holder: None,
            result: Ok((
                Raw::parse(format!("\"{}\"", "x".repeat(size))).unwrap(),
                Raw::empty_list(),
            )),
        }
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let mut results = Results::new(2, u64::MAX);
        assert!(results.insert(finished("a", 1), at(100)).is_empty());
        assert!(results.insert(finished("b", 1), at(101)).is_empty());
        assert_eq!(results.insert(finished("c", 1), at(102)), ["a".into()]);
        assert!(results.find("a").is_none() && results.find_key("key-a").is_none());
        assert!(results.find_key("key-c").is_some());
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut results = Results::new(100, 3_000);
        results.insert(finished("a", 2_000), at(100));
        assert_eq!(results.insert(finished("b", 2_000), at(100)), ["a".into()]);
    }

    #[test]
    fn failures_count_too_and_the_latest_stays_however_large() {
        let mut results = Results::new(100, 3_000);
        let failed = |hash: &str, bytes: usize| Finished {
            result: Err("x".repeat(bytes)),
            ..finished(hash, 1)
        };
        let until = Instant::from_millis(1);
        results.insert(failed("a", 2_000), until);
        assert_eq!(results.insert(failed("b", 2_000), until), ["a".into()]);
        assert_eq!(results.insert(failed("c", 9_000), until), ["b".into()]);
        assert!(results.find("c").is_some());
    }

    #[test]
    fn old_outcomes_expire() {
        let mut results = Results::new(100, u64::MAX);
        results.insert(finished("a", 1), at(100));
        results.insert(finished("b", 1), at(150));
        assert_eq!(results.expire(at(100)), ["a".into()]);
        assert_eq!(results.len(), 1);
    }
}
