//! HTTP calls of the machine: HTTP/1.1 over connections that are kept alive per origin.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use moorline_core::HttpInput;
use moorline_core::{
    Error, ErrorCode, Headers, HttpBody, HttpId, HttpRequest, HttpResponse, Input, Method,
};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use url::Url;

use crate::connect::{Connector, Hop, Progress, Target};
use crate::counters::Counting;
use crate::dial::shown;
use crate::inbox::{Arrival, Inbox};

/// The smallest body that waits while the application does not read its events. What is smaller may be
/// an answer on which a deadline waits, and says little.
const HELD_BODY: usize = 4_096;

/// The most idle connections kept per origin: what a burst of calls has opened serves the next one. Servers
/// end those that rest for long.
const MAX_IDLE: usize = 256;

type Sender = SendRequest<Full<Bytes>>;

/// Makes HTTP calls.
pub(crate) struct HttpClient {
    pool: Arc<Pool>,
    inbox: Arc<Inbox>,
    counting: Arc<Counting>,
    /// Shut while the application does not read its events.
    pub(crate) gate: Arc<Gate>,
    calls: HashMap<HttpId, AbortHandle>,
}

/// Holds back what arrives while the application does not read its events.
#[derive(Default)]
pub(crate) struct Gate {
    is_shut: AtomicBool,
    /// How often it was set.
    turns: AtomicU64,
    turned: Notify,
}

impl Gate {
    /// Shuts or opens it, once a turn.
    pub(crate) fn set(&self, is_shut: bool) {
        self.is_shut.store(is_shut, Ordering::Release);
        self.turns.fetch_add(1, Ordering::AcqRel);
        self.turned.notify_waiters();
    }

    fn turns(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }

    /// Waits until it is open, and has been set since there were so many turns.
    async fn pass(&self, since: Option<u64>) {
        loop {
            let mut turned = pin!(self.turned.notified());
            turned.as_mut().enable();
            let is_new = since.is_none_or(|turns| self.turns() != turns);
            if is_new && !self.is_shut.load(Ordering::Acquire) {
                return;
            }
            turned.await;
        }
    }
}

/// What a call may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The total time.
    pub(crate) timeout_ms: u64,
    /// The largest body of the answer.
    pub(crate) max_body: usize,
    /// Whether parts of a successful answer are wanted as they come.
    pub(crate) streams: bool,
}

struct Pool {
    connector: Arc<Connector>,
    idle: Mutex<HashMap<Target, Vec<Sender>>>,
}

impl HttpClient {
    /// Makes a client.
    pub(crate) fn new(
        connector: Arc<Connector>,
        inbox: Arc<Inbox>,
        counting: Arc<Counting>,
    ) -> Self {
        let pool = Arc::new(Pool { connector, idle: Mutex::default() });
        Self { pool, inbox, counting, gate: Arc::default(), calls: HashMap::new() }
    }

    /// Begins a call; its result arrives in the inbox.
    pub(crate) fn call(&mut self, http: HttpId, request: HttpRequest, bounds: Bounds) {
        self.counting.requests_out.tick();
        let pool = Arc::clone(&self.pool);
        let inbox = Arc::clone(&self.inbox);
        let gate = Arc::clone(&self.gate);
        let task = tokio::spawn(async move {
            let timeout_ms = bounds.timeout_ms;
            let limit = Duration::from_millis(timeout_ms);
            let progress = Progress::default();
            let reading = Reading { bounds, http, inbox: &inbox, gate: &gate };
            let exchange = pool.exchange(&request, &reading, &progress);
            let result = tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| {
                let place = shown(&request.url);
                let code = if progress.is_connected() {
                    ErrorCode::CallTimeout
                } else {
                    ErrorCode::ConnectTimeout
                };
                let message =
                    format!("no answer from {place} within {timeout_ms} ms: gave up {progress}");
                Err(Error::new(code, message))
            });
            if result.as_ref().is_ok_and(|response| response.bytes().len() > HELD_BODY) {
                gate.pass(None).await;
            }
            inbox.arrive(Arrival::Input(Input::Http(HttpInput::Replied { http, result })));
        });
        self.calls.insert(http, task.abort_handle());
    }

    /// Gives up a call.
    pub(crate) fn cancel(&mut self, http: HttpId) {
        if let Some(call) = self.calls.remove(&http) {
            call.abort();
        }
    }

    /// Tells whether a call is still wanted.
    pub(crate) fn is_open(&self, http: HttpId) -> bool {
        self.calls.contains_key(&http)
    }

    /// Forgets a call that was answered; false if it had been cancelled before.
    pub(crate) fn settle(&mut self, http: HttpId) -> bool {
        self.calls.remove(&http).is_some()
    }
}

impl Pool {
    async fn exchange(
        &self,
        ours: &HttpRequest,
        reading: &Reading<'_>,
        progress: &Progress,
    ) -> Result<HttpResponse, Error> {
        let url = Url::parse(&ours.url)
            .map_err(|e| failed(format!("{} is not a URL: {e}", shown(&ours.url))))?;
        let target = Target::of(&url)?;
        let mut request = build(ours, &url)?;
        loop {
            let (mut sender, is_reused) = match self.idle(&target) {
                Some(sender) => (sender, true),
                None => (self.connect(&target, progress).await?, false),
            };
            if is_reused && sender.ready().await.is_err() {
                continue;
            }
            progress.reach(Hop::Request);
            let response = match sender.try_send_request(request).await {
                Ok(response) => response,
                Err(mut unsent) => match unsent.take_message() {
                    // A kept connection that the server had closed: nothing was sent on it.
                    Some(again) if is_reused => {
                        request = again;
                        continue;
                    }
                    Some(_) | None => return Err(lost(&target, unsent.error())),
                },
            };
            let response = reading.read(response, &target).await?;
            self.keep(target, sender);
            return Ok(response);
        }
    }

    async fn connect(&self, target: &Target, progress: &Progress) -> Result<Sender, Error> {
        let io = self.connector.connect(target, progress).await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io))
            .await
            .map_err(|e| lost(target, &e))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "HTTP connection ended");
            }
        });
        Ok(sender)
    }

    fn idle(&self, target: &Target) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.get_mut(target)?;
        while let Some(sender) = kept.pop() {
            if !sender.is_closed() {
                return Some(sender);
            }
        }
        idle.remove(target);
        None
    }

    fn keep(&self, target: Target, sender: Sender) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.entry(target).or_default();
        if kept.len() < MAX_IDLE {
            kept.push(sender);
        }
    }
}

fn build(ours: &HttpRequest, url: &Url) -> Result<http::Request<Full<Bytes>>, Error> {
    let method = match ours.method {
        Method::Get => http::Method::GET,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Delete => http::Method::DELETE,
        Method::Other => return Err(failed("the method cannot be sent")),
    };
    let mut request = http::Request::builder()
        .method(method)
        .uri(&url[url::Position::BeforePath..url::Position::AfterQuery])
        .header(header::HOST, &url[url::Position::BeforeHost..url::Position::AfterPort]);
    for (name, value) in ours.headers.iter() {
        request = request.header(name, value.expose().as_bytes());
    }
    request
        .body(Full::new(ours.body.clone()))
        .map_err(|e| failed(format!("the request is invalid: {e}")))
}

/// How an answer is read.
struct Reading<'a> {
    bounds: Bounds,
    http: HttpId,
    inbox: &'a Inbox,
    gate: &'a Gate,
}

impl Reading<'_> {
    async fn read(
        &self,
        response: http::Response<hyper::body::Incoming>,
        target: &Target,
    ) -> Result<HttpResponse, Error> {
        let (head, body) = response.into_parts();
        let body = if self.bounds.streams && head.status.is_success() {
            self.pass_on(body).await.map(|()| HttpBody::Streaming).map_err(Into::into)
        } else {
            Limited::new(body, self.bounds.max_body)
                .collect()
                .await
                .map(|body| HttpBody::Full(body.to_bytes()))
        };
        let body = body.map_err(|e| {
            if e.is::<LengthLimitError>() {
                let max = self.bounds.max_body;
                let message = format!("the answer exceeds the {max} bytes that are allowed");
                return Error::new(ErrorCode::TooLarge, message);
            }
            let message = format!("the connection to {} broke: {e}", target.authority());
            Error::new(ErrorCode::ConnectionLost, message)
        })?;
        let (status, headers) = (head.status.as_u16(), headers(&head.headers));
        Ok(HttpResponse { status, headers, body })
    }

    /// Passes parts on, no faster than the application reads its events.
    async fn pass_on(&self, mut body: hyper::body::Incoming) -> Result<(), hyper::Error> {
        while let Some(frame) = body.frame().await {
            if let Ok(bytes) = frame?.into_data() {
                let (http, turns) = (self.http, self.gate.turns());
                self.inbox.arrive(Arrival::Input(Input::Http(HttpInput::Part { http, bytes })));
                // The turn that takes it finds out whether there is room for more.
                self.gate.pass(Some(turns)).await;
            }
        }
        Ok(())
    }
}

/// Takes over header fields. Values are bytes: those that are not UTF-8 are Latin-1, as they were once.
pub(crate) fn headers(fields: &http::HeaderMap) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in fields {
        let bytes = value.as_bytes();
        let text = std::str::from_utf8(bytes)
            .map_or_else(|_| bytes.iter().copied().map(char::from).collect(), str::to_owned);
        headers.push(name.as_str(), text);
    }
    headers
}

fn lost(target: &Target, error: &hyper::Error) -> Error {
    let message = format!("the connection to {} broke: {error}", target.authority());
    Error::new(ErrorCode::ConnectionLost, message)
}

fn failed(message: impl AsRef<str>) -> Error {
    Error::new(ErrorCode::ConnectFailed, message)
}
