//! From one attempt to connect to the next.

use super::beats::Beats;
use super::calls::Asker;
use super::enroll::STORE_MS;
use super::{Awaited, VoltDaemon};
use crate::api::event::{SessionEvent, Withdrawal, WorkEvent};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::HttpId;
use crate::base::time::Why;
use crate::net::socketio;
use crate::parts::link::Pace;

/// What every complaint about a failed connection begins with.
///
/// Peer: programs search for these words.
const PREFIX: &str = "Control socket connection error: ";

/// How servers refuse a path that they do not serve, and what to do then.
const NO_NAMESPACE: &str = "Invalid namespace";
const NAMESPACE_HINT: &str = ": VOLT servers serve / only, remove the path of the address";

/// Orderly ends by the server in a row that make the daemon wait as long as it may.
const MAX_EARLY_ENDS: u32 = 3;

/// How long what waits to be sent may hold up the farewell, at least.
const FLUSH_MS: u64 = 2_000;

/// How long the farewell may take.
const FAREWELL_MS: u64 = 1_000;

/// Where the daemon stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Idle,
    /// A password is looked up in the store.
    Recalling,
    /// The store is tried, before the token is spent on what it could not keep.
    Probing,
    /// The enrollment is under way.
    Enrolling(HttpId),
    /// The password that the enrollment gave is being stored.
    Keeping,
    /// A transport session is being opened.
    Opening,
    /// The namespace was asked for.
    Joining,
    /// The registration was sent for the `tries`th time.
    Registering(u32),
    /// The registration failed; it is sent again on the same socket.
    Repeating(u32),
    Ready,
    Waiting,
    Leaving,
    Ended,
}

impl Stage {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Recalling | Self::Probing | Self::Enrolling(_) | Self::Keeping => "enrolling",
            Self::Opening | Self::Joining => "opening",
            Self::Registering(_) | Self::Repeating(_) => "registering",
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Leaving => "leaving",
            Self::Ended => "ended",
        }
    }

    /// Tells whether a connection is on its way up.
    pub(super) const fn is_opening(self) -> bool {
        matches!(self, Self::Opening | Self::Joining)
    }

    /// Tells whether there is a session that says and hears something.
    pub(super) const fn is_connected(self) -> bool {
        matches!(self, Self::Joining) || self.is_joined()
    }

    /// Tells whether the namespace is joined.
    pub(super) const fn is_joined(self) -> bool {
        matches!(self, Self::Registering(_) | Self::Repeating(_) | Self::Ready)
    }
}

impl VoltDaemon {
    pub(super) fn start(&mut self) -> Result<(), Error> {
        if self.link.stage() != Stage::Idle {
            return Err(ErrorCode::AlreadyStarted.into());
        }
        self.recall();
        Ok(())
    }

    /// Begins a transport session.
    pub(super) fn open(&mut self) {
        self.decoder = socketio::Decoder::default();
        self.learnt.forget();
        let limit = (self.options.connect_timeout_ms, Why::Connect);
        self.link.enter(Stage::Opening, Some(limit), self.clock);
        self.engine.open();
    }

    /// The transport is open: asks for the namespace.
    pub(super) fn join(&mut self) {
        if self.link.stage() != Stage::Opening {
            return;
        }
        self.link.go_on(Stage::Joining, self.clock);
        let frame = socketio::connect(&self.address.namespace, &crate::base::json::Raw::absent());
        self.engine.send(frame, self.clock);
    }

    pub(super) fn stage_timed_out(&mut self) {
        if !self.link.is_due(self.clock.mono) {
            return;
        }
        match self.link.stage() {
            Stage::Opening | Stage::Joining => {
                self.engine.abandon();
                let limit = self.options.connect_timeout_ms;
                let message = format!("timeout: no connection within {limit} ms");
                self.cannot_connect(&Error::new(ErrorCode::ConnectTimeout, message));
            }
            Stage::Registering(_) => {
                let limit = self.options.registration_timeout_ms;
                if self.engine.is_backed_up() {
                    // A second registration would only queue up behind the first.
                    let message = format!("the registration could not be sent within {limit} ms");
                    self.notice(ErrorCode::RegistrationFailed, message);
                    self.engine.abandon();
                    return self.lost("the registration could not be sent", false);
                }
                let message =
                    format!("the control plane did not confirm the registration within {limit} ms");
                self.registration_failed(message);
            }
            Stage::Repeating(tries) => self.register(tries),
            Stage::Waiting => self.enroll(),
            Stage::Leaving => {
                self.engine.abandon();
                self.end(None);
            }
            Stage::Recalling | Stage::Probing | Stage::Keeping => {
                let message = format!("the store did not answer within {STORE_MS} ms");
                self.stored(Err(Error::new(ErrorCode::StoreFailed, message)));
            }
            Stage::Idle | Stage::Enrolling(_) | Stage::Ready | Stage::Ended => {}
        }
    }

    /// No connection came about.
    pub(super) fn cannot_connect(&mut self, error: &Error) {
        let why = error.message();
        let failed = |text| Error::new(ErrorCode::ConnectFailed, text).with_cause(error.clone());
        let error = failed(format!("{PREFIX}{why}"));
        if !self.options.reconnect_enabled {
            return self.end(Some(error));
        }
        let Some(delay) = self.next_delay() else {
            let attempts = self.link.backoff.attempt;
            let text = format!("{PREFIX}gave up after {attempts} attempts: {why}");
            return self.end(Some(failed(text)));
        };
        self.complain(error);
        self.wait(delay);
    }

    /// The namespace was refused.
    pub(super) fn refused(&mut self, message: &str) {
        self.engine.close(None);
        let hint = if message == NO_NAMESPACE { NAMESPACE_HINT } else { "" };
        let message = format!("{message}{hint}");
        let error = Error::new(ErrorCode::ConnectFailed, &message);
        if self.was_joined {
            // A fault of the server's middleware that passes must not end a daemon for good.
            return self.cannot_connect(&error);
        }
        let error = Error::new(ErrorCode::ConnectFailed, format!("{PREFIX}{message}"));
        self.end(Some(error));
    }

    /// A joined session is over.
    pub(super) fn lost(&mut self, reason: &str, by_server: bool) {
        self.counters.losses += 1;
        if self.link.ended(self.clock.mono) {
            self.early_ends = 0;
        } else if by_server {
            self.early_ends += 1;
        }
        // From here on the application's answers and commands find no session.
        self.link.enter(Stage::Waiting, None, self.clock);
        self.give_up(Withdrawal::LinkLost);
        self.take_back();
        self.beats.link_lost();
        let error = Error::new(ErrorCode::ConnectionLost, reason);
        self.last_error = Some(error.clone());
        let goes_on = self.options.reconnect_enabled
            && (!by_server || self.options.reconnect_on_server_disconnect);
        let delay = if goes_on { self.next_delay() } else { None };
        let (retry_ms, attempt) = (delay.unwrap_or(0), self.link.backoff.attempt);
        self.event(SessionEvent::Lost { reason: error, retry_ms, attempt });
        if !self.link.was_ready {
            let message = format!("the connection ended before the registration: {reason}");
            self.notice(ErrorCode::RegistrationFailed, message);
        }
        match delay {
            Some(delay) => self.wait(delay),
            None => {
                let message = if goes_on {
                    format!("{PREFIX}gave up after {attempt} attempts: {reason}")
                } else {
                    format!("{PREFIX}{reason}, and reconnecting is switched off")
                };
                self.end(Some(Error::new(ErrorCode::ConnectionLost, message)));
            }
        }
    }

    /// Gives up all that belongs to a session that is over: the control plane has.
    fn give_up(&mut self, why: Withdrawal) {
        self.drop_held();
        self.deferred.clear();
        self.fail_calls();
        for work in std::mem::take(&mut self.running).into_keys() {
            self.event(WorkEvent::Withdrawn { work, why });
        }
    }

    /// Returns the next delay, or `None` when all attempts are used up.
    pub(super) fn next_delay(&mut self) -> Option<u64> {
        let is_unwanted = self.early_ends >= MAX_EARLY_ENDS;
        let pace = if is_unwanted { Pace::Longest } else { Pace::Ladder };
        self.link.retry(pace, &mut self.entropy)
    }

    pub(super) fn wait(&mut self, delay: u64) {
        self.link.enter(Stage::Waiting, Some((delay, Why::Backoff)), self.clock);
    }

    pub(super) fn stop(&mut self, drain_ms: u64) {
        if self.drain.begin(drain_ms, self.clock.mono) {
            let (in_flight, outbox) = (self.running.len(), self.owed());
            self.event(SessionEvent::Draining { in_flight, outbox });
            self.is_patient = drain_ms > 0;
            if outbox > 0 && self.is_patient && self.link.stage() == Stage::Waiting {
                // What is still to be said needs a session: do not wait for the ladder.
                self.open();
            }
        }
    }

    /// Returns how many messages of the application wait for a session.
    fn owed(&self) -> usize {
        self.queue.len() + self.opened.len()
    }

    /// Leaves when nothing is under way any more, or when the drain has taken long enough.
    pub(super) fn advance_drain(&mut self) {
        let stage = self.link.stage();
        if !self.drain.is_on() || matches!(stage, Stage::Leaving | Stage::Ended) {
            return;
        }
        // Only what has still to be said needs to know the generation.
        if self.running.is_empty() && self.opened.len() + self.deferred.len() == 0 {
            self.calls.cancel(Asker::Probe);
        }
        let is_busy = self.is_ready() && (!self.running.is_empty() || self.calls.len() > 0);
        // Messages wait for a session that nobody opens before the start.
        let is_owing = self.owed() > 0 && stage != Stage::Idle;
        if (is_busy || is_owing) && !self.drain.is_over(self.clock.mono) {
            return;
        }
        let unsent = self.owed();
        if unsent > 0 && self.is_patient {
            self.queue.clear();
            self.opened.clear();
            let text =
                format!("{unsent} messages were not sent: there was no session to send them in");
            self.ending = Some(Error::new(ErrorCode::ConnectionLost, text));
        }
        self.give_up(Withdrawal::Draining);
        // Peer: the server forgets events that it reads in one go with the farewell behind them.
        let grace_ms = if self.engine.is_paced() { FLUSH_MS } else { 0 };
        if self.is_ready() && self.drain.may_flush(grace_ms, self.clock.mono) {
            self.engine.ask_flushed();
            if !self.engine.has_left() {
                return;
            }
        }
        self.leave();
        if let Stage::Enrolling(http) = stage {
            self.engine.out.push_back(crate::machine::Output::HttpCancel { http });
        }
        let farewell = stage.is_joined().then(|| socketio::disconnect(&self.address.namespace));
        self.engine.close(farewell);
    }

    fn leave(&mut self) {
        self.link.enter(Stage::Leaving, Some((FAREWELL_MS, Why::Farewell)), self.clock);
        self.beats = Beats::default();
    }

    /// Ends for good, once a farewell that takes an exchange has left.
    pub(super) fn end(&mut self, error: Option<Error>) {
        self.give_up(Withdrawal::Draining);
        let error = error.or_else(|| self.ending.take());
        if self.engine.is_posting_farewell() && self.link.stage() != Stage::Leaving {
            self.ending = error;
            return self.leave();
        }
        self.link.enter(Stage::Ended, None, self.clock);
        self.last_error = error.clone().or(self.last_error.take());
        for Awaited { call, .. } in std::mem::take(&mut self.awaited) {
            self.settle(call, Err(ErrorCode::Stopped.into()));
        }
        self.event(SessionEvent::Ended { error });
    }
}
