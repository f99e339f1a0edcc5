//! The life of the link, from the first attempt to the end.

use crate::api::event::{SessionEvent, Withdrawal};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{ConnId, StoreId};
use crate::base::store::{StoreReply, StoreRequest};
use crate::base::time::{Now, Why};
use crate::dialect::beacon::options::WorkerTransport;
use crate::dialect::beacon::wire::{WireExtension, away_until, login_answer};
use crate::machine::{CloseCause, Output};
use crate::net::{HttpResponse, cookies};
use crate::parts::link::Pace;
use crate::parts::liveness::Liveness;

use super::polling::Upgrade;
use super::report::SPACE;
use super::{BeaconWorker, Carrier, Schedule, Stage, size};

/// How long the store may take to return the outcomes of an earlier run. One that is needed is waited for
/// longer, since reading much takes its time.
const RECALL_MS: u64 = 5_000;

/// The number of the question for them.
const LOAD: StoreId = StoreId(0);

/// A link that was ready for less is not registered again at once when the peer forgets us.
const MIN_READY_MS: u64 = 1_000;

/// How long the farewell may take.
const FAREWELL_MS: u64 = 2_000;

/// The close code for a message that is too large.
const CLOSE_TOO_LARGE: u16 = 1009;

/// The close code of a hub that refuses a worker.
const CLOSE_REJECTED: u16 = 4403;

/// The close code of a hub where another worker has our name.
const CLOSE_TAKEN: u16 = 4409;

/// The close code of a hub that will take a registration later. Source: IANA, "Try Again Later".
const CLOSE_LATER: u16 = 1013;

/// How long finished outcomes may still be flushed after the drain deadline.
const FLUSH_GRACE_MS: u64 = 2_000;

impl BeaconWorker {
    pub(super) fn start(&mut self, now: Now) -> Result<(), Error> {
        if !matches!(self.link.stage(), Stage::Idle) {
            return Err(ErrorCode::AlreadyStarted.into());
        }
        if self.is_durable() {
            self.enter(Stage::Recalling, now);
            self.store(Some((LOAD, StoreRequest::Load { space: SPACE })));
        } else {
            self.log_in(now);
        }
        Ok(())
    }

    /// The store returns the outcomes of an earlier run, or confirms a commit.
    pub(super) fn stored(&mut self, store: StoreId, result: Result<StoreReply, Error>, now: Now) {
        if store != LOAD {
            let told = self.journal.stored(store, result, now.mono).err();
            return told.into_iter().for_each(|error| self.notice(error));
        }
        let is_recalling = matches!(self.link.stage(), Stage::Recalling);
        match result {
            Ok(StoreReply::Loaded(records)) => self.recall(records),
            Ok(StoreReply::Committed) => return,
            Err(error) if is_recalling && self.options.outbox.require_store => {
                return self.end(Some(error), now);
            }
            Err(error) => self.notice(error),
        }
        if is_recalling {
            self.log_in(now);
        }
    }

    /// Begins an attempt.
    pub(super) fn log_in(&mut self, now: Now) {
        self.credentials.drop_session();
        self.say_login(now);
        self.enter(Stage::Preflight, now);
    }

    pub(super) fn logged_in(&mut self, result: Result<HttpResponse, Error>, now: Now) {
        let response = match result {
            Ok(response) => response,
            Err(error) => return self.lose(error, Pace::Ladder, now),
        };
        // With a join secret the registration decides, and needs no login.
        let is_needless =
            (400..500).contains(&response.status) && !self.options.join_secret.is_empty();
        match login_answer(&response) {
            Err(error) if is_needless => self.notice(error),
            Err(error) => return self.lose(error, Pace::Ladder, now),
            // Peer: an open hub refuses every login, so a refusal matters only to those who have a
            // password to be refused.
            Ok(answer) if !answer.logged_in && !self.credentials.password.is_empty() => {
                let said = answer.error.unwrap_or_default();
                self.notice(Error::new(ErrorCode::AuthenticationFailed, said));
            }
            Ok(_) => {}
        }
        self.credentials.keep(cookies::first(&response));
        if self.prefers_connections() {
            let conn = self.dial();
            self.enter(Stage::Dialing(conn), now);
        } else {
            self.greet(Carrier::Requests, now);
        }
    }

    pub(super) fn opened(&mut self, conn: ConnId, now: Now) {
        let is_upgrade = self.upgrade.is_dialing(conn);
        if matches!(self.link.stage(), Stage::Dialing(dialed) if dialed == conn) {
            self.greet(Carrier::Connection(conn), now);
        } else if is_upgrade && self.carrier() == Some(Carrier::Requests) {
            self.upgrade = Upgrade::Off;
            self.greet(Carrier::Connection(conn), now);
        } else {
            self.close(conn);
        }
    }

    /// Announces us; the answer makes the link ready.
    pub(super) fn greet(&mut self, carrier: Carrier, now: Now) {
        self.enter(Stage::Greeting(carrier), now);
        self.announce(carrier, now);
    }

    /// The present transport failed before it was ready: try the other one, if there is one.
    pub(super) fn fall_back(&mut self, error: Error, now: Now) {
        let is_auto = self.options.transport == WorkerTransport::Auto;
        if is_auto && self.link.stage().conn().is_some() {
            self.notice(error);
            self.greet(Carrier::Requests, now);
        } else {
            self.lose(error, Pace::Ladder, now);
        }
    }

    pub(super) fn registered(&mut self, ours: WireExtension, now: Now) {
        self.acks = ours.acks;
        let max_message = ours.max_message_bytes;
        self.passage.begin(max_message.map(size));
        if let Some(mut next) = self.announcing.take()
            && let Stage::Greeting(carrier) | Stage::Ready(carrier) = self.link.stage()
        {
            // A foreign hub knows no pages.
            if !ours.acks {
                next.held.clear();
            }
            if ours.acks || next.is_brief {
                return self.say_page(carrier, next, now);
            }
        }
        let Stage::Greeting(carrier) = self.link.stage() else { return };
        self.last_error = None;
        self.outbox.unsend_all();
        self.heartbeat.arm(now.mono);
        match carrier {
            Carrier::Connection(_) => {
                self.liveness = Liveness::default();
                self.schedule.ping = Some(now.mono.after(self.options.ping_interval_ms));
            }
            Carrier::Requests => {
                self.polling.next = Some(now.mono);
                if self.prefers_connections() {
                    self.stop_upgrade();
                    self.plan_upgrade(now);
                }
            }
        }
        if self.link.enter_ready(Stage::Ready(carrier), now) {
            self.counters.reconnects += 1;
        }
        let transport = carrier.transport();
        self.event(SessionEvent::Ready { id: self.id.clone(), transport, max_message });
    }

    /// We are refused: for good if we were never let in.
    pub(super) fn rejected(&mut self, reason: &str, now: Now) {
        self.turned_away(Error::new(ErrorCode::PeerRefused, reason), now);
    }

    /// Another worker has our name, and our work: we come back when it is free.
    pub(super) fn displaced(&mut self, reason: &str, now: Now) {
        self.work.drop_waiting();
        self.counters.withdrawn += self.withdraw_all(Withdrawal::Superseded, now) as u64;
        self.lose(Error::new(ErrorCode::NameTaken, reason), Pace::Longest, now);
    }

    pub(super) fn turned_away(&mut self, error: Error, now: Now) {
        if self.link.was_ready {
            self.lose(error, Pace::Longest, now);
        } else {
            self.end(Some(error), now);
        }
    }

    /// The peer has forgotten us: announce us again, unless it does so all the time.
    pub(super) fn forgotten(&mut self, now: Now) {
        if let Stage::Leaving(carrier) = self.link.stage() {
            return self.left(carrier, now);
        }
        // A worker that is about to go reports by the items' ids and is gone.
        let Some(carrier) = self.carrier().filter(|_| !self.drain.is_on()) else { return };
        if now.mono.since(self.link.since.mono) >= MIN_READY_MS {
            self.greet(carrier, now);
        } else {
            let message = "the control plane forgets this worker as soon as it is registered";
            self.lose(Error::new(ErrorCode::PeerProtocol, message), Pace::Ladder, now);
        }
    }

    /// The session that we showed is not valid: ask for another, if one has been of use before.
    pub(super) fn unauthorized(&mut self, now: Now) {
        use Carrier::Requests;
        let (Stage::Ready(Requests) | Stage::Greeting(Requests)) = self.link.stage() else {
            return;
        };
        if self.credentials.drop_session() {
            self.outbox.unsend_all();
            self.drop_exchanges();
            self.log_in(now);
        } else {
            let message = "the control plane does not accept the login of this worker";
            self.turned_away(Error::new(ErrorCode::AuthenticationFailed, message), now);
        }
    }

    pub(super) fn closed(&mut self, conn: ConnId, cause: &CloseCause, now: Now) {
        if self.upgrade.is_dialing(conn) {
            return self.plan_upgrade(now);
        }
        if self.link.stage().conn() != Some(conn) {
            return;
        }
        self.gone = Some(conn);
        if let CloseCause::Remote { reason, .. } = cause {
            self.away_ms = away_until(reason);
        }
        let is_too_large = matches!(cause, CloseCause::Remote { code: CLOSE_TOO_LARGE, .. });
        if let Stage::Ready(_) = self.link.stage() {
            self.passage.ended(is_too_large);
        }
        match (self.link.stage(), cause) {
            (Stage::Leaving(_), _) => self.finish(now),
            (_, CloseCause::Remote { code: CLOSE_TAKEN, reason }) => self.displaced(reason, now),
            (Stage::Greeting(_), CloseCause::Remote { code: CLOSE_REJECTED, reason }) => {
                self.rejected(reason, now);
            }
            (Stage::Greeting(_), CloseCause::Remote { code: CLOSE_LATER, .. }) => {
                self.lose(cause.to_error(), Pace::Ladder, now);
            }
            (Stage::Greeting(_), CloseCause::Remote { reason, .. }) if is_too_large => {
                let message = format!(
                    "the control plane closed the connection with 1009 at the registration, which is \
                     larger than it takes: {reason}"
                );
                let error = Error::new(ErrorCode::TooLarge, message);
                if self.options.transport == WorkerTransport::Auto {
                    self.fall_back(error, now);
                } else {
                    self.turned_away(error, now);
                }
            }
            (Stage::Ready(_), CloseCause::Remote { code: CLOSE_REJECTED, .. }) => {
                self.lose(cause.to_error(), Pace::Longest, now);
            }
            (Stage::Ready(_), _) => self.lose(cause.to_error(), Pace::Ladder, now),
            (_, _) => self.fall_back(cause.to_error(), now),
        }
    }

    /// The link is gone: wait, then begin anew.
    pub(super) fn lose(&mut self, error: Error, pace: Pace, now: Now) {
        self.abandon();
        self.last_error = Some(error.clone());
        if self.options.withdraw_on_loss {
            self.work.drop_waiting();
            self.counters.withdrawn += self.withdraw_all(Withdrawal::LinkLost, now) as u64;
        }
        if self.drain.is_on() && self.is_spent() {
            return self.finish(now);
        }
        let pace = match (pace, self.away_ms.take()) {
            (Pace::Ladder, Some(millis)) => Pace::After(millis),
            (pace, _) => pace,
        };
        let Some(retry_ms) = self.link.lose(pace, &mut self.entropy, now.mono) else {
            return self.end(Some(error), now);
        };
        self.enter(Stage::Waiting { retry_ms }, now);
        self.event(SessionEvent::Lost {
            reason: error,
            retry_ms,
            attempt: self.link.backoff.attempt,
        });
    }

    /// The time limit of the present stage has passed.
    pub(super) fn link_timed_out(&mut self, now: Now) {
        if !self.link.is_due(now.mono) {
            return;
        }
        match self.link.stage() {
            Stage::Recalling => {
                if self.options.outbox.require_store {
                    let message = "the store has not answered yet: it is waited for";
                    self.notice(Error::new(ErrorCode::StoreFailed, message));
                    return self.link.enter(Stage::Recalling, None, now);
                }
                let message = "the store did not answer; outcomes of an earlier run stay in it";
                self.stored(LOAD, Err(Error::new(ErrorCode::StoreFailed, message)), now);
            }
            Stage::Dialing(conn) => {
                self.close_for_good(conn);
                self.fall_back(ErrorCode::ConnectTimeout.into(), now);
            }
            Stage::Greeting(carrier) => {
                let message = "the control plane did not confirm the registration in time";
                if let Carrier::Connection(conn) = carrier {
                    self.close_for_good(conn);
                }
                self.fall_back(Error::new(ErrorCode::ConnectTimeout, message), now);
            }
            Stage::Waiting { .. } => self.log_in(now),
            Stage::Leaving(carrier) => self.left(carrier, now),
            Stage::Idle | Stage::Preflight | Stage::Ready(_) | Stage::Ended => {}
        }
    }

    /// Refuses new work, keeps beating, lets running work finish, flushes the outbox, says farewell.
    pub(super) fn stop(&mut self, drain_ms: u64, now: Now) {
        if !self.drain.begin(drain_ms, now.mono) {
            return;
        }
        self.work.drop_waiting();
        self.stop_upgrade();
        let is_waiting = matches!(self.link.stage(), Stage::Waiting { .. });
        if matches!(self.link.stage(), Stage::Idle) {
            self.end(None, now);
        } else if is_waiting && !self.is_spent() && drain_ms > 0 {
            // What is still to be said needs a link: do not wait for the ladder.
            self.log_in(now);
        }
        self.heartbeat.hasten(now.mono);
        self.schedule.evidence = self.schedule.evidence.map(|_| now.mono);
    }

    /// Advances the drain as far as it goes.
    pub(super) fn advance_drain(&mut self, now: Now) {
        if !self.drain.is_on() || self.is_leaving() {
            return;
        }
        let (in_flight, outbox) = (self.work.held().count(), self.outbox.len());
        if self.drain.has_news(in_flight, outbox) {
            self.event(SessionEvent::Draining { in_flight, outbox });
        }
        if in_flight > 0 && self.drain.is_over(now.mono) {
            self.unfinished += self.withdraw_all(Withdrawal::Draining, now);
        }
        if !self.work.is_idle() {
            return;
        }
        let may_flush = self.drain.may_flush(FLUSH_GRACE_MS, now.mono);
        // A registration on its way is waited for: the peer may know us by now.
        let is_greeting = matches!(self.link.stage(), Stage::Greeting(_));
        if may_flush && (is_greeting || !self.outbox.is_empty() || self.journal.unwritten() > 0) {
            return;
        }
        self.leave(now);
    }

    /// Says goodbye; the answer, the close or a time limit ends the worker.
    pub(super) fn leave(&mut self, now: Now) {
        let Some(carrier) = self.carrier() else { return self.finish(now) };
        self.drop_exchanges();
        self.enter(Stage::Leaving(carrier), now);
        self.say_farewell(carrier, now);
    }

    /// The farewell was answered or is given up.
    pub(super) fn left(&mut self, carrier: Carrier, now: Now) {
        match carrier {
            Carrier::Connection(conn) if self.gone != Some(conn) => {
                self.close_for_good(conn);
                self.enter(Stage::Leaving(carrier), now);
            }
            Carrier::Connection(_) | Carrier::Requests => self.finish(now),
        }
    }

    /// Ends a drained worker and says what was lost by it.
    pub(super) fn finish(&mut self, now: Now) {
        let (unfinished, left) = (self.unfinished, self.outbox.len());
        let error = if unfinished > 0 {
            let message = format!("{unfinished} work items were still running at the deadline");
            Some(Error::new(ErrorCode::DrainTimeout, message))
        } else if left > 0 && (!self.is_durable() || self.journal.is_failing) {
            let message = format!("{left} outcomes were not taken by the control plane");
            Some(Error::new(ErrorCode::ConnectionLost, message))
        } else {
            None
        };
        self.end(error, now);
    }

    /// Cancels everything and tells the application. Nothing follows.
    pub(super) fn end(&mut self, error: Option<Error>, now: Now) {
        self.abandon();
        self.enter(Stage::Ended, now);
        let last = self.journal.last();
        self.store(last);
        self.event(SessionEvent::Ended { error });
    }

    /// Moves the link, except to ready, with the time limit of the stage.
    pub(super) fn enter(&mut self, stage: Stage, now: Now) {
        let limit = match stage {
            Stage::Recalling => Some((RECALL_MS, Why::Store)),
            Stage::Dialing(_) => Some((self.dial_ms(), Why::Connect)),
            Stage::Greeting(_) => Some((self.options.registration_timeout_ms, Why::Registration)),
            Stage::Waiting { retry_ms } => Some((retry_ms, Why::Backoff)),
            Stage::Leaving(_) => Some((FAREWELL_MS, Why::Farewell)),
            Stage::Idle | Stage::Preflight | Stage::Ready(_) | Stage::Ended => None,
        };
        self.link.enter(stage, limit, now);
        self.schedule = Schedule::default();
        self.heartbeat.next = None;
        self.polling.next = None;
        self.waiting = (0, false);
        self.outbox.ping = None;
    }

    /// Cancels everything that belongs to the present link.
    pub(super) fn abandon(&mut self) {
        self.drop_exchanges();
        self.outbox.unsend_all();
        self.stop_upgrade();
        if let Some(conn) = self.link.stage().conn().filter(|conn| self.gone != Some(*conn)) {
            self.close(conn);
        }
    }

    pub(super) fn close(&mut self, conn: ConnId) {
        self.outputs.push_back(Output::Close { conn, code: 1000, reason: String::new() });
    }

    /// Closes a connection that the link stands on still.
    pub(super) fn close_for_good(&mut self, conn: ConnId) {
        self.gone = Some(conn);
        self.close(conn);
    }

    /// Gives up every exchange of the present link.
    pub(super) fn drop_exchanges(&mut self) {
        for http in std::mem::take(&mut self.exchanges).into_keys() {
            self.outputs.push_back(Output::HttpCancel { http });
        }
        self.polling.is_asking = false;
        self.failures = 0;
        self.schedule.report = None;
    }
}
