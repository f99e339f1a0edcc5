//! Requests over HTTP: who may ask, which route, what it answers.

use bytes::Bytes;
use bytestring::ByteString;

use super::auth::Caller;
use super::clients::Denial;
use super::item::Ending;
use super::reports::Reporter;
use super::routes::{self, Public, Route};
use super::{Deferred, Hub};
use crate::base::ids::{HttpId, PeerId};
use crate::base::time::Now;
use crate::dialect::beacon::wire::coordinator::{
    self as wire, BatchBody, ControlBody, ReportBody, RunRequest,
};
use crate::machine::{Input, Machine as _, ServerInput};
use crate::net::http::NoRoute;
use crate::net::origin::is_foreign_page;
use crate::net::{Headers, HttpBody, HttpRequest, HttpResponse, Method};

/// The most entries of a batch. Source: `ultravisor` 1.3.24.
const MAX_BATCH: usize = 256;

/// An answer that promises nothing: status and text.
type Answer = (u16, String);

impl Hub {
    /// Answers a request.
    pub(super) fn handle_request(
        &mut self,
        http: HttpId,
        request: HttpRequest,
        remote: &str,
        now: Now,
    ) {
        let (method, url) = (request.method, request.url.as_str());
        if is_foreign_page(&request.headers, &self.options.allowed_origins) {
            self.reply(http, HttpResponse::json(403, wire::error("Origin not allowed.")));
            return;
        }
        if let Some(origin) = request.headers.first("origin") {
            self.origins.insert(http, origin.to_owned());
            if request.headers.first("access-control-request-method").is_some() {
                self.reply(http, preflight());
                return;
            }
        }
        if self.volt.claims(url) {
            if self.is_serving() {
                let remote = remote.to_owned();
                self.volt
                    .handle_input(Input::Server(ServerInput::Asked { http, request, remote }), now);
            } else {
                self.reply(http, self.unavailable());
            }
            return;
        }
        let route = match routes::find(method, url) {
            Ok(route) => route,
            Err(no_route) => {
                let response = self.no_route(no_route, &request.headers, remote, now);
                self.reply(http, response);
                return;
            }
        };
        if !self.is_serving() && route != Route::Public(Public::Status) {
            self.reply(http, self.unavailable());
            return;
        }
        let caller = self.caller(&request.headers, remote, now);
        if caller.is_none() && !matches!(route, Route::Public(_)) {
            self.reply(http, unauthenticated());
            return;
        }
        let Ok(body) = ByteString::try_from(request.body.clone()) else {
            self.reply(http, HttpResponse::json(400, wire::invalid_content("Not UTF-8")));
            return;
        };
        let body = if body.trim().is_empty() { ByteString::from_static("{}") } else { body };
        if !route.checks_body()
            && method == Method::Post
            && let Err(e) = serde_json::from_str::<serde::de::IgnoredAny>(&body)
        {
            let text = wire::invalid_content(&format!("Invalid JSON: {e}"));
            self.reply(http, HttpResponse::json(400, text));
            return;
        }
        match (route, caller) {
            (Route::Public(route), _) => {
                self.ask_publicly(http, route, &body, &request.headers, remote, now);
            }
            (route, Some(caller)) => {
                let key = request.headers.first("x-idempotency-key").filter(|key| !key.is_empty());
                self.ask(http, route, &body, key, &caller, now);
            }
            (_, None) => self.reply(http, unauthenticated()),
        }
    }

    fn ask(
        &mut self,
        http: HttpId,
        route: Route,
        body: &ByteString,
        key: Option<&str>,
        caller: &Caller,
        now: Now,
    ) {
        let answer = match route {
            // Answered before: it needs no caller.
            Route::Public(_) => return,
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
                        self.later(Deferred::Reply { http, response });
                    }
                    Err(denial) => self.reply(http, denial.response(false)),
                }
                return;
            }
            Route::Volt(route) => {
                match self.rate.take(&caller.client, now.mono) {
                    Ok(()) => self.volt.control(http, route, body, now),
                    Err(wait) => {
                        let denial = Denial::later("client_rate_limit", wait);
                        self.reply(http, denial.response(false));
                    }
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
                let (status, text) = self.show(&view, &caller.session, now);
                self.reply(http, HttpResponse::json(status, text));
                return;
            }
        };
        let response = HttpResponse::json(answer.0, answer.1);
        self.later(Deferred::Reply { http, response });
    }

    fn ask_publicly(
        &mut self,
        http: HttpId,
        route: Public,
        body: &ByteString,
        headers: &Headers,
        remote: &str,
        now: Now,
    ) {
        let cookie = headers.first("cookie");
        match route {
            Public::Login => self.login(http, body, remote, now),
            Public::Status => {
                let text = wire::hub_status(self.is_secured());
                self.reply(http, HttpResponse::json(200, text));
            }
            Public::CheckSession => {
                let text = self
                    .auth
                    .find(cookie, now.mono)
                    .map_or_else(wire::logged_out, |(id, user)| wire::logged_in(&id, user));
                self.reply(http, HttpResponse::json(200, text));
            }
            Public::Logout => {
                self.auth.end(cookie);
                let mut response = HttpResponse::json(200, wire::logged_out());
                let expired = format!("{}=; Path=/; HttpOnly; Max-Age=0", super::auth::COOKIE);
                response.headers.push("set-cookie", expired);
                self.reply(http, response);
            }
        }
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
        let item = self.take_for(worker, now).and_then(|id| self.queue.get(id));
        (200, wire::polled(item.map(super::item::Item::delivery).as_ref()))
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
            self.server.dismiss(conn, now.mono);
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
        if let Some(id) = self.queue.find(hash)
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
        let Some(id) = self.queue.find(hash) else {
            return (404, wire::error(&format!("Work item [{hash}] not found.")));
        };
        let Some((one, other)) = self.queue.reorder(id, up) else {
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

    fn no_route(
        &self,
        no_route: NoRoute,
        headers: &Headers,
        remote: &str,
        now: Now,
    ) -> HttpResponse {
        match no_route {
            NoRoute::Unknown if self.caller(headers, remote, now).is_none() => unauthenticated(),
            NoRoute::Unknown => HttpResponse::json(404, wire::error("Not found.")),
            NoRoute::Method(allow) => {
                let mut response = HttpResponse::json(405, wire::error("Method not allowed."));
                response.headers.push("allow", allow);
                response
            }
        }
    }
}

fn named<'a>(report: &'a ReportBody<'_>) -> Result<&'a str, String> {
    if report.work_item_hash.is_empty() {
        return Err("WorkItemHash is required.".to_owned());
    }
    Ok(&report.work_item_hash)
}

/// The answer to a browser that asks whether a page of an allowed origin may ask.
fn preflight() -> HttpResponse {
    HttpResponse {
        status: 204,
        headers: Headers::new()
            .with("access-control-allow-methods", "GET, POST, DELETE")
            .with("access-control-allow-headers", "content-type, x-idempotency-key")
            .with("access-control-max-age", "600"),
        body: HttpBody::Full(Bytes::new()),
    }
}

fn unauthenticated() -> HttpResponse {
    HttpResponse::json(401, wire::authentication_required())
}

pub(super) fn unknown_worker(beacon_id: &str) -> String {
    wire::error(&format!("Beacon [{beacon_id}] not found."))
}
