//! What workers report: progress, outcomes, errors. Only the holder of the lease is believed.

use std::sync::Arc;

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::item::{Ending, Item, ItemId, State, Waiter};
use super::wire::{self, Progress, ProgressReport, Report, Verdict};
use super::{Caller, Client, Coordinator, Promise, Timer, outputs};
use crate::api::event::{CallEvent, Event};
use crate::base::ids::{ConnId, HttpId, PeerId};
use crate::base::json::Raw;
use crate::base::time::{Now, UnixMillis};
use crate::machine::Output;
use crate::net::binary_frames::{self, Kind};

/// The most bytes of lines kept with an item's progress; further lines are dropped.
const MAX_LOG_BYTES: usize = 1_048_576;

/// What an answer has beside outputs and log, in bytes; and what is no larger when it is left out.
const ENVELOPE: usize = 1_024;
const LEFT_OUT: usize = 256;

/// The longest error of a worker that is kept; the rest is cut.
const MAX_ERROR_BYTES: usize = 16_384;

/// Who reports.
#[derive(Clone, Debug)]
pub(super) enum Reporter<'a> {
    /// A worker on its connection.
    Connection(ConnId),
    /// A client over HTTP; our own workers name their record.
    Http { caller: &'a Caller, beacon_id: &'a str },
}

/// One report: of which item, what it says, and who says it.
pub(super) struct Told<'a> {
    pub(super) hash: &'a str,
    pub(super) report: &'a Report<'a>,
    /// What the values of the report are slices of.
    pub(super) text: &'a ByteString,
    pub(super) reporter: Reporter<'a>,
}

/// Whether a report was taken, or why not.
pub(super) type Taken = Result<(), String>;

/// What a client that reads slowly was not told.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    /// Reports of progress.
    reports: u64,
    /// Bytes that came with them.
    bytes: u64,
}

/// Where a report leads.
enum Aim {
    /// To an item that the reporter holds.
    Item(ItemId),
    /// To an outcome that this very attempt reported before.
    Settled,
}

impl Coordinator {
    /// Takes progress.
    pub(super) fn report_progress(&mut self, told: &Told<'_>, data: &RawValue, now: Now) -> Taken {
        let unknown = || format!("Work item [{}] not found or not running.", told.hash);
        let Ok(Aim::Item(id)) = self.aim(told) else { return Err(unknown()) };
        let Ok(report) = serde_json::from_str::<ProgressReport<'_>>(data.get()) else {
            return Err(unknown());
        };
        let Some(item) = self.items.get_mut(id) else { return Err(unknown()) };
        item.last_event = now.unix;
        item.progress.merge(&report);
        let worker = item.worker();
        self.items.recount(id);
        if let Some(worker) = worker {
            self.registry.confirm(worker, id);
        }
        self.note(id, report.log);
        let Some(item) = self.items.get(id) else { return Err(unknown()) };
        if item.waiters.iter().any(Waiter::streams) {
            let text = item.progress.write(now.unix);
            let bytes = report.binary_data.and_then(outputs::decode);
            for waiter in item.waiters.clone() {
                self.stream_progress(&waiter, &text, bytes.as_deref());
            }
        }
        Ok(())
    }

    /// Passes progress on at once: it promises nothing that must be stored.
    fn stream_progress(&mut self, waiter: &Waiter, text: &str, data: Option<&[u8]>) {
        if let Waiter::Http { http, stream: true } = *waiter {
            if let Some(left_out) = self.slow.get_mut(&http) {
                left_out.reports += 1;
                left_out.bytes += data.map_or(0, <[u8]>::len) as u64;
                return;
            }
            let parts = [(Kind::Progress, Some(text.as_bytes())), (Kind::Bytes, data)];
            for (kind, payload) in parts {
                let bytes = payload.map(|payload| binary_frames::frame(kind, payload));
                self.out.extend(bytes.map(|bytes| Output::HttpPart { http, bytes }));
            }
        } else if let Waiter::Call { call, stream: true } = *waiter
            && let Ok(part) = Raw::parse(text.to_owned())
        {
            self.event(Event::Call(CallEvent::Part { call, part }));
        }
    }

    /// Leaves progress out for a client that reads its answer more slowly than it comes, until it has caught up.
    pub(crate) fn backlog(&mut self, http: HttpId, is_full: bool, now: Now) {
        if !is_full {
            self.tell_left_out(http, now);
        } else if self.clients.contains_key(&Client::Http(http)) {
            self.slow.entry(http).or_default();
        }
    }

    /// Tells a client how things stand, if something was left out for it, and what that was.
    pub(super) fn tell_left_out(&mut self, http: HttpId, now: Now) {
        let Some(LeftOut { reports, bytes }) = self.slow.remove(&http) else { return };
        if reports == 0 {
            return;
        }
        let item = self.clients.get(&Client::Http(http)).and_then(|(id, _)| self.items.get(*id));
        let text = match item {
            Some(item) => item.progress.write_after(now.unix, reports, bytes),
            None => Progress::default().write_after(now.unix, reports, bytes),
        };
        self.stream(http, Kind::Progress, text.as_bytes());
    }

    /// Sends one frame of a streamed answer.
    pub(super) fn stream(&mut self, http: HttpId, kind: Kind, payload: &[u8]) {
        let bytes = binary_frames::frame(kind, payload);
        self.promise(Output::HttpPart { http, bytes });
    }

    /// Takes an outcome; `text` is what `outputs` and `log` are slices of.
    pub(super) fn report_complete(&mut self, told: &Told<'_>, now: Now) -> Taken {
        let Aim::Item(id) = self.aim(told)? else { return Ok(()) };
        let span = |raw| Raw::kept(told.text, raw);
        let outputs = told.report.outputs.map_or_else(Raw::empty_object, span);
        let log = wire::array(told.report.log);
        let Some(item) = self.items.get(id) else { return Ok(()) };
        let worker = item.worker();
        let log = match item.log.as_str() {
            "" => log.map_or_else(Raw::empty_list, span),
            before => {
                let mut lines = before.to_owned();
                if let Some(log) = log {
                    wire::append_lines(&mut lines, log);
                }
                Raw::parse(wire::lines(&lines)).unwrap_or_else(|_| Raw::empty_list())
            }
        };
        let log = self.log_that_fits(&outputs, log);
        self.finish(id, Ending::Complete, true, Ok((outputs, log)), now);
        if let Some(worker) = worker {
            self.fill(worker, now);
        }
        Ok(())
    }

    /// Leaves out a log with which the answer would be larger than a message may be: what was gathered with
    /// progress must not cost the outcome.
    fn log_that_fits(&self, outputs: &Raw, log: Raw) -> Raw {
        let (max, bytes) = (self.options.limits.max_message_bytes, log.as_str().len());
        if bytes <= LEFT_OUT || (outputs.as_str().len() + bytes + ENVELOPE) as u64 <= max {
            return log;
        }
        Raw::trusted(format!(
            "[\"The log of {bytes} bytes is left out: with it the answer is larger than \
             limits.max_message_bytes.\"]"
        ))
    }

    /// Takes an error: the item runs again if it may, else it ends.
    pub(super) fn report_error(&mut self, told: &Told<'_>, now: Now) -> Taken {
        let Aim::Item(id) = self.aim(told)? else { return Ok(()) };
        let message = wire::text(told.report.error_message);
        let mut message = message.unwrap_or_else(|| "Unknown error".to_owned());
        message.truncate(message.floor_char_boundary(MAX_ERROR_BYTES));
        self.note(id, told.report.log);
        let Some(item) = self.items.get_mut(id) else { return Ok(()) };
        let worker = item.worker();
        item.failures += 1;
        item.failed_attempt = Some(item.attempt);
        if item.failures < item.order.max_attempts && item.cancel_reason.is_none() {
            self.retry(id, message, now);
        } else {
            self.finish(id, Ending::Error, true, Err(message), now);
        }
        if let Some(worker) = worker {
            self.fill(worker, now);
        }
        Ok(())
    }

    /// Takes word that a worker has stopped an item. One that nobody asked for is its failure.
    pub(super) fn report_cancelled(&mut self, told: &Told<'_>, now: Now) -> Taken {
        let Aim::Item(id) = self.aim(told)? else { return Ok(()) };
        let Some(item) = self.items.get(id) else { return Ok(()) };
        let Some(reason) = &item.cancel_reason else { return self.report_error(told, now) };
        let (worker, text) = (item.worker(), format!("Work item was canceled: {reason}"));
        self.finish(id, Ending::Cancelled, true, Err(text), now);
        if let Some(worker) = worker {
            self.fill(worker, now);
        }
        Ok(())
    }

    /// Keeps lines that were reported, as far as there is room for the item and in the queue.
    fn note(&mut self, id: ItemId, lines: Option<&RawValue>) {
        let room = self.options.max_queued_bytes.saturating_sub(self.items.bytes);
        let (Some(item), Some(lines)) = (self.items.get_mut(id), wire::array(lines)) else {
            return;
        };
        let (before, more) = (item.log.len(), lines.get().len());
        if before + more <= MAX_LOG_BYTES && more as u64 <= room {
            wire::append_lines(&mut item.log, lines);
            self.items.recount(id);
        }
    }

    fn retry(&mut self, id: ItemId, message: String, now: Now) {
        let Some(item) = self.items.get_mut(id) else { return };
        let delay = item.order.retry_backoff_ms.saturating_mul(item.failures);
        item.last_error = Some(message);
        item.last_event = now.unix;
        item.retry_after = Some(UnixMillis(now.unix.0.saturating_add(delay)));
        self.items.recount(id);
        self.take_back(id);
        let at = now.mono.after(delay);
        self.items.change(id, State::Retry(at));
        self.timers.add(Timer::Retry(id), at);
        self.store_attempt(id);
    }

    /// Tells a worker of ours whether its outcome was taken, once that is stored.
    pub(super) fn send_verdict(&mut self, worker: PeerId, hash: &str, result: Taken) {
        let record = self.registry.get(worker).filter(|worker| worker.acks);
        if let Some(conn) = record.and_then(|worker| worker.conn) {
            let verdict = Verdict { hash: hash.to_owned(), refused: result.err() };
            self.keep_later(Promise::Verdict { conn, verdict });
        }
    }

    /// Finds the item that a report is about, if the reporter may speak for it.
    fn aim(&mut self, told: &Told<'_>) -> Result<Aim, String> {
        let Told { hash, reporter, .. } = told;
        let attempt = wire::count(told.report.attempt_number);
        let missing = || format!("BeaconCoordinator: work item [{hash}] not found.");
        let Some(id) = self.items.find(hash) else {
            let name = self.reporter_name(reporter);
            let done = self.results.find(hash).zip(attempt).zip(name);
            if done.is_some_and(|((done, attempt), name)| done.is_by(&name, attempt)) {
                return Ok(Aim::Settled);
            }
            self.counts.refused_reports += 1;
            return Err(missing());
        };
        let Some(item) = self.items.get(id) else { return Err(missing()) };
        if attempt.is_some() && attempt == item.failed_attempt {
            return Ok(Aim::Settled);
        }
        if attempt.is_none_or(|attempt| attempt == item.attempt) && self.is_holder(item, reporter) {
            return Ok(Aim::Item(id));
        }
        self.counts.refused_reports += 1;
        Err(format!("BeaconCoordinator: work item [{hash}] is held by another attempt."))
    }

    pub(super) fn is_holder(&self, item: &Item, reporter: &Reporter<'_>) -> bool {
        match (&item.state, reporter) {
            (State::Running(worker), Reporter::Connection(conn)) => {
                self.registry.by_conn(*conn) == Some(*worker)
            }
            (State::Running(worker), Reporter::Http { caller, beacon_id }) => {
                let Some(record) = self.registry.get(*worker) else { return false };
                if beacon_id.is_empty() {
                    record.conn.is_none()
                        && record.owner.as_ref().is_some_and(|o| o.session == caller.session)
                } else {
                    *record.beacon_id == **beacon_id && self.owns(*worker, caller)
                }
            }
            // A worker of others runs on what was taken from it, and nobody else has it yet.
            (State::Pending(_), Reporter::Connection(conn)) => {
                let record = self.registry.by_conn(*conn).and_then(|it| self.registry.get(it));
                let name = item.holder.as_ref().map(|holder| &holder.name);
                item.failed_attempt != Some(item.attempt)
                    && record.is_some_and(|record| !record.acks && Some(&record.name) == name)
            }
            // Its record went with the restart; the id that it had then is what it can show, where
            // nobody need show more.
            (State::Held, Reporter::Http { beacon_id, .. }) if !self.options.is_secured() => {
                item.holder.as_ref().is_some_and(|holder| *holder.beacon_id == **beacon_id)
            }
            (State::Held | State::Pending(_) | State::Retry(_), _) => false,
        }
    }

    fn reporter_name(&self, reporter: &Reporter<'_>) -> Option<Arc<str>> {
        let worker = match reporter {
            Reporter::Connection(conn) => self.registry.by_conn(*conn),
            Reporter::Http { beacon_id, .. } => self.registry.by_id(beacon_id),
        }?;
        Some(self.registry.get(worker)?.name.clone())
    }
}

impl Waiter {
    /// Tells whether it wants progress.
    pub(super) const fn streams(&self) -> bool {
        matches!(self, Self::Http { stream: true, .. } | Self::Call { stream: true, .. })
    }
}
