//! Requests over HTTP: what each route answers.

use bytestring::ByteString;

use super::item::Ending;
use super::reports::Reporter;
use super::routes::Route;
use super::wire::{self, BatchBody, ControlBody, ReportBody, RunRequest};
use super::{Caller, Coordinator};
use crate::base::ids::{HttpId, PeerId};
use crate::base::time::Now;
use crate::machine::Output;
use crate::net::HttpResponse;

/// The most entries of a batch. Source: `ultravisor` 1.3.24.
const MAX_BATCH: usize = 256;

/// An answer that promises nothing: status and text.
type Answer = (u16, String);

impl Coordinator {
    /// Answers a request of someone whom the hub knows, now or when the item ends; `key` is its
    /// idempotency key.
    pub(crate) fn ask(
        &mut self,
        http: HttpId,
        route: Route,
        body: &ByteString,
        key: Option<&str>,
        caller: &Caller,
        now: Now,
    ) {
        let answer = match route {
            Route::Register => {
                self.register_over_http(http, body, caller, now);
                return;
            }
            Route::Dispatch | Route::DispatchStream => {
                let stream = route == Route::DispatchStream;
                self.dispatch(http, body, key, caller, stream, now);
                return;
            }
            Route::Enqueue => {
                match self.enqueue(body, key, caller, now) {
                    Ok(text) => {
                        let response = HttpResponse::json(200, text);
                        self.promise(Output::HttpReply { http, response });
                    }
                    Err(denial) => self.reply(http, denial.response(false)),
                }
                return;
            }
            Route::Poll => self.poll(body, caller, now),
            Route::Heartbeat(id) => self.heartbeat(&id, body, caller, now),
            Route::Farewell(id) => self.farewell(&id, caller, now),
            Route::Drain(id) => self.drain_worker(&id, body, &caller.session, now),
            Route::CompleteBatch => self.complete_batch(body, caller, now),
            Route::ProgressBatch => self.progress_batch(body, caller, now),
            Route::Progress(hash) => self.progress(&hash, body, caller, now),
            Route::Complete(hash) => self.complete(&hash, body, caller, now),
            Route::Error(hash) => self.error(&hash, body, caller, now),
            Route::Cancel(hash) => self.cancel_by_hash(&hash, body, now),
            Route::Reorder(hash) => self.reorder(&hash, body),
            Route::RunStart => self.start_run(body, now),
            Route::RunEnd(id) => self.end_run(&id, body),
            Route::View(view) => {
                let (status, text) = self.show(&view, &caller.session);
                self.reply(http, HttpResponse::json(status, text));
                return;
            }
        };
        let response = HttpResponse::json(answer.0, answer.1);
        self.promise(Output::HttpReply { http, response });
    }

    fn poll(&mut self, body: &ByteString, caller: &Caller, now: Now) -> Answer {
        let report: ReportBody<'_> = serde_json::from_str(body).unwrap_or_default();
        if report.beacon_id.is_empty() {
            return (400, wire::error("BeaconID is required."));
        }
        // Peer: a poll of an unknown worker is answered like one that finds nothing.
        let Some(worker) = self.own_worker(&report.beacon_id, caller, now) else {
            return (200, wire::polled(None));
        };
        self.hear(worker, now);
        self.registry.polled(worker);
        let (lag, in_flight) = (report.host_lag_ms, report.in_flight);
        self.beat(worker, wire::count(lag), wire::count(in_flight), now);
        let item = self.take_for(worker, now).and_then(|id| self.items.get(id));
        (200, wire::polled(item))
    }

    fn heartbeat(
        &mut self,
        beacon_id: &str,
        body: &ByteString,
        caller: &Caller,
        now: Now,
    ) -> Answer {
        let Some(worker) = self.own_worker(beacon_id, caller, now) else {
            return (404, unknown_worker(beacon_id));
        };
        let report: ReportBody<'_> = serde_json::from_str(body).unwrap_or_default();
        self.hear(worker, now);
        let (lag, in_flight) = (report.host_lag_ms, report.in_flight);
        self.beat(worker, wire::count(lag), wire::count(in_flight), now);
        self.leaves(worker, wire::truthy(report.draining));
        (200, self.worker_record(worker, &caller.session, false).unwrap_or_default())
    }

    fn farewell(&mut self, beacon_id: &str, caller: &Caller, now: Now) -> Answer {
        let Some(worker) = self.own_worker(beacon_id, caller, now) else {
            return (404, unknown_worker(beacon_id));
        };
        let conn = self.registry.get(worker).and_then(|worker| worker.conn);
        self.remove_worker(worker, "it said farewell", now);
        if let Some(conn) = conn {
            self.accepted.dismiss(conn, now.mono);
        }
        (200, wire::farewell(beacon_id))
    }

    /// Gives a worker no new work, until told otherwise; a reconnection does not end it.
    pub(super) fn drain_worker(
        &mut self,
        beacon_id: &str,
        body: &ByteString,
        viewer: &str,
        now: Now,
    ) -> Answer {
        let control: ControlBody = serde_json::from_str(body).unwrap_or_default();
        let draining = control.draining.unwrap_or(true);
        let Some(worker) = self.registry.by_id(beacon_id) else {
            return (404, unknown_worker(beacon_id));
        };
        self.registry.drain(worker, draining);
        self.fill(worker, now);
        (200, self.worker_record(worker, viewer, false).unwrap_or_default())
    }

    fn progress(&mut self, hash: &str, body: &ByteString, caller: &Caller, now: Now) -> Answer {
        let report: ReportBody<'_> = serde_json::from_str(body).unwrap_or_default();
        let Ok(data) = serde_json::from_str(body) else {
            return (400, wire::error("The progress is not an object."));
        };
        let attempt = wire::count(report.attempt_number);
        let reporter = Reporter::Http { caller, beacon_id: &report.beacon_id };
        self.hear_reporter(&report.beacon_id, caller, now);
        match self.report_progress(hash, data, attempt, &reporter, now) {
            Ok(()) => (200, wire::progressed(hash)),
            Err(text) => (404, wire::error(&text)),
        }
    }

    fn complete(&mut self, hash: &str, body: &ByteString, caller: &Caller, now: Now) -> Answer {
        let report: ReportBody<'_> = serde_json::from_str(body).unwrap_or_default();
        match self.complete_one(hash, &report, body, caller, now) {
            Ok(()) => (200, wire::reported("Completed", hash)),
            Err(text) => (400, wire::error(&text)),
        }
    }

    fn complete_one(
        &mut self,
        hash: &str,
        report: &ReportBody<'_>,
        body: &ByteString,
        caller: &Caller,
        now: Now,
    ) -> Result<(), String> {
        let attempt = wire::count(report.attempt_number);
        let reporter = Reporter::Http { caller, beacon_id: &report.beacon_id };
        self.hear_reporter(&report.beacon_id, caller, now);
        self.report_complete(hash, report.outputs, report.log, attempt, body, &reporter, now)
    }

    fn error(&mut self, hash: &str, body: &ByteString, caller: &Caller, now: Now) -> Answer {
        let report: ReportBody<'_> = serde_json::from_str(body).unwrap_or_default();
        let attempt = wire::count(report.attempt_number);
        let reporter = Reporter::Http { caller, beacon_id: &report.beacon_id };
        self.hear_reporter(&report.beacon_id, caller, now);
        match self.report_error(hash, report.error_message, report.log, attempt, &reporter, now) {
            Ok(()) => (200, wire::reported("Failed", hash)),
            Err(text) => (400, wire::error(&text)),
        }
    }

    fn complete_batch(&mut self, body: &ByteString, caller: &Caller, now: Now) -> Answer {
        let batch: Option<BatchBody<'_>> = serde_json::from_str(body).ok();
        let Some(entries) = batch.and_then(|batch| batch.items.or(batch.completions)) else {
            return (400, wire::error("Items is required."));
        };
        self.batch(&entries, |hub, entry| {
            let report: ReportBody<'_> =
                serde_json::from_str(entry.get()).map_err(|e| format!("Invalid entry: {e}"))?;
            let hash = named(&report)?;
            hub.complete_one(hash, &report, body, caller, now)?;
            Ok(wire::batch_completed(hash))
        })
    }

    fn progress_batch(&mut self, body: &ByteString, caller: &Caller, now: Now) -> Answer {
        let batch: Option<BatchBody<'_>> = serde_json::from_str(body).ok();
        let Some(entries) = batch.and_then(|batch| batch.items.or(batch.progress)) else {
            return (400, wire::error("Items is required."));
        };
        self.batch(&entries, |hub, entry| {
            let report: ReportBody<'_> =
                serde_json::from_str(entry.get()).map_err(|e| format!("Invalid entry: {e}"))?;
            let hash = named(&report)?;
            let attempt = wire::count(report.attempt_number);
            let reporter = Reporter::Http { caller, beacon_id: &report.beacon_id };
            hub.hear_reporter(&report.beacon_id, caller, now);
            hub.report_progress(hash, entry, attempt, &reporter, now)?;
            Ok(wire::batch_updated(hash))
        })
    }

    fn batch<'a>(
        &mut self,
        entries: &[&'a serde_json::value::RawValue],
        mut each: impl FnMut(&mut Self, &'a serde_json::value::RawValue) -> Result<String, String>,
    ) -> Answer {
        if entries.len() > MAX_BATCH {
            let text = format!("A batch has at most {MAX_BATCH} items.");
            return (400, wire::error(&text));
        }
        let (mut done, mut errors) = (Vec::new(), Vec::new());
        for (index, entry) in entries.iter().enumerate() {
            match each(self, entry) {
                Ok(text) => done.push(text),
                Err(text) => errors.push((index, text)),
            }
        }
        (200, wire::batch(&done, &errors))
    }

    pub(super) fn cancel_by_hash(&mut self, hash: &str, body: &ByteString, now: Now) -> Answer {
        let control: ControlBody = serde_json::from_str(body).unwrap_or_default();
        let reason = control.reason.unwrap_or_default();
        if let Some(id) = self.items.find(hash)
            && let Some(text) = self.cancel(id, &crate::base::error::printable(&reason), now)
        {
            return (200, text);
        }
        if let Some(done) = self.results.find(hash) {
            let was = done.ending == Ending::Cancelled;
            return (200, wire::cancelled(hash, was, done.ending.name()));
        }
        (404, wire::error(&format!("Work item [{hash}] not found.")))
    }

    fn reorder(&mut self, hash: &str, body: &ByteString) -> Answer {
        let control: ControlBody = serde_json::from_str(body).unwrap_or_default();
        let up = match control.direction.as_deref() {
            Some("up") => true,
            Some("down") => false,
            Some(_) | None => return (400, wire::error("Direction must be up or down.")),
        };
        let Some(id) = self.items.find(hash) else {
            return (404, wire::error(&format!("Work item [{hash}] not found.")));
        };
        let Some((one, other)) = self.items.reorder(id, up) else {
            return (409, wire::error("The work item cannot be moved that way."));
        };
        self.store_work(one);
        self.store_work(other);
        (200, wire::reordered(hash))
    }

    pub(super) fn start_run(&mut self, body: &ByteString, now: Now) -> Answer {
        let request: RunRequest = serde_json::from_str(body).unwrap_or_default();
        let key = request.idempotency_key.filter(|key| !key.is_empty());
        if key.as_ref().is_some_and(|key| key.len() > super::registration::MAX_NAME) {
            return (400, wire::error("IdempotencyKey is too long."));
        }
        let (run, forgotten) = self.runs.start(key, now.unix);
        self.store_run(&run, forgotten);
        (200, wire::run_started(&run.id, run.started, run.key.as_deref()))
    }

    pub(super) fn end_run(&mut self, id: &str, body: &ByteString) -> Answer {
        let control: ControlBody = serde_json::from_str(body).unwrap_or_default();
        let state = control.state.unwrap_or_else(|| "Ended".to_owned());
        let state: String = state.chars().take(64).collect();
        let Some(run) = self.runs.end(id, &state) else {
            return (404, wire::error(&format!("Run [{id}] not found.")));
        };
        self.store_run(&run, None);
        (200, wire::run_ended(&run.id, &run.state))
    }

    /// Finds a worker by id, if the caller may speak for it.
    fn own_worker(&self, beacon_id: &str, caller: &Caller, now: Now) -> Option<PeerId> {
        self.registry.by_id(beacon_id).filter(|worker| self.owns(*worker, caller, now))
    }

    /// Notes a sign of life of whoever a report names.
    fn hear_reporter(&mut self, beacon_id: &str, caller: &Caller, now: Now) {
        if !beacon_id.is_empty()
            && let Some(worker) = self.own_worker(beacon_id, caller, now)
        {
            self.hear(worker, now);
        }
    }

    fn hear(&mut self, worker: PeerId, now: Now) {
        if self.registry.heard(worker, now.mono) {
            self.fill(worker, now);
        }
    }
}

fn named<'a>(report: &'a ReportBody<'_>) -> Result<&'a str, String> {
    if report.work_item_hash.is_empty() {
        return Err("WorkItemHash is required.".to_owned());
    }
    Ok(&report.work_item_hash)
}

pub(super) fn unknown_worker(beacon_id: &str) -> String {
    wire::error(&format!("Beacon [{beacon_id}] not found."))
}
