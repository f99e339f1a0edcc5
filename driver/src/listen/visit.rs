//! One client of a listener while it speaks HTTP: its requests and its wish to upgrade become arrivals
//! of the drive loop's turn.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper_util::rt::TokioIo;
use moorline_core::ConnInput;
use moorline_core::{CloseCause, ConnId, Error, ErrorCode, HttpId, HttpRequest, Input, Method};
use tokio::sync::oneshot;

use crate::body::{Answer, AnswerBody, Gone, plain};
use crate::http_client::headers;
use crate::inbox::{Arrival, Decision, Inbox};
use crate::io::Io;
use crate::listen::HttpDoor;
use crate::listen::crowd::Place;
use crate::listen::upgrade::{self, Wrong};
use crate::transport::Carrier;
use crate::ws::Role;

/// One client's connection while it speaks HTTP.
pub(super) struct Visit {
    pub(super) door: Arc<HttpDoor>,
    pub(super) place: Arc<Place>,
    pub(super) remote: String,
}

impl Visit {
    /// Answers one request.
    pub(super) async fn handle(self: Arc<Self>, request: http::Request<Incoming>) -> Answer {
        self.door.counting.requests_in.tick();
        let mut answer =
            if let Some(wrong) = upgrade::wrong_host(request.version(), request.headers()) {
                refused(StatusCode::BAD_REQUEST, wrong)
            } else if upgrade::is_wanted(request.method(), request.headers()) {
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
                    let io = parts.io.into_inner().holding(Arc::clone(&visit.place));
                    let carrier =
                        Carrier::WebSocket { io, rest: parts.read_buf, role: Role::Server };
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
