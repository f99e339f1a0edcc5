//! One Engine.IO session after another, from the client's side.
//!
//! ```text
//!             ┌──────────── fails (auto) ───────────┐
//! Idle ─open─▶ Dialing ─▶ Open on WebSocket         ▼
//!        └───▶ Asking ──▶ Open on polling ─ probe ─▶ Open on WebSocket
//! ```
//!
//! The owner feeds inputs, hands over frames, takes [`EngineEvent`]s and performs what is in
//! [`Engine::out`]; time limits of opening are the owner's. A session that ends is forgotten at once: what comes for it later meets nobody.

mod polling;

use std::collections::VecDeque;

use bytes::Bytes;
use bytestring::ByteString;

use polling::Polling;

use super::address::Address;
use crate::api::event::Transport;
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{ConnId, HttpId};
use crate::base::json;
use crate::base::time::{Deadline, Instant, Now, Why};
use crate::dialect::volt::options::{DaemonOptions, DaemonTransport};
use crate::machine::{CloseCause, Output};
use crate::net::cookies::Cookies;
use crate::net::engineio::{self, Handshake, Packet};
use crate::net::target::{Deflate, DialAddress, DialTarget, FrameLimits};
use crate::net::{Frame, Headers, HttpBody, HttpRequest, HttpResponse, Method};
use crate::parts::pacer::{Pacer, Rank};

/// The close code of a WebSocket that says none.
const NO_CODE: u16 = 1005;

// What a session's end is called, as applications of the original see it.
const TRANSPORT_CLOSE: &str = "transport close";
const TRANSPORT_ERROR: &str = "transport error";
const PING_TIMEOUT: &str = "ping timeout";
pub(super) const PARSE_ERROR: &str = "parse error";

/// What is wrong with a server that begins with anything else.
const NO_HANDSHAKE: &str = "the server's first packet is not a handshake";

/// What the owner is told, in order.
#[derive(Debug)]
pub(super) enum EngineEvent {
    /// The handshake is through.
    Opened,
    Text(ByteString),
    Binary(Bytes),
    /// More has left of what was handed over.
    Flushed,
    /// The session could not be opened.
    Failed(Error),
    /// An open session ended, for a reason in the words of the original, which may hide another.
    Closed(&'static str, Option<Error>),
    /// The session that was closed by this side is over.
    Gone,
}

#[derive(Debug)]
enum State {
    Idle,
    /// A WebSocket is dialed, or is up and its handshake is awaited.
    Dialing(ConnId),
    /// The first poll is under way.
    Asking(HttpId),
    OnWebSocket(ConnId),
    OnPolling(Polling),
    /// This side has closed the WebSocket.
    Leaving(ConnId),
}

/// The client of one Engine.IO server.
#[derive(Debug)]
pub(super) struct Engine {
    address: Address,
    transport: DaemonTransport,
    deflate: Option<Deflate>,
    connect_timeout_ms: u64,
    http_timeout_ms: u64,
    limits: FrameLimits,
    state: State,
    handshake: Option<Handshake>,
    /// When the server counts as silent.
    ping_deadline: Option<Instant>,
    /// What is said, as fast as the server takes it; bounded where it is said.
    pub(super) pacer: Pacer,
    /// What can be said in the next session, since it was not handed over in this one.
    pub(super) unsaid: Vec<Vec<Frame>>,
    /// Peer: the original sends none, and fails behind load balancers with "session id unknown".
    cookies: Cookies,
    last_id: u64,
    pub(super) events: VecDeque<EngineEvent>,
    /// What to do, in order; the owner adds what it has to do itself.
    pub(super) out: VecDeque<Output>,
}

impl Engine {
    pub(super) fn new(address: Address, options: &DaemonOptions) -> Self {
        let limits = FrameLimits::from(&options.limits);
        Self {
            address,
            transport: options.transport,
            deflate: options.compression.then_some(Deflate::LIKE_WS),
            connect_timeout_ms: options.connect_timeout_ms,
            http_timeout_ms: options.http_timeout_ms,
            limits,
            state: State::Idle,
            handshake: None,
            ping_deadline: None,
            pacer: Pacer::new(limits.max_send_queue),
            unsaid: Vec::new(),
            cookies: Cookies::default(),
            last_id: 0,
            events: VecDeque::new(),
            out: VecDeque::new(),
        }
    }

    /// Numbers connections and requests from there on.
    pub(super) const fn count_from(&mut self, first: u64) {
        self.last_id = first;
    }

    /// Begins a session.
    pub(super) fn open(&mut self) {
        if let State::OnPolling(_) = self.state {
            // The farewell of the session before has had its time.
            self.abandon();
        }
        self.handshake = None;
        self.forget();
        self.events.clear();
        match self.transport {
            DaemonTransport::Auto => self.dial(self.connect_timeout_ms / 2),
            DaemonTransport::WebSocket => self.dial(self.connect_timeout_ms),
            DaemonTransport::Upgrade | DaemonTransport::Polling => self.ask(),
        }
    }

    /// Tells whether the handshake is through.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.state, State::OnWebSocket(_) | State::OnPolling(_))
    }

    /// Tells whether this side has closed a session whose farewell still has to be posted.
    pub(super) fn is_posting_farewell(&self) -> bool {
        self.polling().is_some_and(|polling| polling.is_closing)
    }

    /// Tells whether something was said and is not on its way yet.
    pub(super) fn has_waiting(&self) -> bool {
        !self.pacer.is_empty()
    }

    /// Tells whether something still waits for the server to take it.
    pub(super) fn is_backed_up(&self) -> bool {
        self.has_waiting() || self.polling().is_some_and(|polling| polling.post.is_some())
    }

    /// Returns the connection that carries a session, begins one or is probed for one.
    fn conn(&self) -> Option<ConnId> {
        match &self.state {
            State::Dialing(conn) | State::OnWebSocket(conn) | State::Leaving(conn) => Some(*conn),
            State::OnPolling(polling) => polling.upgrade.as_ref().map(|upgrade| upgrade.conn),
            State::Idle | State::Asking(_) => None,
        }
    }

    const fn polling(&self) -> Option<&Polling> {
        if let State::OnPolling(polling) = &self.state { Some(polling) } else { None }
    }

    const fn polling_mut(&mut self) -> Option<&mut Polling> {
        if let State::OnPolling(polling) = &mut self.state { Some(polling) } else { None }
    }

    pub(super) const fn transport(&self) -> Transport {
        match self.state {
            State::Dialing(_) | State::OnWebSocket(_) | State::Leaving(_) => Transport::WebSocket,
            State::Idle | State::Asking(_) | State::OnPolling(_) => Transport::Polling,
        }
    }

    /// Returns the most bytes of one message that the server takes, where it says so.
    pub(super) fn max_payload(&self) -> Option<u64> {
        self.handshake.as_ref().and_then(|handshake| handshake.max_payload)
    }

    fn sid(&self) -> Option<&str> {
        self.handshake.as_ref().map(|handshake| handshake.sid.as_str())
    }

    /// Returns when to call [`timed_out`](Self::timed_out), and what for.
    pub(super) fn deadline(&self) -> Option<Deadline> {
        let ping = self.ping_deadline.filter(|_| self.is_open());
        let ping = ping.map(|at| Deadline { at, why: Why::Ping });
        let probe = self.probe_deadline().map(|at| Deadline { at, why: Why::Upgrade });
        ping.into_iter().chain(probe).min()
    }

    pub(super) fn timed_out(&mut self, now: Now) {
        if self.is_open() && self.ping_deadline.is_some_and(|at| at <= now.mono) {
            self.fail(PING_TIMEOUT);
        } else if self.probe_deadline().is_some_and(|at| at <= now.mono) {
            self.probe_failed();
        }
    }

    /// Sends a frame that passes everything that waits. A server that has been silent for too long ends
    /// the session instead: after a suspend nothing is written to a connection that is long dead.
    pub(super) fn send(&mut self, frame: Frame, now: Now) {
        self.say(&mut vec![frame], Rank::First, now);
    }

    /// Says frames that belong together, in the order of their rank. They are taken.
    pub(super) fn say(&mut self, frames: &mut Vec<Frame>, rank: Rank, now: Now) {
        if self.ping_deadline.is_some_and(|at| at <= now.mono) {
            self.fail(PING_TIMEOUT);
        }
        let bytes = frames.iter().map(|frame| frame.len() as u64).sum();
        match self.state {
            State::OnWebSocket(conn) if self.pacer.pass(bytes, rank) => {
                self.out.extend(frames.drain(..).map(|frame| Output::Send { conn, frame }));
                self.ask_sent(conn);
            }
            State::OnWebSocket(_) | State::OnPolling(_) => {
                self.pacer.push(frames.drain(..), rank);
                if let State::OnWebSocket(conn) = self.state {
                    self.ask_sent(conn);
                }
                if self.pacer.is_abused(self.limits.max_send_queue) {
                    let message = "the control plane asks and does not read the answers: \
                                   limits.max_send_queue_bytes is reached";
                    self.fail_for(TRANSPORT_ERROR, Error::new(ErrorCode::Overloaded, message));
                }
            }
            State::Idle | State::Dialing(_) | State::Asking(_) | State::Leaving(_) => {
                if rank == Rank::Kept {
                    self.unsaid.push(std::mem::take(frames));
                }
                frames.clear();
            }
        }
    }

    /// Tells whether more may wait to be sent.
    pub(super) const fn has_room(&self) -> bool {
        self.pacer.has_room(self.limits.max_send_queue)
    }

    /// Tells whether more messages of the application may wait to be sent.
    pub(super) const fn has_room_to_emit(&self) -> bool {
        self.pacer.has_room_for_kept(self.limits.max_send_queue)
    }

    /// Asks for [`EngineEvent::Flushed`], until everything has left that was said so far.
    pub(super) fn ask_flushed(&mut self) {
        if self.pacer.want() {
            self.events.push_back(EngineEvent::Flushed);
        } else if let State::OnWebSocket(conn) = self.state {
            self.ask_sent(conn);
        }
    }

    /// Tells whether something waits until a WebSocket has taken what is before it.
    pub(super) fn is_paced(&self) -> bool {
        matches!(self.state, State::OnWebSocket(_)) && !self.pacer.is_empty()
    }

    /// Tells whether everything has left that was said.
    pub(super) fn has_left(&self) -> bool {
        !self.is_backed_up() && self.pacer.has_left()
    }

    fn ask_sent(&mut self, conn: ConnId) {
        if self.pacer.asks() {
            self.out.push_back(Output::AskSent { conn });
        }
    }

    /// Hands over what the window has room for.
    fn hand_over(&mut self, conn: ConnId) {
        while let Some(frames) = self.pacer.next() {
            self.out.extend(frames.into_iter().map(|frame| Output::Send { conn, frame }));
        }
        self.ask_sent(conn);
    }

    /// Puts what waits on its way. Called once after each input, so that a turn's frames go together.
    pub(super) fn pump(&mut self) {
        if let State::OnPolling(_) = self.state {
            self.post();
        }
    }

    /// Ends the session with `last`, which is sent before. [`EngineEvent::Gone`] tells that it is over.
    pub(super) fn close(&mut self, last: Option<Frame>) {
        self.ping_deadline = None;
        match self.state {
            State::OnWebSocket(conn) => {
                // There is no later any more.
                while let Some(frame) = self.pacer.pop() {
                    self.out.push_back(Output::Send { conn, frame });
                }
                self.out.extend(last.map(|frame| Output::Send { conn, frame }));
                self.out.push_back(hang_up(conn));
                self.state = State::Leaving(conn);
                self.end_pacer();
            }
            State::OnPolling(_) => {
                self.pacer.push(last, Rank::InTurn);
                self.close_polling();
            }
            State::Leaving(_) => {}
            State::Idle | State::Dialing(_) | State::Asking(_) => {
                self.abandon();
                self.events.push_back(EngineEvent::Gone);
            }
        }
    }

    /// Drops the session without a word: it is dead, or never came to life.
    pub(super) fn abandon(&mut self) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => {}
            State::Dialing(conn) | State::OnWebSocket(conn) | State::Leaving(conn) => {
                self.out.push_back(hang_up(conn));
            }
            State::Asking(http) => self.out.push_back(Output::HttpCancel { http }),
            State::OnPolling(polling) => polling.abandon(&mut self.out),
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.end_pacer();
        self.ping_deadline = None;
    }

    /// Says nothing more of what waits in this session.
    pub(super) fn end_pacer(&mut self) {
        self.unsaid.extend(self.pacer.end().map(Vec::from));
    }

    pub(super) fn received(&mut self, conn: ConnId, frame: &Frame, now: Now) {
        if matches!(frame, Frame::Ping(_) | Frame::Pong(_)) || self.conn() != Some(conn) {
            return;
        }
        match (&self.state, engineio::decode(frame)) {
            (State::Dialing(_), Ok(Packet::Open(text))) => {
                if let Some(handshake) = self.read_handshake(&text) {
                    self.state = State::OnWebSocket(conn);
                    self.begin(handshake, now);
                }
            }
            (State::Dialing(_), _) => {
                self.cannot_open(ErrorCode::PeerProtocol, NO_HANDSHAKE);
            }
            (State::OnWebSocket(_), Ok(packet)) => self.packet(packet, now),
            (State::OnWebSocket(_), Err(_)) => self.fail(PARSE_ERROR),
            (State::OnPolling(_), packet) => self.probed(packet),
            (State::Idle | State::Asking(_) | State::Leaving(_), _) => {}
        }
    }

    /// What the server says on a WebSocket is not read: it may have pinged.
    pub(super) fn held(&mut self, conn: ConnId, now: Now) {
        if matches!(self.state, State::OnWebSocket(open) if open == conn) {
            self.alive(now);
        }
    }

    /// What was sent on a WebSocket has left.
    pub(super) fn sent(&mut self, conn: ConnId) {
        if matches!(self.state, State::OnWebSocket(open) if open == conn) {
            if self.pacer.sent() {
                self.events.push_back(EngineEvent::Flushed);
            }
            self.hand_over(conn);
        }
    }

    pub(super) fn closed(&mut self, conn: ConnId, cause: &CloseCause) {
        if self.conn() != Some(conn) {
            return;
        }
        if let State::OnPolling(_) = self.state {
            return self.probe_failed();
        }
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Dialing(_) if self.transport == DaemonTransport::Auto => self.ask(),
            State::Dialing(_) => self.failed("websocket error", &cause.to_error()),
            State::OnWebSocket(_) => match (reason_of(cause), cause) {
                (reason, CloseCause::Exceeded { error, .. }) => {
                    self.fail_for(reason, exceeded(error));
                }
                (reason @ TRANSPORT_ERROR, _) => self.fail_for(reason, cause.to_error()),
                (reason, _) => self.fail(reason),
            },
            State::Leaving(_) => self.events.push_back(EngineEvent::Gone),
            State::Idle | State::Asking(_) | State::OnPolling(_) => {}
        }
    }

    fn dial(&mut self, timeout_ms: u64) {
        let conn = ConnId(self.next_id());
        let target = self.target(timeout_ms);
        self.state = State::Dialing(conn);
        self.out.push_back(Output::Dial { conn, target });
    }

    fn target(&self, timeout_ms: u64) -> DialTarget {
        let url = self.address.web_socket(self.sid());
        let headers = self.cookies.headers();
        let address = DialAddress::WebSocket { url, headers, deflate: self.deflate };
        DialTarget { address, timeout_ms, limits: self.limits, pulses: engineio::PINGS }
    }

    fn read_handshake(&mut self, text: &str) -> Option<Handshake> {
        let reason = match Handshake::parse(text) {
            Ok(handshake) if (1..=256).contains(&handshake.sid.len()) => return Some(handshake),
            Ok(_) => String::from("its session id is not usable"),
            Err(error) => json::flaw(&error),
        };
        let message = format!("the server's handshake cannot be read: {reason}");
        self.cannot_open(ErrorCode::PeerProtocol, message);
        None
    }

    fn begin(&mut self, handshake: Handshake, now: Now) {
        self.handshake = Some(handshake);
        self.alive(now);
        self.events.push_back(EngineEvent::Opened);
    }

    /// The server has pinged, or begun.
    fn alive(&mut self, now: Now) {
        self.ping_deadline = self.silence_ms().map(|millis| now.mono.after(millis));
    }

    /// Returns for how long the server may be silent.
    fn silence_ms(&self) -> Option<u64> {
        let Handshake { ping_interval, ping_timeout, .. } = self.handshake.as_ref()?;
        Some(ping_interval.saturating_add(*ping_timeout))
    }

    fn packet(&mut self, packet: Packet, now: Now) {
        match packet {
            Packet::Message(text) => self.events.push_back(EngineEvent::Text(text)),
            Packet::Binary(bytes) => self.events.push_back(EngineEvent::Binary(bytes)),
            Packet::Ping(content) => {
                self.alive(now);
                self.send(Packet::Pong(content).to_frame(), now);
            }
            Packet::Close => self.fail(TRANSPORT_CLOSE),
            Packet::Open(_) | Packet::Pong(_) | Packet::Upgrade | Packet::Noop => {}
        }
    }

    /// Gives an open session up.
    fn fail(&mut self, reason: &'static str) {
        self.abandon();
        self.events.push_back(EngineEvent::Closed(reason, None));
    }

    /// The same, for something that its owner can mend.
    fn fail_for(&mut self, reason: &'static str, error: Error) {
        self.abandon();
        self.events.push_back(EngineEvent::Closed(reason, Some(error)));
    }

    /// Gives up a session that never was open.
    fn cannot_open(&mut self, code: ErrorCode, message: impl AsRef<str>) {
        self.abandon();
        self.events.push_back(EngineEvent::Failed(Error::new(code, message)));
    }

    /// Peer: applications know the transport's failures by these words.
    fn failed(&mut self, words: &str, error: &Error) {
        self.cannot_open(error.code(), format!("{words}: {}", error.message()));
    }

    /// Ids of a dialing machine are even.
    const fn next_id(&mut self) -> u64 {
        self.last_id += 2;
        self.last_id
    }
}

fn hang_up(conn: ConnId) -> Output {
    Output::Close { conn, code: NO_CODE, reason: String::new() }
}

/// A message of the control plane is larger than what this side takes.
fn exceeded(error: &Error) -> Error {
    let message = format!("{}: limits.max_message_bytes of this daemon", error.message());
    Error::new(ErrorCode::TooLarge, message)
}

fn reason_of(cause: &CloseCause) -> &'static str {
    match cause {
        CloseCause::Failed(error) if error.code() != ErrorCode::ConnectionLost => TRANSPORT_ERROR,
        CloseCause::Exceeded { .. } => TRANSPORT_ERROR,
        CloseCause::Remote { .. }
        | CloseCause::Local
        | CloseCause::Refused { .. }
        | CloseCause::Failed(_) => TRANSPORT_CLOSE,
    }
}

#[cfg(test)]
mod tests;
