//! Reports on their way: outcomes through the outbox and the store, progress, heartbeats.

use bytes::Bytes;
use bytestring::ByteString;

use crate::api::command::Outcome;
use crate::api::event::Withdrawal;
use crate::base::error::{Error, ErrorCode, invalid};
use crate::base::ids::{StoreId, WorkId};
use crate::base::json::Raw;
use crate::base::store::StoreRequest;
use crate::base::time::Now;
use crate::dialect::beacon::wire::too_large;
use crate::machine::Output;
use crate::parts::heartbeat::Beat;
use crate::parts::link::Pace;
use crate::parts::outbox::{Entry, from_record};
use crate::parts::work::Settled;

use super::{BeaconWorker, Carrier, Purpose, size};

/// Where outcomes lie in the store.
pub(super) const SPACE: &str = "outbox";

/// The most outcomes, and the most reports of progress, that go over HTTP at the same time.
pub(super) const MAX_HTTP_REPORTS: usize = 8;

/// A log that was left out leaves a line, of at most so many bytes.
const LEFT_OUT: usize = 128;

/// Outcomes share one ping as evidence for so long.
const EVIDENCE_DELAY_MS: u64 = 50;

/// Peer: a hub that drops a shared record when an older connection of the same name closes tells
/// nobody (`ultravisor` 1.3.24), so a worker asks now and then whether it is still known.
const VERIFY_EVERY_BEATS: u64 = 4;

/// Leaves the log out of an outcome that is too large with it, with a line that says so.
pub(super) fn without_log(outcome: &Outcome) -> Option<Outcome> {
    let Outcome::Done { value, log } = outcome else { return None };
    let bytes = log.as_str().len();
    let line = format!("[\"the log of {bytes} bytes was left out: the message was too large\"]");
    (bytes > LEFT_OUT).then(|| Outcome::Done { value: value.clone(), log: Raw::trusted(line) })
}

impl BeaconWorker {
    /// Takes the outcome of an item from its handler.
    pub(super) fn complete(&mut self, work: WorkId, outcome: Outcome) -> Result<(), Error> {
        let (outcome, refusal) = self.bounded(outcome);
        if let Some(settled) = self.work.settle(work)? {
            match &outcome {
                Outcome::Done { .. } => self.counters.completed += 1,
                Outcome::Failed { .. } | Outcome::Cancelled => self.counters.failed += 1,
            }
            self.keep(settled, outcome);
        }
        refusal.map_or(Ok(()), Err)
    }

    /// Replaces an outcome that no link could carry by an error that says so.
    fn bounded(&self, outcome: Outcome) -> (Outcome, Option<Error>) {
        let max = self.options.limits.max_message_bytes;
        let Outcome::Done { value, log } = &outcome else { return (outcome, None) };
        let is_list = log.as_str().starts_with('[');
        let problem = if value.as_str().len() + log.as_str().len() > size(max) {
            if let Some(shorter) = without_log(&outcome).filter(|_| is_list)
                && value.as_str().len() + LEFT_OUT <= size(max)
            {
                return (shorter, None);
            }
            let message = format!("the outcome is larger than limits.max_message_bytes ({max})");
            Error::new(ErrorCode::TooLarge, message)
        } else if !is_list {
            invalid("the log of an outcome is a list of text")
        } else {
            return (outcome, None);
        };
        let message = problem.message();
        let is_large = problem.code() == ErrorCode::TooLarge;
        let message = if is_large { too_large(message) } else { message.to_owned() };
        (Outcome::Failed { message }, Some(problem))
    }

    /// Fails an item whose outcome cannot pass. A failure that cannot pass either is lost.
    pub(super) fn too_large(&mut self, wire: &ByteString, problem: &str, now: Now) {
        let Some(Entry { attempt, outcome, .. }) = self.outbox.find(wire) else { return };
        let message = too_large(problem);
        if matches!(outcome, Outcome::Failed { message: said } if said.len() <= message.len() + 64)
        {
            return self.taken(wire, Some(&message), now);
        }
        let settled = Settled { wire: wire.clone(), attempt: *attempt, limit_ms: 0 };
        self.notice(Error::new(ErrorCode::TooLarge, format!("the outcome of {wire}: {problem}")));
        self.keep(settled, Outcome::Failed { message });
    }

    /// Puts an outcome into the outbox and, with a store, on the way to the disk.
    pub(super) fn keep(&mut self, settled: Settled, outcome: Outcome) {
        let Settled { wire, attempt, .. } = settled;
        self.outbox.put(wire.clone(), attempt, outcome);
        if self.is_durable()
            && let Some(entry) = self.outbox.find(&wire)
        {
            self.journal.put(SPACE, &wire, entry.to_record());
        }
    }

    /// Removes outcomes that the peer has, or does not want.
    pub(super) fn forget(&mut self, removed: impl IntoIterator<Item = ByteString>) {
        let is_durable = self.is_durable();
        for gone in removed.into_iter().filter(|_| is_durable) {
            self.journal.delete(SPACE, &gone);
        }
    }

    /// Takes the outcomes of an earlier run.
    pub(super) fn recall(&mut self, records: Vec<(String, Bytes)>) {
        let mut unreadable = 0;
        for (wire, bytes) in records {
            match from_record(&bytes) {
                Some(_) if self.outbox.find(&wire).is_some() => {}
                Some((attempt, outcome)) => self.outbox.put(wire.into(), attempt, outcome),
                None => unreadable += 1,
            }
        }
        if unreadable > 0 {
            let text = format!("{unreadable} records of the store cannot be read; they are left");
            self.notice(Error::new(ErrorCode::StoreFailed, text));
        }
    }

    /// Hands to the store what is to be written, one commit after the other.
    pub(super) fn write(&mut self) {
        let commit = self.journal.flush();
        self.store(commit);
    }

    pub(super) fn store(&mut self, request: Option<(StoreId, StoreRequest)>) {
        let output = request.map(|(store, request)| Output::Store { store, request });
        self.outputs.extend(output);
    }

    /// Sends what is unsent, as far as the link takes it.
    pub(super) fn flush(&mut self, now: Now) {
        let Some(carrier) = self.carrier() else { return };
        if !self.outbox.has_unsent() {
            return;
        }
        let is_http = carrier == Carrier::Requests;
        if is_http && self.schedule.report.is_some_and(|at| at > now.mono) {
            return;
        }
        self.schedule.report = None;
        let window = size(self.options.limits.max_send_queue_bytes / 2);
        while (!is_http || self.reports_on_their_way() < MAX_HTTP_REPORTS)
            && self.say_outcome(carrier, window, now)
        {}
        if !is_http {
            self.plan_evidence(now);
        }
    }

    /// Plans to ask for evidence, where outcomes are not acknowledged.
    fn plan_evidence(&mut self, now: Now) {
        // The answer to a ping plans the next.
        if self.acks || self.outbox.ping.is_some() {
            return;
        }
        // A drain waits for the evidence, and half a window of it holds up the rest.
        let is_urgent = self.drain.is_on() || self.outbox.has_unsent();
        let at = now.mono.after(if is_urgent { 0 } else { EVIDENCE_DELAY_MS });
        let planned = self.schedule.evidence;
        self.schedule.evidence = Some(planned.map_or(at, |planned| planned.min(at)));
    }

    fn reports_on_their_way(&self) -> usize {
        self.under_way(|purpose| matches!(purpose, Purpose::Outcome(_)))
    }

    /// Counts the HTTP calls that are for what is meant.
    pub(super) fn under_way(&self, is_meant: impl Fn(&Purpose) -> bool) -> usize {
        self.exchanges.values().filter(|exchange| is_meant(&exchange.purpose)).count()
    }

    /// Asks for evidence of everything sent so far: one ping for many outcomes.
    pub(super) fn gather_evidence(&mut self, now: Now) {
        if self.schedule.evidence.is_none_or(|at| at > now.mono) {
            return;
        }
        self.schedule.evidence = None;
        if self.outbox.has_sent() {
            self.say_ping();
        }
    }

    pub(super) fn pong(&mut self, payload: &[u8], now: Now) {
        let removed = self.outbox.pong(payload, !self.acks);
        self.counters.taken += removed.len() as u64;
        self.forget(removed);
        // What was sent behind the ping had to wait for its answer.
        if self.outbox.has_sent() {
            self.plan_evidence(now);
        }
    }

    /// The peer has taken an outcome, or will never.
    pub(super) fn taken(&mut self, wire: &str, refusal: Option<&str>, now: Now) {
        let removed = self.outbox.remove(wire);
        match (&removed, refusal) {
            (Some(_), None) => self.counters.taken += 1,
            (Some(_), Some(reason)) => {
                self.counters.lost += 1;
                let message = format!("the outcome of {wire} was not taken: {reason}");
                self.notice(Error::new(ErrorCode::WorkLost, message));
            }
            (None, Some(_)) => {
                let events = self.work.withdraw(wire, Withdrawal::Superseded, now.mono);
                events.into_iter().for_each(|event| self.event(event));
            }
            (None, None) => {}
        }
        self.forget(removed);
    }

    /// Reports progress, if there is a link: progress is of no use later.
    pub(super) fn progress(&mut self, work: WorkId, report: &Raw, now: Now) -> Result<(), Error> {
        if !report.as_str().starts_with('{') {
            return Err(invalid("a progress report is a JSON object"));
        }
        let Some((wire, attempt)) = self.work.running(work) else {
            let message = format!("work item {} is not running here", work.0);
            return Err(Error::new(ErrorCode::WorkUnknown, message));
        };
        if let Some(carrier) = self.carrier() {
            let wire = wire.clone();
            self.say_progress(carrier, &wire, attempt, Some(report), now)?;
        }
        Ok(())
    }

    pub(super) fn life_signs(&mut self, now: Now) {
        while let Some((wire, attempt)) = self.work.life_sign(now.mono) {
            if let Some(carrier) = self.carrier().filter(|_| !self.acks) {
                // A sign of life is small.
                let _ = self.say_progress(carrier, &wire, attempt, None, now);
            }
        }
    }

    pub(super) fn beat(&mut self, now: Now) {
        let Some(carrier) = self.carrier() else { return };
        let beat = self.heartbeat.take(now.mono);
        if !matches!(beat, Beat::NotDue) && self.journal.look() {
            self.notice(Error::new(ErrorCode::StoreFailed, "the store does not end a commit"));
        }
        match beat {
            Beat::NotDue => return,
            Beat::Withhold { first: true } => {
                let message = "heartbeats are withheld: the application does not read its events";
                self.notice(Error::new(ErrorCode::HostStalled, message));
            }
            Beat::Withhold { first: false } => {}
            Beat::Send => {
                self.counters.heartbeats += 1;
                self.say_heartbeat(carrier, now);
                // On a connection without acknowledgements nothing else would tell.
                let is_blind = !self.acks && carrier != Carrier::Requests;
                if is_blind && self.counters.heartbeats.is_multiple_of(VERIFY_EVERY_BEATS) {
                    self.say_verify(now);
                }
            }
        }
        self.outputs.push_back(Output::ProbeHost);
    }

    pub(super) fn check_pulse(&mut self, now: Now) {
        if self.schedule.ping.is_none_or(|at| at > now.mono) {
            return;
        }
        match self.liveness.ping(self.options.ping_interval_ms) {
            Some(next_ms) => {
                self.schedule.ping = Some(now.mono.after(next_ms));
                self.say_ping();
            }
            None => self.lose(ErrorCode::PeerSilent.into(), Pace::Ladder, now),
        }
    }
}
