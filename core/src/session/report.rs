//! Reports on their way: outcomes through the outbox and the store, progress, heartbeats.

use bytes::Bytes;
use bytestring::ByteString;

use crate::api::command::Outcome;
use crate::api::event::Event;
use crate::api::event::SessionEvent;
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{StoreId, WorkId};
use crate::base::json::Raw;
use crate::base::store::{StoreReply, StoreRequest, Write};
use crate::base::time::Now;
use crate::dialect::{Asked, Dialect, Outgoing};
use crate::machine::Output;
use crate::net::Frame;
use crate::parts::heartbeat::Beat;
use crate::parts::liveness::Pulse;
use crate::parts::outbox::{Entry, Removed, from_record};
use crate::parts::work::Settled;
use crate::session::{Carrier, Session};

/// Where outcomes lie in the store.
const SPACE: &str = "outbox";

/// The most outcomes reported over HTTP at the same time.
const MAX_HTTP_REPORTS: usize = 8;

impl<D: Dialect> Session<D> {
    /// Takes the outcome of an item from its handler.
    pub(super) fn complete(&mut self, work: WorkId, outcome: Outcome) -> Result<(), Error> {
        let (outcome, refusal) = self.bounded(outcome);
        if let Some(settled) = self.dispatcher.settle(work)? {
            match &outcome {
                Outcome::Done { .. } => self.counters.completed += 1,
                Outcome::Failed { .. } | Outcome::Cancelled => self.counters.failed += 1,
            }
            self.keep(settled, outcome);
        }
        refusal.map_or(Ok(()), Err)
    }

    /// Puts an outcome into the outbox and, with a store, on the way to the disk.
    pub(super) fn keep(&mut self, settled: Settled, outcome: Outcome) {
        let Settled { wire, attempt, .. } = settled;
        self.outbox.put(wire.clone(), attempt, outcome);
        if !self.dialect.policy().is_durable {
            return;
        }
        if let Some(entry) = self.outbox.find(&wire) {
            let value = Bytes::from(entry.to_record());
            let write = Write::Put { space: SPACE, key: wire.to_string(), value };
            self.commit(vec![write]);
        }
    }

    /// Removes outcomes that the peer has, or does not want.
    pub(super) fn forget(&mut self, removed: Vec<Removed>) {
        if removed.is_empty() || !self.dialect.policy().is_durable {
            return;
        }
        let delete = |gone: Removed| Write::Delete { space: SPACE, key: gone.wire.to_string() };
        self.commit(removed.into_iter().map(delete).collect());
    }

    fn commit(&mut self, writes: Vec<Write>) {
        self.store(StoreRequest::Commit { writes });
    }

    /// Asks for the outcomes of an earlier run.
    pub(super) fn recall(&mut self) {
        self.store(StoreRequest::Load { space: SPACE });
    }

    fn store(&mut self, request: StoreRequest) {
        self.last_store += 1;
        self.outputs.push_back(Output::Store { store: StoreId(self.last_store), request });
    }

    pub(super) fn stored(&mut self, result: Result<StoreReply, Error>, now: Now) {
        let is_recalling = matches!(self.link, super::Link::Recalling { .. });
        match result {
            Ok(StoreReply::Loaded(records)) => {
                for (wire, bytes) in records {
                    let is_newer_here = self.outbox.find(&wire).is_some();
                    let record = from_record(&bytes).filter(|_| !is_newer_here);
                    if let Some((attempt, outcome)) = record {
                        self.outbox.put(wire.into(), attempt, outcome);
                    }
                }
            }
            Ok(StoreReply::Committed) => return,
            Err(error) => self.notice(Some(error)),
        }
        if is_recalling {
            self.begin_attempt(now);
        }
    }

    /// Sends what is unsent, as far as the link takes it.
    pub(super) fn flush(&mut self, now: Now) {
        let Some(carrier) = self.link.ready() else { return };
        if !self.outbox.has_unsent() {
            return;
        }
        let window = self.dialect.policy().limits.max_send_queue_bytes / 2;
        let window = usize::try_from(window).unwrap_or(usize::MAX);
        if carrier == Carrier::Requests && self.retry_at.is_some_and(|at| at > now.mono) {
            return;
        }
        self.retry_at = None;
        while carrier != Carrier::Requests || self.reports_on_their_way() < MAX_HTTP_REPORTS {
            let Some(Entry { wire, attempt, outcome, .. }) = self.outbox.send(window) else {
                break;
            };
            let what = Outgoing::Outcome { wire, attempt: *attempt, outcome };
            let asked = Asked::Outcome(wire.clone());
            let parcel = self.dialect.encode(what, carrier.transport(), &self.credentials);
            self.send(parcel, carrier, asked, now);
        }
        let needs_evidence = !self.acks && carrier != Carrier::Requests;
        if needs_evidence {
            // A drain waits for the evidence, and half a window of it holds up the rest.
            let is_urgent = self.drain.is_some() || self.outbox.has_unsent();
            let delay = if is_urgent { 0 } else { self.dialect.policy().evidence_delay_ms };
            let at = now.mono.after(delay);
            self.evidence_at = Some(self.evidence_at.map_or(at, |planned| planned.min(at)));
        }
    }

    fn reports_on_their_way(&self) -> usize {
        self.exchanges
            .values()
            .filter(|exchange| matches!(exchange.asked, Asked::Outcome(_)))
            .count()
    }

    /// Asks for evidence of everything sent so far: one ping for many outcomes.
    pub(super) fn gather_evidence(&mut self, now: Now) {
        if self.evidence_at.is_none_or(|at| at > now.mono) {
            return;
        }
        self.evidence_at = None;
        if self.outbox.has_sent() {
            self.ping();
        }
    }

    fn ping(&mut self) {
        if let Some(Carrier::Connection(conn)) = self.link.ready() {
            let payload = self.liveness.ping(self.outbox.sending());
            self.outputs.push_back(Output::Send { conn, frame: Frame::Ping(payload) });
        }
    }

    pub(super) fn pong(&mut self, payload: &[u8]) {
        let Some(covers) = self.liveness.pong(payload).filter(|_| !self.acks) else { return };
        let removed = self.outbox.proven(covers);
        self.counters.taken += removed.len() as u64;
        self.forget(removed);
    }

    /// The peer has taken an outcome, or will never.
    pub(super) fn taken(&mut self, wire: &ByteString, refusal: Option<&str>, now: Now) {
        let removed = self.outbox.remove(wire);
        match (&removed, refusal) {
            (Some(_), None) => self.counters.taken += 1,
            (Some(_), Some(reason)) => {
                self.counters.lost += 1;
                let message = format!("the outcome of {wire} was not taken: {reason}");
                self.notice(Some(Error::new(ErrorCode::WorkLost, message)));
            }
            (None, Some(_)) => {
                let why = crate::api::event::Withdrawal::Superseded;
                let events = self.dispatcher.withdraw(wire, why, now.mono);
                events.into_iter().for_each(|event| self.event(event));
            }
            (None, None) => {}
        }
        self.forget(removed.into_iter().collect());
    }

    /// Reports progress, if there is a link: progress is of no use later.
    pub(super) fn report_progress(
        &mut self,
        wire: &str,
        attempt: u32,
        report: Option<&Raw>,
        now: Now,
    ) {
        let Some(carrier) = self.link.ready() else { return };
        let what = Outgoing::Progress { wire, attempt, report };
        let parcel = self.dialect.encode(what, carrier.transport(), &self.credentials);
        self.send(parcel, carrier, Asked::Progress, now);
    }

    pub(super) fn life_signs(&mut self, now: Now) {
        while let Some((wire, attempt)) = self.dispatcher.life_sign(now.mono) {
            if !self.acks {
                self.report_progress(&wire, attempt, None, now);
            }
        }
    }

    pub(super) fn beat(&mut self, now: Now) {
        let Some(carrier) = self.link.ready() else { return };
        match self.heartbeat.take(now.mono) {
            Beat::NotDue => return,
            Beat::Withhold { first: true } => {
                let message = "heartbeats are withheld: the application does not read its events";
                self.notice(Some(Error::new(ErrorCode::HostStalled, message)));
            }
            Beat::Withhold { first: false } => {}
            Beat::Send => {
                self.counters.heartbeats += 1;
                let what = Outgoing::Heartbeat {
                    host_lag_ms: self.heartbeat.host_lag_ms(),
                    in_flight: self.dispatcher.slots().running(),
                    is_draining: self.drain.is_some(),
                };
                let parcel = self.dialect.encode(what, carrier.transport(), &self.credentials);
                self.send(parcel, carrier, Asked::Heartbeat, now);
                self.verify(carrier, now);
            }
        }
        self.outputs.push_back(Output::ProbeHost);
    }

    /// Asks a peer without acknowledgements now and then whether it still knows us: on a connection,
    /// nothing else would tell.
    fn verify(&mut self, carrier: Carrier, now: Now) {
        let every = u64::from(self.dialect.policy().verify_every_beats);
        let is_blind = !self.acks && carrier != Carrier::Requests;
        if is_blind && every > 0 && self.counters.heartbeats.is_multiple_of(every) {
            let parcel =
                self.dialect.encode(Outgoing::Verify, carrier.transport(), &self.credentials);
            self.send(parcel, carrier, Asked::Verify, now);
        }
    }

    pub(super) fn check_pulse(&mut self, now: Now) {
        match self.liveness.take(now.mono) {
            Pulse::NotDue => {}
            Pulse::Ping => self.ping(),
            Pulse::Dead => self.lose(ErrorCode::PeerSilent.into(), super::Pace::Ladder, now),
        }
    }

    /// Replaces an outcome that no link could carry by an error that says so.
    fn bounded(&self, outcome: Outcome) -> (Outcome, Option<Error>) {
        let max = self.dialect.policy().limits.max_message_bytes;
        let Outcome::Done { value, log } = &outcome else { return (outcome, None) };
        let problem = if value.as_str().len() + log.as_str().len()
            > usize::try_from(max).unwrap_or(usize::MAX)
        {
            let message = format!("the outcome is larger than limits.max_message_bytes ({max})");
            Error::new(ErrorCode::TooLarge, message)
        } else if !log.as_str().starts_with('[') {
            Error::new(ErrorCode::ArgumentInvalid, "the log of an outcome is a list of text")
        } else {
            return (outcome, None);
        };
        (Outcome::Failed { message: problem.message().to_owned() }, Some(problem))
    }

    pub(super) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(super) fn notice(&mut self, error: Option<Error>) {
        if let Some(error) = error {
            self.event(Event::Session(SessionEvent::Notice { error }));
        }
    }
}
