//! Sticky bindings: a key draws its work to the worker that took it first, for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::time::{Instant, Now, UnixMillis};

/// The most bindings kept; beyond, the one that ends first is dropped.
const MAX_BINDINGS: usize = 100_000;

/// A key's worker.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub(super) beacon_id: Arc<str>,
    pub(super) created: UnixMillis,
    until: Instant,
}

/// Every binding that has not ended.
#[derive(Debug)]
pub(super) struct Affinity {
    pub(super) ttl_ms: u64,
    bindings: BTreeMap<String, Binding>,
    ends: BTreeSet<(Instant, String)>,
}

impl Affinity {
    pub(super) const fn new(ttl_ms: u64) -> Self {
        Self { ttl_ms, bindings: BTreeMap::new(), ends: BTreeSet::new() }
    }

    /// Binds a key, unless it is bound to a worker that is still here.
    pub(super) fn bind(&mut self, key: &str, beacon_id: &Arc<str>, now: Now) {
        if self.find(key, now.mono).is_some_and(|bound| bound == beacon_id) {
            return;
        }
        if let Some(old) = self.bindings.remove(key) {
            self.ends.remove(&(old.until, key.to_owned()));
        }
        if self.bindings.len() >= MAX_BINDINGS {
            self.drop_first();
        }
        let until = now.mono.after(self.ttl_ms);
        self.ends.insert((until, key.to_owned()));
        let binding = Binding { beacon_id: beacon_id.clone(), created: now.unix, until };
        self.bindings.insert(key.to_owned(), binding);
    }

    /// Returns the worker that a key is bound to.
    pub(super) fn find(&self, key: &str, now: Instant) -> Option<&Arc<str>> {
        let binding = self.bindings.get(key)?;
        (binding.until > now).then_some(&binding.beacon_id)
    }

    /// Forgets bindings that ended.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.ends.first().is_some_and(|(until, _)| *until <= now) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some((_, key)) = self.ends.pop_first() {
            self.bindings.remove(&key);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Binding)> {
        self.bindings.iter().map(|(key, binding)| (key.as_str(), binding))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_is_not_extended_by_use() {
        let mut affinity = Affinity::new(100);
        let (a, b): (Arc<str>, Arc<str>) = ("bcn-a".into(), "bcn-b".into());
        affinity.bind("k", &a, Now::new(0, 0));
        affinity.bind("k", &a, Now::new(60, 60));
        assert_eq!(affinity.find("k", Instant::from_millis(99)), Some(&a));
        assert_eq!(affinity.find("k", Instant::from_millis(100)), None);
        affinity.bind("k", &b, Now::new(100, 100));
        assert_eq!(affinity.find("k", Instant::from_millis(101)), Some(&b));
        affinity.expire(Instant::from_millis(200));
        assert_eq!(affinity.iter().count(), 0);
    }
}
