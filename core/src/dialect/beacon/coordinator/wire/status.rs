//! What only this coordinator shows, for people and for the CLI.

use serde::Serialize;

use super::super::worker::Worker;
use crate::base::json::object::{Object, text_list};

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

/// One worker of `GET /Moorline/Status`, with what only workers of ours report.
pub(crate) fn status_worker(worker: &Worker) -> String {
    Object::new()
        .text("BeaconID", &worker.beacon_id)
        .text("Name", &worker.name)
        .text("Transport", if worker.conn.is_some() { "websocket" } else { "polling" })
        .text("Status", worker.status())
        .raw("Capabilities", &text_list(worker.capabilities.iter().map(|name| &**name)))
        .number("MaxConcurrent", worker.max_concurrent)
        .number("InFlight", worker.running.len() as u64)
        .number("HostLagMs", worker.host_lag_ms)
        .plain("LastHeartbeat", worker.heartbeat)
        .flag("Draining", worker.draining)
        .given(worker.in_flight, |object, reported| object.number("ReportedInFlight", reported))
        .end()
}

/// `GET /Beacon/Queue`; `waiting` is a JSON list of items.
pub(crate) fn queue(view: &QueueView, waiting: &str) -> String {
    Object::new().raw("Items", waiting).value("Counts", view).end()
}
