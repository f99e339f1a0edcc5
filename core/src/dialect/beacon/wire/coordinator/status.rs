//! What only this coordinator shows, for people and for the CLI.

use super::answers::WorkerView;
use crate::base::json::object::{Object, text_list};

/// A worker, with what only workers of ours report.
#[derive(Debug)]
pub(crate) struct StatusWorkerView<'a> {
    pub(crate) record: WorkerView<'a>,
    pub(crate) transport: &'static str,
    /// Items that it holds as the hub knows.
    pub(crate) in_flight: u64,
    /// Items that it runs as it says.
    pub(crate) reported_in_flight: Option<u64>,
    pub(crate) host_lag_ms: u64,
    pub(crate) draining: bool,
}

/// The queue in numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueView {
    pub(crate) pending: u64,
    pub(crate) running: u64,
    pub(crate) retrying: u64,
    pub(crate) finished: u64,
    pub(crate) redelivered: u64,
    pub(crate) refused_reports: u64,
    pub(crate) results: u64,
    pub(crate) bytes: u64,
}

/// One worker of `GET /Moorline/Status`.
pub(crate) fn status_worker(view: &StatusWorkerView<'_>) -> String {
    let record = &view.record;
    let object = Object::new()
        .text("BeaconID", record.beacon_id)
        .text("Name", record.name)
        .text("Transport", view.transport)
        .text("Status", record.status)
        .raw("Capabilities", &text_list(record.capabilities.iter().copied()))
        .number("MaxConcurrent", record.max_concurrent)
        .number("InFlight", view.in_flight)
        .number("HostLagMs", view.host_lag_ms)
        .plain("LastHeartbeat", record.heartbeat)
        .flag("Draining", view.draining);
    match view.reported_in_flight {
        Some(reported) => object.number("ReportedInFlight", reported).end(),
        None => object.end(),
    }
}

/// `GET /Beacon/Queue`; `waiting` is a JSON list of items.
pub(crate) fn queue(view: &QueueView, waiting: &str) -> String {
    Object::new().raw("Items", waiting).raw("Counts", &numbers(view)).end()
}

/// The queue in numbers.
pub(crate) fn numbers(view: &QueueView) -> String {
    Object::new()
        .number("Pending", view.pending)
        .number("Running", view.running)
        .number("RetryScheduled", view.retrying)
        .number("Finished", view.finished)
        .number("Redelivered", view.redelivered)
        .number("RefusedReports", view.refused_reports)
        .number("Results", view.results)
        .number("Bytes", view.bytes)
        .end()
}
