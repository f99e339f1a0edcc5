//! Engine.IO sessions: how they begin, what carries them, whether they live, how they end.
//!
//! ```text
//! GET polling ─▶ Polling ──probe, upgrade──▶ WebSocket ◀─ upgrade request without sid
//!                   └── close, lost poll, no pong, parse error ──▶ gone
//! ```
//!
//! Source: `engine.io` 6.6.

use std::collections::VecDeque;

use bytestring::ByteString;

use super::session::{Carrier, Probe, Session, plain};
use super::{SessionId, Timer, VoltServer};
use crate::base::ids::{ConnId, HttpId};
use crate::base::time::Now;
use crate::machine::Output;
use crate::net::engineio::{self, Handshake, PROBE, Packet, RequestError};
use crate::net::socketio::{Decoder, DecoderLimits};
use crate::net::{Frame, HttpRequest, HttpResponse, Method};

/// The largest message of a session that has not registered.
pub(super) const STRANGER_MESSAGE: usize = 65_536;

/// How often a poll is released while an upgrade is under way.
pub(super) const RELEASE_MS: u64 = 100;

/// What a request of a client asks for.
struct Query<'a> {
    revision: &'a str,
    transport: &'a str,
    sid: Option<&'a str>,
}

impl<'a> Query<'a> {
    fn read(url: &'a str) -> Self {
        let mut query = Self { revision: "", transport: "", sid: None };
        let text = url.split_once('?').map_or("", |(_, text)| text);
        for pair in text.split('&') {
            match pair.split_once('=') {
                Some(("EIO", value)) => query.revision = value,
                Some(("transport", value)) => query.transport = value,
                Some(("sid", value)) => query.sid = Some(value),
                Some(_) | None => {}
            }
        }
        query
    }
}

impl VoltServer {
    /// Answers a request of a polling client, or an enrollment.
    pub(super) fn ask(&mut self, http: HttpId, request: &HttpRequest, remote: &str, now: Now) {
        if let Some(cluster) = super::enroll::cluster_of(&request.url) {
            self.enroll(http, &cluster, request, remote, now);
            return;
        }
        if let Err(error) = self.ask_engine(http, request, remote, now) {
            let mut response = HttpResponse::json(error.status(), error.to_json());
            response.headers.push("cache-control", "no-store");
            self.reply(http, response);
        }
    }

    fn ask_engine(
        &mut self,
        http: HttpId,
        request: &HttpRequest,
        remote: &str,
        now: Now,
    ) -> Result<(), RequestError> {
        let query = Query::read(&request.url);
        match query.transport {
            "polling" => {}
            // WebSocket without an upgrade request.
            "websocket" => return Err(RequestError::BadRequest),
            _ => return Err(RequestError::TransportUnknown),
        }
        let Some(sid) = query.sid else {
            if request.method != Method::Get {
                return Err(RequestError::HandshakeMethod);
            }
            if query.revision != engineio::REVISION {
                return Err(RequestError::UnsupportedVersion);
            }
            let session = self.begin(remote, None, now).ok_or(RequestError::Forbidden)?;
            let handshake = self.handshake(session);
            let body = Packet::Open(handshake.to_json().into()).to_frame();
            self.answer(http, &[body]);
            return Ok(());
        };
        let session = *self.by_sid.get(sid).ok_or(RequestError::SessionUnknown)?;
        let state = self.sessions.get_mut(&session).ok_or(RequestError::SessionUnknown)?;
        let Carrier::Polling { poll, .. } = &mut state.carrier else {
            return Err(RequestError::BadRequest);
        };
        match request.method {
            Method::Get => {
                if poll.is_some() {
                    self.close(session, "two polls at once");
                    return Err(RequestError::BadRequest);
                }
                *poll = Some(http);
                self.by_poll.insert(http, session);
                self.dirty.insert(session);
                Ok(())
            }
            Method::Post => self.take_body(http, session, request, now),
            Method::Put | Method::Delete | Method::Other => Err(RequestError::BadRequest),
        }
    }

    /// Reads what a polling client posted.
    fn take_body(
        &mut self,
        http: HttpId,
        session: SessionId,
        request: &HttpRequest,
        now: Now,
    ) -> Result<(), RequestError> {
        let stranger = self.sessions.get(&session).is_none_or(|state| state.is_stranger);
        let limits = if stranger { self.limits.1 } else { self.limits.0 };
        if request.body.len() > limits.max_message {
            self.close(session, "a message that is too large");
            let response = plain(413, "text/plain", Vec::new());
            self.reply(http, response);
            return Ok(());
        }
        let Ok(body) = ByteString::try_from(request.body.clone()) else {
            self.close(session, "a body that is not UTF-8");
            return Err(RequestError::BadRequest);
        };
        for packet in engineio::split(&body) {
            match packet {
                Ok(packet) => self.take_packet(session, packet, now),
                Err(malformed) => self.close(session, &malformed.to_string()),
            }
            if !self.sessions.contains_key(&session) {
                break;
            }
        }
        let response = plain(200, "text/html", b"ok".to_vec());
        self.reply(http, response);
        Ok(())
    }

    /// Answers an upgrade request.
    pub(super) fn offer(&mut self, conn: ConnId, request: &HttpRequest, remote: &str, now: Now) {
        if let Err(error) = self.offer_engine(conn, request, remote, now) {
            let response = HttpResponse::json(error.status(), error.to_json());
            self.out.push_back(Output::Refuse { conn, response });
        }
    }

    fn offer_engine(
        &mut self,
        conn: ConnId,
        request: &HttpRequest,
        remote: &str,
        now: Now,
    ) -> Result<(), RequestError> {
        let query = Query::read(&request.url);
        if query.transport != "websocket" || !self.options.websocket {
            return Err(RequestError::TransportUnknown);
        }
        let Some(sid) = query.sid else {
            if query.revision != engineio::REVISION {
                return Err(RequestError::UnsupportedVersion);
            }
            let session = self.begin(remote, Some(conn), now).ok_or(RequestError::Forbidden)?;
            let (limits, pulses) = (self.limits.1, engineio::PONGS);
            self.out.push_back(Output::Admit { conn, limits, pulses });
            let handshake = self.handshake(session);
            self.send(session, Packet::Open(handshake.to_json().into()).to_frame());
            return Ok(());
        };
        let session = *self.by_sid.get(sid).ok_or(RequestError::SessionUnknown)?;
        let state = self.sessions.get_mut(&session).ok_or(RequestError::SessionUnknown)?;
        if !matches!(state.carrier, Carrier::Polling { .. }) || state.probe.is_some() {
            return Err(RequestError::BadRequest);
        }
        let give_up = now.mono.after(self.options.upgrade_timeout_ms);
        state.probe = Some(Probe { conn, give_up, release: None });
        let limits = if state.is_stranger { self.limits.1 } else { self.limits.0 };
        let pulses = engineio::PONGS;
        self.by_conn.insert(conn, session);
        self.timers.add(Timer::Probe(session), give_up);
        self.out.push_back(Output::Admit { conn, limits, pulses });
        Ok(())
    }

    /// Begins a session; `None` when there are too many.
    fn begin(&mut self, remote: &str, conn: Option<ConnId>, now: Now) -> Option<SessionId> {
        let address = crate::parts::admission::address(remote).to_owned();
        self.admission.enter(&address).ok()?;
        let session = SessionId(self.number());
        let sid = self.entropy.uuid().simple().to_string();
        self.by_sid.insert(sid.clone(), session);
        let carrier = match conn {
            Some(conn) => {
                self.by_conn.insert(conn, session);
                Carrier::WebSocket(conn)
            }
            None => Carrier::Polling { poll: None, queue: VecDeque::new(), bytes: 0 },
        };
        let (mut life, mut join_by) = (None, None);
        let ping_at = now.mono.after(self.options.ping_interval_ms);
        self.timers.set(&mut life, Timer::Life(session), ping_at);
        let give_up = now.mono.after(self.options.connect_timeout_ms);
        self.timers.set(&mut join_by, Timer::Join(session), give_up);
        let limits = DecoderLimits {
            max_attachment_bytes: self.limits.0.max_message,
            ..DecoderLimits::default()
        };
        self.sessions.insert(
            session,
            Session {
                sid,
                address,
                carrier,
                probe: None,
                life,
                awaits_pong: false,
                decoder: Decoder::new(limits),
                is_joined: false,
                join_by,
                register_by: None,
                cluster: None,
                is_stranger: true,
            },
        );
        Some(session)
    }

    fn handshake(&self, session: SessionId) -> Handshake {
        let state = self.sessions.get(&session);
        let polls = state.is_some_and(|state| matches!(state.carrier, Carrier::Polling { .. }));
        let upgrades =
            if polls && self.options.websocket { vec!["websocket".into()] } else { vec![] };
        Handshake {
            sid: state.map(|state| state.sid.clone()).unwrap_or_default(),
            upgrades,
            ping_interval: self.options.ping_interval_ms,
            ping_timeout: self.options.ping_timeout_ms,
            max_payload: Some(self.options.max_message_bytes),
        }
    }

    /// Takes a frame of one of our connections.
    pub(super) fn received(&mut self, conn: ConnId, frame: &Frame, now: Now) {
        let Some(session) = self.by_conn.get(&conn).copied() else { return };
        if matches!(frame, Frame::Ping(_) | Frame::Pong(_)) {
            return;
        }
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let packet = engineio::decode(frame);
        if let Some(probe) = state.probe.as_mut().filter(|probe| probe.conn == conn) {
            match packet {
                Ok(Packet::Ping(text)) if &*text == PROBE => {
                    let release = now.mono.after(RELEASE_MS);
                    probe.release = Some(release);
                    self.timers.add(Timer::Probe(session), release);
                    let frame = Packet::Pong(PROBE.into()).to_frame();
                    self.out.push_back(Output::Send { conn, frame });
                }
                Ok(Packet::Upgrade) if probe.release.is_some() => self.upgrade(session),
                Ok(_) | Err(_) => self.drop_probe(session),
            }
            return;
        }
        match packet {
            Ok(packet) => self.take_packet(session, packet, now),
            Err(malformed) => self.close(session, &malformed.to_string()),
        }
    }

    /// Notes that one of our connections ended.
    pub(super) fn closed(&mut self, conn: ConnId, reason: &str) {
        let Some(session) = self.by_conn.remove(&conn) else { return };
        let Some(state) = self.sessions.get_mut(&session) else { return };
        if state.probe.take_if(|probe| probe.conn == conn).is_none() {
            self.forget(session, reason);
        }
    }

    /// Forgets a client that went away while its request waited.
    pub(super) fn gone(&mut self, http: HttpId) {
        let Some(session) = self.by_poll.remove(&http) else {
            self.cancel_http(http);
            return;
        };
        if let Some(Session { carrier: Carrier::Polling { poll, .. }, .. }) =
            self.sessions.get_mut(&session)
        {
            *poll = None;
        }
        self.forget(session, "the client gave up its poll");
    }

    fn take_packet(&mut self, session: SessionId, packet: Packet, now: Now) {
        match packet {
            Packet::Message(text) => self.take_text(session, &text, now),
            Packet::Binary(bytes) => self.take_binary(session, bytes, now),
            Packet::Pong(_) => self.heard(session, now),
            Packet::Close => self.close(session, "the client closed the session"),
            // Peer: only servers ping; whoever pings a server speaks an older revision.
            Packet::Ping(_) => self.close(session, "a ping in the wrong direction"),
            Packet::Open(_) | Packet::Upgrade | Packet::Noop => {}
        }
    }
}
