//! Consumers that were let in: their messages, heartbeats and ends.

use bytes::Bytes;

use super::Provider;
use crate::api::command::Recipients;
use crate::api::event::{HeartbeatSign, PeerEvent};
use crate::api::options::WhenFull;
use crate::base::content::Content;
use crate::base::error::{Error, ErrorCode, invalid};
use crate::base::ids::{CallId, ConnId, PeerId};
use crate::dialect::netcluster::wire;
use crate::dialect::netcluster::{CUT, NO_CODE, TRY_AGAIN_LATER, farewell};
use crate::machine::{CloseCause, Output};
use crate::net::Frame;
use crate::parts::liveness::{Silence, StrikeDue, Strikes};
use crate::parts::pacer::{Message, Outcome, Outlet, settle};

/// What a connection is said to have ended by that was silent for too long.
const SILENT: &str = "WebSocket timed out from inactivity";
/// The longest payload of a ping.
const MAX_PING: usize = 125;

/// One consumer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) outlet: Outlet,
    pub(super) strikes: Strikes,
    pub(super) silence: Silence,
    /// The heartbeat was announced.
    pub(super) is_greeted: bool,
}

impl Provider {
    /// Announces the heartbeat, once.
    pub(super) fn greet(&mut self, peer: PeerId) {
        let conn = ConnId(peer.0);
        let Some(state) = self.peers.get_mut(&conn) else { return };
        if !std::mem::replace(&mut state.is_greeted, true) {
            let frame = wire::announcement(self.options.heartbeat.interval);
            self.out.push_back(Output::Send { conn, frame });
        }
    }

    pub(super) fn received(&mut self, conn: ConnId, frame: Frame) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        peer.silence.broken();
        let content = match frame {
            Frame::Text(text) => Content::Text(text),
            Frame::Binary(bytes) => Content::Bytes(bytes),
            Frame::Ping(_) | Frame::Pong(_) => return,
        };
        if wire::is_pong(&content) {
            peer.strikes.answered();
            return self.tell(conn, HeartbeatSign::Pong, 0);
        }
        self.counters.received += 1;
        self.event(PeerEvent::Received { peer: Some(PeerId(conn.0)), content });
    }

    /// What a consumer sent is not read: it may have answered.
    pub(super) fn alive(&mut self, conn: ConnId) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.silence.broken();
            peer.strikes.answered();
        }
    }

    /// What was sent has left.
    pub(super) fn sent(&mut self, conn: ConnId) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.outlet.sent(&self.rules, &mut self.out);
        }
    }

    /// A connection ended by itself.
    pub(super) fn closed(&mut self, conn: ConnId, cause: &CloseCause) {
        self.left(conn);
        let (code, reason) = farewell(cause);
        self.forget(conn, code, reason);
    }

    /// Sends a message to one or many.
    pub(super) fn send(
        &mut self,
        call: Option<CallId>,
        to: &Recipients,
        content: Content,
        compress: bool,
    ) -> Result<(), Error> {
        if wire::is_said(&content) && !self.options.allow_reserved {
            return Err(invalid("the protocol keeps this message for itself: see allow_reserved"));
        }
        if content.len() as u64 > self.rules.max_bytes {
            return Err(Error::new(ErrorCode::TooLarge, "the message exceeds ws.max_send_bytes"));
        }
        match to {
            Recipients::Peer(peer) => {
                let outcome = self.send_to(ConnId(peer.0), Message { content, compress, call });
                match outcome {
                    Some(outcome) => settle(call, outcome, &mut self.out),
                    None if call.is_some() => return Err(ErrorCode::InputGone.into()),
                    None => {}
                }
            }
            Recipients::Peers(peers) => {
                let outcomes = peers.iter().filter_map(|peer| {
                    self.send_to(
                        ConnId(peer.0),
                        Message { content: content.clone(), compress, call: None },
                    )
                });
                let worst = outcomes.max().unwrap_or(Outcome::Sent);
                let worst = if worst == Outcome::Waits { Outcome::Queued } else { worst };
                settle(call, worst, &mut self.out);
            }
            Recipients::Link => return Err(invalid("a provider sends to a peer")),
        }
        Ok(())
    }

    /// Sends a message to a consumer; `None` if it is gone.
    fn send_to(&mut self, conn: ConnId, message: Message) -> Option<Outcome> {
        let peer = self.peers.get_mut(&conn)?;
        let outcome = peer.outlet.send(message, &self.rules, &mut self.out);
        if outcome == Outcome::Dropped {
            self.counters.dropped += 1;
            if self.rules.on_backlog == WhenFull::Close {
                let reason = String::from("the consumer does not read what it is sent");
                self.end_peer(conn, Some(TRY_AGAIN_LATER), reason);
            }
        } else {
            self.counters.sent += 1;
        }
        Some(outcome)
    }

    pub(super) fn ping(&mut self, peer: PeerId, payload: Bytes) -> Result<(), Error> {
        if payload.len() > MAX_PING {
            return Err(invalid("a ping carries at most 125 bytes"));
        }
        let conn = ConnId(peer.0);
        if self.peers.contains_key(&conn) {
            self.out.push_back(Output::Send { conn, frame: Frame::Ping(payload) });
        }
        Ok(())
    }

    pub(super) fn end_by_command(
        &mut self,
        peer: PeerId,
        code: Option<u16>,
        reason: String,
    ) -> Result<(), Error> {
        let is_fit = |code| matches!(code, 1_000..=1_003 | 1_007..=1_014 | 3_000..=4_999);
        if code.is_some_and(|code| !is_fit(code)) {
            return Err(invalid("a close code is one of 1000 to 1003, 1007 to 1014, 3000 to 4999"));
        }
        self.end_peer(ConnId(peer.0), code, reason);
        Ok(())
    }

    /// Ends a connection in order.
    ///
    /// Peer: the end is told at once, by 0 if no code is said.
    pub(super) fn end_peer(&mut self, conn: ConnId, code: Option<u16>, reason: String) {
        if self.peers.contains_key(&conn) {
            let said =
                Output::Close { conn, code: code.unwrap_or(NO_CODE), reason: reason.clone() };
            self.out.push_back(said);
            self.forget(conn, code.unwrap_or(0), reason);
        }
    }

    /// Ends a connection without a farewell.
    pub(super) fn cut_off(&mut self, peer: PeerId) {
        self.cut(ConnId(peer.0), String::new());
    }

    fn cut(&mut self, conn: ConnId, reason: String) {
        if self.peers.contains_key(&conn) {
            self.out.push_back(Output::Close { conn, code: CUT, reason: String::new() });
            self.forget(conn, CUT, reason);
        }
    }

    fn forget(&mut self, conn: ConnId, code: u16, reason: String) {
        let Some(mut peer) = self.peers.remove(&conn) else { return };
        peer.outlet.end(&mut self.out);
        // Its address was counted among strangers until it was let in.
        self.admission.left("", false);
        if self.peers.is_empty() {
            self.round.next = None;
        }
        let (peer, code) = (Some(PeerId(conn.0)), u32::from(code));
        self.event(PeerEvent::Closed { peer, code, reason });
    }

    /// Asks every consumer for a sign of life; ends those that have had all their strikes.
    pub(super) fn beat(&mut self) {
        if self.options.heartbeat.tells {
            let (sign, value) = (HeartbeatSign::Cycle, self.peers.len() as u64);
            self.event(PeerEvent::Heartbeat { peer: None, sign, value });
        }
        let (max, mut dead) = (self.options.heartbeat.max_strikes, Vec::new());
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in conns {
            let Some(peer) = self.peers.get_mut(&conn) else { continue };
            let due = peer.strikes.due(max);
            let count = u64::from(peer.strikes.count);
            match due {
                StrikeDue::Ping => {
                    self.out.push_back(Output::Send { conn, frame: wire::ping() });
                    self.tell(conn, HeartbeatSign::Ping, 0);
                }
                StrikeDue::Strike => self.tell(conn, HeartbeatSign::Strike, count),
                StrikeDue::End => dead.push(conn),
            }
        }
        for conn in dead {
            self.tell(conn, HeartbeatSign::End, 0);
            self.end_peer(conn, None, String::new());
        }
    }

    /// Pings those that have sent nothing for long, and cuts off those that have not answered.
    pub(super) fn listen_for_silence(&mut self) {
        let (mut late, mut silent, mut dead) = (Vec::new(), Vec::new(), Vec::new());
        for (conn, peer) in &mut self.peers {
            let rounds = peer.silence.round();
            if !peer.is_greeted {
                late.push(PeerId(conn.0));
            }
            if rounds == self.patience.0 {
                silent.push(*conn);
            } else if rounds >= self.patience.1 {
                dead.push(*conn);
            }
        }
        for peer in late {
            self.greet(peer);
        }
        for conn in silent {
            self.out.push_back(Output::Send { conn, frame: Frame::Ping(Bytes::new()) });
        }
        for conn in dead {
            self.cut(conn, String::from(SILENT));
        }
    }

    fn tell(&mut self, conn: ConnId, sign: HeartbeatSign, value: u64) {
        if self.options.heartbeat.tells {
            self.event(PeerEvent::Heartbeat { peer: Some(PeerId(conn.0)), sign, value });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_costs_little_beside_its_id() {
        assert!(size_of::<Peer>() <= 200, "{}", size_of::<Peer>());
    }
}
