//! What only this coordinator shows, for people and for the CLI.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::super::worker::Worker;
use crate::base::json::object::{Object, list, text_list};
use crate::base::time::UnixMillis;

/// The queue in numbers.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct QueueView {
    pub(crate) pending: u64,
    pub(crate) running: u64,
    #[serde(rename = "RetryScheduled")]
    pub(crate) retrying: u64,
    pub(crate) finished: u64,
    pub(crate) redelivered: u64,
    pub(crate) refused_reports: u64,
    pub(crate) results: u64,
    pub(crate) bytes: u64,
}

/// The most bytes of capability names that a row of the operator's page shows.
const MAX_SHOWN: usize = 2_048;

/// One worker of `GET /Moorline/Status`, with what only workers of ours report.
pub(crate) fn status_worker(worker: &Worker) -> String {
    show_worker(worker, worker.capabilities.len())
}

/// One worker of the operator's page: as in the status, but of many capabilities only the first ones.
pub(crate) fn worker_row(worker: &Worker) -> String {
    let mut bytes = 0;
    let fits = |name: &&Arc<str>| {
        bytes += name.len();
        bytes <= MAX_SHOWN
    };
    show_worker(worker, worker.capabilities.iter().take_while(fits).count())
}

/// Shows a worker with the first of its capabilities; of the others it says how many there are.
fn show_worker(worker: &Worker, shown: usize) -> String {
    let names = worker.capabilities.iter().take(shown).map(|name| &**name);
    let more = Some((worker.capabilities.len() - shown) as u64).filter(|more| *more > 0);
    Object::new()
        .text("BeaconID", &worker.beacon_id)
        .text("Name", &worker.name)
        .text("Transport", if worker.conn.is_some() { "websocket" } else { "polling" })
        .text("Status", worker.status())
        .raw("Capabilities", &text_list(names))
        .given(more, |object, more| object.number("MoreCapabilities", more))
        .number("MaxConcurrent", worker.max_concurrent)
        .number("InFlight", worker.running.len() as u64)
        .number("HostLagMs", worker.host_lag_ms)
        .plain("LastHeartbeat", worker.heartbeat)
        .flag("Draining", worker.draining)
        .given(worker.in_flight, |object, reported| object.number("ReportedInFlight", reported))
        .end()
}

/// What of one capability and action is in the queue.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    pub(crate) queued: u64,
    pub(crate) running: u64,
}

/// `GET /Beacon/Queue`: `loads` by capability and action, `items` is a JSON list. What only this hub
/// counts stands beside it. Peer: there is no history unless it is asked for.
pub(crate) fn queue(
    view: &QueueView,
    loads: &BTreeMap<(&str, &str), Load>,
    items: &str,
    history: Option<&str>,
    at: UnixMillis,
) -> String {
    let (queued, running) = loads
        .values()
        .fold((0, 0), |(queued, running), load| (queued + load.queued, running + load.running));
    let buckets = Object::new()
        .number("Upcoming", queued)
        .number("InProgress", running)
        .number("Stalled", 0)
        .number("Completed", 0)
        .number("Errored", 0)
        .end();
    let summary = Object::new()
        .plain("At", at)
        .raw("Buckets", &buckets)
        .raw("ByCapability", &list(load_rows(loads)))
        .end();
    Object::new()
        .raw("Summary", &summary)
        .raw("Items", items)
        .raw("History", history.unwrap_or("null"))
        .value("Counts", view)
        .end()
}

/// Writes what of each capability and action is in the queue.
pub(crate) fn load_rows(loads: &BTreeMap<(&str, &str), Load>) -> impl Iterator<Item = String> {
    loads.iter().take(MAX_ROWS).map(|((capability, action), load)| {
        Object::new()
            .text("Capability", capability)
            .text("Action", action)
            .number("Queued", load.queued)
            .number("Running", load.running)
            .number("Stalled", 0)
            .end()
    })
}

/// The most rows of a summary: actions are named by whoever asks for them.
const MAX_ROWS: usize = 1_000;
