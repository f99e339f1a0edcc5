//! Commands of the control plane: looked up by name, run by the application, answered once.

use bytes::Bytes;
use bytestring::ByteString;
use serde::Deserialize;

use super::VoltDaemon;
use super::streams::{Stream, decoded};
use crate::api::command::Outcome;
use crate::api::event::WorkEvent;
use crate::api::options::ResponseForm;
use crate::base::error::{Error, ErrorCode, invalid};
use crate::base::ids::WorkId;
use crate::base::json::Raw;
use crate::base::json::object::Object;
use crate::dialect::volt::envelope::{Envelope, Reject, lenient_form, unhandled};
use crate::dialect::volt::wire::{self, Generation, Message, Reply};
use crate::dialect::volt::words::check_name;
use crate::parts::pacer::Rank;

/// The key under which an application listens to messages.
const MESSAGES: &str = "*";

/// A command that a handler works on.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) name: String,
    /// The id as it came: JSON.
    pub(super) request: Raw,
    pub(super) form: ResponseForm,
    pub(super) stream: Option<Stream>,
}

#[derive(Deserialize)]
struct HandlerMeta {
    #[serde(default)]
    messages: bool,
}

impl VoltDaemon {
    pub(super) fn handle(&mut self, key: String, meta: &Raw) -> Result<(), Error> {
        let meta: HandlerMeta =
            meta.read().map_err(|e| invalid(format!("meta of the handler {key:?}: {e}")))?;
        if meta.messages {
            self.wants_messages = true;
            return Ok(());
        }
        check_name(&key)?;
        self.handlers.add(key, ())
    }

    pub(super) fn unhandle(&mut self, key: &str) {
        if key == MESSAGES {
            self.wants_messages = false;
        }
        self.handlers.remove(key);
    }

    /// A command came: it goes to its handler, or is answered here.
    pub(super) fn command(&mut self, whole: &ByteString, message: &Message<'_>, blobs: &[Bytes]) {
        let Some(request) = message.request_id else {
            let text = "a command without requestId was dropped: nobody could be answered";
            return self.notice(ErrorCode::PeerProtocol, text);
        };
        let request = Raw::shared(whole, request);
        let name = message
            .command
            .map(|name| wire::lenient_text(name).unwrap_or(std::borrow::Cow::Borrowed(name)));
        let name = name.as_deref().unwrap_or("undefined");
        let refusal = if !self.handlers.contains(name) {
            Some((404, format!("Unknown daemon command: {name}")))
        } else if self.drain.is_on() {
            Some((503, String::from("The daemon is shutting down")))
        } else if self.running.len() as u64 >= self.options.max_concurrent {
            let max = self.options.max_concurrent;
            Some((503, format!("The daemon runs {max} commands already: max_concurrent")))
        } else if !self.engine.has_room() {
            let text = "The daemon's answers wait to be sent: limits.max_send_queue_bytes";
            Some((503, String::from(text)))
        } else {
            None
        };
        if let Some((status, text)) = refusal {
            return self.refuse(&request, status, &text);
        }
        let form = lenient_form(message.response_type);
        self.last_work += 1;
        self.counters.commands_run += 1;
        let work = WorkId(self.last_work);
        let meta = Object::with_capacity(64 + request.as_str().len())
            .raw("request_id", request.as_str())
            .text("response_type", form.as_str());
        let meta = Raw::trusted(meta.end());
        let payload = Message::share(whole, message.payload).with_blobs(blobs.to_vec());
        let name = name.to_owned();
        self.running.insert(work, Running { name: name.clone(), request, form, stream: None });
        self.event(WorkEvent::Assigned { work, key: name, payload, timeout_ms: None, meta });
    }

    pub(super) fn complete(&mut self, work: WorkId, outcome: Outcome) -> Result<(), Error> {
        if self.beats.late == Some(work) {
            return self.beat_made(outcome);
        }
        let Some(running) = self.running.remove(&work) else { return self.unknown(work) };
        if let Some(stream) = &running.stream {
            let failure = match &outcome {
                Outcome::Done { .. } => None,
                Outcome::Failed { message } => Some(message.as_str()),
                Outcome::Cancelled => Some("cancelled"),
            };
            let (request, id) = (running.request.as_str(), stream.id.as_str());
            self.answer(&[], 160, |json| wire::stream_end(request, id, failure, json));
            return Ok(());
        }
        let result = match outcome {
            Outcome::Done { value, .. } => Some(self.reply(&running, &value)),
            Outcome::Failed { .. } | Outcome::Cancelled => None,
        };
        // Whatever was wrong with a result, the control plane gets an answer.
        if !matches!(result, Some(Ok(()))) {
            self.refuse(&running.request, 500, &unhandled(&running.name));
        }
        result.unwrap_or(Ok(()))
    }

    fn reply(&mut self, running: &Running, value: &Raw) -> Result<(), Error> {
        let invalid =
            |why: String| invalid(format!("the result of the command \"{}\": {why}", running.name));
        let envelope = Envelope::read(value).map_err(invalid)?;
        let request = running.request.as_str();
        if let Some(Reject { status, message }) = &envelope.reject {
            self.refuse(&running.request, *status, message);
            return Ok(());
        }
        let mut reply = envelope.reply(running.form).map_err(invalid)?;
        let mut blobs = value.blobs();
        let body;
        if let Reply::Body(base64) = reply
            && self.learnt.generation() != Some(Generation::First)
        {
            body =
                [decoded(base64).ok_or_else(|| invalid(String::from("its body is not base64")))?];
            reply = Reply::Attached;
            blobs = &body;
        }
        let size = value.as_str().len() + request.len() + 128;
        self.write_message(blobs, size, |_, json| {
            wire::ok_reply(request, envelope.status(), envelope.headers(), reply, json);
        })?;
        self.check_written()?;
        self.say(Rank::InTurn);
        Ok(())
    }

    pub(super) fn refuse(&mut self, request: &Raw, status: u16, text: &str) {
        let size = request.as_str().len() + text.len() + 96;
        let write = |json: &mut String| wire::refusal(request.as_str(), status, text, json);
        self.answer_as(Rank::Demanded, &[], size, write);
    }

    /// Writes and sends a message that has no attachments and is small.
    pub(super) fn answer(&mut self, blobs: &[Bytes], size: usize, write: impl FnOnce(&mut String)) {
        self.answer_as(Rank::InTurn, blobs, size, write);
    }

    pub(super) fn answer_as(
        &mut self,
        rank: Rank,
        blobs: &[Bytes],
        size: usize,
        write: impl FnOnce(&mut String),
    ) {
        match self.write_message(blobs, size, |_, json| write(json)) {
            Ok(()) => self.say(rank),
            Err(error) => self.complain(error),
        }
    }

    /// An outcome for work that is not running: late if it ever ran, else a mistake.
    pub(super) fn unknown(&self, work: WorkId) -> Result<(), Error> {
        let is_late = (1..=self.last_work).contains(&work.0);
        if is_late { Ok(()) } else { Err(ErrorCode::WorkUnknown.into()) }
    }
}
