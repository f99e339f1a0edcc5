//! A daemon that others connect to: whom it lets in, and whether they live.

use std::collections::VecDeque;

use bytes::Bytes;

use super::options::DaemonOptions;
use super::rotation::Rotation;
use super::{Side, WsDaemon};
use crate::api::event::PeerEvent;
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{ConnId, PeerId};
use crate::base::json::Raw;
use crate::base::json::object::Object;
use crate::base::secret::Secret;
use crate::base::time::Now;
use crate::machine::{CloseCause, Output};
use crate::net::origin::Visitors;
use crate::net::proxies::Networks;
use crate::net::target::{HttpLimits, ListenTarget};
use crate::net::{Frame, HttpRequest, HttpResponse};
use crate::parts::admission::{Accepted, AdmissionPolicy, Due, address};
use crate::parts::listener::{Listener, NO_BODY};
use crate::parts::pacer::Outlet;
use crate::parts::window::Buckets;

/// Wrong tokens of one address: one a second, ten at once. Beyond, attempts are refused unseen, right ones
/// too: an answer would tell whether they were.
const GUESSES: (u64, u64) = (1, 10);

/// The clients of a server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) listener: Listener,
    pub(super) rotation: Rotation,
    pub(super) accepted: Accepted,
    visitors: Visitors,
    guesses: Buckets,
}

impl Server {
    pub(super) fn new(options: &DaemonOptions) -> Self {
        let limits = options.frame_limits();
        Self {
            listener: Listener::default(),
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
        }
    }

    pub(super) fn listen(&mut self, options: &DaemonOptions, out: &mut VecDeque<Output>) {
        let DaemonOptions { max_connections, max_unadmitted_per_address, .. } = *options;
        let limits = HttpLimits::new(NO_BODY, max_connections, max_unadmitted_per_address);
        let (address, proxies) = (options.listen.clone(), Networks::default());
        let target = ListenTarget::Http { address, limits, proxies, echoes_protocol: false };
        self.listener.open(target, out);
    }

    /// Notes a frame; tells whether it is one of a client.
    pub(super) fn heard(&mut self, conn: ConnId) -> bool {
        self.accepted.heard(conn);
        self.accepted.is_open(conn)
    }

    pub(super) fn describe(&self, snapshot: Object) -> Object {
        let peers = self.rotation.conns().iter().map(|conn| self.accepted.address(*conn));
        snapshot.value("peers", &peers.collect::<Vec<_>>())
    }

    /// Looks at an upgrade request.
    fn check(
        &mut self,
        token: &Secret,
        request: &HttpRequest,
        client: &str,
        now: Now,
    ) -> Result<(), (u16, &'static str)> {
        self.visitors.check(&request.headers)?;
        if token.is_empty() {
            return Ok(());
        }
        if self.guesses.check(client, now.mono).is_err() {
            return Err((429, "Too many wrong tokens."));
        }
        let shown = request.headers.first("authorization");
        let shown = shown.and_then(|field| field.strip_prefix("Bearer ")).unwrap_or_default();
        if Secret::new(shown) == *token {
            return Ok(());
        }
        // There is one: it was looked for.
        let _ = self.guesses.take(client, now.mono);
        Err((401, "The token is missing or wrong."))
    }
}

impl WsDaemon {
    pub(super) fn offered(&mut self, conn: ConnId, request: &HttpRequest, remote: &str, now: Now) {
        let Side::Server(server) = &mut self.side else { return };
        let verdict = if self.life.is_draining() {
            Err((503, "The daemon ends."))
        } else {
            server.check(&self.options.token, request, address(remote), now)
        };
        let accepted = verdict.and_then(|()| {
            let accepted = server.accepted.accept(conn, remote, now.mono);
            accepted.map_err(|_| (503, "Too many connections."))
        });
        match accepted {
            Ok(limits) => {
                server.accepted.admit(conn, now.mono);
                server.rotation.join(conn);
                self.outlets.insert(conn, Outlet::new(conn, None));
                self.out.push_back(Output::Admit { conn, limits, pulses: &[], deflate: None });
                if !self.options.token.is_empty() {
                    self.out.push_back(Output::SetLimits { conn, limits });
                }
                let (peer, name) = (PeerId(conn.0), address(remote).to_owned());
                self.event(PeerEvent::Joined { peer, name, meta: Raw::empty_object() });
            }
            Err((status, text)) => {
                let error = Error::new(ErrorCode::PeerRefused, format!("{remote}: {text}"));
                self.warnings.warn(address(remote), error, now, &mut self.out);
                let body = Object::new().text("error", text).end();
                let response = HttpResponse::json(status, body).uncached();
                let response = if status == 503 { response.retry_later() } else { response };
                self.out.push_back(Output::Refuse { conn, response });
            }
        }
    }

    pub(super) fn peer_left(&mut self, conn: ConnId, cause: &CloseCause) {
        let Side::Server(server) = &mut self.side else { return };
        let name = server.accepted.address(conn).to_owned();
        server.accepted.closed(conn);
        if server.rotation.leave(conn) {
            self.line_lost(conn);
            let reason = cause.to_error().message().to_owned();
            self.event(PeerEvent::Left { peer: PeerId(conn.0), name, reason });
        }
        while let Some(ask) = self.asks.lost(conn, u64::MAX) {
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
                    self.out.push_back(Output::Send { conn, frame });
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
