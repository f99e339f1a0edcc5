//! From one attempt to connect to the next.

use super::VoltDaemon;
use super::beats;
use crate::api::event::SessionEvent;
use crate::api::event::{Event, Withdrawal};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::HttpId;
use crate::base::time::{Deadline, Instant, Now, Why};
use crate::net::socketio;

/// What every complaint about a failed connection begins with.
///
/// Peer: programs search for these words.
const PREFIX: &str = "Control socket connection error: ";

/// Orderly ends by the server in a row that make the daemon wait as long as it may.
const MAX_EARLY_ENDS: u32 = 3;

/// How long the farewell may take.
const FAREWELL_MS: u64 = 1_000;

/// Where the daemon stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Idle,
    /// A password is looked up in the store.
    Recalling,
    /// The enrollment is under way.
    Enrolling(HttpId),
    /// The password that the enrollment gave is being stored.
    Keeping,
    /// A transport session is being opened.
    Opening {
        until: Instant,
    },
    /// The namespace was asked for.
    Joining {
        until: Instant,
    },
    /// The registration was sent for the `tries`th time.
    Registering {
        until: Instant,
        tries: u32,
    },
    /// The registration failed; it is sent again on the same socket.
    Repeating {
        until: Instant,
        tries: u32,
    },
    Ready {
        since: Instant,
    },
    Waiting {
        until: Instant,
    },
    Leaving {
        until: Instant,
    },
    Ended,
}

impl Phase {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Recalling | Self::Enrolling(_) | Self::Keeping => "enrolling",
            Self::Opening { .. } | Self::Joining { .. } => "opening",
            Self::Registering { .. } | Self::Repeating { .. } => "registering",
            Self::Ready { .. } => "ready",
            Self::Waiting { .. } => "waiting",
            Self::Leaving { .. } => "leaving",
            Self::Ended => "ended",
        }
    }

    pub(super) const fn deadline(self) -> Option<Deadline> {
        match self {
            Self::Opening { until } | Self::Joining { until } => {
                Some(Deadline { at: until, why: Why::Connect })
            }
            Self::Registering { until, .. } => Some(Deadline { at: until, why: Why::Registration }),
            Self::Repeating { until, .. } | Self::Waiting { until } => {
                Some(Deadline { at: until, why: Why::Backoff })
            }
            Self::Leaving { until } => Some(Deadline { at: until, why: Why::Farewell }),
            Self::Idle
            | Self::Recalling
            | Self::Enrolling(_)
            | Self::Keeping
            | Self::Ready { .. }
            | Self::Ended => None,
        }
    }

    const fn ready_since(self) -> Option<Instant> {
        if let Self::Ready { since } = self { Some(since) } else { None }
    }

    const fn enrollment(self) -> Option<HttpId> {
        if let Self::Enrolling(http) = self { Some(http) } else { None }
    }

    /// Returns when the next attempt begins, while it is waited for.
    pub(super) const fn next_attempt(self) -> Option<Instant> {
        if let Self::Waiting { until } = self { Some(until) } else { None }
    }

    /// Tells whether there is a session that says and hears something.
    pub(super) const fn is_connected(self) -> bool {
        matches!(self, Self::Joining { .. }) || self.is_joined()
    }

    /// Tells whether the namespace is joined.
    pub(super) const fn is_joined(self) -> bool {
        matches!(self, Self::Registering { .. } | Self::Repeating { .. } | Self::Ready { .. })
    }
}

impl VoltDaemon {
    pub(super) fn start(&mut self, now: Now) -> Result<(), Error> {
        if self.phase != Phase::Idle {
            return Err(ErrorCode::AlreadyStarted.into());
        }
        self.recall(now);
        Ok(())
    }

    pub(super) fn enter(&mut self, phase: Phase, now: Now) {
        self.phase = phase;
        self.since = now;
    }

    /// Begins a transport session.
    pub(super) fn open(&mut self, now: Now) {
        self.decoder = socketio::Decoder::new(socketio::DecoderLimits::default());
        self.enter(Phase::Opening { until: now.mono.after(self.options.connect_timeout_ms) }, now);
        self.engine.open(&mut self.outputs);
    }

    /// The transport is open: asks for the namespace.
    pub(super) fn join(&mut self, now: Now) {
        let Phase::Opening { until } = self.phase else { return };
        self.enter(Phase::Joining { until }, now);
        let frame = socketio::connect(&self.address.namespace, &crate::base::json::Raw::absent());
        self.engine.send(frame, now, &mut self.outputs);
    }

    pub(super) fn phase_timed_out(&mut self, now: Now) {
        let Some(Deadline { at, .. }) = self.phase.deadline() else { return };
        if at > now.mono {
            return;
        }
        match self.phase {
            Phase::Opening { .. } | Phase::Joining { .. } => {
                self.engine.abandon(&mut self.outputs);
                let limit = self.options.connect_timeout_ms;
                let message = format!("timeout: no connection within {limit} ms");
                self.cannot_connect(&Error::new(ErrorCode::ConnectTimeout, message), now);
            }
            Phase::Registering { .. } => {
                let limit = self.options.registration_timeout_ms;
                if self.engine.is_backed_up() {
                    // A second registration would only queue up behind the first.
                    let message = format!("the registration could not be sent within {limit} ms");
                    self.notice(ErrorCode::RegistrationFailed, message);
                    self.engine.abandon(&mut self.outputs);
                    return self.lost("the registration could not be sent", false, now);
                }
                self.registration_failed(
                    format!("the control plane did not confirm the registration within {limit} ms"),
                    now,
                );
            }
            Phase::Repeating { tries, .. } => self.register(tries, now),
            Phase::Waiting { .. } => self.open(now),
            Phase::Leaving { .. } => {
                self.engine.abandon(&mut self.outputs);
                self.end(None, now);
            }
            Phase::Idle
            | Phase::Recalling
            | Phase::Enrolling(_)
            | Phase::Keeping
            | Phase::Ready { .. }
            | Phase::Ended => {}
        }
    }

    /// No connection came about.
    pub(super) fn cannot_connect(&mut self, error: &Error, now: Now) {
        let why = error.message();
        let failed = |text| Error::new(ErrorCode::ConnectFailed, text).with_cause(error.clone());
        let error = failed(format!("{PREFIX}{why}"));
        if !self.options.reconnect_enabled {
            return self.end(Some(error), now);
        }
        let Some(delay) = self.next_delay() else {
            let attempts = self.backoff.attempt();
            let text = format!("{PREFIX}gave up after {attempts} attempts: {why}");
            return self.end(Some(failed(text)), now);
        };
        self.complain(error);
        self.wait(delay, now);
    }

    /// The namespace was refused.
    pub(super) fn refused(&mut self, message: &str, now: Now) {
        self.engine.close(None, &mut self.outputs);
        let error = Error::new(ErrorCode::ConnectFailed, message);
        if self.was_joined {
            // A fault of the server's middleware that passes must not end a daemon for good.
            return self.cannot_connect(&error, now);
        }
        let error = Error::new(ErrorCode::ConnectFailed, format!("{PREFIX}{message}"));
        self.end(Some(error), now);
    }

    /// A joined session is over.
    pub(super) fn lost(&mut self, reason: &str, by_server: bool, now: Now) {
        let was = self.phase;
        self.counters.losses += 1;
        self.drop_held();
        if was.ready_since().is_some_and(|since| self.backoff.link_ended(since, now.mono)) {
            self.early_ends = 0;
        } else if by_server {
            self.early_ends += 1;
        }
        // From here on the application's answers and commands find no session.
        self.phase = Phase::Waiting { until: now.mono };
        self.fail_calls(now);
        self.withdraw_all(Withdrawal::LinkLost);
        self.beats.link_lost();
        let error = Error::new(ErrorCode::ConnectionLost, reason);
        self.last_error = Some(error.clone());
        let goes_on = self.options.reconnect_enabled
            && (!by_server || self.options.reconnect_on_server_disconnect);
        let delay = if goes_on { self.next_delay() } else { None };
        let (retry_ms, attempt) = (delay.unwrap_or(0), self.backoff.attempt());
        self.event(Event::Session(SessionEvent::Lost { reason: error, retry_ms, attempt }));
        if !self.was_ready {
            let message = format!("the connection ended before the registration: {reason}");
            self.notice(ErrorCode::RegistrationFailed, message);
        }
        match delay {
            Some(delay) => self.wait(delay, now),
            None => {
                let message = if goes_on {
                    format!("{PREFIX}gave up after {attempt} attempts: {reason}")
                } else {
                    format!("{PREFIX}{reason}, and reconnecting is switched off")
                };
                self.end(Some(Error::new(ErrorCode::ConnectionLost, message)), now);
            }
        }
    }

    /// Returns the next delay, or `None` when all attempts are used up.
    fn next_delay(&mut self) -> Option<u64> {
        if self.early_ends >= MAX_EARLY_ENDS {
            self.backoff.longest(&mut self.entropy)
        } else {
            self.backoff.next(&mut self.entropy)
        }
    }

    fn wait(&mut self, delay: u64, now: Now) {
        self.enter(Phase::Waiting { until: now.mono.after(delay) }, now);
    }

    pub(super) fn stop(&mut self, drain_ms: u64, now: Now) {
        let until = now.mono.after(drain_ms);
        if self.drain_until.is_none() {
            self.event(Event::Session(SessionEvent::Draining {
                in_flight: self.running.len(),
                outbox: 0,
            }));
        }
        self.drain_until = Some(self.drain_until.map_or(until, |before| before.min(until)));
    }

    /// Leaves when nothing is under way any more, or when the drain has taken long enough.
    pub(super) fn advance_drain(&mut self, now: Now) {
        let Some(until) = self.drain_until else { return };
        if matches!(self.phase, Phase::Leaving { .. } | Phase::Ended) {
            return;
        }
        let is_busy = self.is_ready() && (!self.running.is_empty() || self.calls.len() > 0);
        if is_busy && now.mono < until {
            return;
        }
        let joined = self.phase.is_joined();
        let asked = self.phase.enrollment();
        self.enter(Phase::Leaving { until: now.mono.after(FAREWELL_MS) }, now);
        self.fail_calls(now);
        self.withdraw_all(Withdrawal::Draining);
        self.beats = beats::Beats::stopped();
        self.drop_held();
        if let Some(http) = asked {
            self.outputs.push_back(crate::machine::Output::HttpCancel { http });
        }
        let farewell = joined.then(|| socketio::disconnect(&self.address.namespace));
        self.engine.close(farewell, &mut self.outputs);
    }

    /// Ends for good, once a farewell that takes an exchange has left.
    pub(super) fn end(&mut self, error: Option<Error>, now: Now) {
        self.fail_calls(now);
        self.withdraw_all(Withdrawal::Draining);
        let error = error.or_else(|| self.ending.take());
        if self.engine.is_posting_farewell() && !matches!(self.phase, Phase::Leaving { .. }) {
            self.ending = error;
            self.beats = beats::Beats::stopped();
            return self.enter(Phase::Leaving { until: now.mono.after(FAREWELL_MS) }, now);
        }
        self.enter(Phase::Ended, now);
        self.last_error = error.clone().or(self.last_error.take());
        self.event(Event::Session(SessionEvent::Ended { error }));
    }
}
