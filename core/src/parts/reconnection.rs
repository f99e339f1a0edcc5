//! One connection at a time to one place, which is dialed again when it is lost: for roles whose
//! connections are ready as soon as they are open.
//!
//! ```text
//! idle ─▶ dialing ─▶ ready ─▶ waiting ─▶ dialing …
//!            └── attempts used up, or none wanted, or the role's word ─▶ ended
//! ```

use std::collections::VecDeque;

use crate::api::event::{Event, SessionEvent};
use crate::api::options::ReconnectOptions;
use crate::base::entropy::{Entropy, Seed};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::ConnId;
use crate::base::json::object::Object;
use crate::base::time::{Deadline, Now, Why};
use crate::machine::{DRIVER_SLACK_MS, Output};
use crate::net::target::DialTarget;
use crate::parts::backoff::Backoff;
use crate::parts::link::{Link, Pace};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Dialing(ConnId),
    Ready(ConnId),
    Waiting,
    Ended,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReconnectionDue {
    /// The next attempt.
    Dial,
    /// The end of one that takes too long.
    TooLate,
}

/// The connections of one role.
#[derive(Debug)]
pub(crate) struct Reconnection {
    link: Link<Stage>,
    /// Whether it is dialed again.
    comes_back: bool,
    entropy: Entropy,
    last_conn: u64,
    last_error: Option<Error>,
}

impl Reconnection {
    pub(crate) fn new(reconnect: ReconnectOptions, comes_back: bool, seed: Seed) -> Self {
        Self {
            link: Link::new(Stage::Idle, Backoff::new(reconnect)),
            comes_back,
            entropy: Entropy::new(seed),
            last_conn: 0,
            last_error: None,
        }
    }

    /// Returns the connection that is dialed or ready.
    pub(crate) const fn conn(&self) -> Option<ConnId> {
        match self.link.stage() {
            Stage::Dialing(conn) | Stage::Ready(conn) => Some(conn),
            Stage::Idle | Stage::Waiting | Stage::Ended => None,
        }
    }

    pub(crate) const fn is_ready(&self) -> bool {
        matches!(self.link.stage(), Stage::Ready(_))
    }

    pub(crate) const fn is_ended(&self) -> bool {
        matches!(self.link.stage(), Stage::Ended)
    }

    /// Checks that it has not begun.
    ///
    /// # Errors
    /// `ALREADY_STARTED`.
    pub(crate) fn begin(&self) -> Result<(), Error> {
        let is_idle = self.link.stage() == Stage::Idle;
        is_idle.then_some(()).ok_or_else(|| ErrorCode::AlreadyStarted.into())
    }

    pub(crate) fn dial(&mut self, target: DialTarget, now: Now, out: &mut VecDeque<Output>) {
        // Ids of a dialing machine are even.
        self.last_conn += 2;
        let conn = ConnId(self.last_conn);
        let limit = target.timeout_ms + DRIVER_SLACK_MS;
        self.link.enter(Stage::Dialing(conn), Some((limit, Why::Connect)), now);
        out.push_back(Output::Dial { conn, target });
    }

    /// Notes that the connection is open; returns it, once.
    pub(crate) fn opened(&mut self, now: Now) -> Option<ConnId> {
        let Stage::Dialing(conn) = self.link.stage() else { return None };
        self.link.enter_ready(Stage::Ready(conn), now);
        Some(conn)
    }

    /// Closes the connection, if there is one.
    pub(crate) fn hang_up(&self, code: u16, reason: &str, out: &mut VecDeque<Output>) {
        if let Some(conn) = self.conn() {
            out.push_back(Output::Close { conn, code, reason: reason.to_owned() });
        }
    }

    /// The connection is over, or was never there: tells when the next attempt is made, or ends.
    pub(crate) fn lose(&mut self, error: Error, now: Now, out: &mut VecDeque<Output>) {
        self.last_error = Some(error.clone());
        let pace = self.comes_back.then_some(Pace::Ladder);
        let delay = pace.and_then(|pace| self.link.lose(pace, &mut self.entropy, now.mono));
        let Some(retry_ms) = delay else { return self.end(Some(error), now, out) };
        self.link.enter(Stage::Waiting, Some((retry_ms, Why::Backoff)), now);
        let attempt = self.link.backoff.attempt;
        let lost = SessionEvent::Lost { reason: error, retry_ms, attempt };
        out.push_back(Output::Event(lost.into()));
    }

    pub(crate) fn end(&mut self, error: Option<Error>, now: Now, out: &mut VecDeque<Output>) {
        self.link.enter(Stage::Ended, None, now);
        out.push_back(Output::Event(Event::Session(SessionEvent::Ended { error })));
    }

    /// Returns what is due. The role does it.
    pub(crate) fn due(&self, now: Now) -> Option<ReconnectionDue> {
        let is_due = self.link.is_due(now.mono);
        match self.link.stage() {
            Stage::Waiting if is_due => Some(ReconnectionDue::Dial),
            Stage::Dialing(_) if is_due => Some(ReconnectionDue::TooLate),
            Stage::Idle | Stage::Dialing(_) | Stage::Ready(_) | Stage::Waiting | Stage::Ended => {
                None
            }
        }
    }

    pub(crate) const fn deadline(&self) -> Option<Deadline> {
        self.link.limit
    }

    /// Writes where it stands.
    pub(crate) fn describe(&self, object: Object, now: Now) -> Object {
        let (since, stage) = (self.link.since, self.link.stage());
        let retry = self.link.limit.filter(|_| stage == Stage::Waiting);
        let state = match stage {
            Stage::Idle => "idle",
            Stage::Dialing(_) => "dialing",
            Stage::Ready(_) => "ready",
            Stage::Waiting => "waiting",
            Stage::Ended => "ended",
        };
        object
            .text("state", state)
            .text("since", &since.unix.to_string())
            .number("since_ms", now.mono.since(since.mono))
            .number("attempt", self.link.backoff.attempt)
            .value("next_attempt_ms", &retry.map(|due| due.at.since(now.mono)))
            .value("last_error", &self.last_error)
    }
}
