//! Runs: named groups of work that a client begins and ends.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::base::time::UnixMillis;

/// The most runs kept; beyond, the oldest is forgotten.
const MAX_RUNS: usize = 10_000;

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) id: String,
    pub(super) key: Option<String>,
    pub(super) started: UnixMillis,
    /// `Active`, or what the client ended it as.
    pub(super) state: String,
}

/// Every run, in order of its start.
#[derive(Debug, Default)]
pub(super) struct Runs {
    runs: BTreeMap<u64, Run>,
    by_id: HashMap<String, u64>,
    by_key: HashMap<String, u64>,
    next: u64,
    minted: u64,
}

/// The state of a run that has not ended.
pub(super) const ACTIVE: &str = "Active";

impl Runs {
    /// Makes an id. Peer: `rn-<hub>-<ms>-<n>`.
    pub(super) fn mint(&mut self, now: UnixMillis) -> String {
        self.minted += 1;
        format!("rn-hub-{}-{}", now.0, self.minted)
    }

    /// Begins a run; the same key returns the same run. Also returns the id of a forgotten one.
    pub(super) fn start(&mut self, key: Option<String>, now: UnixMillis) -> (Run, Option<String>) {
        let known = key.as_ref().and_then(|key| self.runs.get(self.by_key.get(key)?));
        if let Some(run) = known {
            return (run.clone(), None);
        }
        let run = Run { id: self.mint(now), key, started: now, state: ACTIVE.to_owned() };
        let forgotten = self.insert(run.clone());
        (run, forgotten)
    }

    /// Keeps a run; returns the id of one that had to go for it.
    pub(super) fn insert(&mut self, run: Run) -> Option<String> {
        let order = self.next;
        self.next += 1;
        self.by_id.insert(run.id.clone(), order);
        if let Some(key) = &run.key {
            self.by_key.insert(key.clone(), order);
        }
        self.runs.insert(order, run);
        if self.runs.len() <= MAX_RUNS {
            return None;
        }
        let (_, oldest) = self.runs.pop_first()?;
        self.by_id.remove(&oldest.id);
        if let Some(key) = &oldest.key {
            self.by_key.remove(key);
        }
        Some(oldest.id)
    }

    /// Ends a run.
    pub(super) fn end(&mut self, id: &str, state: &str) -> Option<Run> {
        let run = self.runs.get_mut(self.by_id.get(id)?)?;
        run.state = state.to_owned();
        Some(run.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_is_the_same_run() {
        let mut runs = Runs::default();
        let (one, _) = runs.start(Some("k".into()), UnixMillis(5));
        let (two, _) = runs.start(Some("k".into()), UnixMillis(9));
        assert_eq!((one.id.as_str(), &one), ("rn-hub-5-1", &two));
        let (other, _) = runs.start(None, UnixMillis(9));
        assert_ne!(other.id, one.id);
        assert_eq!(runs.end(&one.id, "Ended").unwrap().state, "Ended");
        assert!(runs.end("rn-none", "Ended").is_none());
    }

    #[test]
    fn runs_are_bounded() {
        let mut runs = Runs::default();
        for _ in 0..MAX_RUNS {
            assert!(runs.start(None, UnixMillis(0)).1.is_none());
        }
        assert!(runs.start(None, UnixMillis(0)).1.is_some());
        assert_eq!(runs.runs.len(), MAX_RUNS);
    }
}
