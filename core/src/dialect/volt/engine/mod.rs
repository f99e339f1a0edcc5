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
use crate::net::target::{DialAddress, DialTarget, FrameLimits};
use crate::net::{Frame, Headers, HttpBody, HttpRequest, HttpResponse, Method};
use crate::parts::queue::Queue;

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
    /// Everything handed over has left.
    Flushed,
    /// The session could not be opened.
    Failed(Error),
    /// An open session ended, for a reason in the words of the original.
    Closed(&'static str),
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
    connect_timeout_ms: u64,
    http_timeout_ms: u64,
    limits: FrameLimits,
    state: State,
    handshake: Option<Handshake>,
    /// When the server counts as silent.
    ping_deadline: Option<Instant>,
    /// Frames that wait for their turn on polling; bounded where they are sent.
    pub(super) queue: Queue<Frame>,
    /// How often [`EngineEvent::Flushed`] was asked for and not told.
    asks: u64,
    /// Peer: the original sends none, and fails behind load balancers with "session id unknown".
    cookies: Cookies,
    last_id: u64,
    pub(super) events: VecDeque<EngineEvent>,
    /// What to do, in order; the owner adds what it has to do itself.
    pub(super) out: VecDeque<Output>,
}

impl Engine {
    pub(super) fn new(address: Address, options: &DaemonOptions) -> Self {
        Self {
            address,
            transport: options.transport,
            connect_timeout_ms: options.connect_timeout_ms,
            http_timeout_ms: options.http_timeout_ms,
            limits: (&options.limits).into(),
            state: State::Idle,
            handshake: None,
            ping_deadline: None,
            queue: Queue::unbounded(),
            asks: 0,
            cookies: Cookies::default(),
            last_id: 0,
            events: VecDeque::new(),
            out: VecDeque::new(),
        }
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

    /// Tells whether something still waits for the server to take it.
    pub(super) fn is_backed_up(&self) -> bool {
        !self.queue.is_empty() || self.polling().is_some_and(|polling| polling.post.is_some())
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

    /// Sends a frame. A server that has been silent for too long ends the session instead: after a
    /// suspend nothing is written to a connection that is long dead.
    pub(super) fn send(&mut self, frame: Frame, now: Now) {
        if self.ping_deadline.is_some_and(|at| at <= now.mono) {
            self.fail(PING_TIMEOUT);
            return;
        }
        match &self.state {
            State::OnWebSocket(conn) => self.out.push_back(Output::Send { conn: *conn, frame }),
            // As on a WebSocket: a server that does not take what waits loses the session.
            State::OnPolling(_) if self.queue.bytes > self.limits.max_send_queue as u64 => {
                self.fail(TRANSPORT_ERROR);
            }
            State::OnPolling(_) => self.enqueue(frame),
            State::Idle | State::Dialing(_) | State::Asking(_) | State::Leaving(_) => {}
        }
    }

    fn enqueue(&mut self, frame: Frame) {
        let bytes = frame.len() as u64;
        self.queue.push(frame, bytes);
    }

    /// Asks for [`EngineEvent::Flushed`].
    pub(super) fn ask_flushed(&mut self) {
        self.asks += 1;
        if let State::OnWebSocket(conn) = self.state {
            self.out.push_back(Output::AskSent { conn });
        }
    }

    /// Asks as [`ask_flushed`](Self::ask_flushed) does, for the last time: one answer of the driver serves
    /// several asks, so that what is still counted of earlier ones may never be answered.
    pub(super) fn ask_last(&mut self) {
        self.asks = 0;
        self.ask_flushed();
    }

    /// Tells whether all has left that was handed over before [`ask_flushed`](Self::ask_flushed).
    pub(super) fn has_left(&self) -> bool {
        !self.is_backed_up() && (self.asks == 0 || self.polling().is_some())
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
        self.asks = 0;
        match self.state {
            State::OnWebSocket(conn) => {
                self.out.extend(last.map(|frame| Output::Send { conn, frame }));
                self.out.push_back(hang_up(conn));
                self.state = State::Leaving(conn);
            }
            State::OnPolling(_) => {
                last.into_iter().for_each(|frame| self.enqueue(frame));
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
        self.queue.clear();
        self.ping_deadline = None;
        self.asks = 0;
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

    /// What was sent on a WebSocket has left.
    pub(super) fn sent(&mut self, conn: ConnId) {
        if matches!(self.state, State::OnWebSocket(open) if open == conn) {
            self.flushed();
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
            State::OnWebSocket(_) => self.fail(reason_of(cause)),
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
        let address = DialAddress::WebSocket { url, headers, deflate: None };
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
        self.events.push_back(EngineEvent::Closed(reason));
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

    fn flushed(&mut self) {
        if self.asks > 0 {
            self.asks -= 1;
            self.events.push_back(EngineEvent::Flushed);
        }
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
