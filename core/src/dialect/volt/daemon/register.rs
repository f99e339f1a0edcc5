//! The registration: the first thing on every session, and the only thing until it is confirmed.
//!
//! A refusal is silent on the wire: it is known by the lack of an answer, by an `error` event, or by
//! the acknowledgement where one was asked for.

use super::VoltDaemon;
use super::connect::Stage;
use crate::api::event::SessionEvent;
use crate::base::error::ErrorCode;
use crate::base::json::Raw;
use crate::base::time::Why;
use crate::dialect::volt::wire;
use crate::dialect::volt::words::REGISTER;
use crate::net::socketio::{self, Packet};
use crate::parts::pacer::Rank;

/// How often a registration is tried on one socket.
const MAX_TRIES: u32 = 3;

/// The id of the acknowledgement that a registration asks for.
const ACK: u64 = 0;

impl VoltDaemon {
    /// Sends the registration, with the password as it is now.
    pub(super) fn register(&mut self, tries: u32) {
        let limit = (self.options.registration_timeout_ms, Why::Registration);
        self.link.enter(Stage::Registering(tries + 1), Some(limit), self.clock);
        self.send_registration();
    }

    /// Says the registration without waiting for its confirmation.
    pub(super) fn send_registration(&mut self) {
        let (id, channel) = (&self.options.team_cluster_id, self.options.channel);
        let json = wire::register(id, self.password.expose(), channel);
        let id = self.options.register_with_ack.then_some(ACK);
        // Without attachments there is nothing to refuse.
        if let Ok(frames) = self.write_event(REGISTER, id, &Raw::trusted(json)) {
            self.say_all(frames, Rank::First);
        }
    }

    /// The control plane confirmed, with `argument`; a repeated confirmation changes nothing.
    pub(super) fn registered(&mut self, argument: &Raw) {
        if !matches!(self.link.stage(), Stage::Registering(_) | Stage::Repeating(_)) {
            return;
        }
        self.link.enter_ready(Stage::Ready, self.clock);
        self.counters.registrations += 1;
        self.event(SessionEvent::Ready {
            id: self.options.team_cluster_id.clone(),
            transport: self.engine.transport(),
            max_message: self.engine.max_payload(),
        });
        while let Some(frames) = self.held.pop() {
            self.say_all(frames, Rank::InTurn);
        }
        self.drop_held();
        self.tell_dropped();
        while let Some(frames) = self.queue.pop() {
            if let Err(error) = self.check_size(&frames) {
                self.counters.messages_dropped += 1;
                self.complain(error);
                continue;
            }
            self.counters.messages_out += 1;
            self.say_all(frames, Rank::Kept);
        }
        self.beats.rest();
        self.judge(argument);
        if self.learnt.generation().is_some() {
            self.beats.registered(self.clock.mono);
            self.beat();
        }
    }

    /// The acknowledgement of a registration. One that says yes is no confirmation yet.
    pub(super) fn acknowledged(&mut self, packet: &Packet) {
        #[derive(serde::Deserialize)]
        struct Verdict {
            ok: bool,
            #[serde(default)]
            error: String,
        }
        if packet.id != Some(ACK) || !self.options.register_with_ack {
            return;
        }
        if let Ok((Verdict { ok: false, error },)) = packet.data.read::<(Verdict,)>() {
            let why = if error.is_empty() { String::from("it gave no reason") } else { error };
            let message = format!("the control plane refused the registration: {why}");
            self.registration_failed(message);
        }
    }

    /// The control plane emitted `error`.
    pub(super) fn complained(&mut self, argument: &Raw) {
        #[derive(Default, serde::Deserialize)]
        #[serde(default)]
        struct Complaint {
            code: String,
            message: String,
            details: String,
        }
        let said: Complaint = argument.read().unwrap_or_default();
        let mut words = Vec::new();
        for word in [said.code, said.message, said.details] {
            if !word.is_empty() && !words.contains(&word) {
                words.push(word);
            }
        }
        let words = if words.is_empty() { String::from("no reason") } else { words.join(": ") };
        if let Stage::Registering(_) = self.link.stage() {
            let message = format!("the control plane refused the registration: {words}");
            self.registration_failed(message);
        } else {
            self.notice(ErrorCode::RemoteError, format!("the control plane reports: {words}"));
        }
    }

    /// Tries again on the same socket, and gives the socket up in the end.
    pub(super) fn registration_failed(&mut self, message: String) {
        let Stage::Registering(tries) = self.link.stage() else { return };
        self.notice(ErrorCode::RegistrationFailed, message);
        if self.engine.has_waiting() {
            // A second registration would only queue up behind the first, which has not left.
            self.engine.abandon();
            return self.lost("the registration could not be sent", false);
        }
        if tries < MAX_TRIES {
            let limit = (self.link.backoff.delay(tries - 1, &mut self.entropy), Why::Backoff);
            self.link.enter(Stage::Repeating(tries), Some(limit), self.clock);
            return;
        }
        let farewell = socketio::disconnect(&self.address.namespace);
        self.engine.send(farewell, self.clock);
        self.engine.close(None);
        self.lost("the registration failed three times", false);
    }
}
