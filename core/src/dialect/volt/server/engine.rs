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
use super::{Asker, SessionId, Timer, VoltServer};
use crate::base::error::ErrorCode;
use crate::base::ids::{ConnId, HttpId};
use crate::base::json::object::Object;
use crate::dialect::volt::options::DaemonChannel;
use crate::machine::Output;
use crate::net::engineio::{self, Handshake, PROBE, Packet, RequestError};
use crate::net::socketio::{Decoder, DecoderLimits};
use crate::net::target::{Deflate, FrameLimits};
use crate::net::{Frame, HttpRequest, HttpResponse, Method};
use crate::parts::admission::address;
use crate::parts::pacer::Pacer;

/// The largest message of a session that has not registered.
const STRANGER_MESSAGE: usize = 65_536;

/// What became of a request.
type Taken = Result<(), RequestError>;

/// Returns a parameter of a request's query; of one that stands twice, the last.
fn parameter<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = url.split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.rfind(|(key, _)| *key == name).map(|(_, value)| value)
}

impl VoltServer {
    /// Answers a request of a polling client, or an enrollment.
    pub(super) fn ask(&mut self, http: HttpId, request: &HttpRequest, remote: &str) {
        if let Some(cluster) = super::enroll::cluster_of(&request.url) {
            self.enroll(http, &cluster, request, remote);
        } else if let Err(error) = self.ask_engine(http, request, remote) {
            let response = self.declined(error, remote).uncached();
            self.reply(http, response);
        }
    }

    fn ask_engine(&mut self, http: HttpId, request: &HttpRequest, remote: &str) -> Taken {
        match parameter(&request.url, "transport") {
            Some("polling") => {}
            // WebSocket without an upgrade request.
            Some("websocket") => return Err(RequestError::BadRequest),
            Some(_) | None => return Err(RequestError::TransportUnknown),
        }
        let Some(sid) = parameter(&request.url, "sid") else {
            if request.method != Method::Get {
                return Err(RequestError::HandshakeMethod);
            }
            let (_, handshake) = self.begin(&request.url, remote, None)?;
            self.answer(http, &[handshake]);
            return Ok(());
        };
        let (session, state) = self.known(sid)?;
        let Carrier::Polling { poll, .. } = &mut state.carrier else {
            return Err(RequestError::BadRequest);
        };
        match request.method {
            Method::Get if poll.is_some() => {
                self.close(session, "two polls at once");
                Err(RequestError::BadRequest)
            }
            Method::Get => {
                *poll = Some(http);
                self.by_poll.insert(http, session);
                self.dirty.insert(session);
                Ok(())
            }
            Method::Post => self.take_body(http, session, request),
            Method::Put | Method::Delete | Method::Other => Err(RequestError::BadRequest),
        }
    }

    /// Finds the session that a client names.
    fn known(&mut self, sid: &str) -> Result<(SessionId, &mut Session), RequestError> {
        let session = *self.by_sid.get(sid).ok_or(RequestError::SessionUnknown)?;
        let state = self.sessions.get_mut(&session).ok_or(RequestError::SessionUnknown)?;
        Ok((session, state))
    }

    /// Returns what a connection may send before its session has registered, and after.
    pub(super) fn limits(&self, is_stranger: bool) -> FrameLimits {
        if is_stranger { self.limits.of_stranger(STRANGER_MESSAGE) } else { self.limits }
    }

    /// Reads what a polling client posted.
    fn take_body(&mut self, http: HttpId, session: SessionId, request: &HttpRequest) -> Taken {
        let is_stranger = self.sessions.get(&session).is_none_or(|state| state.is_stranger);
        if request.body.len() > self.limits(is_stranger).max_message {
            self.close(session, "a message that is too large");
            self.reply(http, plain(413, "text/plain", Vec::new()));
            return Ok(());
        }
        let Ok(body) = ByteString::try_from(request.body.clone()) else {
            self.close(session, "a body that is not UTF-8");
            return Err(RequestError::BadRequest);
        };
        for packet in engineio::split(&body) {
            match packet {
                Ok(packet) => self.take_packet(session, packet),
                Err(malformed) => self.close(session, &malformed.to_string()),
            }
            if !self.sessions.contains_key(&session) {
                break;
            }
        }
        self.reply(http, plain(200, "text/html", b"ok".to_vec()));
        Ok(())
    }

    /// Answers an upgrade request.
    pub(super) fn offer(&mut self, conn: ConnId, request: &HttpRequest, remote: &str) {
        if let Err(error) = self.offer_engine(conn, request, remote) {
            let response = self.declined(error, remote);
            self.out.push_back(Output::Refuse { conn, response });
        }
    }

    fn offer_engine(&mut self, conn: ConnId, request: &HttpRequest, remote: &str) -> Taken {
        let transport = parameter(&request.url, "transport");
        if transport != Some("websocket") || !self.options.websocket {
            return Err(RequestError::TransportUnknown);
        }
        let Some(sid) = parameter(&request.url, "sid") else {
            let (session, handshake) = self.begin(&request.url, remote, Some(conn))?;
            self.let_in(conn, true);
            self.send(session, handshake);
            return Ok(());
        };
        let give_up = self.clock.mono.after(self.options.upgrade_timeout_ms);
        let (session, state) = self.known(sid)?;
        if !matches!(state.carrier, Carrier::Polling { .. }) || state.probe.is_some() {
            return Err(RequestError::BadRequest);
        }
        state.probe = Some(Probe { conn, give_up, release: None });
        let is_stranger = state.is_stranger;
        self.by_conn.insert(conn, session);
        self.timers.add(Timer::Probe(session), give_up);
        self.let_in(conn, is_stranger);
        Ok(())
    }

    /// Answers a request that is declined. Whom there is no room for comes back, and the log is told.
    fn declined(&mut self, error: RequestError, remote: &str) -> HttpResponse {
        if error != RequestError::Forbidden {
            return HttpResponse::json(error.status(), error.to_json());
        }
        let text = "Too many connections, or too many that have not registered.";
        self.warn(ErrorCode::Overloaded, address(remote), text);
        let code = u64::from(error.code());
        let body = Object::new().number("code", code).text("message", text).end();
        HttpResponse::json(503, body).retry_later()
    }

    fn let_in(&mut self, conn: ConnId, is_stranger: bool) {
        let limits = self.limits(is_stranger);
        let deflate = self.options.compression.then_some(Deflate::LIKE_WS);
        self.out.push_back(Output::Admit { conn, limits, pulses: engineio::PONGS, deflate });
    }

    /// Begins a session; returns its handshake, too.
    fn begin(
        &mut self,
        url: &str,
        remote: &str,
        conn: Option<ConnId>,
    ) -> Result<(SessionId, Frame), RequestError> {
        if parameter(url, "EIO") != Some(engineio::REVISION) {
            return Err(RequestError::UnsupportedVersion);
        }
        let address = address(remote).to_owned();
        self.admission.enter(&address).map_err(|_| RequestError::Forbidden)?;
        let session = SessionId(self.number());
        let sid = self.secrets.uuid().simple().to_string();
        let may_upgrade = conn.is_none() && self.options.websocket;
        let handshake = Handshake {
            sid: sid.clone(),
            upgrades: if may_upgrade { vec!["websocket".into()] } else { vec![] },
            ping_interval: self.options.ping_interval_ms,
            ping_timeout: self.options.ping_timeout_ms,
            max_payload: Some(self.options.max_message_bytes),
        };
        self.by_sid.insert(sid.clone(), session);
        let carrier = match conn {
            Some(conn) => {
                self.by_conn.insert(conn, session);
                Carrier::WebSocket(conn)
            }
            None => Carrier::Polling { poll: None },
        };
        let max_attachment_bytes = self.limits.max_message;
        let limits = DecoderLimits { max_attachment_bytes, ..DecoderLimits::default() };
        let mut state = Session {
            sid,
            address,
            carrier,
            probe: None,
            life: None,
            awaits_pong: false,
            decoder: Decoder::new(limits),
            pacer: Pacer::new(self.limits.max_send_queue),
            awaited: VecDeque::new(),
            is_joined: false,
            join_by: None,
            register_by: None,
            cluster: None,
            channel: DaemonChannel::None,
            beside: None,
            displaced: None,
            is_stranger: true,
        };
        let now = self.clock.mono;
        let ping_at = now.after(self.options.ping_interval_ms);
        self.timers.set(&mut state.life, Timer::Life(session), ping_at);
        let give_up = now.after(self.options.connect_timeout_ms);
        self.timers.set(&mut state.join_by, Timer::Join(session), give_up);
        self.sessions.insert(session, state);
        Ok((session, Packet::Open(handshake.to_json().into()).to_frame()))
    }

    /// Takes a frame of one of our connections.
    pub(super) fn received(&mut self, conn: ConnId, frame: &Frame) {
        let Some(session) = self.by_conn.get(&conn).copied() else { return };
        if matches!(frame, Frame::Ping(_) | Frame::Pong(_)) {
            return;
        }
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let packet = engineio::decode(frame);
        if let Some(probe) = state.probe.as_ref().filter(|probe| probe.conn == conn) {
            match packet {
                Ok(Packet::Ping(text)) if &*text == PROBE => {
                    self.await_upgrade(session);
                    let frame = Packet::Pong(PROBE.into()).to_frame();
                    self.out.push_back(Output::Send { conn, frame });
                }
                Ok(Packet::Upgrade) if probe.release.is_some() => self.upgrade(session),
                Ok(_) | Err(_) => self.drop_probe(session),
            }
            return;
        }
        match packet {
            Ok(packet) => self.take_packet(session, packet),
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
            let call = self.askers.get(&Asker::Http(http)).copied();
            return drop(call.and_then(|call| self.forget_call(call)));
        };
        let state = self.sessions.get_mut(&session);
        if let Some(Session { carrier: Carrier::Polling { poll, .. }, .. }) = state {
            *poll = None;
        }
        self.forget(session, "the client gave up its poll");
    }

    fn take_packet(&mut self, session: SessionId, packet: Packet) {
        match packet {
            Packet::Message(text) => self.decode(session, |decoder| decoder.text(&text)),
            Packet::Binary(bytes) => self.decode(session, |decoder| decoder.binary(bytes)),
            Packet::Pong(_) => self.heard(session),
            Packet::Close => self.close_quietly(session, "the client closed the session"),
            // Peer: only servers ping; whoever pings a server speaks an older revision.
            Packet::Ping(_) => self.close(session, "a ping in the wrong direction"),
            Packet::Open(_) | Packet::Upgrade | Packet::Noop => {}
        }
    }
}
