//! Outcomes of finished items, kept for look-up and for retries of whoever asked.
//!
//! What an outcome said is kept in memory only where there is no store: elsewhere it stays on disk until
//! somebody asks, and what is known here of each takes some 300 bytes.

use std::collections::{HashMap, VecDeque};
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
    /// Returns the bytes that count towards the limit.
    pub(super) fn size(&self) -> u64 {
        let outputs = |(outputs, log): &(Raw, Raw)| outputs.as_str().len() + log.as_str().len();
        let said = self.result.as_ref().map_or_else(String::len, outputs);
        let names =
            self.key.as_ref().map_or(0, String::len) + self.action.len() + self.run_id.len();
        (said + names) as u64 + 512
    }
}

/// What is known of an outcome without what it said.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(super) hash: Arc<str>,
    pub(super) key: Option<Arc<str>>,
    /// The name of its holder.
    pub(super) name: Option<Arc<str>>,
    pub(super) ending: Ending,
    pub(super) reported: bool,
    pub(super) attempt: u64,
    pub(super) until: Instant,
    pub(super) size: u64,
    /// All of it, if it is in memory.
    pub(super) whole: Option<Box<Finished>>,
}

impl Kept {
    /// Keeps an outcome, all of it or what is known of it.
    pub(super) fn new(done: &Finished, until: Instant, is_whole: bool) -> Self {
        Self {
            hash: done.hash.clone(),
            key: done.key.as_deref().map(Arc::from),
            name: done.holder.as_ref().map(|holder| holder.name.clone()),
            ending: done.ending,
            reported: done.reported,
            attempt: done.attempt,
            until,
            size: done.size(),
            whole: is_whole.then(|| Box::new(done.clone())),
        }
    }

    /// Tells whether a worker's attempt gave this outcome.
    pub(super) fn is_by(&self, name: &Arc<str>, attempt: u64) -> bool {
        self.reported && self.attempt == attempt && self.name.as_ref() == Some(name)
    }
}

/// Outcomes in order of their end.
#[derive(Debug, Default)]
pub(super) struct Results {
    max_items: u64,
    max_bytes: u64,
    /// They end in this order: lives are equally long.
    items: VecDeque<Kept>,
    /// The number of the first.
    first: u64,
    by_hash: HashMap<Arc<str>, u64>,
    by_key: HashMap<Arc<str>, u64>,
    pub(super) bytes: u64,
}

impl Results {
    pub(super) fn new(max_items: u64, max_bytes: u64) -> Self {
        Self { max_items, max_bytes, ..Self::default() }
    }

    /// Keeps an outcome; returns the hashes of those that had to go for it.
    pub(super) fn insert(&mut self, kept: Kept) -> Vec<Arc<str>> {
        let order = self.first + self.items.len() as u64;
        self.bytes += kept.size;
        self.by_hash.insert(kept.hash.clone(), order);
        if let Some(key) = &kept.key {
            self.by_key.insert(key.clone(), order);
        }
        self.items.push_back(kept);
        let mut gone = Vec::new();
        // The latest stays, however large: whoever asked must be able to look it up.
        while self.items.len() as u64 > self.max_items
            || (self.bytes > self.max_bytes && self.items.len() > 1)
        {
            gone.extend(self.remove_first());
        }
        gone
    }

    /// Makes room for what was kept before a restart.
    pub(super) fn reserve(&mut self, more: usize) {
        self.items.reserve(more);
        self.by_hash.reserve(more);
    }

    pub(super) fn find(&self, hash: &str) -> Option<&Kept> {
        self.numbered(*self.by_hash.get(hash)?)
    }

    pub(super) fn find_key(&self, key: &str) -> Option<&Kept> {
        self.numbered(*self.by_key.get(key)?)
    }

    /// Forgets outcomes that are too old; returns their hashes.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Arc<str>> {
        let mut gone = Vec::new();
        while self.items.front().is_some_and(|kept| kept.until <= now) {
            gone.extend(self.remove_first());
        }
        gone
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Returns what is kept, from the last that ended on.
    pub(super) fn latest(&self) -> impl Iterator<Item = &Kept> {
        self.items.iter().rev()
    }

    fn numbered(&self, order: u64) -> Option<&Kept> {
        self.items.get(usize::try_from(order.checked_sub(self.first)?).ok()?)
    }

    fn remove_first(&mut self) -> Option<Arc<str>> {
        let kept = self.items.pop_front()?;
        let order = self.first;
        self.first += 1;
        self.bytes = self.bytes.saturating_sub(kept.size);
        // A later item may have the key since.
        if let Some(key) = &kept.key
            && self.by_key.get(key) == Some(&order)
        {
            self.by_key.remove(key);
        }
        if self.by_hash.get(&kept.hash) == Some(&order) {
            self.by_hash.remove(&kept.hash);
        }
        Some(kept.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn kept(hash: &str, until: u64, size: u64) -> Kept {
        Kept {
            hash: hash.into(),
            key: Some(format!("key-{hash}").into()),
            name: None,
            ending: Ending::Complete,
            reported: true,
            attempt: 1,
            until: at(until),
            size,
            whole: None,
        }
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let mut results = Results::new(2, u64::MAX);
        assert!(results.insert(kept("a", 100, 1)).is_empty());
        assert!(results.insert(kept("b", 101, 1)).is_empty());
        assert_eq!(results.insert(kept("c", 102, 1)), ["a".into()]);
        assert!(results.find("a").is_none() && results.find_key("key-a").is_none());
        assert_eq!(&*results.find_key("key-c").unwrap().hash, "c");
        assert_eq!(&*results.find("b").unwrap().hash, "b");
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut results = Results::new(100, 3_000);
        results.insert(kept("a", 100, 2_000));
        assert_eq!(results.insert(kept("b", 100, 2_000)), ["a".into()]);
    }

    #[test]
    fn failures_count_too_and_the_latest_stays_however_large() {
        let mut results = Results::new(100, 3_000);
        let record = r#"{"key":null,"capability":"Echo","action":"Say","run_id":"","priority":0,
            "enqueued":0,"finished":0,"ending":"Error","reported":true,"attempt":1}"#;
        let failed = |hash: &str, bytes: usize| {
            let done: Finished = serde_json::from_str(record).unwrap();
            let done = Finished { hash: hash.into(), result: Err("x".repeat(bytes)), ..done };
            Kept::new(&done, at(1), false)
        };
        results.insert(failed("a", 2_000));
        assert_eq!(results.insert(failed("b", 2_000)), ["a".into()]);
        assert_eq!(results.insert(failed("c", 9_000)), ["b".into()]);
        assert!(results.find("c").is_some());
    }

    #[test]
    fn old_outcomes_expire() {
        let mut results = Results::new(100, u64::MAX);
        results.insert(kept("a", 100, 1));
        results.insert(kept("b", 150, 1));
        assert_eq!(results.expire(at(100)), ["a".into()]);
        assert_eq!(results.len(), 1);
    }
}
