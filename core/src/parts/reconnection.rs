//! One connection at a time to one place, which is dialed again when it is lost: for roles whose
//! connections are ready as soon as they are open.
//!
//! ```text
//! idle ─▶ dialing ─▶ ready ─▶ waiting, or paused ─▶ dialing …
//!            └── attempts used up, or none wanted: the role's end ─▶ idle
//! ```

use std::collections::VecDeque;

use bytes::Bytes;

use crate::api::event::{Event, SessionEvent};
use crate::api::options::ReconnectOptions;
use crate::base::entropy::{Entropy, Seed};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::ConnId;
use crate::base::json::object::Object;
use crate::base::time::{Deadline, Now, Why};
use crate::machine::{DRIVER_SLACK_MS, Output};
use crate::net::Frame;
use crate::net::target::DialTarget;
use crate::parts::backoff::Backoff;
use crate::parts::link::{Link, Pace};
use crate::parts::liveness::Liveness;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Dialing(ConnId),
    Ready(ConnId),
    Waiting,
    /// Somebody sent us away for a while.
    Paused,
}

/// The connections of one role.
#[derive(Debug)]
pub(crate) struct Reconnection {
    link: Link<Stage>,
    target: DialTarget,
    /// Whether it is dialed again.
    comes_back: bool,
    /// How often a connection is pinged, if it is.
    ping_interval_ms: Option<u64>,
    liveness: Liveness,
    entropy: Entropy,
    last_conn: u64,
    last_error: Option<Error>,
}

impl Reconnection {
    /// Makes one that is dialed again if it `comes_back`; with an interval two unanswered pings end a
    /// connection.
    pub(crate) fn new(
        target: DialTarget,
        (reconnect, comes_back): (ReconnectOptions, bool),
        ping_interval_ms: Option<u64>,
        seed: Seed,
    ) -> Self {
        Self {
            link: Link::new(Stage::Idle, Backoff::new(reconnect)),
            target,
            comes_back,
            ping_interval_ms,
            liveness: Liveness::default(),
            entropy: Entropy::new(seed),
            last_conn: 0,
            last_error: None,
        }
    }

    /// Returns the connection that is dialed or ready.
    pub(crate) const fn conn(&self) -> Option<ConnId> {
        match self.link.stage() {
            Stage::Dialing(conn) | Stage::Ready(conn) => Some(conn),
            Stage::Idle | Stage::Waiting | Stage::Paused => None,
        }
    }

    pub(crate) const fn is_ready(&self) -> bool {
        matches!(self.link.stage(), Stage::Ready(_))
    }

    /// Tells whether a connection was ever ready: who refuses us before does so for good.
    pub(crate) const fn was_ready(&self) -> bool {
        self.link.was_ready
    }

    /// Returns where it leads, as a URL.
    pub(crate) fn url(&self) -> String {
        self.target.address.url().into_owned()
    }

    pub(crate) fn dial(&mut self, now: Now, out: &mut VecDeque<Output>) {
        // Ids of a dialing machine are even.
        self.last_conn += 2;
        let (conn, target) = (ConnId(self.last_conn), self.target.clone());
        let limit = target.timeout_ms + DRIVER_SLACK_MS;
        self.link.enter(Stage::Dialing(conn), Some((limit, Why::Connect)), now);
        out.push_back(Output::Dial { conn, target });
    }

    /// Notes that the connection is open; returns it, once.
    pub(crate) fn opened(&mut self, now: Now) -> Option<ConnId> {
        let Stage::Dialing(conn) = self.link.stage() else { return None };
        self.link.enter_ready(Stage::Ready(conn), now);
        self.liveness = Liveness::default();
        self.ping_after(self.ping_interval_ms, now);
        Some(conn)
    }

    /// Notes a frame; tells whether it came over the connection that is ready.
    pub(crate) fn heard(&mut self, conn: ConnId) -> bool {
        let is_ready = self.link.stage() == Stage::Ready(conn);
        if is_ready {
            self.liveness.heard();
        }
        is_ready
    }

    /// Closes the connection, if there is one.
    pub(crate) fn hang_up(&self, code: u16, reason: &str, out: &mut VecDeque<Output>) {
        if let Some(conn) = self.conn() {
            out.push_back(Output::Close { conn, code, reason: reason.to_owned() });
        }
    }

    /// The connection is over, or was never there: tells when the next attempt is made. Returns why none is.
    pub(crate) fn lose(
        &mut self,
        error: Error,
        pace: Pace,
        now: Now,
        out: &mut VecDeque<Output>,
    ) -> Option<Error> {
        self.last_error = Some(error.clone());
        let next = || self.link.lose(pace, &mut self.entropy, now.mono);
        let Some(retry_ms) = self.comes_back.then(next).flatten() else { return Some(error) };
        self.wait(Stage::Waiting, error, (retry_ms, Why::Backoff), now, out);
        None
    }

    /// Goes away for so many milliseconds, whatever was planned.
    pub(crate) fn pause(&mut self, retry_ms: u64, now: Now, out: &mut VecDeque<Output>) {
        self.link.ended(now.mono);
        let reason = Error::new(ErrorCode::ConnectionLost, format!("paused for {retry_ms} ms"));
        self.wait(Stage::Paused, reason, (retry_ms, Why::Retry), now, out);
    }

    /// Goes nowhere any more.
    pub(crate) fn end(&mut self, now: Now) {
        self.link.enter(Stage::Idle, None, now);
    }

    /// Does what is due. Returns why the connection is to be given up.
    pub(crate) fn timed_out(&mut self, now: Now, out: &mut VecDeque<Output>) -> Option<Error> {
        if !self.link.is_due(now.mono) {
            return None;
        }
        match self.link.stage() {
            Stage::Idle => {}
            Stage::Waiting | Stage::Paused => self.dial(now, out),
            Stage::Dialing(_) => return Some(ErrorCode::ConnectTimeout.into()),
            Stage::Ready(conn) => {
                let next = self.ping_interval_ms.and_then(|millis| self.liveness.ping(millis));
                if next.is_none() {
                    return Some(ErrorCode::PeerSilent.into());
                }
                self.ping_after(next, now);
                out.push_back(Output::Send { conn, frame: Frame::Ping(Bytes::new()) });
            }
        }
        None
    }

    pub(crate) const fn deadline(&self) -> Option<Deadline> {
        self.link.limit
    }

    pub(crate) const fn state(&self) -> &'static str {
        match self.link.stage() {
            Stage::Idle => "idle",
            Stage::Dialing(_) => "dialing",
            Stage::Ready(_) => "ready",
            Stage::Waiting => "waiting",
            Stage::Paused => "paused",
        }
    }

    /// Writes how it comes back.
    pub(crate) fn describe(&self, object: Object, now: Now) -> Object {
        let waits = matches!(self.link.stage(), Stage::Waiting | Stage::Paused);
        let retry = self.link.limit.filter(|_| waits);
        object
            .number("attempt", self.link.backoff.attempt)
            .value("next_attempt_ms", &retry.map(|due| due.at.since(now.mono)))
            .value("last_error", &self.last_error)
    }

    fn wait(
        &mut self,
        stage: Stage,
        reason: Error,
        limit: (u64, Why),
        now: Now,
        out: &mut VecDeque<Output>,
    ) {
        self.link.enter(stage, Some(limit), now);
        let (retry_ms, attempt) = (limit.0, self.link.backoff.attempt);
        let lost = SessionEvent::Lost { reason, retry_ms, attempt };
        out.push_back(Output::Event(Event::Session(lost)));
    }

    fn ping_after(&mut self, millis: Option<u64>, now: Now) {
        let deadline = |millis| Deadline { at: now.mono.after(millis), why: Why::Ping };
        self.link.limit = millis.map(deadline);
    }
}
