//! What daemons and programs say: commands, requests on their way to another daemon, and statuses.

use bytestring::ByteString;

use super::asks::{Ask, Asker};
use super::client::LINE;
use super::wire::{self, Command, LOCAL_COMMAND, Message, REMOTE_COMMAND, status};
use super::{Side, WsDaemon};
use crate::api::event::{CallEvent, SessionEvent};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{CallId, ConnId};
use crate::base::json::{Raw, flaw};
use crate::base::time::Now;
use crate::parts::pacer::Outlet;

/// What a status has around its id, and a little: more than a request has.
const STATUS_BYTES: u64 = 128;

impl WsDaemon {
    /// Takes a message of another daemon.
    pub(super) fn remote_said(&mut self, line: ConnId, text: &ByteString, now: Now) {
        match wire::read(text, REMOTE_COMMAND) {
            Ok(Message::Command(Command::Status(data))) => self.status_came(line, data),
            Ok(Message::Command(Command::Pause(millis))) => self.pause_asked(millis, false, now),
            Ok(Message::Request { name, id, params }) => {
                self.requested(line, name, id, params, now)
            }
            // Peer: what is neither a command nor a request is ignored.
            Ok(Message::Command(Command::Unknown) | Message::Other) => {}
            Err(error) => {
                let text = format!("another daemon sent what is not JSON: {}", flaw(&error));
                self.warn(line, &text, now);
            }
        }
    }

    /// Takes a message of a local program, or of the application in its place; false for what is not JSON.
    pub(super) fn local_said(&mut self, asker: Asker, text: ByteString, now: Now) -> bool {
        match wire::read(&text, LOCAL_COMMAND) {
            Ok(Message::Command(Command::Status(data))) => self.tell_newest(data),
            Ok(Message::Command(Command::Pause(millis))) => self.pause_asked(millis, true, now),
            Ok(Message::Command(Command::Unknown)) => {}
            Ok(Message::Request { name, id, .. }) => {
                let is_command = name.as_deref() == Some(REMOTE_COMMAND);
                let timeout_ms = (!is_command).then_some(self.options.asks.timeout_ms);
                self.forward(Ask { asker, id }, timeout_ms, text, now);
            }
            Ok(Message::Other) => self.forward(Ask { asker, id: Raw::absent() }, None, text, now),
            Err(_) => return false,
        }
        true
    }

    /// Sends a message to another daemon; with a time limit its status is waited for.
    pub(super) fn forward(
        &mut self,
        ask: Ask,
        timeout_ms: Option<u64>,
        text: ByteString,
        now: Now,
    ) {
        let refused = |text: &str| (status::REFUSED, Error::new(ErrorCode::Overloaded, text));
        let max_id = self.options.limits.max_message_bytes - STATUS_BYTES;
        let sent = if self.life.is_draining() {
            Err(refused("the daemon ends"))
        } else if timeout_ms.is_some() && ask.id.as_str().len() as u64 > max_id {
            Err(refused("its status would exceed limits.max_message_bytes: the id is too long"))
        } else if timeout_ms.is_some() && !self.asks.has_room(&ask) {
            Err(refused("asks.max_pending requests, or asks.max_queued_bytes of their ids, wait"))
        } else {
            self.send_on(&text)
        };
        match (sent, timeout_ms) {
            (Ok(line), Some(millis)) => {
                let place = self.outlets.get(&line).map_or(0, Outlet::said);
                self.asks.add((line, place), ask, now.mono.after(millis));
            }
            (Ok(_), None) => {}
            (Err((status, error)), _) => self.settle(&ask, status, error),
        }
    }

    /// Sends a message on the client's line, or to the client whose turn it is; returns the line. A client
    /// that reads slowly is passed over.
    fn send_on(&mut self, text: &ByteString) -> Result<ConnId, (i64, Error)> {
        let nobody = Error::new(ErrorCode::NotReady, "no daemon is connected");
        let mut refusal = (status::NOBODY, nobody);
        let turns = match &self.side {
            Side::Client(_) => 1,
            Side::Server(server) => server.rotation.conns().len(),
        };
        for _ in 0..turns {
            let line = match &mut self.side {
                Side::Client(_) => LINE,
                Side::Server(server) => server.rotation.next().unwrap_or(LINE),
            };
            if self.say(line, text.clone()) {
                return Ok(line);
            }
            let why = self.rules(line).notice.unwrap_or_default();
            refusal = (status::REFUSED, Error::new(ErrorCode::Overloaded, why));
        }
        Err(refusal)
    }

    /// A status arrived, or something else for local programs.
    fn status_came(&mut self, line: ConnId, data: Raw) {
        if data.is_absent() {
            return;
        }
        let ask = wire::answered_id(&data).and_then(|id| self.asks.answered(line, id));
        match ask.map(|ask| ask.asker) {
            Some(Asker::Call(call)) => self.event(CallEvent::Done { call, result: Ok(data) }),
            Some(Asker::Program(conn)) => self.tell_program(conn, data),
            None => self.tell_newest(data),
        }
    }

    /// Answers a request of our side that the other did not answer.
    pub(super) fn settle(&mut self, ask: &Ask, status: i64, error: Error) {
        match ask.asker {
            Asker::Call(CallId(0)) => self.event(SessionEvent::Notice { error }),
            Asker::Call(call) => self.event(CallEvent::Done { call, result: Err(error) }),
            Asker::Program(conn) => self.tell_program(conn, wire::answer(Some(status), &ask.id)),
        }
    }

    pub(super) fn settle_lost(&mut self, ask: &Ask, code: ErrorCode, text: &str) {
        self.settle(ask, status::LOST, Error::new(code, text));
    }
}
