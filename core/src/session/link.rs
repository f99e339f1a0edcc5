//! The life of the link, from the first dial to the end.
//!
//! ```text
//!            ┌─────────────── stop ────────────────────────────────────────┐
//! Idle ─start─▶ Preflight ─▶ Dialing ─▶ Greeting ─▶ Ready ─stop─▶ Leaving ─▶ Ended
//!                  │            │           │          │                      ▲
//!                  └────────────┴──── fails ┴── lost ──┘        attempts used │
//!                                     ▼                         up, refused at│
//!                                  Waiting ─ due ─▶ Preflight   the first try ┘
//! ```
//!
//! A failed dial or greeting on the first transport tries the fallback before it counts as failed.
//! While the link is ready on the fallback, the first transport is dialed in the background; only its
//! greeting moves the link, so that exactly one transport is active at any time.

use crate::dialect::{Asked, Dialect, Outgoing, Parcel, Preflight, Transport};
use crate::error::{Error, ErrorCode};
use crate::event::Event;
use crate::machine::{CloseCause, ConnId, Output};
use crate::session::Session;
use crate::time::{Instant, Now};

/// The close code of a hub that refuses a worker.
const CLOSE_REJECTED: u16 = 4403;

/// What the driver may take beyond a time limit that it was told, before it is not believed.
const DRIVER_SLACK_MS: u64 = 1_000;

/// How long the farewell may take.
const FAREWELL_MS: u64 = 2_000;

/// A link that was ready for less is not registered again at once when the peer forgets us.
const MIN_READY_MS: u64 = 1_000;

/// What carries the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// A connection.
    Connection(ConnId),
    /// HTTP requests.
    Requests,
}

impl Carrier {
    pub(crate) const fn transport(self) -> Transport {
        match self {
            Self::Connection(_) => Transport::WebSocket,
            Self::Requests => Transport::Polling,
        }
    }
}

/// The state of the link.
#[derive(Debug)]
pub(crate) enum Link {
    Idle,
    /// Outcomes are being read back from the store.
    Recalling {
        until: Instant,
    },
    Preflight,
    Dialing {
        conn: ConnId,
        until: Instant,
    },
    Greeting {
        carrier: Carrier,
        until: Instant,
    },
    Ready {
        carrier: Carrier,
        since: Instant,
    },
    Waiting {
        until: Instant,
    },
    /// The farewell was said.
    Leaving {
        carrier: Carrier,
        until: Instant,
    },
    Ended,
}

impl Link {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Recalling { .. } | Self::Preflight => "preflight",
            Self::Dialing { .. } => "dialing",
            Self::Greeting { .. } => "greeting",
            Self::Ready { .. } => "ready",
            Self::Waiting { .. } => "waiting",
            Self::Leaving { .. } => "leaving",
            Self::Ended => "ended",
        }
    }

    /// Returns the connection that the link stands on, dials or leaves.
    pub(crate) const fn conn(&self) -> Option<ConnId> {
        match self {
            Self::Dialing { conn, .. }
            | Self::Greeting { carrier: Carrier::Connection(conn), .. }
            | Self::Ready { carrier: Carrier::Connection(conn), .. }
            | Self::Leaving { carrier: Carrier::Connection(conn), .. } => Some(*conn),
            Self::Idle
            | Self::Recalling { .. }
            | Self::Preflight
            | Self::Greeting { carrier: Carrier::Requests, .. }
            | Self::Ready { carrier: Carrier::Requests, .. }
            | Self::Waiting { .. }
            | Self::Leaving { carrier: Carrier::Requests, .. }
            | Self::Ended => None,
        }
    }

    /// Returns what carries a link that is ready.
    pub(crate) const fn ready(&self) -> Option<Carrier> {
        match self {
            Self::Ready { carrier, .. } => Some(*carrier),
            Self::Idle
            | Self::Recalling { .. }
            | Self::Preflight
            | Self::Dialing { .. }
            | Self::Greeting { .. }
            | Self::Waiting { .. }
            | Self::Leaving { .. }
            | Self::Ended => None,
        }
    }

    pub(crate) const fn deadline(&self) -> Option<(Instant, &'static str)> {
        match self {
            Self::Recalling { until } => Some((*until, "store")),
            Self::Dialing { until, .. } => Some((*until, "dial")),
            Self::Greeting { until, .. } => Some((*until, "registration")),
            Self::Waiting { until } => Some((*until, "backoff")),
            Self::Leaving { until, .. } => Some((*until, "farewell")),
            Self::Idle | Self::Preflight | Self::Ready { .. } | Self::Ended => None,
        }
    }
}

/// How soon to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// By the ladder.
    Ladder,
    /// As late as allowed: the peer refused us.
    Longest,
}

impl<D: Dialect> Session<D> {
    pub(super) fn begin_attempt(&mut self, now: Now) {
        self.credentials.drop_session();
        self.polling.stop();
        let step = self.dialect.preflight(None, &mut self.credentials);
        self.take_preflight(step, now);
    }

    pub(super) fn preflight_answered(
        &mut self,
        result: Result<crate::frame::HttpResponse, Error>,
        now: Now,
    ) {
        let step = self.dialect.preflight(Some(result), &mut self.credentials);
        self.take_preflight(step, now);
    }

    fn take_preflight(&mut self, step: Preflight, now: Now) {
        match step {
            Preflight::Ask(request) => {
                self.ask(Asked::Preflight, request, now);
                self.set_link(Link::Preflight, now);
            }
            Preflight::Go(warning) => {
                self.notice(warning);
                self.open(self.dialect.policy().first, now);
            }
            Preflight::Fail(error) => self.lose(error, Pace::Ladder, now),
        }
    }

    fn open(&mut self, transport: Transport, now: Now) {
        match transport {
            Transport::WebSocket => {
                let conn = self.dial();
                let until = self.dial_limit(now);
                self.set_link(Link::Dialing { conn, until }, now);
            }
            Transport::Polling => self.greet(Carrier::Requests, now),
        }
    }

    pub(super) fn dial_limit(&self, now: Now) -> Instant {
        now.mono.after(self.dialect.policy().connect_timeout_ms + DRIVER_SLACK_MS)
    }

    pub(super) fn dial(&mut self) -> ConnId {
        self.last_conn += 2;
        let conn = ConnId(self.last_conn);
        let target = self.dialect.target(&self.credentials);
        self.outputs.push_back(Output::Dial { conn, target });
        conn
    }

    /// Announces us; the answer makes the link ready.
    pub(super) fn greet(&mut self, carrier: Carrier, now: Now) {
        let until = now.mono.after(self.dialect.policy().registration_timeout_ms);
        self.set_link(Link::Greeting { carrier, until }, now);
        self.announce(carrier, now);
    }

    pub(super) fn announce(&mut self, carrier: Carrier, now: Now) {
        self.announce_at = None;
        let mut held: Vec<_> =
            self.dispatcher.held().map(|(wire, attempt)| (wire.clone(), attempt)).collect();
        held.extend(self.outbox.entries().map(|entry| (entry.wire.clone(), entry.attempt)));
        let handlers = self.dispatcher.handlers();
        let what = Outgoing::Registration { handlers, held: &held };
        let parcel = self.dialect.encode(what, carrier.transport(), &self.credentials);
        self.send(parcel, carrier, Asked::Registration, now);
    }

    /// Hands a parcel to its carrier.
    pub(super) fn send(
        &mut self,
        parcel: Option<Parcel>,
        carrier: Carrier,
        asked: Asked,
        now: Now,
    ) {
        match (parcel, carrier) {
            (Some(Parcel::Frame(frame)), Carrier::Connection(conn)) => {
                self.outputs.push_back(Output::Send { conn, frame });
            }
            (Some(Parcel::Http(request)), _) => {
                self.ask(asked, request, now);
            }
            (Some(Parcel::Frame(_)), Carrier::Requests) | (None, _) => {}
        }
    }

    pub(super) fn registered(&mut self, id: Option<String>, acks: bool, now: Now) {
        if let Some(id) = id {
            self.id = id;
        }
        self.acks = acks;
        let Link::Greeting { carrier, .. } = self.link else { return };
        if self.was_ready {
            self.counters.reconnects += 1;
        }
        self.was_ready = true;
        self.last_error = None;
        self.outbox.unsend_all();
        self.heartbeat.arm(now.mono);
        self.polling.stop();
        match carrier {
            Carrier::Connection(_) => self.liveness.arm(now.mono),
            Carrier::Requests => {
                self.liveness.disarm();
                self.polling.start(now.mono);
                if self.dialect.policy().first == Transport::WebSocket {
                    let interval = self.dialect.policy().upgrade_interval_ms;
                    self.upgrade.wait(now.mono.after(interval));
                }
            }
        }
        self.set_link(Link::Ready { carrier, since: now.mono }, now);
        let transport = carrier.transport().as_str();
        self.event(Event::Ready { id: self.id.clone(), transport });
    }

    /// The peer has forgotten us: announce us again, unless it does so all the time.
    pub(super) fn unregistered(&mut self, now: Now) {
        match self.link {
            // A worker that is about to go reports by the items' ids and is gone.
            Link::Ready { .. } if self.drain.is_some() => {}
            Link::Ready { carrier, since } if now.mono.since(since) >= MIN_READY_MS => {
                self.greet(carrier, now);
            }
            Link::Ready { .. } => {
                let message = "the control plane forgets this worker as soon as it is registered";
                self.lose(Error::new(ErrorCode::PeerProtocol, message), Pace::Ladder, now);
            }
            Link::Leaving { carrier, .. } => self.left(carrier, now),
            Link::Idle
            | Link::Recalling { .. }
            | Link::Preflight
            | Link::Dialing { .. }
            | Link::Greeting { .. }
            | Link::Waiting { .. }
            | Link::Ended => {}
        }
    }

    /// The session that we showed is not valid: ask for another, if one has been of use before.
    pub(super) fn unauthorized(&mut self, now: Now) {
        let on_requests = matches!(
            self.link,
            Link::Ready { carrier: Carrier::Requests, .. }
                | Link::Greeting { carrier: Carrier::Requests, .. }
        );
        if !on_requests {
            return;
        }
        if self.credentials.drop_session() {
            self.outbox.unsend_all();
            self.drop_exchanges();
            self.begin_attempt(now);
        } else {
            let message = "the control plane does not accept the session of this worker";
            self.lose(Error::new(ErrorCode::AuthenticationFailed, message), Pace::Ladder, now);
        }
    }

    pub(super) fn rejected(&mut self, reason: &str, now: Now) {
        let error = Error::new(ErrorCode::PeerRefused, reason);
        if self.was_ready {
            self.lose(error, Pace::Longest, now);
        } else {
            self.end(Some(error), now);
        }
    }

    pub(super) fn opened(&mut self, conn: ConnId, now: Now) {
        let is_upgrade = self.upgrade.is_dialing(conn);
        if matches!(self.link, Link::Dialing { conn: dialed, .. } if dialed == conn) {
            self.greet(Carrier::Connection(conn), now);
        } else if is_upgrade && self.link.ready() == Some(Carrier::Requests) {
            self.upgrade.stop();
            self.polling.stop();
            self.heartbeat.disarm();
            self.greet(Carrier::Connection(conn), now);
        } else {
            self.close(conn, 1000, "");
        }
    }

    pub(super) fn closed(&mut self, conn: ConnId, cause: &CloseCause, now: Now) {
        if self.upgrade.is_dialing(conn) {
            let interval = self.dialect.policy().upgrade_interval_ms;
            self.upgrade.wait(now.mono.after(interval));
            return;
        }
        if self.link.conn() != Some(conn) {
            return;
        }
        self.gone = Some(conn);
        match self.link {
            Link::Leaving { .. } => self.finish(now),
            Link::Dialing { .. } => self.fall_back(cause.to_error(), now),
            Link::Greeting { .. } => match cause {
                CloseCause::Remote { code: CLOSE_REJECTED, reason } => self.rejected(reason, now),
                CloseCause::Remote { .. }
                | CloseCause::Refused { .. }
                | CloseCause::Local
                | CloseCause::Failed(_) => self.fall_back(cause.to_error(), now),
            },
            Link::Ready { .. } => {
                let pace = match cause {
                    CloseCause::Remote { code: CLOSE_REJECTED, .. } => Pace::Longest,
                    CloseCause::Remote { .. }
                    | CloseCause::Refused { .. }
                    | CloseCause::Local
                    | CloseCause::Failed(_) => Pace::Ladder,
                };
                self.lose(cause.to_error(), pace, now);
            }
            Link::Idle
            | Link::Recalling { .. }
            | Link::Preflight
            | Link::Waiting { .. }
            | Link::Ended => {}
        }
    }

    /// The present transport failed before it was ready: try the other one, if there is one.
    pub(super) fn fall_back(&mut self, error: Error, now: Now) {
        let policy = self.dialect.policy();
        match (self.link.conn(), policy.fallback) {
            (Some(_), Some(fallback)) => {
                self.notice(Some(error));
                self.open(fallback, now);
            }
            (Some(_) | None, _) => self.lose(error, Pace::Ladder, now),
        }
    }

    /// The link is gone: wait, then begin anew.
    pub(super) fn lose(&mut self, error: Error, pace: Pace, now: Now) {
        if let Link::Ready { since, .. } = self.link {
            self.backoff.link_ended(since, now.mono);
        }
        self.abandon();
        self.last_error = Some(error.clone());
        if self.drain.is_some() && self.dispatcher.is_idle() && self.outbox.is_empty() {
            self.finish(now);
            return;
        }
        let delay = match pace {
            Pace::Ladder => self.backoff.next(&mut self.entropy),
            Pace::Longest => self.backoff.longest(&mut self.entropy),
        };
        let Some(retry_ms) = delay else {
            self.end(Some(error), now);
            return;
        };
        self.set_link(Link::Waiting { until: now.mono.after(retry_ms) }, now);
        let attempt = self.backoff.attempt();
        self.event(Event::Lost { reason: error, retry_ms, attempt });
    }

    /// Acts on the link's own deadline.
    pub(super) fn link_timeout(&mut self, now: Now) {
        if self.link.deadline().is_none_or(|(at, _)| at > now.mono) {
            return;
        }
        match self.link {
            Link::Recalling { .. } => {
                let message = "the store did not answer; outcomes of an earlier run stay in it";
                self.notice(Some(Error::new(ErrorCode::StoreFailed, message)));
                self.begin_attempt(now);
            }
            Link::Dialing { conn, .. } => {
                self.close(conn, 1000, "");
                self.gone = Some(conn);
                self.fall_back(ErrorCode::ConnectTimeout.into(), now);
            }
            Link::Greeting { carrier, .. } => {
                let message = "the control plane did not confirm the registration in time";
                let error = Error::new(ErrorCode::ConnectTimeout, message);
                if let Carrier::Connection(conn) = carrier {
                    self.close(conn, 1000, "");
                    self.gone = Some(conn);
                }
                self.fall_back(error, now);
            }
            Link::Waiting { .. } => self.begin_attempt(now),
            Link::Leaving { carrier, .. } => self.left(carrier, now),
            Link::Idle | Link::Preflight | Link::Ready { .. } | Link::Ended => {}
        }
    }

    /// Says goodbye; the answer, the close or a time limit ends the session.
    pub(super) fn leave(&mut self, now: Now) {
        let Some(carrier) = self.link.ready() else {
            self.finish(now);
            return;
        };
        self.drop_exchanges();
        self.stop_timers();
        let until = now.mono.after(FAREWELL_MS);
        let parcel =
            self.dialect.encode(Outgoing::Farewell, carrier.transport(), &self.credentials);
        self.set_link(Link::Leaving { carrier, until }, now);
        self.send(parcel, carrier, Asked::Farewell, now);
    }

    /// The farewell was answered or is given up.
    pub(super) fn left(&mut self, carrier: Carrier, now: Now) {
        match carrier {
            Carrier::Connection(conn) if self.gone != Some(conn) => {
                self.gone = Some(conn);
                self.close(conn, 1000, "");
                self.set_link(Link::Leaving { carrier, until: now.mono.after(FAREWELL_MS) }, now);
            }
            Carrier::Connection(_) | Carrier::Requests => self.finish(now),
        }
    }

    /// Ends the session: cancels everything, tells the application. Nothing follows.
    pub(super) fn end(&mut self, error: Option<Error>, now: Now) {
        self.abandon();
        self.set_link(Link::Ended, now);
        self.event(Event::Ended { error });
    }

    /// Cancels everything that belongs to the present link.
    fn abandon(&mut self) {
        self.drop_exchanges();
        self.stop_timers();
        self.outbox.unsend_all();
        if let Some(conn) = self.upgrade.stop() {
            self.close(conn, 1000, "");
        }
        if let Some(conn) = self.link.conn().filter(|conn| self.gone != Some(*conn)) {
            self.close(conn, 1000, "");
        }
    }

    fn stop_timers(&mut self) {
        self.heartbeat.disarm();
        self.liveness.disarm();
        self.polling.stop();
        self.evidence_at = None;
        self.announce_at = None;
    }

    pub(super) fn close(&mut self, conn: ConnId, code: u16, reason: &str) {
        self.outputs.push_back(Output::Close { conn, code, reason: reason.to_owned() });
    }

    pub(super) fn set_link(&mut self, link: Link, now: Now) {
        self.link = link;
        self.since = now;
    }
}
