//! Listeners: HTTP/1.1 and the upgrade to WebSocket on one port.
//!
//! One task per HTTP connection, none per request; a request becomes an arrival of the drive loop's
//! turn and its answer comes back through a one-shot. An admitted upgrade leaves the task and is
//! polled by the drive loop from then on.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use moorline_core::{
    CloseCause, ConnId, Error, ErrorCode, HttpId, HttpLimits, HttpRequest, Input, ListenId, Method,
};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use crate::body::{Answer, Gone, plain};
use crate::counters::Counting;
use crate::http_client::headers;
use crate::inbox::{Arrival, Decision, Inbox};
use crate::io::Io;
use crate::tls::Tls;
use crate::ws;

/// The smallest head limit that the HTTP library can enforce.
const MIN_HEAD: usize = 8 * 1024;
/// How long to pause when the system refuses to accept, such as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The listeners of one I/O thread.
pub(crate) struct Listeners {
    inbox: Arc<Inbox>,
    counting: Arc<Counting>,
    ids: Arc<Ids>,
    tls: Arc<Tls>,
    open: HashMap<ListenId, AbortHandle>,
}

/// Numbers what others begin: odd, never reused.
struct Ids(AtomicU64);

impl Ids {
    fn next(&self) -> u64 {
        self.0.fetch_add(2, Ordering::Relaxed)
    }
}

impl Listeners {
    /// Makes an empty set.
    pub(crate) fn new(inbox: Arc<Inbox>, tls: Arc<Tls>, counting: Arc<Counting>) -> Self {
        let ids = Arc::new(Ids(AtomicU64::new(1)));
        Self { inbox, counting, ids, tls, open: HashMap::new() }
    }

    /// Begins to listen; reports `Listening` or `ListenFailed`.
    pub(crate) fn listen(&mut self, listen: ListenId, address: String, limits: HttpLimits) {
        let tls = match self.tls.acceptor() {
            Ok(tls) => tls,
            Err(error) => {
                self.inbox.arrive(Arrival::Input(Input::ListenFailed { listen, error }));
                return;
            }
        };
        let door = Arc::new(Door {
            limits,
            tls,
            inbox: Arc::clone(&self.inbox),
            counting: Arc::clone(&self.counting),
            ids: Arc::clone(&self.ids),
            crowd: Mutex::default(),
        });
        let task = tokio::spawn(async move {
            let bound = match TcpListener::bind(&address).await {
                Ok(listener) => listener.local_addr().map(|address| (listener, address)),
                Err(e) => Err(e),
            };
            match bound {
                Ok((listener, address)) => {
                    let address = address.to_string();
                    door.inbox.arrive(Arrival::Input(Input::Listening { listen, address }));
                    door.accept(listener).await;
                }
                Err(e) => {
                    let message = format!("cannot listen on {address}: {e}");
                    let error = Error::new(ErrorCode::ListenFailed, message);
                    door.inbox.arrive(Arrival::Input(Input::ListenFailed { listen, error }));
                }
            }
        });
        self.open.insert(listen, task.abort_handle());
    }

    /// Stops accepting.
    pub(crate) fn unlisten(&mut self, listen: ListenId) {
        if let Some(task) = self.open.remove(&listen) {
            task.abort();
        }
    }
}

/// What the connections of one listener share.
struct Door {
    limits: HttpLimits,
    tls: Option<TlsAcceptor>,
    inbox: Arc<Inbox>,
    counting: Arc<Counting>,
    ids: Arc<Ids>,
    crowd: Mutex<Crowd>,
}

/// Who is connected.
#[derive(Default)]
struct Crowd {
    connections: usize,
    unadmitted: HashMap<IpAddr, usize>,
}

impl Door {
    async fn accept(self: &Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, remote)) => {
                    let Some(place) = Place::take(self, remote.ip()) else {
                        tracing::debug!(%remote, "too many connections: closed");
                        continue;
                    };
                    tokio::spawn(Self::serve(Arc::clone(self), stream, place, remote.to_string()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, place: Place, remote: String) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY not set");
        }
        let timeout = Duration::from_millis(self.limits.request_timeout_ms);
        let counting = Arc::clone(&self.counting);
        let io = match &self.tls {
            None => Io::plain(stream, counting),
            Some(tls) => match tokio::time::timeout(timeout, tls.accept(stream)).await {
                Ok(Ok(stream)) => Io::tls(stream, counting),
                Ok(Err(error)) => return tracing::debug!(%error, remote, "TLS handshake failed"),
                Err(_) => return tracing::debug!(remote, "TLS handshake too slow"),
            },
        };
        let visit = Arc::new(Visit { door: Arc::clone(&self), place, remote });
        let service = service_fn(|request| {
            let visit = Arc::clone(&visit);
            async move { Ok::<_, Infallible>(visit.handle(request).await) }
        });
        let mut connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(timeout)
            .max_header_size(self.limits.max_head)
            .max_buf_size(self.limits.max_head.max(MIN_HEAD))
            .max_headers(self.limits.max_headers)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades();
        let Err(error) = Pin::new(&mut connection).await else { return };
        tracing::debug!(%error, remote = visit.remote, "HTTP connection ended");
        if !error.is_timeout() {
            return;
        }
        let Some(parts) = connection.into_parts() else { return };
        if visit.place.is_admitted() && parts.read_buf.is_empty() {
            return;
        }
        let answer =
            b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let mut io = parts.io.into_inner();
        if io.write_all(answer).await.is_ok() {
            let _ = io.shutdown().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Crowd> {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among the limits; given back on drop.
struct Place {
    door: Arc<Door>,
    address: IpAddr,
    admitted: AtomicBool,
}

impl Place {
    fn take(door: &Arc<Door>, address: IpAddr) -> Option<Self> {
        let mut crowd = door.lock();
        let unadmitted = crowd.unadmitted.get(&address).copied().unwrap_or(0);
        if crowd.connections >= door.limits.max_connections
            || unadmitted >= door.limits.max_unadmitted_per_address
        {
            return None;
        }
        crowd.connections += 1;
        crowd.unadmitted.insert(address, unadmitted + 1);
        Some(Self { door: Arc::clone(door), address, admitted: AtomicBool::new(false) })
    }

    fn is_admitted(&self) -> bool {
        self.admitted.load(Ordering::Relaxed)
    }

    /// A whole request came, or an upgrade was admitted: no longer a stranger.
    fn admit(&self) {
        if !self.admitted.swap(true, Ordering::Relaxed) {
            self.leave_strangers(&mut self.door.lock());
        }
    }

    fn leave_strangers(&self, crowd: &mut Crowd) {
        if let Some(count) = crowd.unadmitted.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                crowd.unadmitted.remove(&self.address);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut crowd = self.door.lock();
        crowd.connections -= 1;
        if !self.is_admitted() {
            self.leave_strangers(&mut crowd);
        }
    }
}

/// One client's connection while it speaks HTTP.
struct Visit {
    door: Arc<Door>,
    place: Place,
    remote: String,
}

impl Visit {
    async fn handle(self: Arc<Self>, request: http::Request<Incoming>) -> Answer {
        self.door.counting.requests_in.tick();
        let mut answer =
            if is_upgrade(&request) { self.offer(request).await } else { self.ask(request).await };
        answer
            .headers_mut()
            .entry(header::CONNECTION)
            .or_insert(HeaderValue::from_static("keep-alive"));
        answer
    }

    async fn ask(&self, request: http::Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let limits = &self.door.limits;
        if body.size_hint().lower() > limits.max_body as u64 {
            return closing(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let timeout = Duration::from_millis(limits.request_timeout_ms);
        let body = Limited::new(body, limits.max_body).collect();
        let body = match tokio::time::timeout(timeout, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(e)) if e.is::<LengthLimitError>() => {
                return closing(StatusCode::PAYLOAD_TOO_LARGE);
            }
            Ok(Err(_)) => return closing(StatusCode::BAD_REQUEST),
            Err(_) => return closing(StatusCode::REQUEST_TIMEOUT),
        };
        self.place.admit();
        let http = HttpId(self.door.ids.next());
        let (sender, receiver) = oneshot::channel();
        let gone = Gone::new(http, Arc::clone(&self.door.inbox));
        self.door.inbox.arrive(Arrival::Asked {
            http,
            request: HttpRequest { body, ..question(&head) },
            remote: self.remote.clone(),
            answer: sender,
        });
        match receiver.await {
            Ok(mut answer) => {
                gone.watch(&mut answer);
                answer
            }
            Err(_) => closing(StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    async fn offer(self: &Arc<Self>, mut request: http::Request<Incoming>) -> Answer {
        let version = request.headers().get(header::SEC_WEBSOCKET_VERSION);
        if version.is_none_or(|version| version.as_bytes() != b"13") {
            let mut answer = closing(StatusCode::UPGRADE_REQUIRED);
            let version = HeaderValue::from_static("13");
            answer.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, version);
            return answer;
        }
        let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) else {
            return closing(StatusCode::BAD_REQUEST);
        };
        let Ok(accept) = HeaderValue::try_from(ws::derive_accept_key(key.as_bytes())) else {
            return closing(StatusCode::BAD_REQUEST);
        };
        let on_upgrade = hyper::upgrade::on(&mut request);
        let (head, _) = request.into_parts();
        let conn = ConnId(self.door.ids.next());
        let (sender, receiver) = oneshot::channel();
        let leaving = Leaving { conn, inbox: Arc::clone(&self.door.inbox), is_decided: false };
        self.door.inbox.arrive(Arrival::Offered {
            conn,
            request: question(&head),
            remote: self.remote.clone(),
            decision: sender,
        });
        let decision = receiver.await;
        leaving.decided();
        let limits = match decision {
            Ok(Decision::Admit(limits)) => limits,
            Ok(Decision::Refuse(answer)) => return answer,
            Err(_) => return closing(StatusCode::SERVICE_UNAVAILABLE),
        };
        self.place.admit();
        let visit = Arc::clone(self);
        tokio::spawn(async move {
            let arrival = match on_upgrade.await.map(|it| it.downcast::<TokioIo<Io>>()) {
                Ok(Ok(parts)) => {
                    let io = parts.io.into_inner().holding(visit.clone());
                    Arrival::Upgraded { conn, io, rest: parts.read_buf, limits }
                }
                Ok(Err(_)) | Err(_) => Arrival::Input(gone(conn)),
            };
            visit.door.inbox.arrive(arrival);
        });
        let mut answer = plain(StatusCode::SWITCHING_PROTOCOLS);
        *answer.body_mut() = crate::body::AnswerBody::Full(bytes::Bytes::new());
        let fields = answer.headers_mut();
        fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        fields.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        answer
    }
}

/// Tells the machine that a client left before it was decided about.
struct Leaving {
    conn: ConnId,
    inbox: Arc<Inbox>,
    is_decided: bool,
}

impl Leaving {
    fn decided(mut self) {
        self.is_decided = true;
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if !self.is_decided {
            self.inbox.arrive(Arrival::Input(gone(self.conn)));
        }
    }
}

fn gone(conn: ConnId) -> Input {
    let error = Error::new(ErrorCode::ConnectionLost, "the client left before the upgrade");
    Input::Closed { conn, cause: CloseCause::Failed(error) }
}

fn is_upgrade(request: &http::Request<Incoming>) -> bool {
    request
        .headers()
        .get(header::UPGRADE)
        .is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && request.method() == http::Method::GET
}

fn question(head: &http::request::Parts) -> HttpRequest {
    let method = match head.method {
        http::Method::GET => Method::Get,
        http::Method::POST => Method::Post,
        http::Method::PUT => Method::Put,
        http::Method::DELETE => Method::Delete,
        _ => Method::Other,
    };
    let url = head.uri.path_and_query().map_or("/", |path| path.as_str());
    HttpRequest {
        method,
        url: url.to_owned(),
        headers: headers(&head.headers),
        body: bytes::Bytes::new(),
    }
}

/// An answer after which the connection ends, because the rest of the request was not read.
fn closing(status: StatusCode) -> Answer {
    let mut answer = plain(status);
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}
