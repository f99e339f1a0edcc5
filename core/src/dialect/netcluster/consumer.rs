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
use crate::base::ids::CallId;
use crate::base::json::Raw;
use crate::base::json::object::Object;
use crate::base::time::{Deadline, Instant, Now, Why};
use crate::machine::{CloseCause, ConnInput, Endpoint, Input, Machine, Output};
use crate::net::target::{Deflate, DialAddress, DialTarget, FrameLimits};
use crate::net::{Frame, Headers};
use crate::parts::lifetime::Lifetime;
use crate::parts::link::Pace;
use crate::parts::pacer::{Message, Outcome, Outlet, Rules, settle};
use crate::parts::reconnection::Reconnection;

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
    life: Lifetime,
    link: Reconnection,
    outlet: Outlet,
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
        let reconnect = (options.reconnect.clone(), options.reconnect_enabled);
        Ok(Self {
            rules: Rules {
                max: options.max_backpressure,
                on_backlog: options.on_backlog,
                max_waiting: options.limits.max_pending_calls,
                max_bytes: options.limits.max_send_queue_bytes,
                notice: None,
            },
            life: Lifetime::default(),
            link: Reconnection::new(target(&options), reconnect, None, seed),
            outlet: Outlet::default(),
            interval_ms: INTERVAL_MS,
            beat: None,
            out: VecDeque::new(),
            counters: Counters::default(),
            options,
        })
    }

    fn start(&mut self, now: Now) -> Result<(), Error> {
        self.life.start(now)?;
        self.link.dial(now, &mut self.out);
        Ok(())
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
                self.out.extend(
                    self.link.conn().map(|conn| Output::Send { conn, frame: wire::pong() }),
                );
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
            self.end(Some(error.with_status(Some(FORBIDDEN))), now);
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
        if let Some(error) = self.link.lose(error, Pace::Ladder, now, &mut self.out) {
            self.end(Some(error), now);
        }
    }

    fn end(&mut self, error: Option<Error>, now: Now) {
        self.link.end(now);
        self.life.end(error, now, &mut self.out);
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
        self.life.stop(drain_ms, usize::from(self.outlet.is_behind()), now, &mut self.out);
        self.advance_drain(now);
    }

    /// Ends when what was sent has left, or its time is over.
    fn advance_drain(&mut self, now: Now) {
        let is_behind = self.outlet.is_behind();
        if !self.life.is_drained(is_behind, now) {
            return;
        }
        self.beat = None;
        self.link.hang_up(NO_CODE, "", &mut self.out);
        self.outlet.end(&mut self.out);
        let text = "the provider had not read what was sent";
        let error = is_behind.then(|| Error::new(ErrorCode::DrainTimeout, text));
        self.end(error, now);
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
        // Earlier connections are over.
        if self.link.conn() == Some(input.conn()) {
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
        if let Some(error) = self.link.timed_out(now, &mut self.out) {
            self.give_up(CUT, error, now);
        }
        self.advance_drain(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        if self.life.is_ended() {
            return None;
        }
        [self.link.deadline(), self.silence(), self.life.deadline()].into_iter().flatten().min()
    }
}

impl Endpoint for Consumer {
    fn handle_command(&mut self, command: Command, now: Now) -> Result<(), Error> {
        if self.life.is_ended() && !matches!(command, Command::Snapshot { .. }) {
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
        let object = self.life.describe(object, self.link.state(), now);
        self.link
            .describe(object, now)
            .number("heartbeat_interval_ms", self.interval_ms)
            .value("last_heartbeat_ms", &last_beat)
            .flag("is_behind", self.outlet.is_behind())
            .value("counters", &self.counters)
            .end()
    }
}

/// Returns where the provider is and how it is dialed.
fn target(options: &ConsumerOptions) -> DialTarget {
    let mut limits = FrameLimits::from(&options.limits);
    let on_its_way = match options.max_backpressure {
        0 => u64::MAX,
        max => max + options.limits.max_send_queue_bytes,
    };
    limits.max_send_queue = usize::try_from(on_its_way).unwrap_or(usize::MAX);
    let deflate = options.compression.then_some(Deflate::LIKE_WS);
    let (url, headers) = (wire::url(options), Headers::new());
    let address = DialAddress::WebSocket { url, headers, deflate };
    DialTarget { address, timeout_ms: options.connect_timeout_ms, limits, pulses: wire::PINGS }
}
