//! Read-only views: what the management routes, the CLI and snapshots show.

use std::collections::BTreeMap;

use super::Coordinator;
use super::item::{Item, ItemId, State};
use super::requests::{Answer, unknown_item};
use super::routes::View;
use super::wire::{self, Load, QueueView};
use crate::base::json::object::list;
use crate::base::time::Now;
use crate::dialect::beacon::wire::ListPart;

/// A part of a list ends early behind so many bytes; whoever wants all goes on behind its last entry until a
/// part is empty.
const MAX_PART: usize = 4_194_304;

/// Writes the beginning of a list.
fn part(entries: impl Iterator<Item = String>, page: &ListPart) -> String {
    let mut bytes = 0;
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    list(entries.take(limit).take_while(|text| {
        let is_first = bytes == 0;
        bytes += text.len();
        is_first || bytes <= MAX_PART
    }))
}

/// Returns when an item was made, and its number then: the end of its hash.
fn place(hash: &str) -> Option<(u64, u64)> {
    let mut parts = hash.rsplit('-');
    let number = parts.next()?.parse().ok()?;
    Some((parts.next()?.parse().ok()?, number))
}

impl Coordinator {
    /// Answers what only looks; `viewer` is the session of whoever does.
    pub(super) fn show(&self, view: &View, page: &ListPart, viewer: &str, now: Now) -> Answer {
        let after = page.after.as_str();
        match view {
            View::Workers => {
                let last = if after.is_empty() { None } else { Some(self.known_worker(after)?) };
                let ids = self.registry.iter().map(|(id, _)| id).filter(|id| Some(*id) > last);
                let shown = ids.filter_map(|id| self.worker_record(id, viewer, false));
                Ok(part(shown, page))
            }
            View::Worker(beacon_id) => {
                let worker = self.known_worker(beacon_id)?;
                Ok(self.worker_record(worker, viewer, false).unwrap_or_default())
            }
            View::Items | View::Queue => {
                let last = self.items.find(after);
                let place = place(after);
                if last.is_none() && place.is_none() && !after.is_empty() {
                    return Err(unknown_item(after));
                }
                // The last one of a part may have ended since: then its hash tells where it stood.
                let is_behind = |id, item: &Item| match last {
                    Some(last) => id > last,
                    None => self::place(&item.order.hash) > place,
                };
                let is_queue = *view == View::Queue;
                let bucket = Some(page.bucket.as_str()).filter(|name| is_queue && !name.is_empty());
                let items = self.items.iter().filter(|(id, item)| {
                    !item.order.internal
                        && is_behind(*id, item)
                        && bucket.is_none_or(|name| item.bucket() == name)
                });
                let items = items.map(|(_, item)| {
                    let bucket = is_queue.then(|| item.bucket());
                    wire::item_record(item, bucket, self.is_reserved(item), page.settings)
                });
                let items = part(items, page);
                if !is_queue {
                    return Ok(items);
                }
                let history = || part(self.results.latest().map(wire::past), page);
                Ok(self.show_queue(&items, page.history.then(history).as_deref(), now))
            }
            View::Bindings => {
                let ttl = self.affinity.ttl_ms;
                let bindings = self.affinity.iter().filter(|(key, _)| *key > after);
                let bindings = bindings.map(|(key, binding)| {
                    wire::binding(key, &binding.beacon_id, binding.created, ttl)
                });
                Ok(part(bindings, page))
            }
            View::Capabilities => {
                let names = self.registry.capabilities();
                let workers = self.registry.len();
                Ok(wire::capabilities(&names, workers, &self.action_entries()))
            }
            View::Actions => Ok(wire::actions(&list(self.action_entries()))),
        }
    }

    /// Shows every worker, with what only workers of ours report.
    pub(crate) fn show_workers(&self) -> String {
        list(self.registry.iter().map(|(_, worker)| wire::status_worker(worker)))
    }

    /// Shows the queue in numbers.
    pub(crate) fn show_numbers(&self) -> String {
        serde_json::to_string(&self.queue_view()).unwrap_or_default()
    }

    fn show_queue(&self, items: &str, history: Option<&str>, now: Now) -> String {
        let mut loads: BTreeMap<(&str, &str), Load> = BTreeMap::new();
        for item in self.shown() {
            let order = &item.order;
            let load = loads.entry((&order.capability, &order.action)).or_default();
            *if item.is_upcoming() { &mut load.queued } else { &mut load.running } += 1;
        }
        wire::queue(&self.queue_view(), &loads, items, history, now.unix)
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

    /// Finds an item that clients may know of: questions of the hub's own are none.
    pub(super) fn find_shown(&self, hash: &str) -> Option<ItemId> {
        self.items.find(hash).filter(|id| self.items.get(*id).is_some_and(|i| !i.order.internal))
    }

    fn shown(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().map(|(_, item)| item).filter(|item| !item.order.internal)
    }

    fn action_entries(&self) -> Vec<String> {
        self.catalogue.show(self.registry.iter().map(|(_, worker)| worker))
    }
}
