//! What comes from the transport, and what it means.

use bytes::Bytes;
use bytestring::ByteString;

use super::VoltDaemon;
use super::connect::Stage;
use crate::api::event::PeerEvent;
use crate::base::error::{Error, ErrorCode};
use crate::base::json::Raw;
use crate::dialect::volt::engine::{EngineEvent, PARSE_ERROR};
use crate::dialect::volt::wire::{self, Message};
use crate::dialect::volt::words::{MESSAGE, REGISTERED};
use crate::net::socketio::{self, Joined, Kind, Malformed, Packet};

impl VoltDaemon {
    pub(super) fn handle_engine_events(&mut self) {
        while let Some(event) = self.engine.events.pop_front() {
            match event {
                EngineEvent::Opened => self.join(),
                // What came behind the end of a session is not its any more.
                EngineEvent::Text(_) | EngineEvent::Binary(_)
                    if !self.link.stage().is_connected() => {}
                EngineEvent::Text(text) => self.text(&text),
                EngineEvent::Binary(bytes) => {
                    let packet = self.decoder.binary(bytes);
                    self.decoded(packet);
                }
                EngineEvent::Flushed => self.flushed(),
                EngineEvent::Failed(error) if self.link.stage().is_opening() => {
                    self.cannot_connect(&error);
                }
                EngineEvent::Closed(reason, error) => {
                    error.into_iter().for_each(|error| self.complain(error));
                    self.closed(reason, false);
                }
                EngineEvent::Gone if self.link.stage() == Stage::Leaving => self.end(None),
                EngineEvent::Failed(_) | EngineEvent::Gone => {}
            }
        }
    }

    fn closed(&mut self, reason: &str, by_server: bool) {
        let stage = self.link.stage();
        if stage.is_joined() {
            self.lost(reason, by_server);
        } else if stage.is_opening() {
            self.cannot_connect(&Error::new(ErrorCode::ConnectFailed, reason));
        } else if stage == Stage::Leaving {
            self.end(None);
        }
    }

    fn text(&mut self, text: &ByteString) {
        if !self.decoder.is_collecting()
            && let Some((argument, message)) = wire::message_of(text, &self.prefix)
        {
            let argument = || Raw::accepted(text.slice_ref(argument));
            return self.message(text, &message, &[], argument);
        }
        let packet = self.decoder.text(text);
        self.decoded(packet);
    }

    fn decoded(&mut self, packet: Result<Option<Packet>, Malformed>) {
        match packet {
            Ok(Some(packet)) => self.packet(&packet),
            Ok(None) => {}
            Err(error) => {
                self.notice(ErrorCode::PeerProtocol, format!("the control plane sent {error}"));
                self.engine.abandon();
                self.closed(PARSE_ERROR, false);
            }
        }
    }

    fn packet(&mut self, packet: &Packet) {
        if *packet.namespace != *self.address.namespace {
            return;
        }
        match packet.kind {
            Kind::Connect => self.connected(&packet.data),
            Kind::Disconnect => {
                self.engine.end_pacer();
                self.engine.close(None);
                self.closed("io server disconnect", true);
            }
            Kind::ConnectError => {
                if self.link.stage() == Stage::Joining {
                    let message = socketio::refusal(&packet.data);
                    self.refused(&message);
                }
            }
            Kind::Ack => self.acknowledged(packet),
            Kind::Event => match &*packet.name {
                MESSAGE => {
                    let argument = packet.argument.clone();
                    let text = argument.clone().into_text();
                    match Message::read(&text) {
                        Some(message) => {
                            let blobs = argument.blobs();
                            self.message(&text, &message, blobs, || argument.clone());
                        }
                        // One that is no object is passed on, unless there is nothing in it.
                        None => {
                            self.counters.messages_in += 1;
                            let says = !argument.is_absent() && argument.as_str() != "null";
                            if self.wants_messages && says {
                                self.event(PeerEvent::Message { peer: None, payload: argument });
                            }
                        }
                    }
                }
                REGISTERED => self.registered(&packet.argument),
                "error" => self.complained(&packet.argument),
                _ => {}
            },
        }
    }

    fn connected(&mut self, data: &Raw) {
        if self.link.stage() != Stage::Joining {
            return;
        }
        match data.read::<Joined>() {
            Ok(Joined { sid: Some(_) }) => {
                self.was_joined = true;
                self.register(0);
            }
            Ok(Joined { sid: None }) | Err(_) => {
                self.engine.close(None);
                let message = "the server speaks another version of Socket.IO: it gave no sid";
                self.cannot_connect(&Error::new(ErrorCode::PeerProtocol, message));
            }
        }
    }

    /// A message that is an object; `whole` is the text that its parts are spans of. The argument is
    /// made for those who want it.
    fn message(
        &mut self,
        whole: &ByteString,
        message: &Message<'_>,
        blobs: &[Bytes],
        argument: impl FnOnce() -> Raw,
    ) {
        self.counters.messages_in += 1;
        if message.is_kind("command") {
            return if self.is_premature(message) {
                self.defer(message, argument());
            } else {
                self.command(whole, message, blobs);
            };
        }
        self.hear_form(message, blobs);
        if self.wants_messages {
            self.event(PeerEvent::Message { peer: None, payload: argument() });
        }
        if let Some(request) = message.request_id
            && !self.wants_messages
            && message.is_kind("command-binary")
        {
            let request = Raw::shared(whole, request);
            return self.refuse(&request, 501, "The daemon takes no commands in envelopes");
        }
        if message.is_kind("response") {
            let result = || Message::share(whole, message.result).with_blobs(blobs.to_vec());
            self.answered(message, result);
        }
    }
}
