//! What comes in: frames and answers to HTTP calls.

use bytestring::ByteString;

use crate::api::command::Outcome;
use crate::api::event::{Event, Withdrawal, WorkEvent};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{ConnId, HttpId, WorkId};
use crate::base::json::Raw;
use crate::base::time::Now;
use crate::dialect::beacon::wire::{
    HubAnswer, HubFrame, RecordAnswer, WireCancel, WireItem, error_text, event, item_meta,
    plain_settings, stay_away, whole,
};
use crate::machine::Output;
use crate::net::{Frame, HttpResponse};
use crate::parts::link::Pace;
use crate::parts::work::{Inbound, Settled};

use super::{BeaconWorker, Carrier, Exchange, Purpose, Stage, action};

/// So many failed exchanges in a row mean that the link is gone.
const MAX_FAILURES: u32 = 2;

/// Peer: items are thrown away after 120 s without an event, and waiting in the queue counts. One
/// that waited for half of it gets its first sign of life at once.
const STALE_AFTER_MS: u64 = 60_000;

/// Peer: an item without a capability is a shell command.
const UNNAMED_CAPABILITY: &str = "Shell";

impl BeaconWorker {
    pub(super) fn received(&mut self, conn: ConnId, frame: &Frame, now: Now) {
        if self.link.stage().conn() != Some(conn) {
            return;
        }
        self.alive(conn, now);
        match frame {
            Frame::Text(text) => self.heard(text, now),
            Frame::Pong(payload) => self.pong(payload, now),
            Frame::Binary(_) => self.counters.noise += 1,
            Frame::Ping(_) => {}
        }
    }

    /// The connection lives.
    pub(super) fn alive(&mut self, conn: ConnId, now: Now) {
        let is_ours = self.link.stage().conn() == Some(conn);
        if is_ours && self.liveness.heard() && self.schedule.ping.is_some() {
            self.schedule.ping = Some(now.mono.after(self.options.ping_interval_ms));
        }
    }

    fn heard(&mut self, text: &ByteString, now: Now) {
        let Ok(frame) = serde_json::from_str::<HubFrame<'_>>(text) else {
            self.counters.noise += 1;
            return;
        };
        match frame.event_type.as_str() {
            event::WORK => match frame.work_item.filter(|item| !item.hash.is_empty()) {
                Some(item) => self.take_work(&item, text, now),
                None => self.counters.noise += 1,
            },
            event::TAKEN => {
                for item in frame.items {
                    let refusal = (!item.taken).then(|| item.reason.unwrap_or_default());
                    self.taken(&item.work_item_hash, refusal.as_deref(), now);
                }
            }
            event::REGISTERED => {
                if !frame.beacon_id.is_empty() {
                    self.id = frame.beacon_id.0.into_owned();
                }
                self.registered(frame.moorline.unwrap_or_default(), now);
            }
            event::REJECTED => self.rejected(frame.reason.as_str(), now),
            event::DEREGISTERED => self.forgotten(now),
            event::CANCEL => {
                let why = Withdrawal::from_word(frame.why.as_str());
                let events = self.work.withdraw(frame.work_item_hash.as_str(), why, now.mono);
                self.counters.withdrawn += events.len() as u64;
                events.into_iter().for_each(|event| self.event(event));
            }
            event::FOREIGN_CANCEL => self.stop_item(frame.work_item_hash.as_str(), now),
            _ => self.counters.noise += 1,
        }
    }

    /// Stops an item as hubs of others ask for it: heard at once, reported when it has stopped.
    fn stop_item(&mut self, wire: &str, now: Now) {
        let Some(carrier) = self.carrier().filter(|_| !wire.is_empty()) else { return };
        self.say_cancel_heard(carrier, wire, now);
        let is_stopping = self.stopping.values().any(|(stopping, _)| stopping == wire);
        if is_stopping || self.outbox.find(wire).is_some() {
            return;
        }
        let attempt = self.work.attempt(wire);
        let events = self.work.withdraw(wire, Withdrawal::Cancelled, now.mono);
        self.counters.withdrawn += events.len() as u64;
        if events.is_empty() {
            // It had not begun, or is not known here: either way nothing runs.
            self.say_cancelled(carrier, wire, attempt.unwrap_or(1), now);
        }
        for event in events {
            if let Event::Work(WorkEvent::Withdrawn { work, .. }) = &event {
                self.stopping.insert(*work, (wire.into(), attempt.unwrap_or(1)));
            }
            self.event(event);
        }
    }

    /// The handler of an item that hubs of others had stopped has ended, or lost its slot.
    pub(super) fn stopped(&mut self, work: WorkId, now: Now) {
        if let (Some((wire, attempt)), Some(carrier)) =
            (self.stopping.remove(&work), self.carrier())
        {
            self.say_cancelled(carrier, &wire, attempt, now);
        }
    }

    fn take_work(&mut self, item: &WireItem<'_>, text: &ByteString, now: Now) {
        self.counters.received += 1;
        self.polling.hasten(now.mono);
        if self.drain.is_on() {
            // Not taken: a hub of ours is told again what runs here, and gives the rest to others; elsewhere
            // the farewell gives it back.
            self.schedule.announce = self.carrier().filter(|_| self.acks).map(|_| now.mono);
            return;
        }
        let wire = item.hash.as_str();
        let attempt = u32::try_from(whole(item.attempt_number)).unwrap_or(u32::MAX).max(1);
        if let Some(entry) = self.outbox.find(wire) {
            let is_done = matches!(entry.outcome, Outcome::Done { .. });
            if is_done || attempt <= entry.attempt {
                let attempt = entry.attempt.max(attempt);
                self.outbox.adopt(wire, attempt);
                return;
            }
            let removed = self.outbox.remove(wire);
            self.forget(removed);
        }
        if self.work.adopt(wire, attempt) {
            return;
        }
        let (capability, name) = (item.capability.as_str(), item.action.as_str());
        let capability = if capability.is_empty() { UNNAMED_CAPABILITY } else { capability };
        let Some(key) = action::find(&self.handlers, capability, name) else {
            let message = format!("this worker has no handler for {capability}/{name}");
            return self.refuse(ErrorCode::HandlerUnknown, wire, attempt, message);
        };
        let queued_ms = item.queue_metadata.as_ref().map(|queue| whole(queue.queue_wait_ms));
        let inbound = Inbound {
            wire: wire.into(),
            attempt,
            key,
            payload: item.settings.map_or_else(Raw::empty_object, |raw| {
                let plain = if self.acks { None } else { plain_settings(raw.get()) };
                plain.map_or_else(|| Raw::span(text, raw), Raw::trusted)
            }),
            timeout_ms: Some(whole(item.timeout_ms)).filter(|millis| *millis > 0),
            meta: Raw::trusted(item_meta(item)),
            is_stale: queued_ms.is_none_or(|millis| millis >= STALE_AFTER_MS),
        };
        if !self.work.offer(inbound, now.mono) {
            let message = "this worker runs and keeps waiting as much as max_concurrent and max_waiting allow";
            self.refuse(ErrorCode::Overloaded, wire, attempt, message.to_owned());
        }
    }

    /// Answers an item that cannot be run here.
    fn refuse(&mut self, code: ErrorCode, wire: &str, attempt: u32, message: String) {
        self.counters.refused += 1;
        self.notice(Error::new(code, format!("{wire} was refused: {message}")));
        // A peer that takes no outcomes gets none for what it goes on to send: its time limit ends that.
        if self.is_full() {
            return;
        }
        let settled = Settled { wire: wire.into(), attempt, limit_ms: 0 };
        self.keep(settled, Outcome::Failed { message });
    }

    /// Fails what ran longer than it may, and takes slots from handlers that ignore it.
    pub(super) fn expire_work(&mut self, now: Now) {
        while let Some((event, settled)) = self.work.expire(now.mono) {
            self.counters.expired += 1;
            event.into_iter().for_each(|event| self.event(event));
            let message =
                format!("the work item ran longer than its time limit of {} ms", settled.limit_ms);
            self.keep(settled, Outcome::Failed { message });
        }
        for (work, Settled { wire, .. }) in self.work.forget_ignored(now.mono) {
            let message = format!("the handler of {wire} ignored its withdrawal; its slot is free");
            self.notice(Error::new(ErrorCode::WorkExpired, message));
            self.stopped(work, now);
        }
    }

    pub(super) fn replied(&mut self, http: HttpId, result: Result<HttpResponse, Error>, now: Now) {
        let Some(Exchange { purpose, .. }) = self.exchanges.remove(&http) else { return };
        self.away_ms = result.as_ref().ok().and_then(stay_away).map(|(millis, is_own_turn)| {
            // All who are told the same spread themselves.
            let spread =
                (millis.saturating_mul(self.options.reconnect.jitter_percent) / 100).max(1_000);
            let is_exact = is_own_turn || self.options.reconnect.jitter_percent == 0;
            millis.saturating_add(if is_exact { 0 } else { self.entropy.below(spread) })
        });
        if matches!(purpose, Purpose::Login) {
            return self.logged_in(result, now);
        }
        if matches!(purpose, Purpose::Poll) {
            let away_ms = self.away_ms.unwrap_or(0).min(self.options.reconnect.max_delay_ms);
            let interval_ms = self.options.poll_interval_ms.max(away_ms);
            self.polling.turn(false, now.mono.after(interval_ms));
        }
        let response = match result {
            Ok(response) => response,
            Err(error) => return self.exchange_failed(&purpose, error, now),
        };
        let said = || error_text(&response);
        let failure = || Error::new(ErrorCode::RemoteError, said());
        match (response.status, &purpose) {
            (200..=299, _) => self.granted(&purpose, &response, now),
            (401, _) => self.denied(&purpose, now),
            (..=399 | 407 | 408 | 425 | 429 | 500.., _) => {
                self.exchange_failed(&purpose, failure(), now);
            }
            // What stands before a control plane that is starting answers so.
            (409, Purpose::Registration) => self.displaced(&said(), now),
            (404 | 405, Purpose::Registration) => self.exchange_failed(&purpose, failure(), now),
            (413, Purpose::Registration) => {
                self.turned_away(Error::new(ErrorCode::TooLarge, said()), now);
            }
            (_, Purpose::Registration) => self.rejected(&said(), now),
            (404, Purpose::Heartbeat | Purpose::Verify | Purpose::Poll) => self.forgotten(now),
            (413, Purpose::Outcome(wire)) => self.too_large(wire, &said(), now),
            // Peer: progress of an item in state `Dispatched` is refused with 404 while it runs.
            (_, Purpose::Outcome(_) | Purpose::Progress(_) | Purpose::Farewell) => {
                self.reported(&purpose, Some(&said()), now);
            }
            (_, Purpose::Login | Purpose::Poll | Purpose::Heartbeat | Purpose::Verify) => {
                self.exchange_failed(&purpose, failure(), now);
            }
        }
    }

    /// What we asked was done.
    fn granted(&mut self, purpose: &Purpose, response: &HttpResponse, now: Now) {
        let misunderstood = |what: &str| {
            let message = format!("the control plane's answer to {what} was not understood");
            Error::new(ErrorCode::PeerProtocol, message)
        };
        if matches!(purpose, Purpose::Registration) {
            let Ok(record) = serde_json::from_slice::<RecordAnswer>(response.bytes()) else {
                let error = misunderstood("the registration");
                return self.exchange_failed(purpose, error, now);
            };
            self.exchange_succeeded(purpose);
            self.id = record.beacon_id;
            self.registered(record.moorline.unwrap_or_default(), now);
        } else if matches!(purpose, Purpose::Poll) {
            let text = std::str::from_utf8(response.bytes()).unwrap_or_default();
            let text = ByteString::from(text);
            let Ok(answer) = serde_json::from_str::<HubAnswer<'_>>(&text) else {
                return self.exchange_failed(purpose, misunderstood("a poll"), now);
            };
            self.exchange_succeeded(purpose);
            self.stop_items(answer.cancels, now);
            if let Some(item) = answer.work_item.filter(|item| !item.hash.is_empty()) {
                self.take_work(&item, &text, now);
            }
        } else {
            self.reported(purpose, None, now);
            if let Purpose::Heartbeat | Purpose::Progress(_) = purpose
                && let Ok(answer) = serde_json::from_slice::<HubAnswer<'_>>(response.bytes())
            {
                self.stop_items(answer.cancels, now);
                let is_asked = answer.cancel_requested.is_some_and(|raw| raw.get() == "true");
                if let (Purpose::Progress(wire), true) = (purpose, is_asked) {
                    self.stop_item(wire, now);
                }
            }
        }
    }

    fn stop_items(&mut self, cancels: Option<Vec<WireCancel<'_>>>, now: Now) {
        for cancel in cancels.unwrap_or_default() {
            self.stop_item(cancel.work_item_hash.as_str(), now);
        }
    }

    /// What we said has arrived, taken or not.
    fn reported(&mut self, purpose: &Purpose, refusal: Option<&str>, now: Now) {
        self.exchange_succeeded(purpose);
        if let Purpose::Outcome(wire) = purpose {
            self.taken(wire, refusal, now);
        } else if matches!(purpose, Purpose::Farewell) {
            self.farewell_answered(now);
        }
    }

    /// The session that we showed was not valid.
    fn denied(&mut self, purpose: &Purpose, now: Now) {
        if matches!(purpose, Purpose::Farewell) {
            return self.farewell_answered(now);
        }
        if let Purpose::Outcome(wire) = purpose {
            self.outbox.unsend(wire);
        }
        // Our hub says 401 to polls of workers that it does not know, logged in or not.
        let is_stranger =
            self.credentials.session.as_ref().is_none() && self.credentials.password.is_empty();
        if matches!(purpose, Purpose::Poll) && is_stranger {
            self.forgotten(now);
        } else if !matches!(purpose, Purpose::Verify) {
            self.unauthorized(now);
        }
    }

    fn exchange_succeeded(&mut self, purpose: &Purpose) {
        self.failures = 0;
        if !matches!(purpose, Purpose::Registration) {
            self.credentials.honoured = true;
        }
    }

    fn exchange_failed(&mut self, purpose: &Purpose, error: Error, now: Now) {
        match purpose {
            Purpose::Registration => {
                if matches!(self.link.stage(), Stage::Greeting(Carrier::Requests)) {
                    self.fall_back(error, now);
                } else {
                    let at = now.mono.after(self.options.poll_interval_ms);
                    self.schedule.announce = self.carrier().map(|_| at);
                }
                return;
            }
            Purpose::Farewell => return self.finish(now),
            Purpose::Verify | Purpose::Login => return,
            Purpose::Outcome(wire) => {
                self.outbox.unsend(wire);
                self.schedule.report = Some(now.mono.after(self.options.poll_interval_ms));
            }
            Purpose::Poll | Purpose::Heartbeat | Purpose::Progress(_) => {}
        }
        self.failures += 1;
        if self.failures >= MAX_FAILURES && self.carrier() == Some(Carrier::Requests) {
            self.lose(error, Pace::Ladder, now);
        }
    }

    fn farewell_answered(&mut self, now: Now) {
        if let Stage::Leaving(carrier @ Carrier::Requests) = self.link.stage() {
            self.left(carrier, now);
        }
    }

    /// Fails exchanges that the driver has not answered in time.
    pub(super) fn expire_exchanges(&mut self, now: Now) {
        while let Some((http, exchange)) = self.exchanges.first_key_value() {
            if exchange.until > now.mono {
                return;
            }
            let http = *http;
            self.outputs.push_back(Output::HttpCancel { http });
            self.replied(http, Err(ErrorCode::ConnectTimeout.into()), now);
        }
    }
}
