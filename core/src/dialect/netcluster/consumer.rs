//! The consumer: one link to a provider, which comes back by itself.
//!
//! ```text
//! idle ─start─▶ dialing ─▶ ready ─▶ waiting ─▶ dialing …
//!                  └─ 403, attempts used up, no reconnection, stop ─▶ ended
//! ```
//!
//! A provider that beats is alive; one that has not for twice its interval is given up. The interval is
//! what it announced last, on whichever connection.
//!
//! Source: `src/components/Consumer.js` of `network-cluster` 1.0.4.

use std::collections::VecDeque;

use serde::Serialize;

use super::options::ConsumerOptions;
use super::wire::{self, Said};
use super::{CUT, NO_CODE, TRY_AGAIN_LATER, farewell};
use crate::api::command::{Command, PeerCommand, Recipients};
use crate::api::event::{CallEvent, Event, HeartbeatSign, PeerEvent, SessionEvent, Transport};
use crate::api::options::WhenFull;
use crate::base::content::Content;
use crate::base::entropy::Seed;
use crate::base::error::{Error, ErrorCode, invalid};
use crate::base::ids::{CallId, ConnId};
use crate::base::json::Raw;
use crate::base::json::object::Object;
use crate::base::time::{Deadline, Instant, Now, Why};
use crate::machine::{CloseCause, ConnInput, Endpoint, Input, Machine, Output};
use crate::net::target::{DialAddress, DialTarget, FrameLimits};
use crate::net::{Frame, Headers};
use crate::parts::drain::Drain;
use crate::parts::pacer::{Message, Outcome, Outlet, Rules, settle};
use crate::parts::reconnection::{Reconnection, ReconnectionDue};

/// How often a provider beats that has not said so, in milliseconds.
const INTERVAL_MS: u64 = 30_000;
/// How many intervals a provider may be silent.
const CUTOFF: u64 = 2;
/// The status of the one refusal that is final.
const FORBIDDEN: u16 = 403;

/// The consumer's machine.
#[derive(Debug)]
pub(crate) struct Consumer {
    options: ConsumerOptions,
    rules: Rules,
    link: Reconnection,
    outlet: Outlet,
    drain: Drain,
    interval_ms: u64,
    /// When the provider beat last, or the link became ready.
    beat: Option<Instant>,
    out: VecDeque<Output>,
    counters: Counters,
}

/// What has happened since the consumer was opened.
#[derive(Debug, Default, Serialize)]
struct Counters {
    links: u64,
    received: u64,
    sent: u64,
    dropped: u64,
}

impl Consumer {
    /// Makes a consumer.
    ///
    /// # Errors
    /// `CONFIG_INVALID`.
    pub(crate) fn new(options: ConsumerOptions, seed: Seed) -> Result<Self, Error> {
        options.check()?;
        Ok(Self {
            rules: Rules {
                max: options.max_backpressure,
                on_backlog: options.on_backlog,
                max_waiting: options.limits.max_pending_calls,
                max_bytes: options.limits.max_send_queue_bytes,
            },
            link: Reconnection::new(options.reconnect.clone(), options.reconnect_enabled, seed),
            outlet: Outlet::new(ConnId(0), None),
            drain: Drain::default(),
            interval_ms: INTERVAL_MS,
            beat: None,
            out: VecDeque::new(),
            counters: Counters::default(),
            options,
        })
    }

    fn start(&mut self, now: Now) -> Result<(), Error> {
        self.link.begin()?;
        self.dial(now);
        Ok(())
    }

    fn dial(&mut self, now: Now) {
        let mut limits = FrameLimits::from(&self.options.limits);
        let on_its_way = self.options.max_backpressure.saturating_add(self.rules.max_bytes);
        limits.max_send_queue = usize::try_from(on_its_way).unwrap_or(usize::MAX);
        let (url, headers) = (wire::url(&self.options), Headers::new());
        let target = DialTarget {
            address: DialAddress::WebSocket {
                url,
                headers,
                deflate: self.options.compression.then_some(wire::OFFER),
            },
            timeout_ms: self.options.connect_timeout_ms,
            limits,
            pulses: wire::PINGS,
        };
        self.link.dial(target, now, &mut self.out);
    }

    fn opened(&mut self, now: Now) {
        let Some(conn) = self.link.opened(now) else { return };
        self.outlet = Outlet::new(conn, None);
        self.beat = Some(now.mono);
        self.counters.links += 1;
        let (id, transport) = (wire::place(&self.options), Transport::WebSocket);
        self.event(SessionEvent::Ready { id, transport, max_message: None });
    }

    fn received(&mut self, frame: Frame, now: Now) {
        let content = match frame {
            Frame::Text(text) => Content::Text(text),
            Frame::Binary(bytes) => Content::Bytes(bytes),
            Frame::Ping(_) | Frame::Pong(_) => return,
        };
        match wire::said(content.as_bytes()) {
            Some(Said::Ping) => {
                self.beat = Some(now.mono);
                // It goes past what waits for room.
                let conn = self.outlet.conn;
                self.out.push_back(Output::Send { conn, frame: wire::pong() });
                if self.options.tells_heartbeats {
                    self.tell(HeartbeatSign::Ping, 0);
                }
            }
            Some(Said::Announced(Some(interval_ms))) => {
                self.interval_ms = interval_ms;
                self.tell(HeartbeatSign::Announced, interval_ms);
            }
            Some(Said::Announced(None)) => {}
            None => {
                self.counters.received += 1;
                self.event(PeerEvent::Received { peer: None, content });
            }
        }
    }

    /// Peer: 1006 has no reason, whatever was the matter.
    fn closed(&mut self, cause: &CloseCause, now: Now) {
        let (code, mut reason) = farewell(cause);
        if code == CUT {
            reason.clear();
        }
        let error = cause.to_error();
        if matches!(cause, CloseCause::Refused { status: FORBIDDEN }) {
            let error = Error::new(ErrorCode::AuthenticationFailed, error.message());
            self.told_closed(code, reason);
            self.link.end(Some(error.with_status(Some(FORBIDDEN))), now, &mut self.out);
        } else {
            self.lose(code, reason, error, now);
        }
    }

    fn told_closed(&mut self, code: u16, reason: String) {
        self.beat = None;
        self.outlet.end(&mut self.out);
        self.event(PeerEvent::Closed { peer: None, code: u32::from(code), reason });
    }

    /// The connection is over, or was never there.
    fn lose(&mut self, code: u16, reason: String, error: Error, now: Now) {
        self.told_closed(code, reason);
        self.link.lose(error, now, &mut self.out);
    }

    /// Gives the connection up.
    fn give_up(&mut self, code: u16, error: Error, now: Now) {
        self.link.hang_up(NO_CODE, "", &mut self.out);
        self.lose(code, String::new(), error, now);
    }

    fn send(
        &mut self,
        call: Option<CallId>,
        to: &Recipients,
        content: Content,
        compress: bool,
        now: Now,
    ) -> Result<(), Error> {
        if *to != Recipients::Link {
            return Err(invalid("a consumer has one peer, which is not named"));
        }
        if wire::is_pong(&content) && !self.options.allow_reserved {
            return Err(invalid("the protocol keeps this message for itself: see allow_reserved"));
        }
        if content.len() as u64 > self.rules.max_bytes {
            let text = "the message exceeds limits.max_send_queue_bytes";
            return Err(Error::new(ErrorCode::TooLarge, text));
        }
        if !self.link.is_ready() {
            let error = Error::new(ErrorCode::NotReady, "there is no connection to the provider");
            return if call.is_some() { Err(error) } else { Ok(()) };
        }
        let outcome =
            self.outlet.send(Message { content, compress, call }, &self.rules, &mut self.out);
        settle(call, outcome, &mut self.out);
        match outcome {
            Outcome::Dropped => self.dropped(now),
            Outcome::Sent | Outcome::Queued | Outcome::Waits => self.counters.sent += 1,
        }
        Ok(())
    }

    fn dropped(&mut self, now: Now) {
        self.counters.dropped += 1;
        if self.rules.on_backlog == WhenFull::Close {
            let why = "the provider does not read what it is sent";
            self.link.hang_up(TRY_AGAIN_LATER, why, &mut self.out);
            let error = Error::new(ErrorCode::Overloaded, why);
            self.lose(TRY_AGAIN_LATER, why.to_owned(), error, now);
        }
    }

    fn stop(&mut self, drain_ms: u64, now: Now) {
        if self.drain.begin(drain_ms, now.mono) && self.outlet.is_behind() {
            self.event(SessionEvent::Draining { in_flight: 1, outbox: 0 });
        }
        self.advance_drain(now);
    }

    /// Ends when what was sent has left, or its time is over.
    fn advance_drain(&mut self, now: Now) {
        let is_behind = self.outlet.is_behind();
        if !self.drain.is_on() || self.link.is_ended() || is_behind && !self.drain.is_over(now.mono)
        {
            return;
        }
        self.beat = None;
        self.link.hang_up(NO_CODE, "", &mut self.out);
        self.outlet.end(&mut self.out);
        let text = "the provider had not read what was sent";
        let error = is_behind.then(|| Error::new(ErrorCode::DrainTimeout, text));
        self.link.end(error, now, &mut self.out);
    }

    /// When the provider has been silent for too long.
    fn silence(&self) -> Option<Deadline> {
        let at = self.beat?.after(self.interval_ms * CUTOFF);
        Some(Deadline { at, why: Why::Heartbeat })
    }

    fn tell(&mut self, sign: HeartbeatSign, value: u64) {
        self.event(PeerEvent::Heartbeat { peer: None, sign, value });
    }

    fn event(&mut self, event: impl Into<Event>) {
        self.out.push_back(Output::Event(event.into()));
    }
}

impl Machine for Consumer {
    fn handle_input(&mut self, input: Input, now: Now) {
        let Input::Conn(input) = input else { return };
        let (ConnInput::Opened { conn }
        | ConnInput::Received { conn, .. }
        | ConnInput::Sent { conn }
        | ConnInput::Held { conn }
        | ConnInput::Closed { conn, .. }) = &input;
        // Those of earlier connections are over.
        if self.link.conn() == Some(*conn) {
            match input {
                ConnInput::Opened { .. } => self.opened(now),
                ConnInput::Received { frame, .. } => self.received(frame, now),
                ConnInput::Sent { .. } => self.outlet.sent(&self.rules, &mut self.out),
                // It may have beaten: nobody reads it.
                ConnInput::Held { .. } => self.beat = self.beat.map(|_| now.mono),
                ConnInput::Closed { cause, .. } => self.closed(&cause, now),
            }
        }
        self.advance_drain(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        if self.silence().is_some_and(|silence| silence.at <= now.mono) {
            let text = "the provider's heartbeat did not come";
            self.give_up(NO_CODE, Error::new(ErrorCode::PeerSilent, text), now);
        }
        match self.link.due(now) {
            Some(ReconnectionDue::Dial) => self.dial(now),
            Some(ReconnectionDue::TooLate) => {
                self.give_up(CUT, ErrorCode::ConnectTimeout.into(), now);
            }
            None => {}
        }
        self.advance_drain(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        if self.link.is_ended() {
            return None;
        }
        [self.link.deadline(), self.silence(), self.drain.deadline()].into_iter().flatten().min()
    }
}

impl Endpoint for Consumer {
    fn handle_command(&mut self, command: Command, now: Now) -> Result<(), Error> {
        if self.link.is_ended() && !matches!(command, Command::Snapshot { .. }) {
            return Err(ErrorCode::Stopped.into());
        }
        match command {
            Command::Start => self.start(now),
            Command::Stop { drain_ms } => {
                self.stop(drain_ms, now);
                Ok(())
            }
            Command::Peer(PeerCommand::Send { call, to, content, compress }) => {
                self.send(call, &to, content, compress, now)
            }
            Command::Snapshot { call } => {
                let result = Ok(Raw::trusted(self.snapshot(now)));
                self.event(CallEvent::Done { call, result });
                Ok(())
            }
            Command::Peer(_) | Command::Call(_) | Command::Work(_) | Command::Emit { .. } => {
                Err(ErrorCode::Unsupported.into())
            }
        }
    }

    fn snapshot(&self, now: Now) -> String {
        let last_beat = self.beat.map(|beat| now.mono.since(beat));
        let object = Object::with_capacity(512)
            .text("dialect", "netcluster")
            .text("role", "consumer")
            .text("provider", &wire::place(&self.options));
        let described = self.link.describe(object, now);
        described
            .number("heartbeat_interval_ms", self.interval_ms)
            .value("last_heartbeat_ms", &last_beat)
            .flag("is_behind", self.outlet.is_behind())
            .value("counters", &self.counters)
            .end()
    }
}
