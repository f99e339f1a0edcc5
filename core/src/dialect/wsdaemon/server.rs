//! A daemon that others connect to: whom it lets in, and whether they live.

use bytes::Bytes;

use super::options::DaemonOptions;
use super::rotation::Rotation;
use super::{Side, WsDaemon};
use crate::api::event::{PeerEvent, SessionEvent};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{ConnId, ListenId, PeerId};
use crate::base::json::Raw;
use crate::base::json::object::Object;
use crate::base::secret::Secret;
use crate::base::time::{Deadline, Now, Why};
use crate::machine::{CloseCause, Output};
use crate::net::origin::Visitors;
use crate::net::proxies::Networks;
use crate::net::target::{FrameLimits, HttpLimits, ListenTarget};
use crate::net::{Frame, Headers, HttpBody, HttpRequest, HttpResponse};
use crate::parts::admission::{Accepted, AdmissionPolicy, Due, address};
use crate::parts::window::{Buckets, Window};

/// The listener for other daemons.
pub(super) const LISTENER: ListenId = ListenId(0);

/// The largest body of a request: none is wanted.
const MAX_BODY: u64 = 1_024;

/// Wrong tokens of one address: one a second, ten at once. Beyond, attempts are refused unseen, right ones
/// too: an answer would tell whether they were.
const GUESSES: (u64, u64) = (1, 10);

/// Refusals of one address that are told within a minute.
const TOLD: (u64, u64) = (5, 60_000);

/// The clients of a server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) rotation: Rotation,
    pub(super) accepted: Accepted,
    visitors: Visitors,
    guesses: Buckets,
    told: Window,
}

/// Answers what is no upgrade.
pub(super) fn upgrade() -> HttpResponse {
    let headers = Headers::new().with("content-type", "text/plain").with("upgrade", "websocket");
    let body = HttpBody::Full(Bytes::from_static(b"Upgrade Required"));
    HttpResponse { status: 426, headers, body }
}

impl Server {
    pub(super) fn new(options: &DaemonOptions) -> Self {
        let limits = FrameLimits::from(&options.limits);
        Self {
            rotation: Rotation::default(),
            accepted: Accepted::new(AdmissionPolicy {
                unadmitted: limits,
                admitted: limits,
                max_connections: options.max_connections,
                max_unadmitted_per_address: options.max_unadmitted_per_address,
                registration_timeout_ms: 0,
                ping_interval_ms: options.ping_interval_ms,
            }),
            visitors: options.visitors(),
            guesses: Buckets::new(GUESSES.0, GUESSES.1),
            told: Window::new(TOLD.0, TOLD.1),
        }
    }

    /// Notes a frame; tells whether it is one of a client.
    pub(super) fn heard(&mut self, conn: ConnId) -> bool {
        self.accepted.heard(conn);
        self.accepted.is_open(conn)
    }

    pub(super) fn deadline(&self) -> Option<Deadline> {
        self.accepted.next_due().map(|at| Deadline { at, why: Why::Ping })
    }

    pub(super) fn describe(&self, snapshot: Object) -> Object {
        let peers: Vec<_> =
            self.rotation.conns().iter().map(|conn| self.accepted.address(*conn)).collect();
        snapshot.value("peers", &peers)
    }

    /// Looks at an upgrade request.
    fn check(
        &mut self,
        token: &Secret,
        request: &HttpRequest,
        remote: &str,
        now: Now,
    ) -> Result<(), (u16, String)> {
        self.visitors
            .check(&request.headers)
            .map_err(|(status, text)| (status, text.to_owned()))?;
        if token.is_empty() {
            return Ok(());
        }
        let client = address(remote);
        if self.guesses.check(client, now.mono).is_err() {
            return Err((429, String::from("Too many wrong tokens.")));
        }
        let shown = request.headers.first("authorization");
        let shown = shown.and_then(|field| field.strip_prefix("Bearer ")).unwrap_or_default();
        if Secret::new(shown) == *token {
            return Ok(());
        }
        // There is one: it was looked for.
        let _ = self.guesses.take(client, now.mono);
        Err((401, String::from("The token is missing or wrong.")))
    }
}

impl WsDaemon {
    pub(super) fn listen(&mut self) {
        let DaemonOptions { max_connections, max_unadmitted_per_address, .. } = self.options;
        let limits = HttpLimits::new(MAX_BODY, max_connections, max_unadmitted_per_address);
        let target = ListenTarget::Http {
            address: self.options.listen.clone(),
            proxies: Networks::default(),
            limits,
        };
        self.outputs.push_back(Output::Listen { listen: LISTENER, target });
    }

    pub(super) fn offered(&mut self, conn: ConnId, request: &HttpRequest, remote: &str, now: Now) {
        let Side::Server(server) = &mut self.side else { return };
        let verdict = if self.drain.is_on() {
            Err((503, String::from("The daemon ends.")))
        } else {
            server.check(&self.options.token, request, remote, now)
        };
        let verdict = verdict.and_then(|()| {
            let refused = |_| (503, String::from("Too many connections."));
            server.accepted.accept(conn, remote, now.mono).map_err(refused)
        });
        let is_proven = !self.options.token.is_empty();
        match verdict {
            Ok(limits) => {
                server.accepted.admit(conn, now.mono);
                server.rotation.join(conn);
                let name = address(remote).to_owned();
                self.outputs.push_back(Output::Admit { conn, limits, pulses: &[], deflate: None });
                if is_proven {
                    self.outputs.push_back(Output::SetLimits { conn, limits });
                }
                self.event(PeerEvent::Joined {
                    peer: PeerId(conn.0),
                    name,
                    meta: Raw::empty_object(),
                });
            }
            Err((status, text)) => {
                if server.told.count(address(remote), now.mono).is_ok() {
                    let error = Error::new(ErrorCode::PeerRefused, format!("{remote}: {text}"));
                    self.event(SessionEvent::Notice { error });
                }
                let body = Object::new().text("error", &text).end();
                let response = HttpResponse::json(status, body).uncached();
                let response = if status == 503 { response.retry_later() } else { response };
                self.outputs.push_back(Output::Refuse { conn, response });
            }
        }
    }

    pub(super) fn peer_left(&mut self, conn: ConnId, cause: &CloseCause) {
        let Side::Server(server) = &mut self.side else { return };
        let name = server.accepted.address(conn).to_owned();
        server.accepted.closed(conn);
        if server.rotation.leave(conn) {
            let reason = cause.to_error().message().to_owned();
            self.event(PeerEvent::Left { peer: PeerId(conn.0), name, reason });
        }
        while let Some(ask) = self.asks.lost(conn) {
            let text = "the other daemon left before the status came";
            self.settle_lost(&ask, ErrorCode::ConnectionLost, text);
        }
    }

    pub(super) fn peers_due(&mut self, now: Now) {
        while let Side::Server(server) = &mut self.side
            && let Some(due) = server.accepted.take_due(now.mono)
        {
            match due {
                Due::Ping(conn) => {
                    let frame = Frame::Ping(Bytes::new());
                    self.outputs.push_back(Output::Send { conn, frame });
                }
                Due::Silent(conn) | Due::Unregistered(conn) => {
                    server.accepted.closing(conn);
                    self.close(conn);
                    self.peer_left(conn, &CloseCause::Failed(ErrorCode::PeerSilent.into()));
                }
            }
        }
    }
}
