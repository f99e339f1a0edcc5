//! Socket.IO packets of a session: the namespace `/`, two events, acknowledgements.
//!
//! Source: `socket.io` 4.8.

use super::{SessionId, Timer, VoltServer, wire};
use crate::base::error::ErrorCode;
use crate::base::json::Raw;
use crate::dialect::volt::words::{MESSAGE, REGISTER};
use crate::net::Frame;
use crate::net::socketio::{self, Decoder, Kind, Malformed, Packet, ROOT};
use crate::parts::pacer::Rank;

/// The refusal of every namespace but the root.
const INVALID_NAMESPACE: &str = r#"{"message":"Invalid namespace"}"#;

/// Whether frames could be written.
type Written = Result<(), Malformed>;

impl VoltServer {
    /// Takes a message: a packet, or a part of one.
    pub(super) fn decode(
        &mut self,
        session: SessionId,
        read: impl FnOnce(&mut Decoder) -> Result<Option<Packet>, Malformed>,
    ) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        match read(&mut state.decoder) {
            Ok(Some(packet)) => self.take_socket_packet(session, &packet),
            Ok(None) => {}
            Err(malformed) => {
                let name = self.name(session);
                let address = self.carrier(session).1.to_owned();
                self.warn(ErrorCode::PeerProtocol, &address, &format!("{name} sent {malformed}"));
                self.close_quietly(session, &malformed.to_string());
            }
        }
    }

    fn take_socket_packet(&mut self, session: SessionId, packet: &Packet) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        if packet.kind == Kind::Connect {
            if &*packet.namespace != ROOT {
                self.send(session, socketio::connect_error(&packet.namespace, INVALID_NAMESPACE));
            } else if state.is_joined {
                self.close(session, "it joined the namespace twice");
            } else {
                state.is_joined = true;
                self.await_registration(session);
                let id = self.entropy.uuid().simple();
                let answer = Raw::trusted(format!("{{\"sid\":\"{id}\"}}"));
                self.send(session, socketio::connect(ROOT, &answer));
            }
            return;
        }
        // Peer: a packet for a namespace that was not joined ends the session.
        if &*packet.namespace != ROOT || !state.is_joined {
            self.close(session, "a packet for a namespace that it has not joined");
            return;
        }
        match packet.kind {
            Kind::Disconnect => {
                state.is_joined = false;
                let join_by = self.clock.mono.after(self.options.connect_timeout_ms);
                self.timers.set(&mut state.join_by, Timer::Join(session), join_by);
                self.unbind(session, "the daemon said farewell");
            }
            Kind::Event => match &*packet.name {
                REGISTER => self.register(session, packet),
                MESSAGE => self.take_message(session, packet),
                _ => {}
            },
            // We ask for no acknowledgement, and no client refuses a namespace.
            Kind::Ack | Kind::ConnectError | Kind::Connect => {}
        }
    }

    /// Answers an event, if it asked for an answer.
    pub(super) fn acknowledge(&mut self, session: SessionId, packet: &Packet, error: Option<&str>) {
        let Some(id) = packet.id else { return };
        let arguments = Raw::trusted(wire::acknowledgement(error));
        // Without attachments there are never too many.
        let ack = |frames: &mut Vec<Frame>| socketio::ack(ROOT, id, &arguments, frames);
        let _ = self.write(session, Rank::Demanded, ack);
    }

    /// Sends an event whose argument this side has written, and which the peer has asked for.
    pub(super) fn emit(&mut self, session: SessionId, name: &str, argument: String) {
        // Without attachments there are never too many.
        let _ = self.emit_value(session, name, &Raw::trusted(argument), Rank::Demanded);
    }

    /// Sends an event.
    ///
    /// # Errors
    /// More attachments than peers take.
    pub(super) fn emit_value(
        &mut self,
        session: SessionId,
        name: &str,
        argument: &Raw,
        rank: Rank,
    ) -> Written {
        self.write(session, rank, |frames| socketio::event(ROOT, None, name, argument, frames))
    }

    /// Sends the frames that `write` makes.
    ///
    /// # Errors
    /// More attachments than peers take.
    pub(super) fn write(
        &mut self,
        session: SessionId,
        rank: Rank,
        write: impl FnOnce(&mut Vec<Frame>) -> Written,
    ) -> Written {
        let mut frames = Vec::new();
        write(&mut frames)?;
        self.say(session, frames, rank);
        Ok(())
    }

    /// Returns what to call a session in reports.
    pub(super) fn name(&self, session: SessionId) -> String {
        match self.sessions.get(&session).and_then(|state| state.cluster.as_deref()) {
            Some(cluster) => format!("the daemon {}", crate::base::error::printable(cluster)),
            None => format!("a client at {}", self.carrier(session).1),
        }
    }
}
