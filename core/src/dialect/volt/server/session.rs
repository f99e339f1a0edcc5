//! A session's life: what carries it, its pings, its upgrade, its end.

use std::collections::VecDeque;

use bytestring::ByteString;

use super::{SessionId, Timer, VoltServer, daemons, wire};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{CallId, ConnId, HttpId};
use crate::base::time::Instant;
use crate::dialect::volt::options::DaemonChannel;
use crate::machine::Output;
use crate::net::engineio::{Packet, PayloadWriter};
use crate::net::socketio::{self, Decoder};
use crate::net::{Frame, Headers, HttpBody, HttpResponse};
use crate::parts::pacer::{Pacer, Rank};

/// By how much a deadline may be missed before this process is taken to have slept.
const LATE_MS: u64 = 5_000;

/// How many bytes the answer to a poll has at most, unless one packet is larger.
const POLL_BODY: usize = 1_048_576;

/// How often a poll is released while an upgrade is under way.
const RELEASE_MS: u64 = 100;

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
    /// What is said to it, and who waits for how much of that to have left.
    pub(super) pacer: Pacer,
    pub(super) awaited: VecDeque<(u64, CallId)>,
    /// Whether the namespace was joined.
    pub(super) is_joined: bool,
    /// When it must have joined one.
    pub(super) join_by: Option<Instant>,
    /// When it must have registered, once it has joined. Leaving and joining again wins no time.
    pub(super) register_by: Option<Instant>,
    /// The daemon that registered, and whether one ever did.
    pub(super) cluster: Option<String>,
    /// What it registered for.
    pub(super) channel: DaemonChannel,
    /// Beside which control connection it is one of a daemon's further connections.
    pub(super) beside: Option<SessionId>,
    /// The daemon that it was until another session registered as that.
    pub(super) displaced: Option<String>,
    pub(super) is_stranger: bool,
}

/// What carries a session.
#[derive(Debug)]
pub(super) enum Carrier {
    Polling { poll: Option<HttpId> },
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
    pub(super) fn heard(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        // A pong that nobody waits for costs nothing: a body may hold a million.
        if std::mem::replace(&mut state.awaits_pong, false) {
            let next = self.clock.mono.after(self.options.ping_interval_ms);
            self.timers.set(&mut state.life, Timer::Life(session), next);
        }
    }

    /// Pings a session, or ends it when it has not answered.
    pub(super) fn check_life(&mut self, session: SessionId, at: Instant) {
        let now = self.clock.mono;
        let Some(state) = self.sessions.get_mut(&session) else { return };
        if state.awaits_pong && now.since(at) <= LATE_MS {
            self.close(session, "it answered no ping");
            return;
        }
        // A process that slept gives everyone the usual time once more.
        let asks = !std::mem::replace(&mut state.awaits_pong, true);
        let answer_by = now.after(self.options.ping_timeout_ms);
        self.timers.set(&mut state.life, Timer::Life(session), answer_by);
        if asks {
            self.send(session, Packet::Ping(ByteString::new()).to_frame());
        }
    }

    /// Ends a session that has joined no namespace in time.
    pub(super) fn check_joined(&mut self, session: SessionId) {
        if self.sessions.get(&session).is_some_and(|state| !state.is_joined) {
            self.close(session, "it joined no namespace in time");
        }
    }

    /// Begins to wait for the registration of a session that has joined.
    pub(super) fn await_registration(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        if state.is_stranger && state.register_by.is_none() {
            let register_by = self.clock.mono.after(self.options.registration_timeout_ms);
            self.timers.set(&mut state.register_by, Timer::Register(session), register_by);
        }
        self.timers.clear(&mut state.join_by, Timer::Join(session));
    }

    /// Ends a session that was let in and has not said who it is in time.
    pub(super) fn check_registered(&mut self, session: SessionId) {
        if self.sessions.get(&session).is_some_and(|state| state.is_joined) {
            let limit = self.options.registration_timeout_ms;
            let details = format!("The daemon did not register within {limit} ms");
            let complaint = wire::complaint(wire::REGISTRATION_TIMEOUT, &details);
            self.emit(session, wire::COMPLAINT, complaint);
        }
        // Peer: after a farewell the original client never comes back, after a closed transport it does.
        self.close(session, "it did not register in time");
    }

    /// Releases the poll of a session that is upgraded, or gives the upgrade up.
    pub(super) fn check_probe(&mut self, session: SessionId, at: Instant) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let Some(probe) = &mut state.probe else { return };
        if probe.give_up == at {
            self.drop_probe(session);
        } else if probe.release == Some(at) {
            self.await_upgrade(session);
            self.release(session);
        }
    }

    /// Gives the client a while to change over before its poll is released.
    pub(super) fn await_upgrade(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let Some(probe) = &mut state.probe else { return };
        let release = self.clock.mono.after(RELEASE_MS);
        probe.release = Some(release);
        self.timers.add(Timer::Probe(session), release);
    }

    pub(super) fn drop_probe(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let Some(probe) = state.probe.take() else { return };
        self.by_conn.remove(&probe.conn);
        self.hang_up(probe.conn, "the upgrade was given up");
    }

    /// Answers a waiting poll with nothing, unless there is something to say.
    fn release(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let Carrier::Polling { poll } = &mut state.carrier else { return };
        if state.pacer.is_empty()
            && let Some(http) = poll.take()
        {
            self.answer(http, &[Packet::Noop.to_frame()]);
        }
    }

    /// Changes over to the connection that was probed.
    pub(super) fn upgrade(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let Some(Probe { conn, .. }) = state.probe.take() else { return };
        let is_stranger = state.is_stranger;
        let before = std::mem::replace(&mut state.carrier, Carrier::WebSocket(conn));
        let Carrier::Polling { poll } = before else { return };
        if let Some(http) = poll {
            self.answer(http, &[Packet::Noop.to_frame()]);
        }
        if !is_stranger {
            self.out.push_back(Output::SetLimits { conn, limits: self.limits });
        }
        self.hand_over(session);
    }

    /// Sends a frame that passes everything that waits.
    pub(super) fn send(&mut self, session: SessionId, frame: Frame) {
        self.say(session, vec![frame], Rank::First);
    }

    /// Says frames that belong together, in the order of their rank.
    pub(super) fn say(&mut self, session: SessionId, frames: Vec<Frame>, rank: Rank) {
        let is_stranger = self.sessions.get(&session).is_none_or(|state| state.is_stranger);
        let most = self.limits(is_stranger).max_send_queue;
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let bytes = frames.iter().map(|frame| frame.len() as u64).sum();
        match state.carrier {
            Carrier::WebSocket(conn) if state.pacer.pass(bytes, rank) => {
                self.out.extend(frames.into_iter().map(|frame| Output::Send { conn, frame }));
                self.ask_sent(session);
            }
            Carrier::WebSocket(_) | Carrier::Polling { .. } => {
                state.pacer.push(frames, rank);
                if state.pacer.is_abused(most) {
                    let name = self.name(session);
                    let text = "asks and does not read the answers: limits.max_send_queue_bytes";
                    self.notice(ErrorCode::Overloaded, format!("{name} {text}"));
                    self.close(session, &format!("it {text}"));
                } else {
                    self.dirty.insert(session);
                    self.ask_sent(session);
                }
            }
        }
    }

    /// Tells whether more may wait for a session.
    ///
    /// # Errors
    /// `OVERLOADED`, with what the application can do.
    pub(super) fn check_room(&self, session: SessionId, rank: Rank) -> Result<(), Error> {
        let max = self.limits.max_send_queue;
        let has_room = |state: &Session| match rank {
            Rank::Kept => state.pacer.has_room_for_kept(max),
            Rank::First | Rank::Demanded | Rank::InTurn => state.pacer.has_room(max),
        };
        if self.sessions.get(&session).is_none_or(has_room) {
            return Ok(());
        }
        let text = format!(
            "The daemon reads more slowly than it is sent to: the {max} bytes of \
             limits.max_send_queue_bytes wait already."
        );
        Err(Error::new(ErrorCode::Overloaded, text))
    }

    /// All that was sent on a connection before it was asked has left.
    pub(super) fn sent(&mut self, conn: ConnId) {
        let Some(session) = self.by_conn.get(&conn).copied() else { return };
        let Some(state) = self.sessions.get_mut(&session) else { return };
        if matches!(state.carrier, Carrier::WebSocket(carries) if carries == conn) {
            state.pacer.sent();
            self.hand_over(session);
        }
    }

    /// Hands over what the window has room for, and tells who waits for it what has left.
    fn hand_over(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let Carrier::WebSocket(conn) = state.carrier else { return };
        while let Some(frames) = state.pacer.next() {
            self.out.extend(frames.into_iter().map(|frame| Output::Send { conn, frame }));
        }
        self.tell_sent(session);
        self.ask_sent(session);
    }

    /// Asks when all has left that was handed over, if that is due.
    pub(super) fn ask_sent(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        if let Carrier::WebSocket(conn) = state.carrier
            && state.pacer.asks()
        {
            self.out.push_back(Output::AskSent { conn });
        }
    }

    /// Tells who waits for it that everything has left that was sent before.
    fn tell_sent(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let left = state.pacer.left();
        let mut told = Vec::new();
        while let Some((_, call)) = state.awaited.pop_front_if(|(end, _)| *end <= left) {
            told.push(call);
        }
        if !state.awaited.is_empty() {
            state.pacer.want();
        }
        told.into_iter().for_each(|call| self.tell_flushed(call, Ok(())));
    }

    /// Answers polls that wait with what there is to say.
    pub(super) fn flush_polls(&mut self) {
        for session in std::mem::take(&mut self.dirty) {
            let Some(state) = self.sessions.get_mut(&session) else { continue };
            let Carrier::Polling { poll } = &mut state.carrier else { continue };
            if state.pacer.is_empty() {
                continue;
            }
            let Some(http) = poll.take() else { continue };
            let mut body = PayloadWriter::new();
            while let Some(frame) = state.pacer.front() {
                if !body.is_empty() && body.len() + body.would_grow_by(frame) > POLL_BODY {
                    break;
                }
                body.push(frame);
                state.pacer.pop();
            }
            state.pacer.sent_all();
            self.answer_with(http, body);
            self.tell_sent(session);
        }
    }

    /// Answers a request of a polling client, which waits no longer.
    pub(super) fn answer(&mut self, http: HttpId, frames: &[Frame]) {
        let mut body = PayloadWriter::new();
        frames.iter().for_each(|frame| body.push(frame));
        self.answer_with(http, body);
    }

    fn answer_with(&mut self, http: HttpId, body: PayloadWriter) {
        self.by_poll.remove(&http);
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
            self.out.push_back(Output::SetLimits { conn, limits: self.limits });
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
        let Some(state) = self.sessions.get_mut(&session) else { return };
        // Peer: a client that reads both in one body takes note of the closed transport first.
        if !state.is_joined {
            return self.close_quietly(session, reason);
        }
        let farewell = socketio::disconnect(socketio::ROOT);
        if let Carrier::WebSocket(conn) = state.carrier {
            // There is no later any more.
            let rest = std::iter::from_fn(|| state.pacer.pop());
            let last = rest.chain([farewell.clone()]);
            self.out.extend(last.map(|frame| Output::Send { conn, frame }));
        }
        self.close_with(session, reason, farewell);
    }

    /// Ends a session from this side: what was queued goes out with a waiting poll. The log is told of a
    /// stranger; of a daemon the application is told that it left.
    pub(super) fn close(&mut self, session: SessionId, reason: &str) {
        let stranger = self.sessions.get(&session).filter(|state| state.is_stranger);
        if let Some(address) = stranger.map(|state| state.address.clone()) {
            self.warn(ErrorCode::PeerRefused, &address, &format!("a session was closed: {reason}"));
        }
        self.close_quietly(session, reason);
    }

    /// The same for what is told elsewhere, or is no news.
    pub(super) fn close_quietly(&mut self, session: SessionId, reason: &str) {
        self.close_with(session, reason, Packet::Close.to_frame());
    }

    /// The same; `last` is the last packet of a polling session.
    fn close_with(&mut self, session: SessionId, reason: &str, last: Frame) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        match &mut state.carrier {
            Carrier::WebSocket(conn) => {
                let conn = *conn;
                self.hang_up(conn, reason);
            }
            Carrier::Polling { poll } => {
                let mut frames: Vec<Frame> = std::iter::from_fn(|| state.pacer.pop()).collect();
                frames.push(last);
                if let Some(http) = poll.take() {
                    self.answer(http, &frames);
                }
            }
        }
        self.forget(session, reason);
    }

    fn hang_up(&mut self, conn: ConnId, reason: &str) {
        self.out.push_back(Output::Close { conn, code: 1000, reason: reason.to_owned() });
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
        for (_, call) in std::mem::take(&mut state.awaited) {
            self.tell_flushed(call, Err(daemons::lost("what was sent to it has arrived")));
        }
        match state.carrier {
            Carrier::WebSocket(conn) => drop(self.by_conn.remove(&conn)),
            Carrier::Polling { poll: Some(http), .. } => {
                self.answer(http, &[Packet::Noop.to_frame()]);
            }
            Carrier::Polling { poll: None, .. } => {}
        }
    }
}

/// Makes an answer that nobody may keep.
pub(super) fn plain(status: u16, content_type: &str, body: Vec<u8>) -> HttpResponse {
    let headers = Headers::new().with("content-type", content_type);
    HttpResponse { status, headers, body: HttpBody::Full(body.into()) }.uncached()
}
