//! One client of a listener while it speaks HTTP: its requests and its wish to upgrade become arrivals
//! of the drive loop's turn.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper_util::rt::TokioIo;
use moorline_core::{CloseCause, ConnId, Error, ErrorCode, HttpId, HttpRequest, Input, Method};
use moorline_core::{ConnInput, ServerInput};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::body::{Answer, AnswerBody, Asker, Gone, plain};
use crate::http_client::headers;
use crate::inbox::{Arrival, Decision, Inbox};
use crate::io::Io;
use crate::listen::crowd::Place;
use crate::listen::upgrade::{self, Wrong};
use crate::listen::{HEALTH, HttpDoor};
use crate::transport::Carrier;
use crate::ws::{self, Role};

/// How slowly a body may come beyond its time, in bytes a second.
const SLOWEST: u64 = 65_536;
/// The largest body that needs no room of its own, in bytes.
const SMALL: usize = 65_536;
/// How much of a body that is too large the machine sees.
const BEGINNING: usize = 256;
/// How long a connection that is to end has for an answer that says so.
const PARTING: Duration = Duration::from_millis(100);

/// One client's connection while it speaks HTTP.
pub(super) struct Visit {
    pub(super) door: Arc<HttpDoor>,
    pub(super) place: Arc<Place>,
    pub(super) remote: String,
    /// When it connected: a stranger's time begins then.
    pub(super) came: Instant,
}

impl Visit {
    /// Answers one request.
    pub(super) async fn handle(self: Arc<Self>, request: http::Request<Incoming>) -> Answer {
        self.door.counting.requests_in.tick();
        let mut answer =
            if let Some(wrong) = upgrade::wrong_host(request.version(), request.headers()) {
                refused(StatusCode::BAD_REQUEST, wrong)
            } else if self.door.listen != HEALTH
                && upgrade::is_wanted(request.method(), request.headers())
            {
                self.offer(request).await
            } else {
                self.ask(request).await
            };
        answer
            .headers_mut()
            .entry(header::CONNECTION)
            .or_insert(HeaderValue::from_static("keep-alive"));
        answer
    }

    async fn ask(&self, request: http::Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        // Whoever waits for our word before it sends its body has sent none yet.
        let waits = head.headers.contains_key(header::EXPECT);
        let body = match self.receive(body, waits).await {
            Ok(body) => body,
            Err((status, beginning)) => {
                if let Some(body) = beginning.filter(|_| self.door.listen != HEALTH) {
                    let request = HttpRequest { body, ..question(&head) };
                    let remote = self.remote.clone();
                    let input = Input::Server(ServerInput::Exceeded { request, remote });
                    self.door.inbox.arrive(Arrival::Input(input));
                }
                return closing(status);
            }
        };
        // From here on the machine counts what it keeps of it.
        self.place.share().hold(0);
        self.place.admit();
        let http = HttpId(self.door.ids.next());
        let (sender, receiver) = oneshot::channel();
        let gone = Gone::new(http, Arc::clone(&self.door.inbox));
        self.door.inbox.arrive(Arrival::Asked {
            listen: self.door.listen,
            http,
            request: HttpRequest { body, ..question(&head) },
            remote: self.remote.clone(),
            asker: Asker { answer: sender, place: Arc::clone(&self.place) },
        });
        match receiver.await {
            Ok(mut answer) => {
                gone.watch(&mut answer);
                answer
            }
            Err(_) => closing(StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    /// Receives a body; of one that is too large the beginning comes with the status.
    async fn receive(
        &self,
        mut body: Incoming,
        waits: bool,
    ) -> Result<Bytes, (StatusCode, Option<Bytes>)> {
        let (limits, share) = (&self.door.limits, self.place.share());
        let mut began = if self.place.is_admitted() { Instant::now() } else { self.came };
        let mut room = None;
        let is_too_large = body.size_hint().lower() > limits.max_body as u64;
        if is_too_large && waits {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, Some(Bytes::new())));
        }
        // Most bodies come in one part, which is not copied.
        let (mut first, mut whole) = (Bytes::new(), Vec::new());
        loop {
            // Bytes that move are no silent client: an honest one with much to say has its time.
            let bytes = first.len().max(whole.len());
            let allowed = limits.request_timeout_ms + bytes as u64 * 1_000 / SLOWEST;
            let until = began + Duration::from_millis(allowed);
            let part = tokio::select! {
                part = tokio::time::timeout_at(until, body.frame()) => part,
                () = share.over() => return Err((StatusCode::SERVICE_UNAVAILABLE, None)),
            };
            let part = match part {
                Ok(None) => return Ok(if whole.is_empty() { first } else { whole.into() }),
                Ok(Some(Ok(part))) => part,
                Ok(Some(Err(_))) => return Err((StatusCode::BAD_REQUEST, None)),
                Err(_) => return Err((StatusCode::REQUEST_TIMEOUT, None)),
            };
            let Ok(part) = part.into_data() else { continue };
            // Room is taken for all of it at once: nobody holds some while it waits for more.
            let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
            let whole_size = declared.saturating_add(bytes + part.len());
            if room.is_none() && !is_too_large && whole_size > SMALL {
                let is_known = body.size_hint().exact().is_some();
                let size = if is_known { whole_size } else { limits.max_body };
                let patience = Duration::from_millis(limits.request_timeout_ms);
                let hold = self.place.hold(size.min(limits.max_body));
                let asked = Instant::now();
                let Ok(held) = tokio::time::timeout(patience, hold).await else {
                    return Err((StatusCode::SERVICE_UNAVAILABLE, None));
                };
                room = Some(held);
                began += asked.elapsed();
            }
            if is_too_large || bytes + part.len() > limits.max_body {
                let beginning = [&first[..], &whole, &part].into_iter().find(|it| !it.is_empty());
                let beginning = beginning.unwrap_or_default();
                let beginning = &beginning[..beginning.len().min(BEGINNING)];
                let beginning = Bytes::copy_from_slice(beginning);
                return Err((StatusCode::PAYLOAD_TOO_LARGE, Some(beginning)));
            }
            share.hold(bytes + part.len());
            if bytes == 0 {
                first = part;
                continue;
            }
            if whole.is_empty() {
                whole.extend_from_slice(&first);
            }
            whole.extend_from_slice(&part);
        }
    }

    /// Resolves when the connection is to end because it held most of what all hold together.
    pub(super) async fn is_too_much(&self) {
        self.place.share().over().await;
        // Whoever still sends is told why.
        tokio::time::sleep(PARTING).await;
    }

    async fn offer(self: &Arc<Self>, mut request: http::Request<Incoming>) -> Answer {
        let accept = match upgrade::accept(request.version(), request.headers()) {
            Ok(accept) => accept,
            Err(Wrong::Version) => {
                let mut answer = closing(StatusCode::UPGRADE_REQUIRED);
                let version = HeaderValue::from_static("13");
                answer.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, version);
                return answer;
            }
            Err(Wrong::Request(wrong)) => return refused(StatusCode::BAD_REQUEST, wrong),
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
        let (limits, deflate) = match decision {
            Ok(Decision::Admit(limits, deflate)) => (limits, deflate),
            Ok(Decision::Refuse(answer)) => return answer,
            Err(_) => return closing(StatusCode::SERVICE_UNAVAILABLE),
        };
        self.place.admit();
        let offers = head.headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter();
        let offers = offers.filter_map(|offer| offer.to_str().ok());
        let (agreed, granted) = deflate.and_then(|deflate| ws::grant(offers, &deflate)).unzip();
        let visit = Arc::clone(self);
        tokio::spawn(async move {
            let arrival = match on_upgrade.await.map(|it| it.downcast::<TokioIo<Io>>()) {
                Ok(Ok(parts)) => {
                    let io = parts.io.into_inner().holding(Arc::clone(&visit.place));
                    let rest = parts.read_buf;
                    let carrier = Carrier::WebSocket { io, rest, role: Role::Server, agreed };
                    Arrival::Upgraded { conn, carrier, limits }
                }
                Ok(Err(_)) | Err(_) => Arrival::Input(gone(conn)),
            };
            visit.door.inbox.arrive(arrival);
        });
        let mut answer = plain(StatusCode::SWITCHING_PROTOCOLS);
        *answer.body_mut() = AnswerBody::Full(Bytes::new());
        let fields = answer.headers_mut();
        fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        fields.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(granted) = granted.and_then(|granted| HeaderValue::try_from(granted).ok()) {
            fields.insert(header::SEC_WEBSOCKET_EXTENSIONS, granted);
        }
        if self.door.echoes_protocol
            && let Some(first) = upgrade::first_protocol(&head.headers)
        {
            fields.insert(header::SEC_WEBSOCKET_PROTOCOL, first);
        }
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
    Input::Conn(ConnInput::Closed { conn, cause: CloseCause::Failed(error) })
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
    HttpRequest { method, url: url.to_owned(), headers: headers(&head.headers), body: Bytes::new() }
}

/// Says what is wrong with a request.
fn refused(status: StatusCode, wrong: &'static str) -> Answer {
    let mut answer = closing(status);
    *answer.body_mut() = AnswerBody::Full(Bytes::from_static(wrong.as_bytes()));
    answer
}

/// An answer after which the connection ends, because the rest of the request was not read.
fn closing(status: StatusCode) -> Answer {
    let mut answer = plain(status);
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}
