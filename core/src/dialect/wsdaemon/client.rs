//! A daemon that connects to another: its link, which comes back.

use super::options::DaemonOptions;
use super::{Side, WsDaemon};
use crate::api::event::{SessionEvent, Transport};
use crate::base::entropy::Seed;
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::ConnId;
use crate::base::time::Now;
use crate::machine::CloseCause;
use crate::net::Headers;
use crate::net::origin::Origin;
use crate::net::target::{DialAddress, DialTarget};
use crate::parts::link::Pace;
use crate::parts::reconnection::Reconnection;

/// The line of a client: one daemon, whatever connection leads to it.
pub(super) const LINE: ConnId = ConnId(0);

/// The close code of whoever leaves in order.
const LEAVES: u16 = 1_000;

/// Returns the link of a client.
pub(super) fn link(options: &DaemonOptions, origin: &Origin, seed: Seed) -> Reconnection {
    let mut headers = Headers::new();
    if !options.token.is_empty() {
        headers.push("authorization", format!("Bearer {}", options.token.expose()));
    }
    let target = DialTarget {
        address: DialAddress::WebSocket { url: origin.web_socket(), headers, deflate: None },
        timeout_ms: options.connect_timeout_ms,
        limits: options.frame_limits(),
        pulses: &[],
    };
    let reconnect = (options.reconnect.clone(), true);
    Reconnection::new(target, reconnect, Some(options.ping_interval_ms), seed)
}

impl WsDaemon {
    pub(super) fn opened(&mut self, conn: ConnId, now: Now) {
        let rules = self.rules(LINE);
        let Side::Client(link) = &mut self.side else { return };
        if link.conn() != Some(conn) || link.opened(now).is_none() {
            return self.close(conn);
        }
        let (id, transport) = (link.url(), Transport::WebSocket);
        self.event(SessionEvent::Ready { id, transport, max_message: None });
        if let Some(outlet) = self.outlets.get_mut(&LINE) {
            outlet.open(conn, &rules, &mut self.out);
        }
    }

    pub(super) fn link_closed(&mut self, conn: ConnId, cause: &CloseCause, now: Now) {
        let Side::Client(link) = &self.side else { return };
        if link.conn() != Some(conn) {
            return;
        }
        if !matches!(cause, CloseCause::Refused { status: 401 | 403 }) {
            return self.lose(cause.to_error(), Pace::Ladder, now);
        }
        let text = "the other daemon does not accept token, or the name it was asked by";
        let error = Error::new(ErrorCode::AuthenticationFailed, text);
        if link.was_ready() {
            self.lose(error, Pace::Longest, now)
        } else {
            self.end(Some(error), now)
        }
    }

    fn lose(&mut self, error: Error, pace: Pace, now: Now) {
        let Side::Client(link) = &mut self.side else { return };
        let ends = link.lose(error, pace, now, &mut self.out);
        self.link_away();
        if ends.is_some() {
            self.end(ends, now);
        }
    }

    /// What was on its way is gone with the connection, and nobody knows what became of it: the other daemon
    /// forgets who asked. What waits goes on waiting.
    fn link_away(&mut self) {
        let Some(outlet) = self.outlets.get_mut(&LINE) else { return };
        outlet.close();
        let passed = outlet.passed;
        while let Some(ask) = self.asks.lost(LINE, passed) {
            let text = "the link was lost before the status came";
            self.settle_lost(&ask, ErrorCode::ConnectionLost, text);
        }
    }

    /// Goes away for so many milliseconds; what was asked before is forgotten.
    pub(super) fn pause_asked(&mut self, millis: Option<u64>, is_local: bool, now: Now) {
        // Peer: a server ignores it.
        let Side::Client(link) = &mut self.side else { return };
        let refusal = match millis {
            None => "its data is no number from 0 to 2147483647",
            Some(_) if !is_local && !self.options.honor_pause => "see honor_pause",
            Some(millis) => {
                link.hang_up(LEAVES, "", &mut self.out);
                link.pause(millis, now, &mut self.out);
                return self.link_away();
            }
        };
        self.warn(LINE, &format!("a PAUSE was ignored: {refusal}"), now);
    }

    pub(super) fn link_due(&mut self, now: Now) {
        let Side::Client(link) = &mut self.side else { return };
        if let Some(error) = link.timed_out(now, &mut self.out) {
            link.hang_up(LEAVES, "", &mut self.out);
            self.lose(error, Pace::Ladder, now);
        }
    }
}
