//! What the operator's page shows of workers and work, in rows, and what it remembers for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::Coordinator;
use super::item::State;
use super::results::Finished;
use super::wire::{self, Load};
use crate::base::json::object::list;
use crate::base::time::Now;

/// Rows by their kind and their key.
pub(crate) type Rows = BTreeMap<(&'static str, String), String>;

/// The most rows of each kind.
const MAX_WORKERS: usize = 20_000;
const MAX_RUNNING: usize = 300;
const MAX_WAITING: usize = 200;
const MAX_FAILURES: usize = 100;
const MAX_AWAY: usize = 200;

/// What has happened lately.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// How many items have failed.
    failed: u64,
    /// The latest failures, by number.
    failures: VecDeque<(u64, String)>,
    /// Workers that are gone, and why.
    away: VecDeque<(Arc<str>, String)>,
}

impl Recent {
    /// Notes that an item has failed.
    pub(super) fn fail(&mut self, done: &Finished, error: &str) {
        self.failed += 1;
        push(&mut self.failures, MAX_FAILURES, (self.failed, wire::failure_row(done, error)));
    }

    /// Notes that a worker is gone.
    pub(super) fn leave(&mut self, name: &Arc<str>, why: &str, now: Now) {
        self.come(name);
        push(&mut self.away, MAX_AWAY, (name.clone(), wire::away_row(name, why, now.unix)));
    }

    /// Notes that a worker is here.
    pub(super) fn come(&mut self, name: &Arc<str>) {
        self.away.retain(|(gone, _)| gone != name);
    }
}

fn push<T>(rows: &mut VecDeque<T>, most: usize, row: T) {
    if rows.len() >= most {
        rows.pop_front();
    }
    rows.push_back(row);
}

impl Coordinator {
    /// Adds the rows of workers, of those that are away, of work and of failures; returns what waits and runs
    /// of each action, as a JSON list.
    pub(crate) fn board(&self, rows: &mut Rows) -> String {
        for (_, worker) in self.registry.iter().take(MAX_WORKERS) {
            rows.insert(("Workers", worker.beacon_id.to_string()), wire::worker_row(worker));
        }
        for (name, row) in &self.recent.away {
            rows.insert(("Away", name.to_string()), row.clone());
        }
        for (number, row) in &self.recent.failures {
            rows.insert(("Failures", number.to_string()), row.clone());
        }
        let (mut running, mut waiting) = (0, 0);
        let mut loads: BTreeMap<(&str, &str), Load> = BTreeMap::new();
        for item in self.items.iter().map(|(_, item)| item).filter(|item| !item.order.internal) {
            let load = loads.entry((&item.order.capability, &item.order.action)).or_default();
            let (number, shown, most) = match item.state {
                State::Running(_) | State::Held => (&mut load.running, &mut running, MAX_RUNNING),
                State::Pending(_) | State::Retry(_) => {
                    (&mut load.queued, &mut waiting, MAX_WAITING)
                }
            };
            *number += 1;
            if *shown < most {
                *shown += 1;
                let row = wire::work_row(item, self.is_reserved(item));
                rows.insert(("Work", item.order.hash.to_string()), row);
            }
        }
        list(wire::load_rows(&loads))
    }

    /// Returns how many items have failed.
    pub(crate) const fn failed(&self) -> u64 {
        self.recent.failed
    }
}
