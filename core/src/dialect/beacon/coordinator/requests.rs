//! Requests over HTTP: what each route answers.

use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::clients::NO_STORE;
use super::item::Ending;
use super::reports::{Reporter, Taken, Told};
use super::routes::Route;
use super::wire::{self, BatchBody, ControlBody, Report, RunRequest};
use super::{Caller, Client, Coordinator};
use crate::base::error::{ErrorCode, printable};
use crate::base::ids::{HttpId, PeerId};
use crate::base::json;
use crate::base::time::Now;
use crate::dialect::beacon::wire::ListPart;
use crate::machine::Output;
use crate::net::HttpResponse;

/// The most entries of a batch. Source: `ultravisor` 1.3.24.
const MAX_BATCH: usize = 256;

/// What is answered, or the status and the text of a refusal.
pub(super) type Answer = Result<String, Refusal>;
type Refusal = (u16, String);

/// What is asked, and who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) body: &'a ByteString,
    /// The idempotency key.
    pub(crate) key: Option<&'a str>,
    pub(crate) caller: &'a Caller,
    /// Which part of a list is asked for.
    pub(crate) page: &'a ListPart,
    pub(crate) now: Now,
}

impl Asked<'_> {
    /// Returns the idempotency key as it is kept: each user has keys of their own.
    pub(super) fn owned_key(&self) -> Option<String> {
        self.key.map(|key| format!("{}\n{key}", self.caller.user))
    }
}

impl Coordinator {
    /// Answers a request of someone whom the hub knows, now or when the item ends.
    pub(crate) fn ask(&mut self, http: HttpId, route: Route, asked: Asked<'_>) {
        let is_promise =
            !matches!(route, Route::Heartbeat(_) | Route::Progress(_) | Route::ProgressBatch);
        let answer = match route {
            Route::Register => return self.register_over_http(http, asked),
            Route::Dispatch => return self.dispatch(http, asked, false),
            Route::DispatchStream => return self.dispatch(http, asked, true),
            Route::Result(hash) => {
                return self.show_result(&hash, Client::Http(http), asked.now);
            }
            Route::Enqueue => match self.enqueue(asked, Client::Http(http)) {
                Ok(Some(text)) => Ok(text),
                Ok(None) => return,
                Err(denial) => return self.reply(http, denial.response(false)),
            },
            Route::Poll => self.poll(asked),
            Route::Heartbeat(id) => self.heartbeat(&id, asked),
            Route::Farewell(id) => self.farewell(&id, asked),
            Route::Drain(id) => self.drain_worker(&id, asked),
            Route::CompleteBatch => self.complete_batch(asked),
            Route::ProgressBatch => self.progress_batch(asked),
            Route::Progress(hash) => self.progress(&hash, asked),
            Route::Complete(hash) => {
                self.end_item(&hash, asked, "Completed", Self::report_complete)
            }
            Route::Error(hash) => self.end_item(&hash, asked, "Failed", Self::report_error),
            Route::Cancel(hash) => self.cancel_by_hash(&hash, asked),
            Route::CancelHeard(hash) => {
                self.release_reported(&hash, false, asked);
                Ok(wire::succeeded(&hash))
            }
            Route::Cancelled(hash) => {
                self.end_item(&hash, asked, "Canceled", Self::report_cancelled)
            }
            Route::CancelKey => self.cancel_by_key(asked),
            Route::Reorder(hash) => self.reorder(&hash, asked.body),
            Route::RunStart => self.start_run(asked),
            Route::RunEnd(id) => self.end_run(&id, asked.body),
            Route::View(view) => {
                let answer = self.show(&view, asked.page, &asked.caller.session, asked.now);
                return self.reply(http, response(answer));
            }
        };
        if is_promise && answer.is_ok() {
            self.promise(Output::HttpReply { http, response: response(answer) });
        } else {
            self.reply(http, response(answer));
        }
    }

    fn poll(&mut self, asked: Asked<'_>) -> Answer {
        let report: Report<'_> = serde_json::from_str(asked.body).unwrap_or_default();
        if report.beacon_id.is_empty() {
            return Err((400, wire::error("BeaconID is required.")));
        }
        // Peer: workers of others register again after a 401 and after nothing else.
        let unknown = |(status, text)| (if status == 404 { 401 } else { status }, text);
        let worker = self.own_worker(report.beacon_id.as_str(), asked).map_err(unknown)?;
        self.hear(worker, asked.now);
        self.registry.polled(worker);
        self.registry.heartbeat(worker, &report, asked.now);
        let item = self.take_for(worker, asked.now).and_then(|id| self.items.get(id));
        let record = self.registry.get(worker);
        Ok(record.map_or_else(String::new, |it| wire::polled(item, it.acks, &it.cancels)))
    }

    fn heartbeat(&mut self, beacon_id: &str, asked: Asked<'_>) -> Answer {
        let worker = self.own_worker(beacon_id, asked)?;
        let report: Report<'_> = serde_json::from_str(asked.body).unwrap_or_default();
        self.hear(worker, asked.now);
        self.beat(worker, &report, asked.now);
        Ok(self.worker_record(worker, &asked.caller.session, false).unwrap_or_default())
    }

    fn farewell(&mut self, beacon_id: &str, asked: Asked<'_>) -> Answer {
        let worker = self.own_worker(beacon_id, asked)?;
        let record = self.registry.get(worker);
        let foreign = record.filter(|record| !record.acks).and_then(|record| record.conn);
        self.dismiss(worker, "a request over HTTP said its farewell", asked.now);
        // Peer: it takes the word for a farewell of its own and stays away; the close brings it back.
        if let Some(conn) = foreign {
            self.close(conn, 1001, "the worker was removed: register again");
        }
        Ok(wire::farewell(beacon_id))
    }

    /// Gives a worker no new work, until told otherwise or until its farewell; a reconnection does not
    /// end it.
    pub(super) fn drain_worker(&mut self, beacon_id: &str, asked: Asked<'_>) -> Answer {
        let control: ControlBody = read(asked.body)?;
        let worker = self.known_worker(beacon_id)?;
        let draining = control.draining.unwrap_or(true);
        if !self.registry.drain(worker, draining) {
            return Err((503, wire::error("Too many workers are drained.")));
        }
        let what = if draining { "gets no new work" } else { "gets new work again" };
        let text = format!("worker {beacon_id} {what}: {} said so", asked.caller.client);
        self.notice(ErrorCode::WorkerDrained, text);
        self.fill(worker, asked.now);
        Ok(self.worker_record(worker, &asked.caller.session, false).unwrap_or_default())
    }

    fn progress(&mut self, hash: &str, asked: Asked<'_>) -> Answer {
        let report: Report<'_> = serde_json::from_str(asked.body).unwrap_or_default();
        let Ok(data) = serde_json::from_str(asked.body) else {
            return Err((400, wire::error("The progress is not an object.")));
        };
        let told = self.told(hash, &report, asked);
        let taken = self.report_progress(&told, data, asked.now);
        taken.map_err(|text| (404, wire::error(&text)))?;
        let item = self.items.find(hash).and_then(|id| self.items.get(id));
        Ok(wire::noted(hash, item.and_then(|item| item.cancel_reason.as_deref())))
    }

    fn end_item(
        &mut self,
        hash: &str,
        asked: Asked<'_>,
        status: &str,
        report_end: fn(&mut Self, &Told<'_>, Now) -> Taken,
    ) -> Answer {
        let report: Report<'_> = serde_json::from_str(asked.body).unwrap_or_default();
        let told = self.told(hash, &report, asked);
        let taken = report_end(self, &told, asked.now);
        self.release_reported(hash, true, asked);
        taken.map(|()| wire::reported(status, hash)).map_err(|text| (400, wire::error(&text)))
    }

    /// Frees what is kept for an item at a worker that has reported it, or `ended` it only in its words.
    fn release_reported(&mut self, hash: &str, ended: bool, asked: Asked<'_>) {
        for worker in self.registry.keepers(hash) {
            if self.owns(worker, asked.caller) {
                self.registry.forget_cancel(worker, hash);
                if ended {
                    self.free_overdue(worker, hash, asked.now);
                }
            }
        }
    }

    fn complete_batch(&mut self, asked: Asked<'_>) -> Answer {
        let batch: Option<BatchBody<'_>> = serde_json::from_str(asked.body).ok();
        let entries = batch.and_then(|batch| batch.items.or(batch.completions));
        self.batch(entries, asked, wire::batch_completed, |hub, told, _| {
            hub.report_complete(told, asked.now)
        })
    }

    fn progress_batch(&mut self, asked: Asked<'_>) -> Answer {
        let batch: Option<BatchBody<'_>> = serde_json::from_str(asked.body).ok();
        let entries = batch.and_then(|batch| batch.items.or(batch.progress));
        self.batch(entries, asked, wire::batch_updated, |hub, told, entry| {
            hub.report_progress(told, entry, asked.now)
        })
    }

    fn batch(
        &mut self,
        entries: Option<Vec<&RawValue>>,
        asked: Asked<'_>,
        show: fn(&str) -> String,
        take: impl Fn(&mut Self, &Told<'_>, &RawValue) -> Taken,
    ) -> Answer {
        let entries = entries.ok_or_else(|| (400, wire::error("Items is required.")))?;
        if entries.len() > MAX_BATCH {
            let text = format!("A batch has at most {MAX_BATCH} items.");
            return Err((400, wire::error(&text)));
        }
        let mut each = |entry: &RawValue| {
            let report: Report<'_> =
                serde_json::from_str(entry.get()).map_err(|e| format!("Invalid entry: {e}"))?;
            let hash = &*report.work_item_hash;
            if hash.is_empty() {
                return Err("WorkItemHash is required.".to_owned());
            }
            let told = self.told(hash, &report, asked);
            take(self, &told, entry).map(|()| show(hash))
        };
        let (mut done, mut errors) = (Vec::new(), Vec::new());
        for (index, entry) in entries.into_iter().enumerate() {
            match each(entry) {
                Ok(text) => done.push(text),
                Err(text) => errors.push((index, text)),
            }
        }
        Ok(wire::batch(&done, &errors))
    }

    /// Cancels the item of an idempotency key, if there is one.
    fn cancel_by_key(&mut self, asked: Asked<'_>) -> Answer {
        let key = asked.owned_key().unwrap_or_default();
        let item = self.items.find_key(&key).and_then(|id| self.items.get(id));
        let hash = item.map(|item| item.order.hash.clone());
        match hash.or_else(|| self.results.find_key(&key).map(|done| done.hash.clone())) {
            Some(hash) => self.cancel_by_hash(&hash, asked),
            None => Err((404, wire::error("No work item has this idempotency key."))),
        }
    }

    pub(super) fn cancel_by_hash(&mut self, hash: &str, asked: Asked<'_>) -> Answer {
        let control: ControlBody = read(asked.body)?;
        let reason = printable(&control.reason.unwrap_or_default());
        if let Some(id) = self.find_shown(hash)
            && let Some(text) = self.cancel(id, &reason, asked.now)
        {
            return Ok(text);
        }
        let done = self.results.find(hash).ok_or_else(|| unknown_item(hash))?;
        let was = done.ending == Ending::Cancelled;
        Ok(wire::cancelled(hash, was, false, done.ending.name()))
    }

    fn reorder(&mut self, hash: &str, body: &ByteString) -> Answer {
        let control: ControlBody = read(body)?;
        let up = match control.direction.as_deref() {
            Some("up") => true,
            Some("down") => false,
            Some(_) | None => {
                return Err((400, wire::error("Direction must be \"up\" or \"down\".")));
            }
        };
        let id = self.find_shown(hash).ok_or_else(|| unknown_item(hash))?;
        let moved = self.items.reorder(id, up);
        let (before, after) = moved.map_err(|why| (409, wire::not_reordered(why)))?;
        self.store_work(id);
        Ok(wire::reordered(hash, before, after))
    }

    pub(super) fn start_run(&mut self, asked: Asked<'_>) -> Answer {
        if self.journal.is_failing {
            return Err((503, wire::error(NO_STORE)));
        }
        let request: RunRequest = read(asked.body)?;
        let key = request.idempotency_key.filter(|key| !key.is_empty());
        if key.as_ref().is_some_and(|key| key.len() > super::registration::MAX_NAME) {
            return Err((400, wire::error("IdempotencyKey is too long.")));
        }
        let (run, forgotten) = self.runs.start(key, asked.now.unix);
        self.store_run(&run, forgotten);
        Ok(wire::run_started(&run.id, run.started, run.key.as_deref()))
    }

    pub(super) fn end_run(&mut self, id: &str, body: &ByteString) -> Answer {
        let control: ControlBody = read(body)?;
        let state = control.state.unwrap_or_else(|| "Ended".to_owned());
        let state: String = state.chars().take(64).collect();
        let unknown = || (404, wire::error(&format!("Run [{id}] not found.")));
        let run = self.runs.end(id, &state).ok_or_else(unknown)?;
        self.store_run(&run, None);
        Ok(wire::run_ended(&run.id, &run.state))
    }

    pub(super) fn known_worker(&self, beacon_id: &str) -> Result<PeerId, Refusal> {
        let unknown = || (404, wire::error(&format!("Beacon [{beacon_id}] not found.")));
        self.registry.by_id(beacon_id).ok_or_else(unknown)
    }

    /// Finds a worker by id, if the caller may speak for it.
    fn own_worker(&mut self, beacon_id: &str, asked: Asked<'_>) -> Result<PeerId, Refusal> {
        let worker = self.known_worker(beacon_id)?;
        if self.owns(worker, asked.caller) {
            return Ok(worker);
        }
        let text = "The worker is spoken for by its own session or connection only.";
        let told = format!("refused for the worker {}: {text}", printable(beacon_id));
        self.warn(ErrorCode::PeerRefused, &asked.caller.client, told, asked.now);
        Err((403, wire::error(text)))
    }

    /// Takes a report over HTTP for a sign of life of whoever it names.
    fn told<'a>(&mut self, hash: &'a str, report: &'a Report<'_>, asked: Asked<'a>) -> Told<'a> {
        let beacon_id = report.beacon_id.as_str();
        if !beacon_id.is_empty()
            && let Ok(worker) = self.own_worker(beacon_id, asked)
        {
            self.hear(worker, asked.now);
        }
        let reporter = Reporter::Http { caller: asked.caller, beacon_id };
        Told { hash, report, text: asked.body, reporter }
    }

    pub(super) fn hear(&mut self, worker: PeerId, now: Now) {
        if self.registry.heard(worker, now.mono) {
            self.fill(worker, now);
        }
    }
}

/// Reads the body of a request that changes something: what is not understood changes nothing.
fn read<'a, T: Deserialize<'a>>(body: &'a str) -> Result<T, Refusal> {
    serde_json::from_str(body)
        .map_err(|e| (400, wire::error(&format!("The body is not valid: {}", json::flaw(&e)))))
}

pub(super) fn unknown_item(hash: &str) -> Refusal {
    (404, wire::error(&format!("Work item [{hash}] not found.")))
}

pub(super) fn response(answer: Answer) -> HttpResponse {
    let (status, text) = answer.map_or_else(|refusal| refusal, |text| (200, text));
    let response = HttpResponse::json(status, text);
    if status == 503 { response.retry_later() } else { response }
}
