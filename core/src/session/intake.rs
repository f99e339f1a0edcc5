//! What comes in: frames and HTTP answers, understood by the dialect, acted upon here.

use crate::api::command::Outcome;
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{ConnId, HttpId};
use crate::base::time::Now;
use crate::dialect::{Asked, Dialect, Meaning};
use crate::machine::Output;
use crate::net::{Frame, HttpRequest, HttpResponse};
use crate::parts::work::{Inbound, Offer, Settled};
use crate::session::{Carrier, Exchange, Link, Pace, Session};

/// What the driver may take beyond the time limit of an exchange, before it is not believed.
const DRIVER_SLACK_MS: u64 = 1_000;

/// So many failed exchanges in a row mean that the link is gone.
const MAX_FAILURES: u32 = 2;

impl<D: Dialect> Session<D> {
    pub(super) fn received(&mut self, conn: ConnId, frame: &Frame, now: Now) {
        if self.link.conn() != Some(conn) {
            return;
        }
        self.liveness.heard(now.mono);
        if let Frame::Pong(payload) = frame {
            self.pong(payload);
            return;
        }
        let mut meanings = std::mem::take(&mut self.meanings);
        self.dialect.decode(frame, &mut meanings);
        for meaning in meanings.drain(..) {
            self.act(meaning, now);
        }
        self.meanings = meanings;
    }

    pub(super) fn replied(&mut self, http: HttpId, result: Result<HttpResponse, Error>, now: Now) {
        let Some(Exchange { asked, .. }) = self.exchanges.remove(&http) else { return };
        if asked == Asked::Preflight {
            self.preflight_answered(result, now);
            return;
        }
        let interval = self.dialect.policy().poll_interval_ms;
        if asked == Asked::Poll {
            self.polling.answered(now.mono.after(interval));
        }
        let mut meanings = std::mem::take(&mut self.meanings);
        match result {
            Ok(response) => self.dialect.decode_reply(&asked, &response, &mut meanings),
            Err(error) => meanings.push(Meaning::Failed(error)),
        }
        for meaning in meanings.drain(..) {
            self.act_on_reply(&asked, meaning, now);
        }
        self.meanings = meanings;
    }

    fn act_on_reply(&mut self, asked: &Asked, meaning: Meaning, now: Now) {
        if let Meaning::Failed(error) = meaning {
            self.exchange_failed(asked, error, now);
            return;
        }
        let is_refused =
            matches!(meaning, Meaning::Unauthorized | Meaning::Unregistered | Meaning::Rejected(_));
        if !is_refused {
            self.failures = 0;
            if *asked != Asked::Registration {
                self.credentials.honour();
            }
        }
        if let (Asked::Outcome(wire), true) = (asked, is_refused) {
            self.outbox.unsend(wire);
        }
        if *asked == Asked::Farewell {
            if let Link::Leaving { carrier: carrier @ Carrier::Requests, .. } = self.link {
                self.left(carrier, now);
            }
            return;
        }
        if *asked == Asked::Verify && matches!(meaning, Meaning::Unauthorized) {
            return;
        }
        self.act(meaning, now);
    }

    fn exchange_failed(&mut self, asked: &Asked, error: Error, now: Now) {
        match asked {
            Asked::Registration => {
                if matches!(self.link, Link::Greeting { carrier: Carrier::Requests, .. }) {
                    self.fall_back(error, now);
                }
                return;
            }
            Asked::Farewell => {
                self.finish(now);
                return;
            }
            Asked::Verify | Asked::Preflight => return,
            Asked::Outcome(wire) => {
                self.outbox.unsend(wire);
                let interval = self.dialect.policy().poll_interval_ms;
                self.retry_at = Some(now.mono.after(interval));
            }
            Asked::Poll | Asked::Heartbeat | Asked::Progress => {}
        }
        self.failures += 1;
        if self.failures >= MAX_FAILURES && self.link.ready() == Some(Carrier::Requests) {
            self.lose(error, Pace::Ladder, now);
        }
    }

    fn act(&mut self, meaning: Meaning, now: Now) {
        match meaning {
            Meaning::Registered { id, acks } => self.registered(id, acks, now),
            Meaning::Rejected(reason) => self.rejected(&reason, now),
            Meaning::Unregistered => self.unregistered(now),
            Meaning::Unauthorized => self.unauthorized(now),
            Meaning::Work(inbound) => self.take_work(*inbound, now),
            Meaning::Taken { wire, refusal } => self.taken(&wire, refusal.as_deref(), now),
            Meaning::Withdraw { wire, why } => {
                let events = self.dispatcher.withdraw(&wire, why, now.mono);
                self.counters.withdrawn += events.len() as u64;
                events.into_iter().for_each(|event| self.event(event));
            }
            Meaning::NoWork | Meaning::Alive => {}
            Meaning::Failed(error) => self.notice(Some(error)),
            Meaning::Noise => self.counters.noise += 1,
        }
    }

    fn take_work(&mut self, inbound: Inbound, now: Now) {
        self.counters.received += 1;
        self.polling.hasten(now.mono);
        if self.drain.is_some() {
            // Not taken and not answered: the farewell gives it back, and somebody else runs it.
            return;
        }
        if let Some(entry) = self.outbox.find(&inbound.wire) {
            let is_done = matches!(entry.outcome, Outcome::Done { .. });
            if is_done || inbound.attempt <= entry.attempt {
                let attempt = entry.attempt.max(inbound.attempt);
                self.outbox.adopt(&inbound.wire, attempt);
                return;
            }
            let removed = self.outbox.remove(&inbound.wire);
            self.forget(removed.into_iter().collect());
        }
        let (wire, attempt) = (inbound.wire.clone(), inbound.attempt);
        match self.dispatcher.offer(inbound, now.mono) {
            Offer::Taken | Offer::Known => {}
            Offer::Refused(message) => {
                self.counters.refused += 1;
                let code = ErrorCode::HandlerUnknown;
                self.notice(Some(Error::new(code, format!("{wire} was refused: {message}"))));
                self.keep(Settled { wire, attempt, limit_ms: 0 }, Outcome::Failed { message });
            }
        }
    }

    /// Fails what ran longer than it may, and takes slots from handlers that ignore it.
    pub(super) fn expire_work(&mut self, now: Now) {
        while let Some((event, settled)) = self.dispatcher.expire(now.mono) {
            self.counters.expired += 1;
            event.into_iter().for_each(|event| self.event(event));
            let message =
                format!("the work item ran longer than its time limit of {} ms", settled.limit_ms);
            self.keep(settled, Outcome::Failed { message });
        }
        for work in self.dispatcher.forget_ignored(now.mono) {
            let message = format!(
                "the handler of work item {} ignored its withdrawal; its slot is free",
                work.0
            );
            self.notice(Some(Error::new(ErrorCode::WorkExpired, message)));
        }
    }

    /// Makes an HTTP call and remembers what it was for.
    pub(super) fn ask(&mut self, asked: Asked, request: HttpRequest, now: Now) {
        self.last_http += 2;
        let http = HttpId(self.last_http);
        let policy = self.dialect.policy();
        let timeout_ms = policy.http_timeout_ms;
        let max_body = usize::try_from(policy.limits.max_message_bytes).unwrap_or(usize::MAX);
        let until = now.mono.after(timeout_ms + DRIVER_SLACK_MS);
        self.exchanges.insert(http, Exchange { asked, until });
        self.outputs.push_back(Output::HttpCall {
            http,
            request,
            timeout_ms,
            max_body,
            streams: false,
        });
    }

    /// Gives up every exchange of the present link.
    pub(super) fn drop_exchanges(&mut self) {
        for http in std::mem::take(&mut self.exchanges).into_keys() {
            self.outputs.push_back(Output::HttpCancel { http });
        }
        self.polling.forget();
        self.failures = 0;
        self.retry_at = None;
    }

    /// Fails exchanges that the driver has not answered in time.
    pub(super) fn exchange_timeouts(&mut self, now: Now) {
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
