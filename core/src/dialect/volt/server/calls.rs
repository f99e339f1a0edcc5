//! Commands to daemons: they wait for the daemon, then for its answer, then for its stream.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use uuid::Uuid;

use super::{SessionId, Timer, VoltServer, daemons, going_away, wire};
use crate::api::event::CallEvent;
use crate::api::options::ResponseForm;
use crate::base::error::{Error, ErrorCode, printable};
use crate::base::ids::{CallId, HttpId};
use crate::base::json::Raw;
use crate::base::time::Instant;
use crate::dialect::volt::wire::{Message, command};
use crate::dialect::volt::words::{MESSAGE, SENT};
use crate::net::Frame;
use crate::net::socketio::{self, MAX_ATTACHMENTS, ROOT};
use crate::parts::pacer::Rank;

/// Who called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asker {
    /// A client over HTTP.
    Http(HttpId),
    /// The application in this process.
    Call(CallId),
}

/// What is called.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// The daemon.
    pub(crate) cluster: String,
    /// The command.
    pub(crate) command: String,
    /// Its payload; absent if there is none.
    pub(crate) payload: Raw,
    /// The form of the answer.
    pub(crate) form: ResponseForm,
    /// Time for the answer; 0 takes the option's.
    pub(crate) timeout_ms: u64,
}

impl Order {
    /// Returns how many bytes its payload has.
    fn bytes(&self) -> u64 {
        let blobs = self.payload.blobs().iter().map(Bytes::len).sum::<usize>();
        (self.payload.as_str().len() + blobs) as u64
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Option<Raw>,
    /// The value; absent if there is none.
    pub(super) data: Raw,
    /// The bytes of a buffer, in base64.
    pub(super) body: Option<String>,
}

/// What a message makes of its call; nothing if the call goes on.
type Settled = Result<Option<Answer>, Error>;

/// A call that is not settled.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) asker: Asker,
    order: Order,
    timeout_ms: u64,
    request: Uuid,
    /// The bytes that count while it waits for the daemon.
    waits: u64,
    /// Over which session it was sent; none while it waits for the daemon.
    pub(super) session: Option<SessionId>,
    pub(super) stream: Option<Stream>,
    due: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Stream {
    id: String,
    status: u16,
    bytes: u64,
}

impl VoltServer {
    /// Calls a command. It settles later, once.
    ///
    /// # Errors
    /// `STOPPED` while the hub drains, `NO_WORKER` for an unknown daemon, `OVERLOADED` when too many
    /// calls wait, `TOO_LARGE` for more attachments than peers take.
    pub(crate) fn call(&mut self, asker: Asker, order: Order) -> Result<(), Error> {
        if !self.is_open {
            return Err(going_away());
        }
        if order.payload.blobs().len() > MAX_ATTACHMENTS {
            let text = format!("a message has at most {MAX_ATTACHMENTS} attachments");
            return Err(Error::new(ErrorCode::TooLarge, text));
        }
        if self.calls.len() as u64 >= self.options.max_calls {
            return Err(Error::new(ErrorCode::Overloaded, "Too many commands wait for daemons."));
        }
        let Some(daemon) = self.daemons.get(&order.cluster) else {
            return Err(daemons::unknown(&order.cluster));
        };
        let session = daemon.session();
        if order.command == SENT
            && let Asker::Call(call) = asker
        {
            return self.await_sent(call, &order.cluster);
        }
        if let Some(session) = session {
            self.check_room(session, Rank::InTurn)?;
        }
        let waits = if session.is_none() { order.bytes() } else { 0 };
        if self.waiting_bytes.saturating_add(waits) > self.max_waiting_bytes {
            let text = "Too many bytes of commands wait for daemons.";
            return Err(Error::new(ErrorCode::Overloaded, text));
        }
        self.waiting_bytes += waits;
        let timeout_ms = match order.timeout_ms {
            0 => self.options.command_timeout_ms,
            given => given,
        };
        let (call, request) = (self.next, self.entropy.uuid());
        self.next += 1;
        let order_cluster = order.cluster.clone();
        let mut pending = Pending {
            asker,
            order,
            timeout_ms,
            request,
            waits,
            session: None,
            stream: None,
            due: None,
        };
        if session.is_none() {
            if let Some(daemon) = self.daemons.get_mut(&order_cluster) {
                daemon.waiting.insert(call);
            }
            let due = self.clock.mono.after(self.options.registration_wait_ms.min(timeout_ms));
            self.timers.set(&mut pending.due, Timer::Call(call), due);
        }
        self.calls.insert(call, pending);
        self.askers.insert(asker, call);
        if let Some(session) = session {
            self.send_call(call, session);
        }
        Ok(())
    }

    /// Settles a call when everything that was sent to a daemon so far has left.
    fn await_sent(&mut self, call: CallId, cluster: &str) -> Result<(), Error> {
        let session = self.registered(cluster)?;
        let Some(state) = self.sessions.get_mut(&session) else { return Ok(()) };
        if state.pacer.want() {
            self.tell_flushed(call, Ok(()));
        } else {
            state.awaited.push_back((state.pacer.pushed(), call));
            self.ask_sent(session);
        }
        Ok(())
    }

    /// Tells a call that waited for it that what was sent has left, or that this cannot be known.
    pub(super) fn tell_flushed(&mut self, call: CallId, result: Result<(), Error>) {
        self.event(CallEvent::Done { call, result: result.map(|()| Raw::null()) });
    }

    /// Sends what has waited for a daemon.
    pub(super) fn send_waiting(&mut self, cluster: &str) {
        let Some(daemon) = self.daemons.get_mut(cluster) else { return };
        let Some(session) = daemon.session() else { return };
        for call in std::mem::take(&mut daemon.waiting) {
            self.send_call(call, session);
        }
    }

    fn send_call(&mut self, call: u64, session: SessionId) {
        let Some(pending) = self.calls.get_mut(&call) else { return };
        let request = pending.request;
        pending.session = Some(session);
        let due = self.clock.mono.after(pending.timeout_ms);
        self.timers.set(&mut pending.due, Timer::Call(call), due);
        self.waiting_bytes -= std::mem::take(&mut pending.waits);
        // It is sent once, and of no use from then on.
        let payload = std::mem::take(&mut pending.order.payload);
        let order = &pending.order;
        let mut frames: Vec<Frame> = Vec::with_capacity(1 + payload.blobs().len());
        let size = payload.as_str().len() + order.command.len() + 128;
        // The number of attachments was checked when the call was taken.
        let _ =
            socketio::event_with(ROOT, None, MESSAGE, size, payload.blobs(), &mut frames, |json| {
                let mut id = Uuid::encode_buffer();
                let id = request.hyphenated().encode_lower(&mut id);
                command(id, &order.command, order.form.as_str(), payload.as_str(), json);
            });
        if let Some(daemon) = self.daemons.get_mut(&pending.order.cluster) {
            daemon.sent.insert(call);
        }
        self.requests.insert(request, call);
        self.say(session, frames, Rank::InTurn);
    }

    /// Finds the call that a message of a session belongs to.
    fn called(&self, session: SessionId, message: &Message<'_>) -> Option<u64> {
        let request = Uuid::try_parse(&wire::text(message.request_id)?).ok()?;
        let call = *self.requests.get(&request)?;
        let pending = self.calls.get(&call)?;
        (pending.session == Some(session)).then_some(call)
    }

    /// Takes an answer, or the part or the end of a stream. Tells whether it belonged to a call.
    pub(super) fn take_reply(
        &mut self,
        kind: &str,
        session: SessionId,
        message: &Message<'_>,
        argument: &Raw,
    ) -> bool {
        let Some(call) = self.called(session, message) else { return false };
        let settled = match kind {
            "response" => self.take_response(call, message, argument),
            "stream" => self.take_chunk(call, message, argument),
            "response-binary" => {
                let text = "The daemon answered in an envelope, which the hub does not read.";
                Err(Error::new(ErrorCode::PeerProtocol, text))
            }
            _ => self.take_end(call, message),
        };
        if let Some(settled) = settled.transpose() {
            self.settle(call, settled);
        }
        true
    }

    /// Takes an answer; returns it unless a stream follows.
    fn take_response(&mut self, call: u64, message: &Message<'_>, argument: &Raw) -> Settled {
        let pending = self.calls.get_mut(&call).filter(|pending| pending.stream.is_none());
        let Some(pending) = pending else { return Ok(None) };
        let status = message.status_or_default();
        if !message.is_ok() {
            let command = &pending.order.command;
            let rejected = || format!("The command \"{command}\" was rejected.").into();
            let text = message.explanation().unwrap_or_else(rejected);
            return Err(Error::new(ErrorCode::RemoteError, text).with_status(Some(status)));
        }
        let headers =
            message.headers.filter(|json| json.starts_with('{')).map(|json| argument.part(json));
        if pending.order.form == ResponseForm::Stream
            && let Some(id) = wire::text(message.stream_id)
        {
            pending.stream = Some(Stream { id: id.into_owned(), status, bytes: 0 });
            if let Some(asker) = self.wait_again(call) {
                self.tell_open(asker, status, headers.as_ref());
            }
            return Ok(None);
        }
        let body = wire::text(message.body_base64).map(Cow::into_owned);
        if pending.order.form == ResponseForm::Buffer
            && body.is_none()
            && let Some(bytes) = wire::attached_body(message.result, argument.blobs())
        {
            let body = Some(STANDARD.encode(bytes));
            return Ok(Some(Answer { status, headers, data: Raw::absent(), body }));
        }
        let data = message.result.map_or_else(Raw::absent, |json| argument.part(json));
        let data = data.with_blobs(argument.blobs().to_vec());
        if body.as_ref().is_some_and(|text| STANDARD.decode(text).is_err()) {
            let text = "The daemon's answer has a body that is not base64.";
            return Err(Error::new(ErrorCode::PeerProtocol, text));
        }
        Ok(Some(Answer { status, headers, data, body }))
    }

    /// Finds the stream that a message is about. Peer: parts of another stream are ignored.
    fn stream_of(&mut self, call: u64, message: &Message<'_>) -> Option<&mut Stream> {
        let stream = self.calls.get_mut(&call)?.stream.as_mut()?;
        (wire::text(message.stream_id)? == stream.id).then_some(stream)
    }

    /// Takes a part of a stream.
    fn take_chunk(&mut self, call: u64, message: &Message<'_>, argument: &Raw) -> Settled {
        let limit = self.options.max_stream_bytes;
        if self.stream_of(call, message).is_none() {
            return Ok(None);
        }
        let session = self.calls.get(&call).and_then(|pending| pending.session);
        let bytes = session.map(|session| self.read_chunk(session, message, argument));
        let bytes = bytes.transpose().map_err(|wrong| {
            let text = format!("A part of the daemon's stream is {wrong}.");
            Error::new(ErrorCode::PeerProtocol, text)
        })?;
        let bytes = bytes.unwrap_or_default();
        let Some(stream) = self.stream_of(call, message) else { return Ok(None) };
        stream.bytes = stream.bytes.saturating_add(bytes.len() as u64);
        if limit > 0 && stream.bytes > limit {
            let text =
                format!("The daemon's stream has more than {limit} bytes: volt.max_stream_bytes.");
            return Err(Error::new(ErrorCode::TooLarge, text));
        }
        if let Some(asker) = self.wait_again(call) {
            self.tell_part(asker, &bytes);
        }
        Ok(None)
    }

    /// Takes the end of a stream.
    fn take_end(&mut self, call: u64, message: &Message<'_>) -> Settled {
        let Some(&mut Stream { status, .. }) = self.stream_of(call, message) else {
            return Ok(None);
        };
        // Ours: the original takes a stream that failed for one that ended.
        match message.explanation() {
            Some(text) => Err(Error::new(ErrorCode::RemoteError, text).with_status(Some(status))),
            None => {
                let data = Raw::absent();
                Ok(Some(Answer { status, headers: None, data, body: None }))
            }
        }
    }

    /// Gives a stream the usual time once more; returns who listens to it.
    fn wait_again(&mut self, call: u64) -> Option<Asker> {
        let pending = self.calls.get_mut(&call)?;
        let due = self.clock.mono.after(pending.timeout_ms);
        self.timers.set(&mut pending.due, Timer::Call(call), due);
        Some(pending.asker)
    }

    /// Fails a call whose time is up.
    pub(super) fn expire(&mut self, call: u64) {
        let Some(pending) = self.calls.get(&call) else { return };
        let command = &pending.order.command;
        let error = if pending.session.is_none() {
            let name = printable(&pending.order.cluster);
            let text =
                format!("No daemon registered as {name} in time for the command \"{command}\".");
            Error::new(ErrorCode::NotReady, text)
        } else {
            let timeout = pending.timeout_ms;
            let text = format!("The command \"{command}\" timed out after {timeout} ms.");
            Error::new(ErrorCode::CallTimeout, text)
        };
        self.settle(call, Err(error));
    }

    /// Fails the calls that are meant: the hub is going away.
    pub(super) fn give_up_calls(&mut self, is_meant: impl Fn(&Pending) -> bool) {
        let meant = self.calls.iter().filter(|(_, pending)| is_meant(pending));
        let meant: Vec<u64> = meant.map(|(call, _)| *call).collect();
        for call in meant {
            self.settle(call, Err(going_away()));
        }
    }

    pub(super) fn settle(&mut self, call: u64, settled: Result<Answer, Error>) {
        if let Some(pending) = self.forget_call(call) {
            self.tell_settled(&pending, settled);
        }
    }

    pub(super) fn forget_call(&mut self, call: u64) -> Option<Pending> {
        let mut pending = self.calls.remove(&call)?;
        self.askers.remove(&pending.asker);
        self.requests.remove(&pending.request);
        self.timers.clear(&mut pending.due, Timer::Call(call));
        self.waiting_bytes -= std::mem::take(&mut pending.waits);
        if let Some(daemon) = self.daemons.get_mut(&pending.order.cluster) {
            daemon.waiting.remove(&call);
            daemon.sent.remove(&call);
        }
        Some(pending)
    }

    /// Cancels a call of the application; an answer is dropped. Tells whether there was one.
    pub(crate) fn cancel_call(&mut self, id: CallId) -> bool {
        let Some(call) = self.askers.get(&Asker::Call(id)).copied() else {
            let awaits = |(_, call): &(u64, CallId)| *call == id;
            let mut sessions = self.sessions.values_mut();
            let Some(state) = sessions.find(|it| it.awaited.iter().any(awaits)) else {
                return false;
            };
            state.awaited.retain(|waits| !awaits(waits));
            self.tell_flushed(id, Err(ErrorCode::CallCancelled.into()));
            return true;
        };
        self.settle(call, Err(ErrorCode::CallCancelled.into()));
        true
    }
}
