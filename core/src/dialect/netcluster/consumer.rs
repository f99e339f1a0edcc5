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
use super::outlet::{Message, Outcome, Outlet, Rules, settle};
use super::wire::{self, Said};
use super::{CUT, NO_CODE, farewell};
use crate::api::command::{Command, PeerCommand, Recipients};
use crate::api::event::{CallEvent, Event, HeartbeatSign, PeerEvent, SessionEvent, Transport};
use crate::base::content::Content;
use crate::base::entropy::{Entropy, Seed};
use crate::base::error::{Error, ErrorCode, invalid};
use crate::base::ids::{CallId, ConnId};
use crate::base::json::Raw;
use crate::base::json::object::Object;
use crate::base::time::{Deadline, Instant, Now, Why};
use crate::machine::{CloseCause, ConnInput, DRIVER_SLACK_MS, Endpoint, Input, Machine, Output};
use crate::net::target::{DialAddress, DialTarget, FrameLimits};
use crate::net::{Frame, Headers};
use crate::parts::backoff::Backoff;
use crate::parts::drain::Drain;
use crate::parts::link::{Link, Pace};

/// How often a provider beats that has not said so, in milliseconds.
const INTERVAL_MS: u64 = 30_000;
/// How many intervals a provider may be silent.
const CUTOFF: u64 = 2;
/// The status of the one refusal that is final.
const FORBIDDEN: u16 = 403;
/// The close code for a message that there was no room for.
const TRY_AGAIN_LATER: u16 = 1_013;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Dialing(ConnId),
    Ready(ConnId),
    Waiting,
    Ended,
}

impl Stage {
    const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Dialing(_) => "dialing",
            Self::Ready(_) => "ready",
            Self::Waiting => "waiting",
            Self::Ended => "ended",
        }
    }
}

/// The consumer's machine.
#[derive(Debug)]
pub(crate) struct Consumer {
    options: ConsumerOptions,
    rules: Rules,
    link: Link<Stage>,
    outlet: Outlet,
    entropy: Entropy,
    drain: Drain,
    last_conn: u64,
    interval_ms: u64,
    /// When the provider beat last, or the link became ready.
    beat: Option<Instant>,
    out: VecDeque<Output>,
    last_error: Option<Error>,
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
            link: Link::new(Stage::Idle, Backoff::new(options.reconnect.clone())),
            outlet: Outlet::new(ConnId(0), None),
            entropy: Entropy::new(seed),
            drain: Drain::default(),
            last_conn: 0,
            interval_ms: INTERVAL_MS,
            beat: None,
            out: VecDeque::new(),
            last_error: None,
            counters: Counters::default(),
            options,
        })
    }

    fn start(&mut self, now: Now) -> Result<(), Error> {
        if self.link.stage() != Stage::Idle {
            return Err(ErrorCode::AlreadyStarted.into());
        }
        self.dial(now);
        Ok(())
    }

    fn dial(&mut self, now: Now) {
        // Ids of a dialing machine are even.
        self.last_conn += 2;
        let conn = ConnId(self.last_conn);
        let timeout_ms = self.options.connect_timeout_ms;
        let limits = FrameLimits::from(&self.options.limits);
        let on_its_way = self.options.max_backpressure.saturating_add(self.rules.max_bytes);
        let limits = FrameLimits {
            max_send_queue: usize::try_from(on_its_way).unwrap_or(usize::MAX),
            ..limits
        };
        let url = wire::url(&self.options);
        let address = DialAddress::WebSocket { url, headers: Headers::new(), deflate: None };
        let target = DialTarget { address, timeout_ms, limits, pulses: wire::PINGS };
        self.link.enter(
            Stage::Dialing(conn),
            Some((timeout_ms + DRIVER_SLACK_MS, Why::Connect)),
            now,
        );
        self.out.push_back(Output::Dial { conn, target });
    }

    fn opened(&mut self, now: Now) {
        let Stage::Dialing(conn) = self.link.stage() else { return };
        self.link.enter_ready(Stage::Ready(conn), now);
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

    fn closed(&mut self, cause: &CloseCause, now: Now) {
        let (code, reason) = match cause {
            CloseCause::Remote { .. } => farewell(cause),
            CloseCause::Refused { .. }
            | CloseCause::Local
            | CloseCause::Failed(_)
            | CloseCause::Exceeded { .. } => (CUT, String::new()),
        };
        let error = cause.to_error();
        if matches!(cause, CloseCause::Refused { status: FORBIDDEN }) {
            let error = Error::new(ErrorCode::AuthenticationFailed, error.message());
            self.told_closed(code, reason);
            self.end(Some(error.with_status(Some(FORBIDDEN))), now);
        } else {
            self.lose(code, reason, error, now);
        }
    }

    /// Gives a connection up.
    fn hang_up(&mut self, code: u16, why: &str) {
        if let Stage::Dialing(conn) | Stage::Ready(conn) = self.link.stage() {
            self.out.push_back(Output::Close { conn, code, reason: why.to_owned() });
        }
    }

    fn told_closed(&mut self, code: u16, reason: String) {
        self.beat = None;
        self.outlet.end(&mut self.out);
        self.event(PeerEvent::Closed { peer: None, code: u32::from(code), reason });
    }

    /// The connection is over, or was never there: waits for the next attempt, if there is one.
    fn lose(&mut self, code: u16, reason: String, error: Error, now: Now) {
        self.told_closed(code, reason);
        self.last_error = Some(error.clone());
        let may_retry = self.options.reconnect_enabled && !self.drain.is_on();
        let delay = if may_retry {
            self.link.lose(Pace::Ladder, &mut self.entropy, now.mono)
        } else {
            None
        };
        let Some(retry_ms) = delay else { return self.end(Some(error), now) };
        self.link.enter(Stage::Waiting, Some((retry_ms, Why::Backoff)), now);
        let attempt = self.link.backoff.attempt;
        self.event(SessionEvent::Lost { reason: error, retry_ms, attempt });
    }

    fn send(
        &mut self,
        call: Option<CallId>,
        to: &Recipients,
        content: Content,
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
        if !matches!(self.link.stage(), Stage::Ready(_)) {
            let error = Error::new(ErrorCode::NotReady, "there is no connection to the provider");
            return if call.is_some() { Err(error) } else { Ok(()) };
        }
        let outcome = self.outlet.send(Message { content, call }, &self.rules, &mut self.out);
        settle(call, outcome, &mut self.out);
        match outcome {
            Outcome::Dropped => self.dropped(now),
            Outcome::Sent | Outcome::Queued | Outcome::Waits => self.counters.sent += 1,
        }
        Ok(())
    }

    fn dropped(&mut self, now: Now) {
        self.counters.dropped += 1;
        if self.rules.on_backlog == super::options::WhenFull::Close {
            let why = "the provider does not read what it is sent";
            self.hang_up(TRY_AGAIN_LATER, why);
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
        if !self.drain.is_on() || self.link.stage() == Stage::Ended {
            return;
        }
        let is_behind = self.outlet.is_behind();
        if !is_behind || self.drain.is_over(now.mono) {
            self.hang_up(NO_CODE, "");
            self.outlet.end(&mut self.out);
            let text = "the provider had not read what was sent";
            self.end(is_behind.then(|| Error::new(ErrorCode::DrainTimeout, text)), now);
        }
    }

    fn end(&mut self, error: Option<Error>, now: Now) {
        self.beat = None;
        self.link.enter(Stage::Ended, None, now);
        self.event(SessionEvent::Ended { error });
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

    fn is_present(&self, conn: ConnId) -> bool {
        matches!(self.link.stage(), Stage::Dialing(it) | Stage::Ready(it) if it == conn)
    }
}

impl Machine for Consumer {
    fn handle_input(&mut self, input: Input, now: Now) {
        let Input::Conn(input) = input else { return };
        match input {
            ConnInput::Opened { conn } if self.is_present(conn) => self.opened(now),
            ConnInput::Received { conn, frame } if self.is_present(conn) => {
                self.received(frame, now);
            }
            ConnInput::Sent { conn } if self.is_present(conn) => {
                self.outlet.sent(&self.rules, &mut self.out);
            }
            ConnInput::Closed { conn, cause } if self.is_present(conn) => self.closed(&cause, now),
            // It may have beaten: nobody reads it.
            ConnInput::Held { conn } if self.is_present(conn) => {
                self.beat = self.beat.map(|_| now.mono);
            }
            // Of an earlier connection.
            ConnInput::Opened { .. }
            | ConnInput::Received { .. }
            | ConnInput::Sent { .. }
            | ConnInput::Held { .. }
            | ConnInput::Closed { .. } => {}
        }
        self.advance_drain(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        if self.silence().is_some_and(|silence| silence.at <= now.mono) {
            self.hang_up(NO_CODE, "");
            let text = "the provider's heartbeat did not come";
            self.lose(NO_CODE, String::new(), Error::new(ErrorCode::PeerSilent, text), now);
        }
        if self.link.is_due(now.mono) {
            match self.link.stage() {
                Stage::Waiting => self.dial(now),
                Stage::Dialing(_) => {
                    self.hang_up(NO_CODE, "");
                    let error = Error::from(ErrorCode::ConnectTimeout);
                    self.lose(CUT, String::new(), error, now);
                }
                Stage::Idle | Stage::Ready(_) | Stage::Ended => {}
            }
        }
        self.advance_drain(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        if self.link.stage() == Stage::Ended {
            return None;
        }
        [self.link.limit, self.silence(), self.drain.deadline()].into_iter().flatten().min()
    }
}

impl Endpoint for Consumer {
    fn handle_command(&mut self, command: Command, now: Now) -> Result<(), Error> {
        if self.link.stage() == Stage::Ended && !matches!(command, Command::Snapshot { .. }) {
            return Err(ErrorCode::Stopped.into());
        }
        match command {
            Command::Start => self.start(now),
            Command::Stop { drain_ms } => {
                self.stop(drain_ms, now);
                Ok(())
            }
            Command::Peer(PeerCommand::Send { call, to, content, compress: _ }) => {
                self.send(call, &to, content, now)
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
        let since = self.link.since;
        let retry = self.link.limit.filter(|_| self.link.stage() == Stage::Waiting);
        let last_beat = self.beat.map(|beat| now.mono.since(beat));
        Object::with_capacity(512)
            .text("dialect", "netcluster")
            .text("role", "consumer")
            .text("provider", &wire::place(&self.options))
            .text("state", self.link.stage().name())
            .text("since", &since.unix.to_string())
            .number("since_ms", now.mono.since(since.mono))
            .number("attempt", self.link.backoff.attempt)
            .value("next_attempt_ms", &retry.map(|due| due.at.since(now.mono)))
            .value("last_error", &self.last_error)
            .number("heartbeat_interval_ms", self.interval_ms)
            .value("last_heartbeat_ms", &last_beat)
            .flag("is_behind", self.outlet.is_behind())
            .value("counters", &self.counters)
            .end()
    }
}
