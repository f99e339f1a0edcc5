//! Read-only views: what the management routes, the CLI and snapshots show.

use super::Coordinator;
use super::item::{Item, State};
use super::requests::{Answer, unknown_item, unknown_worker};
use super::routes::View;
use super::wire::{self, QueueView};
use crate::base::json::object::list;

impl Coordinator {
    /// Answers what only looks; `viewer` is the session of whoever does.
    pub(super) fn show(&self, view: &View, viewer: &str) -> Answer {
        match view {
            View::Workers => {
                let ids = self.registry.iter().map(|(id, _)| id);
                (200, list(ids.filter_map(|id| self.worker_record(id, viewer, false))))
            }
            View::Worker(beacon_id) => self
                .registry
                .by_id(beacon_id)
                .and_then(|worker| self.worker_record(worker, viewer, false))
                .map_or_else(|| unknown_worker(beacon_id), |text| (200, text)),
            View::Items => (200, list(self.shown().map(|item| self.item_record(item)))),
            View::Queue => {
                let waiting = self.shown().filter(|item| item.worker().is_none());
                let waiting = list(waiting.map(|item| self.item_record(item)));
                (200, wire::queue(&self.queue_view(), &waiting))
            }
            View::Bindings => {
                let ttl = self.affinity.ttl_ms;
                let bindings = self.affinity.iter().map(|(key, binding)| {
                    wire::binding(key, &binding.beacon_id, binding.created, ttl)
                });
                (200, list(bindings))
            }
            View::Capabilities => {
                let names = self.registry.capabilities();
                let workers = self.registry.len();
                (200, wire::capabilities(&names, workers, &self.action_entries()))
            }
            View::Actions => (200, list(self.action_entries())),
            View::Result(hash) => self.result_of(hash),
        }
    }

    /// Shows the outcome of an item, or where it is.
    pub(super) fn result_of(&self, hash: &str) -> Answer {
        if let Some(done) = self.results.find(hash) {
            return (200, wire::result(done));
        }
        let item = self.items.find(hash).and_then(|id| self.items.get(id));
        let Some(item) = item.filter(|item| !item.order.internal) else {
            return unknown_item(hash);
        };
        (200, wire::unfinished(item, self.is_reserved(item)))
    }

    /// Shows every worker, with what only workers of ours report.
    pub(crate) fn show_workers(&self) -> String {
        list(self.registry.iter().map(|(_, worker)| wire::status_worker(worker)))
    }

    /// Shows the queue in numbers.
    pub(crate) fn show_numbers(&self) -> String {
        serde_json::to_string(&self.queue_view()).unwrap_or_default()
    }

    fn queue_view(&self) -> QueueView {
        let retrying =
            self.shown().filter(|item| matches!(item.state, State::Retry(_))).count() as u64;
        QueueView {
            pending: self.items.waiting() as u64 - retrying.min(self.items.waiting() as u64),
            running: self.items.lanes.running as u64,
            retrying,
            finished: self.counts.finished,
            redelivered: self.counts.redelivered,
            refused_reports: self.counts.refused_reports,
            results: self.results.len() as u64,
            bytes: self.items.bytes,
        }
    }

    fn shown(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().map(|(_, item)| item).filter(|item| !item.order.internal)
    }

    fn item_record(&self, item: &Item) -> String {
        wire::item_record(item, self.is_reserved(item))
    }

    fn action_entries(&self) -> Vec<String> {
        self.catalogue.show(self.registry.iter().map(|(_, worker)| worker))
    }
}
