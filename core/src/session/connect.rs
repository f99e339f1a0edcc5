//! The way up: login, dial, greeting, ready.

use crate::api::event::Event;
use crate::api::event::SessionEvent;
use crate::base::error::Error;
use crate::base::ids::ConnId;
use crate::base::time::{Instant, Now};
use crate::dialect::{Asked, Dialect, Outgoing, Parcel, Preflight, Transport};
use crate::machine::Output;
use crate::net::HttpResponse;
use crate::session::{Carrier, Link, Pace, Session};

/// What the driver may take beyond a time limit that it was told, before it is not believed.
const DRIVER_SLACK_MS: u64 = 1_000;

impl<D: Dialect> Session<D> {
    pub(super) fn begin_attempt(&mut self, now: Now) {
        self.credentials.drop_session();
        let step = self.dialect.preflight(None, &mut self.credentials);
        self.take_preflight(step, now);
    }

    pub(super) fn preflight_answered(&mut self, result: Result<HttpResponse, Error>, now: Now) {
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

    pub(super) fn open(&mut self, transport: Transport, now: Now) {
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
        match carrier {
            Carrier::Connection(_) => self.liveness.arm(now.mono),
            Carrier::Requests => {
                self.polling.start(now.mono);
                if self.dialect.policy().first == Transport::WebSocket {
                    let interval = self.dialect.policy().upgrade_interval_ms;
                    if let Some(conn) = self.upgrade.stop() {
                        self.close(conn, 1000, "");
                    }
                    self.upgrade.wait(now.mono.after(interval));
                }
            }
        }
        self.set_link(Link::Ready { carrier, since: now.mono }, now);
        let transport = carrier.transport().as_str();
        self.event(Event::Session(SessionEvent::Ready {
            id: self.id.clone(),
            transport,
            max_message: None,
        }));
    }

    pub(super) fn opened(&mut self, conn: ConnId, now: Now) {
        let is_upgrade = self.upgrade.is_dialing(conn);
        if matches!(self.link, Link::Dialing { conn: dialed, .. } if dialed == conn) {
            self.greet(Carrier::Connection(conn), now);
        } else if is_upgrade && self.link.ready() == Some(Carrier::Requests) {
            self.upgrade.stop();
            self.greet(Carrier::Connection(conn), now);
        } else {
            self.close(conn, 1000, "");
        }
    }
}
