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
use tokio::sync::oneshot;

use crate::inbox::{Arrival, Inbox};
use crate::listen::Place;

/// How many bytes of a streaming answer may wait for a slow client: if more wait when a part comes, the
/// machine is told to leave parts out. A large part alone does not make its reader a slow one.
const MAX_WAITING: usize = 8 * 1024 * 1024;
/// The same where the machine goes on nevertheless: with more, the next part cuts the client off. One part
/// always passes, however large it is.
const FAR_TOO_MANY: usize = 4 * MAX_WAITING;

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
            let body = PartsBody(Arc::clone(&shared));
            (AnswerBody::Parts(body), Some(PartsWriter(shared)))
        }
    };
    let mut answer = http::Response::new(body);
    *answer.status_mut() = http::StatusCode::from_u16(response.status)
        .unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in response.headers.iter() {
        let name = http::HeaderName::from_bytes(name.as_bytes());
        let value = http::HeaderValue::from_bytes(value.expose().as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            answer.headers_mut().append(name, value);
        }
    }
    (answer, writer)
}

/// Who waits for an answer.
pub(crate) struct Asker {
    /// Takes it.
    pub(crate) answer: oneshot::Sender<Answer>,
    /// The place of the connection.
    pub(crate) place: Arc<Place>,
}

impl Asker {
    /// Answers, if all connections together may hold the answer; who may not comes back later.
    pub(crate) fn answer(self, mut answer: Answer) {
        if !answer.body_mut().count(&self.place) {
            answer = plain(http::StatusCode::SERVICE_UNAVAILABLE);
            let soon = http::HeaderValue::from_static("1");
            answer.headers_mut().insert(http::header::RETRY_AFTER, soon);
        }
        // A client that has left reports itself as gone.
        let _ = self.answer.send(answer);
    }
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
            AnswerBody::Parts(body) => lock(&body.0).watch = Some(self),
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

impl AnswerBody {
    /// Counts what waits to be sent to the connection that holds the place; what is written is given back
    /// there. False if there is no room for it.
    fn count(&mut self, place: &Arc<Place>) -> bool {
        match self {
            Self::Full(bytes) => place.share().try_hold(bytes.len()),
            Self::Parts(body) => {
                lock(&body.0).place = Some(Arc::clone(place));
                true
            }
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
    /// The machine was told that this is too much.
    is_full: bool,
    state: State,
    /// Where what waits is counted.
    place: Option<Arc<Place>>,
    /// Told when the client leaves, or is cut off, before the end.
    watch: Option<Gone>,
    waker: Option<Waker>,
}

/// How far a streaming answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Parts follow.
    #[default]
    Open,
    /// The machine has said all.
    Ended,
    /// The client reads too slowly: nothing more is kept for it.
    Cut,
}

impl Parts {
    /// Tells the machine whether too much waits, when that has changed.
    fn tell(&mut self, is_full: bool) {
        let Some(Gone { http, inbox, .. }) = &self.watch else { return };
        if self.is_full != is_full {
            self.is_full = is_full;
            let input = ServerInput::Backlog { http: *http, is_full };
            inbox.arrive(Arrival::Input(Input::Server(input)));
        }
    }

    /// Drops what waits and tells the machine, which need not go on.
    fn cut(&mut self) {
        self.state = State::Cut;
        self.waiting = VecDeque::new();
        if let Some(place) = &self.place {
            place.share().hold_less(self.bytes);
        }
        self.bytes = 0;
        drop(self.watch.take());
    }
}

/// The reading half: what hyper sends.
pub(crate) struct PartsBody(Arc<Mutex<Parts>>);

/// The writing half: what the machine says.
pub(crate) struct PartsWriter(Arc<Mutex<Parts>>);

impl PartsBody {
    fn poll_part(&self, cx: &Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let mut parts = lock(&self.0);
        if let Some(part) = parts.waiting.pop_front() {
            parts.bytes -= part.len();
            if parts.bytes <= MAX_WAITING / 2 {
                parts.tell(false);
            }
            return Poll::Ready(Some(Ok(part)));
        }
        match parts.state {
            State::Open => {
                parts.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            State::Ended => Poll::Ready(None),
            State::Cut => {
                let error = io::Error::new(io::ErrorKind::TimedOut, "the client reads too slowly");
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_done(&self) -> bool {
        let parts = lock(&self.0);
        parts.state == State::Ended && parts.waiting.is_empty()
    }
}

impl Drop for PartsBody {
    fn drop(&mut self) {
        let is_done = self.is_done();
        let mut parts = lock(&self.0);
        if let Some(watch) = &mut parts.watch {
            watch.answered = is_done;
        }
        parts.cut();
    }
}

impl PartsWriter {
    /// Adds a part. A client that reads too slowly is cut off.
    pub(crate) fn write(&self, part: Bytes) {
        let mut parts = lock(&self.0);
        if parts.state == State::Cut || part.is_empty() {
            return;
        }
        if parts.bytes > FAR_TOO_MANY {
            parts.cut();
        } else {
            let is_slow = parts.bytes > MAX_WAITING;
            parts.bytes += part.len();
            if let Some(place) = &parts.place {
                place.share().hold_more(part.len());
            }
            parts.waiting.push_back(part);
            if is_slow {
                parts.tell(true);
            }
        }
        wake(parts);
    }
}

impl Drop for PartsWriter {
    fn drop(&mut self) {
        let mut parts = lock(&self.0);
        if parts.state == State::Open {
            parts.state = State::Ended;
        }
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

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::inbox::Batch;

    const PART: usize = 1024 * 1024;

    /// A streaming answer that is watched, and its writer.
    fn streaming() -> (Arc<Inbox>, Answer, PartsWriter) {
        let response = HttpResponse {
            status: 200,
            headers: moorline_core::Headers::new(),
            body: HttpBody::Streaming,
        };
        let inbox = Arc::<Inbox>::default();
        let (mut answer, writer) = answer(response);
        Gone::new(HttpId(1), Arc::clone(&inbox)).watch(&mut answer);
        (inbox, answer, writer.unwrap())
    }

    /// Takes what the machine was told of backlogs.
    fn told(inbox: &Inbox) -> Vec<bool> {
        let mut batch = Batch::default();
        inbox.take(&mut batch);
        let mut told = Vec::new();
        for arrival in batch.arrivals {
            if let Arrival::Input(Input::Server(ServerInput::Backlog { is_full, .. })) = arrival {
                told.push(is_full);
            }
        }
        told
    }

    #[tokio::test]
    async fn the_machine_is_told_once_that_a_client_falls_behind_and_once_that_it_has_caught_up() {
        let (inbox, mut answer, writer) = streaming();
        let part = Bytes::from(vec![0; PART]);
        for _ in 0..MAX_WAITING / PART {
            writer.write(part.clone());
        }
        assert!(told(&inbox).is_empty());
        writer.write(part.clone());
        writer.write(part.clone());
        assert_eq!(told(&inbox), [true]);
        for _ in 0..MAX_WAITING / PART / 2 + 1 {
            assert!(answer.body_mut().frame().await.unwrap().is_ok());
        }
        assert!(told(&inbox).is_empty());
        assert!(answer.body_mut().frame().await.unwrap().is_ok());
        assert!(answer.body_mut().frame().await.unwrap().is_ok());
        assert_eq!(told(&inbox), [false]);
    }

    #[tokio::test]
    async fn a_client_that_takes_each_large_part_as_it_comes_does_not_fall_behind() {
        let (inbox, mut answer, writer) = streaming();
        let large = Bytes::from(vec![0; MAX_WAITING + 1]);
        for _ in 0..3 {
            writer.write(Bytes::from_static(b"small"));
            writer.write(large.clone());
            for _ in 0..2 {
                assert!(answer.body_mut().frame().await.unwrap().is_ok());
            }
        }
        assert!(told(&inbox).is_empty());
        writer.write(large.clone());
        writer.write(large);
        assert_eq!(told(&inbox), [true], "the second waits behind a large one");
    }

    fn is_gone(inbox: &Inbox) -> bool {
        let mut batch = Batch::default();
        inbox.take(&mut batch);
        let mut arrivals = batch.arrivals.into_iter();
        arrivals.any(|it| matches!(it, Arrival::Input(Input::Server(ServerInput::Gone { .. }))))
    }

    #[tokio::test]
    async fn a_client_that_never_reads_costs_the_limit_and_is_told_of_at_once() {
        let (inbox, mut answer, writer) = streaming();
        let part = Bytes::from(vec![0; PART]);
        for _ in 0..=FAR_TOO_MANY / PART {
            writer.write(part.clone());
        }
        assert!(!is_gone(&inbox));
        writer.write(part.clone());
        assert!(is_gone(&inbox));
        writer.write(part.clone());
        assert!(part.is_unique(), "something was kept");
        let error = answer.body_mut().frame().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_part_larger_than_what_may_wait_passes() {
        let (inbox, answer, writer) = streaming();
        writer.write(Bytes::from_static(b"small"));
        writer.write(Bytes::from(vec![0; FAR_TOO_MANY + 1]));
        drop(writer);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.len(), 5 + FAR_TOO_MANY + 1);
        assert!(!is_gone(&inbox));
    }

    #[tokio::test]
    async fn a_client_that_reads_to_the_end_is_not_gone() {
        let (inbox, answer, writer) = streaming();
        writer.write(Bytes::from_static(b"one"));
        drop(writer);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "one");
        assert!(!is_gone(&inbox));
    }

    #[test]
    fn a_client_that_leaves_before_the_end_is_gone() {
        let (inbox, answer, writer) = streaming();
        writer.write(Bytes::from_static(b"one"));
        drop(answer);
        assert!(is_gone(&inbox));
    }
}
