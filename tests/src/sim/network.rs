//! The network of the world: what becomes of dials, frames, requests and answers on their way.

use bytes::Bytes;
use moorline_core::{
    CloseCause, ConnId, Error, ErrorCode, Headers, HttpBody, HttpId, HttpRequest, HttpResponse,
    Input, Method,
};
use moorline_core::{ConnInput, HttpInput, ServerInput};

use super::node::NodeId;
use super::transport::{End, Exchange, Link};
use super::world::{Happening, World};

impl World {
    pub(super) fn dial(&mut self, id: NodeId, conn: ConnId, url: &str, headers: Headers) {
        let life = self.nodes[id.0].life;
        let delay = self.delay();
        let hub = self.hub;
        if self.nodes[hub.0].listening.is_none() {
            let refused = Error::new(ErrorCode::ConnectFailed, "connection refused");
            return self.schedule(delay, id, life, closed(conn, CloseCause::Failed(refused)));
        }
        let acceptor =
            End { node: hub, life: self.nodes[hub.0].life, id: ConnId(self.nodes[hub.0].odd()) };
        let index = self.transports.links.len();
        self.transports.links.push(Link {
            dialer: End { node: id, life, id: conn },
            acceptor,
            admitted: false,
            half_open: false,
            takes: [usize::MAX; 2],
            latest: [self.now; 2],
        });
        self.transports.by_conn.insert((id, conn), index);
        self.transports.by_conn.insert((hub, acceptor.id), index);
        let path = url.splitn(4, '/').nth(3).map_or_else(|| "/".into(), |path| format!("/{path}"));
        let request = HttpRequest { method: Method::Get, url: path, headers, body: Bytes::new() };
        self.deliver(delay, acceptor, |conn| {
            Input::Server(ServerInput::Offered {
                conn,
                request,
                remote: format!("127.0.0.1:{}", 40_000 + id.0),
            })
        });
    }

    pub(super) fn send(&mut self, id: NodeId, conn: ConnId, frame: moorline_core::Frame) {
        use moorline_core::Frame;
        let delay = self.delay();
        let now = self.now;
        let frame = match frame {
            Frame::Text(text) if self.foreign => Frame::Text(hide(&text).into()),
            frame => frame,
        };
        let Some((link, side)) = self.transports.link(id, conn) else { return };
        if link.half_open {
            return;
        }
        let to = link.other(side);
        let (bytes, max) = (frame.len(), link.takes[1 - side]);
        if let Frame::Text(text) = &frame
            && bytes > max
        {
            // The far driver reads the beginning and closes.
            let beginning = Bytes::copy_from_slice(&text.as_bytes()[..bytes.min(256)]);
            let from = link.other(1 - side);
            let after = (now + delay).max(link.latest[1 - side]) - now;
            let said = format!("a message of {bytes} bytes exceeds the {max} that are allowed");
            let error = Error::new(ErrorCode::TooLarge, &said);
            self.transports.unlink(id, conn);
            self.deliver_close(after, to, CloseCause::Exceeded { error, beginning });
            let refusal = CloseCause::Remote { code: 1009, reason: said };
            return self.deliver_close(after + delay, from, refusal);
        }
        let way = 1 - side;
        let at = (now + delay).max(link.latest[way]);
        link.latest[way] = at;
        // The far driver answers pings by itself, behind what it has sent before.
        let answer = match &frame {
            Frame::Ping(bytes) => Some(Frame::Pong(bytes.clone())),
            Frame::Text(_) | Frame::Binary(_) | Frame::Pong(_) => None,
        };
        let from = link.other(1 - side);
        if let Some(pong) = answer {
            let back = (at + delay).max(link.latest[side]);
            link.latest[side] = back;
            self.deliver(back - now, from, |conn| {
                Input::Conn(ConnInput::Received { conn, frame: pong })
            });
        }
        self.deliver(at - now, to, |conn| Input::Conn(ConnInput::Received { conn, frame }));
    }

    pub(super) fn ask(
        &mut self,
        asker: End<HttpId>,
        mut request: HttpRequest,
        timeout_ms: u64,
        max_body: usize,
    ) {
        let hub = self.hub;
        let delay = self.delay();
        if self.nodes[hub.0].listening.is_none() {
            let refused = Error::new(ErrorCode::ConnectFailed, "connection refused");
            self.deliver(delay, asker, |http| {
                Input::Http(HttpInput::Replied { http, result: Err(refused) })
            });
            return;
        }
        if request.body.len() > self.nodes[hub.0].max_body {
            let body = HttpBody::Full(Bytes::from_static(b"Payload Too Large"));
            let response = HttpResponse { status: 413, headers: Headers::new(), body };
            return self.deliver(delay, asker, |http| {
                Input::Http(HttpInput::Replied { http, result: Ok(response) })
            });
        }
        if self.foreign {
            request.body = hide(&String::from_utf8_lossy(&request.body)).into();
        }
        let server =
            End { node: hub, life: self.nodes[hub.0].life, id: HttpId(self.nodes[hub.0].odd()) };
        let key = (asker.node, asker.id);
        let exchange = Exchange { asker, server, max_body, streaming: None };
        self.transports.exchanges.insert(key, exchange);
        let url = request.url.splitn(4, '/').nth(3).unwrap_or_default();
        let request = HttpRequest { url: format!("/{url}"), ..request };
        self.deliver(delay, server, |http| {
            Input::Server(ServerInput::Asked {
                http,
                request,
                remote: format!("127.0.0.1:{}", 50_000 + asker.node.0),
            })
        });
        let late = Error::new(ErrorCode::CallTimeout, "the server did not answer in time");
        let gone = Input::Http(HttpInput::Replied { http: asker.id, result: Err(late) });
        self.schedule(timeout_ms, asker.node, asker.life, Happening::Input(gone));
    }

    pub(super) fn reply(&mut self, server: NodeId, http: HttpId, response: HttpResponse) {
        let delay = self.delay();
        let Some(exchange) = self.exchange_of(server, http) else { return };
        if response.body == HttpBody::Streaming {
            exchange.streaming = Some((response, Vec::new()));
            return;
        }
        let (asker, bytes, max) = (exchange.asker, response.bytes().len(), exchange.max_body);
        let result = if bytes > max {
            Err(Error::new(ErrorCode::TooLarge, format!("{bytes} bytes exceed {max}")))
        } else {
            Ok(response)
        };
        self.transports.exchanges.remove(&(asker.node, asker.id));
        self.cancel_timeout(asker);
        self.deliver(delay, asker, |http| Input::Http(HttpInput::Replied { http, result }));
    }

    /// Removes the time-out of an exchange that was answered.
    pub(super) fn cancel_timeout(&mut self, asker: End<HttpId>) {
        let key = self
            .agenda
            .iter()
            .find(|(_, (node, life, what))| {
                *node == asker.node
                    && *life == asker.life
                    && matches!(what, Happening::Input(Input::Http(HttpInput::Replied { http, .. }))
                        if *http == asker.id)
            })
            .map(|(key, _)| *key);
        if let Some(key) = key {
            self.agenda.remove(&key);
        }
    }

    pub(super) fn exchange_of(&mut self, server: NodeId, http: HttpId) -> Option<&mut Exchange> {
        self.transports
            .exchanges
            .values_mut()
            .find(|exchange| exchange.server.node == server && exchange.server.id == http)
    }

    /// Ends a link as seen from `id`; the other side learns it after a delay unless half-open.
    pub(super) fn drop_link(&mut self, id: NodeId, conn: ConnId, cause: CloseCause) {
        let delay = self.delay();
        let now = self.now;
        let Some((link, side)) = self.transports.link(id, conn) else { return };
        let silent = link.half_open;
        let at = (now + delay).max(link.latest[1 - side]);
        let cause = if link.admitted || side == 1 { cause } else { CloseCause::Local };
        let Some(other) = self.transports.unlink(id, conn) else { return };
        if !silent {
            self.deliver_close(at - now, other, cause);
        }
    }

    pub(super) fn deliver_close(&mut self, after: u64, end: End<ConnId>, cause: CloseCause) {
        self.schedule(after, end.node, end.life, closed(end.id, cause));
    }

    pub(super) fn deliver<Id>(
        &mut self,
        after: u64,
        end: End<Id>,
        input: impl FnOnce(Id) -> Input,
    ) {
        self.schedule(after, end.node, end.life, Happening::Input(input(end.id)));
    }
}

/// Takes out of a registration what workers of ours add.
fn hide(text: &str) -> String {
    text.replacen("\"Moorline\":", "\"Unknown\":", 1)
}

pub(super) fn closed(conn: ConnId, cause: CloseCause) -> Happening {
    Happening::Input(Input::Conn(ConnInput::Closed { conn, cause }))
}
