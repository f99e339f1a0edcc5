//! Which generation of the protocol the control plane speaks: a daemon asks, and does not guess.
//!
//! ```text
//!              ┌── no channel ─▶ First
//! registered ──┤
//!              └── a channel ──▶ a heartbeat as a command ─┬─ answered 404 ──▶ Third
//!                                                          ├─ answered ──────▶ Second
//!                                                          └─ not answered ──▶ asked again
//! ```
//!
//! Bytes in a form that the other side does not expect are lost or spoilt there. So what would be answered
//! with bytes waits until the form is known, and is refused when a question stays without an answer.

use super::VoltDaemon;
use super::calls::Asker;
use crate::api::options::ResponseForm;
use crate::base::error::{Error, ErrorCode};
use crate::base::json::Raw;
use crate::dialect::volt::envelope::lenient_form;
use crate::dialect::volt::learnt::Source;
use crate::dialect::volt::wire::{self, Generation, Message};
use crate::dialect::volt::words::HEARTBEAT;

/// How long the answer to the question may take.
const PROBE_MS: u64 = 10_000;

/// The status with which a control plane answers a command that it does not know.
pub(super) const UNKNOWN: u16 = 404;

impl VoltDaemon {
    /// The registration was confirmed, with `argument`.
    pub(super) fn judge(&mut self, argument: &Raw) {
        if self.learnt.generation().is_some() {
            self.decided();
        } else if wire::channel(argument).is_none() {
            self.learn(Generation::First, Source::Registration);
        } else {
            self.probe();
        }
    }

    /// Asks, by a heartbeat as earlier generations take it.
    fn probe(&mut self) {
        let text = wire::credentials(&self.options, self.password.expose(), "{}");
        let name = String::from(HEARTBEAT);
        if let Err(error) = self.ask(Asker::Probe, name, &Raw::trusted(text), PROBE_MS) {
            self.complain(error);
        }
    }

    /// The question was answered, or was not.
    pub(super) fn probe_settled(&mut self, result: Result<(), Error>) {
        match result.map_err(|error| (error.code(), error.status())) {
            // The loss of the link is told by itself.
            Err((ErrorCode::NotReady, _)) => return,
            Err((ErrorCode::RemoteError, Some(UNKNOWN))) => {
                self.learn(Generation::Third, Source::Heartbeat);
            }
            Err((ErrorCode::CallTimeout, _)) if self.learnt.generation().is_none() => {
                self.refuse_deferred();
                self.probe();
            }
            // Whether the credentials were right or not, the command is known.
            Ok(()) | Err(_) if self.learnt.generation().is_none() => {
                self.learn(Generation::Second, Source::Heartbeat);
            }
            Ok(()) | Err(_) => {}
        }
        if self.beats.is_resting() {
            self.beats.registered(self.clock.mono);
            self.beat();
        }
    }

    /// Notes the generation, and does what has waited for it.
    pub(super) fn learn(&mut self, generation: Generation, source: Source) {
        self.learnt.learn(generation, source);
        if self.is_ready() {
            self.decided();
        }
    }

    /// Learns from the form in which a message carries bytes.
    pub(super) fn hear_form(&mut self, message: &Message<'_>, blobs: &[bytes::Bytes]) {
        let known = self.learnt.generation();
        let is_open = match known {
            None => message.chunk.is_some() || message.chunk_base64.is_some(),
            Some(Generation::First) => message.chunk.is_some(),
            Some(Generation::Second | Generation::Third) => false,
        };
        if is_open && let Ok((_, shown)) = wire::read_chunk(message, blobs, known) {
            self.learn(shown, Source::Message);
        }
    }

    /// Tells whether a command would be answered with bytes whose form is not known.
    pub(super) fn is_premature(&self, message: &Message<'_>) -> bool {
        self.learnt.generation().is_none()
            && lenient_form(message.response_type) != ResponseForm::Json
    }

    /// Has a command wait until the generation is known.
    pub(super) fn defer(&mut self, message: &Message<'_>, argument: Raw) {
        let bytes = argument.len() as u64;
        if self.deferred.push(argument, bytes) > 0
            && let Some(request) = message.request_id
        {
            let text = "The daemon does not know yet how the control plane takes bytes";
            self.refuse(&Raw::trusted(request.to_owned()), 503, text);
        }
    }

    fn decided(&mut self) {
        while let Some(argument) = self.deferred.pop() {
            let text = argument.clone().into_text();
            if let Some(message) = Message::read(&text) {
                self.command(&text, &message, argument.blobs());
            }
        }
        self.say_opened();
    }

    fn refuse_deferred(&mut self) {
        let count = self.deferred.len();
        while let Some(argument) = self.deferred.pop() {
            let text = argument.into_text();
            let request = Message::read(&text).and_then(|message| message.request_id);
            if let Some(request) = request {
                let text = "The control plane did not answer how it takes bytes";
                self.refuse(&Raw::trusted(request.to_owned()), 503, text);
            }
        }
        if count > 0 {
            let text = format!(
                "the control plane did not show its generation within {PROBE_MS} ms, and {count} \
                 commands for bytes were refused: the option generation says which it is"
            );
            self.notice(ErrorCode::PeerProtocol, text);
        }
    }
}
