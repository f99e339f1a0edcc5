//! A session's life: what carries it, its pings, its upgrade, its end.

use std::collections::VecDeque;

use bytestring::ByteString;

use super::engine::RELEASE_MS;
use super::{SessionId, Timer, VoltServer, wire};
use crate::base::ids::{ConnId, HttpId};
use crate::base::time::{Instant, Now};
use crate::machine::Output;
use crate::net::engineio::{Packet, PayloadWriter};
use crate::net::socketio::{self, Decoder};
use crate::net::{Frame, Headers, HttpBody, HttpResponse};

/// By how much a deadline may be missed before this process is taken to have slept.
const LATE_MS: u64 = 5_000;

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) sid: String,
    pub(super) address: String,
    pub(super) carrier: Carrier,
    pub(super) probe: Option<Probe>,
    /// When it is pinged next, or must have answered.
    pub(super) life: Option<Instant>,
    pub(super) awaits_pong: bool,
    pub(super) decoder: Decoder,
    /// Whether the namespace was joined.
    pub(super) is_joined: bool,
    /// When it must have joined one.
    pub(super) join_by: Option<Instant>,
    /// When it must have registered, once it has joined. Leaving and joining again wins no time.
    pub(super) register_by: Option<Instant>,
    /// The daemon that registered, and whether one ever did.
    pub(super) cluster: Option<String>,
    pub(super) is_stranger: bool,
}

/// What carries a session.
#[derive(Debug)]
pub(super) enum Carrier {
    Polling { poll: Option<HttpId>, queue: VecDeque<Frame>, bytes: usize },
    WebSocket(ConnId),
}

/// An upgrade under way.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) conn: ConnId,
    pub(super) give_up: Instant,
    /// When the poll is released next; none before the probe was answered.
    pub(super) release: Option<Instant>,
}

impl VoltServer {
    pub(super) fn heard(&mut self, session: SessionId, now: Now) {
        let next = now.mono.after(self.options.ping_interval_ms);
        let Some(state) = self.sessions.get_mut(&session) else { return };
        // A pong that nobody waits for costs nothing: a body may hold a million.
        if !std::mem::replace(&mut state.awaits_pong, false) {
            return;
        }
        self.timers.set(&mut state.life, Timer::Life(session), next);
    }

    /// Pings a session, or ends it when it has not answered.
    pub(super) fn check_life(&mut self, session: SessionId, at: Instant, now: Now) {
        let timeout = self.options.ping_timeout_ms;
        let Some(state) = self.sessions.get_mut(&session).filter(|state| state.life == Some(at))
        else {
            return;
        };
        let is_late = now.mono.since(at) > LATE_MS;
        if state.awaits_pong && !is_late {
            self.close(session, "it answered no ping");
            return;
        }
        // A process that slept gives everyone the usual time once more.
        let asks = !std::mem::replace(&mut state.awaits_pong, true);
        self.timers.set(&mut state.life, Timer::Life(session), now.mono.after(timeout));
        if asks {
            self.send(session, Packet::Ping(ByteString::new()).to_frame());
        }
    }

    /// Ends a session that has joined no namespace in time.
    pub(super) fn check_joined(&mut self, session: SessionId, at: Instant) {
        let state = self.sessions.get(&session);
        if state.is_some_and(|state| !state.is_joined && state.join_by == Some(at)) {
            self.close(session, "it joined no namespace in time");
        }
    }

    /// Begins to wait for the registration of a session that has joined.
    pub(super) fn await_registration(&mut self, session: SessionId, now: Now) {
        let register_by = now.mono.after(self.options.registration_timeout_ms);
        let Some(state) = self.sessions.get_mut(&session) else { return };
        if state.is_stranger && state.register_by.is_none() {
            self.timers.set(&mut state.register_by, Timer::Register(session), register_by);
        }
        self.timers.clear(&mut state.join_by, Timer::Join(session));
    }

    /// Ends a session that was let in and has not said who it is in time.
    pub(super) fn check_registered(&mut self, session: SessionId, at: Instant) {
        let state = self.sessions.get(&session).filter(|state| state.register_by == Some(at));
        let Some(state) = state else { return };
        if state.is_joined {
            let limit = self.options.registration_timeout_ms;
            let details = format!("The daemon did not register within {limit} ms");
            self.emit(
                session,
                wire::COMPLAINT,
                wire::complaint(wire::REGISTRATION_TIMEOUT, &details),
            );
        }
        // Peer: after a farewell the original client never comes back, after a closed transport it does.
        self.close(session, "it did not register in time");
    }

    /// Releases the poll of a session that is upgraded, or gives the upgrade up.
    pub(super) fn check_probe(&mut self, session: SessionId, at: Instant, now: Now) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let Some(probe) = &mut state.probe else { return };
        if probe.give_up == at {
            self.drop_probe(session);
        } else if probe.release == Some(at) {
            let next = now.mono.after(RELEASE_MS);
            probe.release = Some(next);
            self.timers.add(Timer::Probe(session), next);
            self.release(session);
        }
    }

    pub(super) fn drop_probe(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let Some(probe) = state.probe.take() else { return };
        self.by_conn.remove(&probe.conn);
        self.hang_up(probe.conn, 1000, "");
    }

    /// Answers a waiting poll with nothing, unless there is something to say.
    pub(super) fn release(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let Carrier::Polling { poll, queue, .. } = &mut state.carrier else { return };
        if queue.is_empty()
            && let Some(http) = poll.take()
        {
            self.by_poll.remove(&http);
            self.answer(http, &[Packet::Noop.to_frame()]);
        }
    }

    /// Changes over to the connection that was probed.
    pub(super) fn upgrade(&mut self, session: SessionId) {
        self.release(session);
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let Some(probe) = state.probe.take() else { return };
        let before = std::mem::replace(&mut state.carrier, Carrier::WebSocket(probe.conn));
        if !state.is_stranger {
            let (conn, limits) = (probe.conn, self.limits.0);
            self.out.push_back(Output::SetLimits { conn, limits });
        }
        let Carrier::Polling { poll, queue, .. } = before else { return };
        if let Some(http) = poll {
            self.by_poll.remove(&http);
            self.answer(http, &[Packet::Noop.to_frame()]);
        }
        for frame in queue {
            self.send(session, frame);
        }
    }

    /// Sends a frame, or queues it for the next poll.
    pub(super) fn send(&mut self, session: SessionId, frame: Frame) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        match &mut state.carrier {
            Carrier::WebSocket(conn) => {
                let conn = *conn;
                self.out.push_back(Output::Send { conn, frame });
            }
            Carrier::Polling { queue, bytes, .. } => {
                *bytes += frame.len();
                queue.push_back(frame);
                if *bytes > self.limits.0.max_send_queue {
                    self.close(session, "it does not fetch what is sent to it");
                } else {
                    self.dirty.insert(session);
                }
            }
        }
    }

    /// Answers polls that wait with what there is to say.
    pub(super) fn flush_polls(&mut self) {
        for session in std::mem::take(&mut self.dirty) {
            let Some(state) = self.sessions.get_mut(&session) else { continue };
            let Carrier::Polling { poll, queue, bytes } = &mut state.carrier else { continue };
            if queue.is_empty() {
                continue;
            }
            let Some(http) = poll.take() else { continue };
            *bytes = 0;
            let frames: Vec<Frame> = queue.drain(..).collect();
            self.by_poll.remove(&http);
            self.answer(http, &frames);
        }
    }

    pub(super) fn answer(&mut self, http: HttpId, frames: &[Frame]) {
        let mut body = PayloadWriter::new();
        frames.iter().for_each(|frame| body.push(frame));
        let response = plain(200, "text/plain; charset=UTF-8", body.finish().into_bytes());
        self.reply(http, response);
    }

    /// Notes that a daemon registered over a session: it is no stranger, and may send more.
    pub(super) fn admit(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        if !std::mem::replace(&mut state.is_stranger, false) {
            return;
        }
        if let Carrier::WebSocket(conn) = state.carrier {
            let limits = self.limits.0;
            self.out.push_back(Output::SetLimits { conn, limits });
        }
        self.timers.clear(&mut state.register_by, Timer::Register(session));
        self.admission.admitted(&state.address);
    }

    /// Returns what carries a session, and the address at its other end.
    pub(super) fn carrier(&self, session: SessionId) -> (&'static str, &str) {
        match self.sessions.get(&session) {
            Some(Session { carrier: Carrier::Polling { .. }, address, .. }) => ("polling", address),
            Some(Session { carrier: Carrier::WebSocket(_), address, .. }) => ("websocket", address),
            None => ("", ""),
        }
    }

    /// Takes a session out of the namespace, tells it so, and closes it.
    pub(super) fn dismiss(&mut self, session: SessionId, reason: &str) {
        let Some(state) = self.sessions.get(&session) else { return };
        // Peer: a client that reads both in one body takes note of the closed transport first.
        let farewell = if state.is_joined {
            socketio::disconnect(socketio::ROOT)
        } else {
            Packet::Close.to_frame()
        };
        if matches!(state.carrier, Carrier::WebSocket(_)) && state.is_joined {
            self.send(session, farewell.clone());
        }
        self.close_with(session, reason, farewell);
    }

    /// Ends a session from this side: what was queued goes out with a waiting poll.
    pub(super) fn close(&mut self, session: SessionId, reason: &str) {
        self.close_with(session, reason, Packet::Close.to_frame());
    }

    /// The same; `last` is the last packet of a polling session.
    fn close_with(&mut self, session: SessionId, reason: &str, last: Frame) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        match &mut state.carrier {
            Carrier::WebSocket(conn) => {
                let conn = *conn;
                self.by_conn.remove(&conn);
                self.hang_up(conn, 1000, "");
            }
            Carrier::Polling { poll, queue, .. } => {
                let mut frames: Vec<Frame> = queue.drain(..).collect();
                frames.push(last);
                if let Some(http) = poll.take() {
                    self.by_poll.remove(&http);
                    self.answer(http, &frames);
                }
            }
        }
        self.forget(session, reason);
    }

    fn hang_up(&mut self, conn: ConnId, code: u16, reason: &str) {
        let reason = reason.to_owned();
        self.out.push_back(Output::Close { conn, code, reason });
    }

    /// Forgets a session that is over.
    pub(super) fn forget(&mut self, session: SessionId, reason: &str) {
        self.drop_probe(session);
        self.unbind(session, reason);
        let Some(mut state) = self.sessions.remove(&session) else { return };
        self.by_sid.remove(&state.sid);
        self.dirty.remove(&session);
        self.timers.clear(&mut state.life, Timer::Life(session));
        self.timers.clear(&mut state.join_by, Timer::Join(session));
        self.timers.clear(&mut state.register_by, Timer::Register(session));
        self.admission.left(&state.address, state.is_stranger);
        match state.carrier {
            Carrier::WebSocket(conn) => {
                self.by_conn.remove(&conn);
            }
            Carrier::Polling { poll, .. } => {
                if let Some(http) = poll {
                    self.by_poll.remove(&http);
                    self.answer(http, &[Packet::Noop.to_frame()]);
                }
            }
        }
    }
}

/// Makes an answer that nobody may keep.
pub(super) fn plain(status: u16, content_type: &str, body: Vec<u8>) -> HttpResponse {
    let headers =
        Headers::new().with("content-type", content_type).with("cache-control", "no-store");
    HttpResponse { status, headers, body: HttpBody::Full(body.into()) }
}
