//! Answers to HTTP clients: whole bodies, and bodies whose parts follow.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use moorline_core::ServerInput;
use moorline_core::{HttpBody, HttpId, HttpResponse, Input};

use crate::inbox::{Arrival, Inbox};

/// The most bytes of a streaming answer that wait for a slow client; beyond, it is cut off.
const MAX_WAITING: usize = 8 * 1024 * 1024;

/// What the listener sends for one request.
pub(crate) type Answer = http::Response<AnswerBody>;

/// The body of an answer.
pub(crate) enum AnswerBody {
    /// All of it; taken when sent.
    Full(Bytes),
    /// Parts, as they come.
    Parts(PartsBody),
}

/// Makes an answer from the machine's response, and the writer of its parts if it streams.
pub(crate) fn answer(response: HttpResponse) -> (Answer, Option<PartsWriter>) {
    let (body, writer) = match response.body {
        HttpBody::Full(bytes) => (AnswerBody::Full(bytes), None),
        HttpBody::Streaming => {
            let shared = Arc::new(Mutex::new(Parts::default()));
            let body = PartsBody { parts: Arc::clone(&shared), gone: None };
            (AnswerBody::Parts(body), Some(PartsWriter(shared)))
        }
    };
    let mut answer = http::Response::new(body);
    *answer.status_mut() = http::StatusCode::from_u16(response.status)
        .unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in response.headers.iter() {
        let name = http::HeaderName::from_bytes(name.as_bytes());
        let value = http::HeaderValue::from_str(value.expose());
        if let (Ok(name), Ok(value)) = (name, value) {
            answer.headers_mut().append(name, value);
        }
    }
    (answer, writer)
}

/// A short answer of the listener itself.
pub(crate) fn plain(status: http::StatusCode) -> Answer {
    let text = status.canonical_reason().unwrap_or_default();
    let mut answer = http::Response::new(AnswerBody::Full(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = status;
    answer
}

/// Tells the machine that a client left, unless it was answered in full before.
pub(crate) struct Gone {
    http: HttpId,
    inbox: Arc<Inbox>,
    answered: bool,
}

impl Gone {
    /// Watches over one request.
    pub(crate) fn new(http: HttpId, inbox: Arc<Inbox>) -> Self {
        Self { http, inbox, answered: false }
    }

    /// Hands the watch over to the answer: a whole one ends it, a streaming one carries it on.
    pub(crate) fn watch(mut self, answer: &mut Answer) {
        match answer.body_mut() {
            AnswerBody::Full(_) => self.answered = true,
            AnswerBody::Parts(body) => body.gone = Some(self),
        }
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        if !self.answered {
            self.inbox.arrive(Arrival::Input(Input::Server(ServerInput::Gone { http: self.http })));
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Parts(parts) => parts.poll_part(cx).map(|part| part.map(|b| b.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_empty(),
            Self::Parts(parts) => parts.is_done(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Parts(_) => SizeHint::default(),
        }
    }
}

#[derive(Default)]
struct Parts {
    waiting: VecDeque<Bytes>,
    bytes: usize,
    ended: bool,
    cut: bool,
    gone: bool,
    waker: Option<Waker>,
}

/// The reading half: what hyper sends.
pub(crate) struct PartsBody {
    parts: Arc<Mutex<Parts>>,
    gone: Option<Gone>,
}

/// The writing half: what the machine says.
pub(crate) struct PartsWriter(Arc<Mutex<Parts>>);

impl PartsBody {
    fn poll_part(&self, cx: &Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let mut parts = lock(&self.parts);
        if parts.cut {
            let error = io::Error::new(io::ErrorKind::TimedOut, "the client reads too slowly");
            return Poll::Ready(Some(Err(error)));
        }
        if let Some(part) = parts.waiting.pop_front() {
            parts.bytes -= part.len();
            return Poll::Ready(Some(Ok(part)));
        }
        if parts.ended {
            return Poll::Ready(None);
        }
        parts.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_done(&self) -> bool {
        let parts = lock(&self.parts);
        parts.ended && !parts.cut && parts.waiting.is_empty()
    }
}

impl Drop for PartsBody {
    fn drop(&mut self) {
        let done = self.is_done();
        lock(&self.parts).gone = true;
        if let Some(gone) = &mut self.gone {
            gone.answered = done;
        }
    }
}

impl PartsWriter {
    /// Adds a part. A client that reads too slowly is cut off.
    pub(crate) fn write(&self, part: Bytes) {
        let mut parts = lock(&self.0);
        if parts.gone {
            return;
        }
        parts.cut |= parts.bytes + part.len() > MAX_WAITING;
        if !part.is_empty() {
            parts.bytes += part.len();
            parts.waiting.push_back(part);
        }
        wake(parts);
    }
}

impl Drop for PartsWriter {
    fn drop(&mut self) {
        let mut parts = lock(&self.0);
        parts.ended = true;
        wake(parts);
    }
}

fn wake(mut parts: MutexGuard<'_, Parts>) {
    if let Some(waker) = parts.waker.take() {
        drop(parts);
        waker.wake();
    }
}

fn lock(parts: &Mutex<Parts>) -> MutexGuard<'_, Parts> {
    parts.lock().unwrap_or_else(PoisonError::into_inner)
}
