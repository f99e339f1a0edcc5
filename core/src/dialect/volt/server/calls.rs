//! Commands to daemons: they wait for the daemon, then for its answer, then for its stream.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use uuid::Uuid;

use super::{SessionId, Timer, VoltServer, daemons, wire};
use crate::api::options::ResponseForm;
use crate::base::error::{Error, ErrorCode, printable};
use crate::base::ids::{CallId, HttpId};
use crate::base::json::Raw;
use crate::base::json::object::Object;
use crate::base::time::{Instant, Now};
use crate::dialect::volt::wire::Message;
use crate::dialect::volt::words::MESSAGE;
use crate::net::Frame;
use crate::net::socketio::{self, MAX_ATTACHMENTS, ROOT};

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

/// A call that is not settled.
#[derive(Debug)]
pub(super) struct Pending {
    asker: Asker,
    order: Order,
    timeout_ms: u64,
    request: Uuid,
    /// Over which session it was sent; none while it waits for the daemon.
    pub(super) session: Option<SessionId>,
    stream: Option<Stream>,
    due: Option<Instant>,
}

#[derive(Debug)]
struct Stream {
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
    pub(crate) fn call(&mut self, asker: Asker, order: Order, now: Now) -> Result<(), Error> {
        if !self.is_open {
            return Err(Error::new(ErrorCode::Stopped, "The hub is going away."));
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
        let timeout_ms = match order.timeout_ms {
            0 => self.options.command_timeout_ms,
            given => given,
        };
        let request = self.entropy.uuid();
        let call = self.number();
        let cluster = order.cluster.clone();
        let mut pending =
            Pending { asker, order, timeout_ms, request, session: None, stream: None, due: None };
        if session.is_none() {
            let due = now.mono.after(self.options.registration_wait_ms.min(timeout_ms));
            self.timers.set(&mut pending.due, Timer::Call(call), due);
        }
        self.calls.insert(call, pending);
        self.askers.insert(asker, call);
        if let Some(session) = session {
            self.send_call(call, session, now);
        } else if let Some(daemon) = self.daemons.get_mut(&cluster) {
            daemon.waiting.insert(call);
        }
        Ok(())
    }

    /// Sends what has waited for a daemon.
    pub(super) fn send_waiting(&mut self, cluster: &str, now: Now) {
        let Some(daemon) = self.daemons.get_mut(cluster) else { return };
        let Some(session) = daemon.session() else { return };
        for call in std::mem::take(&mut daemon.waiting) {
            self.send_call(call, session, now);
        }
    }

    fn send_call(&mut self, call: u64, session: SessionId, now: Now) {
        let Some(pending) = self.calls.get_mut(&call) else { return };
        let request = pending.request;
        pending.session = Some(session);
        let due = now.mono.after(pending.timeout_ms);
        self.timers.set(&mut pending.due, Timer::Call(call), due);
        let order = &pending.order;
        let payload = &order.payload;
        let mut frames: Vec<Frame> = Vec::with_capacity(1 + payload.blobs().len());
        let size = payload.as_str().len() + order.command.len() + 128;
        // The number of attachments was checked when the call was taken.
        let _ =
            socketio::event_with(ROOT, None, MESSAGE, size, payload.blobs(), &mut frames, |json| {
                let mut id = Uuid::encode_buffer();
                let object = Object::onto(json)
                    .text("type", "command")
                    .text("requestId", request.hyphenated().encode_lower(&mut id))
                    .text("command", &order.command)
                    .text("responseType", order.form.as_str());
                *json = if payload.is_absent() {
                    object.end()
                } else {
                    object.raw("payload", payload.as_str()).end()
                };
            });
        if let Some(daemon) = self.daemons.get_mut(&pending.order.cluster) {
            daemon.sent.insert(call);
        }
        self.requests.insert(request, call);
        frames.into_iter().for_each(|frame| self.send(session, frame));
    }

    /// Finds the call that a message of a session belongs to.
    fn called(&self, session: SessionId, message: &Message<'_>) -> Option<u64> {
        let request = Uuid::try_parse(&wire::text(message.request_id)?).ok()?;
        let call = *self.requests.get(&request)?;
        let pending = self.calls.get(&call)?;
        (pending.session == Some(session)).then_some(call)
    }

    /// Takes an answer. Tells whether it belonged to a call.
    pub(super) fn take_response(
        &mut self,
        session: SessionId,
        message: &Message<'_>,
        argument: &Raw,
        now: Now,
    ) -> bool {
        let Some(call) = self.called(session, message) else { return false };
        let Some(pending) = self.calls.get_mut(&call) else { return false };
        if pending.stream.is_some() {
            return true;
        }
        let status = message.status_or_default();
        if !message.is_ok() {
            let text = message.explanation().map_or_else(
                || format!("The command \"{}\" was rejected.", pending.order.command),
                std::borrow::Cow::into_owned,
            );
            let error = Error::new(ErrorCode::RemoteError, text).with_status(Some(status));
            self.fail(call, error);
            return true;
        }
        let headers =
            message.headers.filter(|json| json.starts_with('{')).map(|json| argument.part(json));
        if pending.order.form == ResponseForm::Stream
            && let Some(id) = wire::text(message.stream_id)
        {
            pending.stream = Some(Stream { id: id.into_owned(), status, bytes: 0 });
            let asker = pending.asker;
            self.wait_again(call, now);
            self.tell_open(asker, status, headers.as_ref());
            return true;
        }
        let data = message.result.map_or_else(Raw::absent, |json| argument.part(json));
        let data = data.with_blobs(argument.blobs().to_vec());
        let body = match wire::text(message.body_base64) {
            Some(text) if STANDARD.decode(text.as_bytes()).is_ok() => Some(text.into_owned()),
            Some(_) => {
                let text = "The daemon's answer has a body that is not base64.";
                self.fail(call, Error::new(ErrorCode::PeerProtocol, text));
                return true;
            }
            None => None,
        };
        self.settle(call, Ok(Answer { status, headers, data, body }));
        true
    }

    /// Takes a part of a stream. Tells whether it belonged to a call.
    pub(super) fn take_chunk(
        &mut self,
        session: SessionId,
        message: &Message<'_>,
        argument: &Raw,
        now: Now,
    ) -> bool {
        let Some(call) = self.called(session, message) else { return false };
        let limit = self.options.max_stream_bytes;
        let Some(pending) = self.calls.get_mut(&call) else { return false };
        let asker = pending.asker;
        let Some(stream) = pending.stream.as_mut() else { return true };
        // Peer: parts of another stream are ignored.
        if wire::text(message.stream_id).as_deref() != Some(&*stream.id) {
            return true;
        }
        let bytes = match (wire::text(message.chunk_base64), message.chunk) {
            (Some(text), _) => STANDARD.decode(text.as_bytes()).ok().map(Bytes::from),
            // A later generation attaches the bytes.
            (None, Some(_)) => argument.blobs().first().cloned(),
            (None, None) => None,
        };
        let Some(bytes) = bytes else {
            let text = "A part of the daemon's stream is not base64.";
            self.fail(call, Error::new(ErrorCode::PeerProtocol, text));
            return true;
        };
        stream.bytes = stream.bytes.saturating_add(bytes.len() as u64);
        if stream.bytes > limit {
            let text = format!("The daemon's stream has more than {limit} bytes.");
            self.fail(call, Error::new(ErrorCode::TooLarge, text));
            return true;
        }
        self.wait_again(call, now);
        self.tell_part(asker, &bytes);
        true
    }

    /// Takes the end of a stream. Tells whether it belonged to a call.
    pub(super) fn take_end(&mut self, session: SessionId, message: &Message<'_>) -> bool {
        let Some(call) = self.called(session, message) else { return false };
        let stream = self.calls.get(&call).and_then(|pending| pending.stream.as_ref());
        let Some(stream) = stream else { return true };
        if wire::text(message.stream_id).as_deref() != Some(&*stream.id) {
            return true;
        }
        let status = stream.status;
        // Ours: the original takes a stream that failed for one that ended.
        if let Some(text) = message.explanation() {
            let error = Error::new(ErrorCode::RemoteError, text).with_status(Some(status));
            self.fail(call, error);
            return true;
        }
        let answer = Answer { status, headers: None, data: Raw::absent(), body: None };
        self.settle(call, Ok(answer));
        true
    }

    /// Gives a stream the usual time once more.
    fn wait_again(&mut self, call: u64, now: Now) {
        let Some(pending) = self.calls.get_mut(&call) else { return };
        let due = now.mono.after(pending.timeout_ms);
        self.timers.set(&mut pending.due, Timer::Call(call), due);
    }

    /// Fails a call whose time is up.
    pub(super) fn expire(&mut self, call: u64, at: Instant) {
        let Some(pending) = self.calls.get(&call).filter(|pending| pending.due == Some(at)) else {
            return;
        };
        let command = &pending.order.command;
        let error = if pending.session.is_none() {
            let text = format!(
                "No daemon registered as {} in time for the command \"{command}\".",
                printable(&pending.order.cluster)
            );
            Error::new(ErrorCode::NotReady, text)
        } else {
            let timeout = pending.timeout_ms;
            let text = format!("The command \"{command}\" timed out after {timeout} ms.");
            Error::new(ErrorCode::CallTimeout, text)
        };
        self.fail(call, error);
    }

    pub(super) fn fail(&mut self, call: u64, error: Error) {
        self.settle(call, Err(error));
    }

    fn settle(&mut self, call: u64, settled: Result<Answer, Error>) {
        if let Some(pending) = self.forget_call(call) {
            self.tell_settled(pending.asker, pending.stream.is_some(), settled);
        }
    }

    fn forget_call(&mut self, call: u64) -> Option<Pending> {
        let mut pending = self.calls.remove(&call)?;
        self.askers.remove(&pending.asker);
        self.requests.remove(&pending.request);
        self.timers.clear(&mut pending.due, Timer::Call(call));
        if let Some(daemon) = self.daemons.get_mut(&pending.order.cluster) {
            daemon.waiting.remove(&call);
            daemon.sent.remove(&call);
        }
        Some(pending)
    }

    /// Forgets the call of a client that went away.
    pub(super) fn cancel_http(&mut self, http: HttpId) {
        if let Some(call) = self.askers.get(&Asker::Http(http)).copied() {
            self.forget_call(call);
        }
    }

    /// Cancels a call of the application; an answer is dropped. Tells whether there was one.
    pub(crate) fn cancel_call(&mut self, id: CallId) -> bool {
        let Some(call) = self.askers.get(&Asker::Call(id)).copied() else { return false };
        self.fail(call, ErrorCode::CallCancelled.into());
        true
    }
}
