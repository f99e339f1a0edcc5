//! The way out: the farewell, and the end that cancels everything.

use crate::api::event::Event;
use crate::api::event::SessionEvent;
use crate::base::error::Error;
use crate::base::ids::ConnId;
use crate::base::time::Now;
use crate::dialect::{Asked, Dialect, Outgoing};
use crate::machine::Output;
use crate::session::{Carrier, Link, Session};

/// How long the farewell may take.
const FAREWELL_MS: u64 = 2_000;

impl<D: Dialect> Session<D> {
    /// Says goodbye; the answer, the close or a time limit ends the session.
    pub(super) fn leave(&mut self, now: Now) {
        let Some(carrier) = self.link.ready() else {
            self.finish(now);
            return;
        };
        self.drop_exchanges();
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
        self.event(Event::Session(SessionEvent::Ended { error }));
    }

    /// Cancels everything that belongs to the present link.
    pub(super) fn abandon(&mut self) {
        self.drop_exchanges();
        self.outbox.unsend_all();
        if let Some(conn) = self.upgrade.stop() {
            self.close(conn, 1000, "");
        }
        if let Some(conn) = self.link.conn().filter(|conn| self.gone != Some(*conn)) {
            self.close(conn, 1000, "");
        }
    }

    pub(super) fn close(&mut self, conn: ConnId, code: u16, reason: &str) {
        self.outputs.push_back(Output::Close { conn, code, reason: reason.to_owned() });
    }

    /// Moves the link. Only a link that is ready has timers of its own to keep.
    pub(super) fn set_link(&mut self, link: Link, now: Now) {
        if link.ready().is_none() {
            self.heartbeat.disarm();
            self.liveness.disarm();
            self.polling.stop();
            self.evidence_at = None;
            self.announce_at = None;
            self.retry_at = None;
        }
        self.link = link;
        self.since = now;
    }
}
