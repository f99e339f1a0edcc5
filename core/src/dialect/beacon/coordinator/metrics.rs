//! What is measured of workers and their work.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Coordinator;
use super::item::{Ending, Item, State};
use crate::api::metrics::{
    self as names, Amount, CAPABILITY_ITEMS, CAPABILITY_WORKERS, FINISHED, Histogram, MetricsPage,
};
use crate::base::time::{Instant, Now};

/// The most capabilities with values of their own: workers name them, and whoever reads metrics keeps every
/// value that it ever saw.
const MAX_NAMED: usize = 100;

/// So long nobody has had a capability before another one gets its place: those who make names up shall
/// not fill the memory of whoever reads metrics.
const KEPT_MS: u64 = 3_600_000;

/// What stands for all further ones.
const OTHER: &str = "other";

/// What is counted for metrics alone.
#[derive(Debug, Default)]
pub(super) struct Measured {
    wait: Histogram,
    run: Histogram,
    complete: u64,
    error: u64,
    cancelled: u64,
    timeout: u64,
    /// The capabilities that have values of their own, and when a worker or an item had each last.
    named: BTreeMap<Arc<str>, Instant>,
}

/// What there is of one capability.
#[derive(Debug, Default)]
struct Load {
    workers: u64,
    pending: u64,
    running: u64,
}

impl Measured {
    /// Counts an item that ends.
    pub(super) fn end(&mut self, item: &Item, ending: Ending, now: Now) {
        *match ending {
            Ending::Complete => &mut self.complete,
            Ending::Error => &mut self.error,
            Ending::Cancelled => &mut self.cancelled,
            Ending::Timeout => &mut self.timeout,
        } += 1;
        if let Some(assigned) = item.assigned {
            self.wait.add(assigned.0.saturating_sub(item.order.enqueued.0));
            self.run.add(now.unix.0.saturating_sub(assigned.0));
        }
    }

    /// Notes that somebody has this capability.
    fn keep(&mut self, capability: &str, now: Now) {
        if let Some(had) = self.named.get_mut(capability) {
            *had = now.mono;
        }
    }

    /// Gives a capability values of its own; tells whether there was a place.
    fn name(&mut self, capability: &Arc<str>, now: Now) -> bool {
        if &**capability == OTHER || self.named.contains_key(capability) {
            return true;
        }
        if self.named.len() >= MAX_NAMED {
            let Some((idle, had)) = self.named.iter().min_by_key(|(_, had)| **had) else {
                return false;
            };
            if now.mono.since(*had) < KEPT_MS {
                return false;
            }
            let idle = idle.clone();
            self.named.remove(&idle);
        }
        self.named.insert(capability.clone(), now.mono);
        true
    }
}

impl Coordinator {
    /// Adds everything to a page.
    pub(crate) fn measure(&mut self, page: &mut MetricsPage, now: Now) {
        let had = || self.registry.iter().flat_map(|(_, worker)| worker.capabilities.iter());
        had().for_each(|name| self.measured.keep(name, now));
        for (_, item) in self.items.iter() {
            self.measured.keep(&item.order.capability, now);
        }
        // In vain for one is in vain for all that follow.
        let _ = had().all(|name| self.measured.name(name, now));
        let named = &self.measured.named;
        let mut loads: BTreeMap<&str, Load> = BTreeMap::from([(OTHER, Load::default())]);
        loads.extend(named.keys().map(|name| (&**name, Load::default())));
        let series = |name: &str| named.get_key_value(name).map_or(OTHER, |(name, _)| &**name);

        let [mut online, mut busy, mut offline, mut draining] = [0_u64; 4];
        let (mut slots, mut used) = (0, 0);
        for (_, worker) in self.registry.iter() {
            let running = worker.running.len() as u64;
            slots += worker.max_concurrent;
            used += running;
            *if worker.draining {
                &mut draining
            } else if worker.offline {
                &mut offline
            } else if running >= worker.max_concurrent {
                &mut busy
            } else {
                &mut online
            } += 1;
            for name in &worker.capabilities {
                loads.entry(series(name)).or_default().workers += 1;
            }
        }

        let [mut pending, mut running, mut retrying] = [0_u64; 3];
        let mut oldest = now.unix;
        for item in self.items.iter().map(|(_, item)| item).filter(|item| !item.order.internal) {
            let load = loads.entry(series(&item.order.capability)).or_default();
            match item.state {
                State::Pending(_) => {
                    pending += 1;
                    load.pending += 1;
                    oldest = oldest.min(item.order.enqueued);
                }
                State::Retry(_) => {
                    retrying += 1;
                    load.pending += 1;
                }
                State::Running(_) | State::Held => {
                    running += 1;
                    load.running += 1;
                }
            }
        }

        let states =
            [("online", online), ("busy", busy), ("offline", offline), ("draining", draining)];
        page.many(&names::WORKERS, states.map(|(state, count)| ([state], count)));
        page.one(&names::SLOTS, slots);
        page.one(&names::SLOTS_USED, used);
        page.many(&CAPABILITY_WORKERS, loads.iter().map(|(name, load)| ([*name], load.workers)));
        let waiting = loads.iter().flat_map(|(name, load)| {
            [([*name, "pending"], load.pending), ([*name, "running"], load.running)]
        });
        page.many(&CAPABILITY_ITEMS, waiting);
        let states = [("pending", pending), ("running", running), ("retrying", retrying)];
        page.many(&names::ITEMS, states.map(|(state, count)| ([state], count)));
        page.one(&names::ITEMS_LIMIT, self.options.max_queued);
        page.one(&names::QUEUE_BYTES, self.items.bytes);
        page.one(&names::QUEUE_BYTES_LIMIT, self.options.max_queued_bytes);
        page.one(&names::OLDEST, Amount::Millis(now.unix.0.saturating_sub(oldest.0)));
        let Measured { complete, error, cancelled, timeout, .. } = self.measured;
        let endings = [
            ("complete", complete),
            ("error", error),
            ("cancelled", cancelled),
            ("timeout", timeout),
        ];
        page.many(&FINISHED, endings.map(|(ending, count)| ([ending], count)));
        page.one(&names::REDELIVERED, self.counts.redelivered);
        page.one(&names::REFUSED_REPORTS, self.counts.refused_reports);
        page.times(&names::WAIT_SECONDS, &self.measured.wait);
        page.times(&names::RUN_SECONDS, &self.measured.run);
        page.one(&names::RESULTS, self.results.len());
        page.one(&names::RESULT_BYTES, self.results.bytes);
        page.one(&names::STORE_FAILING, self.journal.is_failing);
    }

    /// Tells whether new work is taken and can be stored.
    pub(crate) fn takes_work(&self) -> bool {
        self.is_open && !self.journal.is_failing
    }
}
