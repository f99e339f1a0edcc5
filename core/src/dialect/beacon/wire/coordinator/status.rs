//! The views that only this hub has: its status, for people and for the CLI.

use super::answers::WorkerView;
use crate::base::json::object::{Object, text_list};

/// The hub itself.
#[derive(Debug)]
pub(crate) struct HubView<'a> {
    pub(crate) version: &'static str,
    pub(crate) state: &'static str,
    pub(crate) address: Option<&'a str>,
    pub(crate) uptime_ms: u64,
    pub(crate) access: &'static str,
    pub(crate) store: &'static str,
    pub(crate) connections: usize,
}

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

/// `GET /Moorline/Status`; `workers` and `daemons` are JSON lists.
pub(crate) fn moorline_status(
    hub: &HubView<'_>,
    workers: &str,
    daemons: &str,
    queue: &QueueView,
) -> String {
    let hub = Object::new()
        .text("Version", hub.version)
        .text("State", hub.state)
        .text_or_null("Address", hub.address)
        .number("UptimeMs", hub.uptime_ms)
        .text("Access", hub.access)
        .text("Store", hub.store)
        .number("Connections", hub.connections as u64)
        .end();
    Object::new()
        .raw("Hub", &hub)
        .raw("Workers", workers)
        .raw("Queue", &numbers(queue))
        .raw("Daemons", daemons)
        .end()
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

fn numbers(view: &QueueView) -> String {
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
