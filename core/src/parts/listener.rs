//! A server that listens by itself: from its start to its end, for as long as it takes new clients.
//!
//! ```text
//! idle ─start─▶ opening ─▶ serving ─stop─▶ draining ─▶ ended
//! ```

use std::collections::VecDeque;

use crate::api::event::{Event, SessionEvent, Transport};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::ListenId;
use crate::base::json::object::Object;
use crate::base::time::{Deadline, Now};
use crate::machine::Output;
use crate::net::target::ListenTarget;
use crate::parts::drain::Drain;

/// The only listener of a role.
const LISTENER: ListenId = ListenId(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Opening,
    Serving,
    Ended,
}

/// One listener.
#[derive(Debug)]
pub(crate) struct Listener {
    stage: Stage,
    /// When it was started.
    pub(crate) since: Now,
    address: String,
    drain: Drain,
}

impl Listener {
    pub(crate) fn new() -> Self {
        let (since, address) = (Now::default(), String::new());
        Self { stage: Stage::Idle, since, address, drain: Drain::default() }
    }

    /// Begins to listen.
    ///
    /// # Errors
    /// `ALREADY_STARTED`.
    pub(crate) fn start(
        &mut self,
        target: ListenTarget,
        now: Now,
        out: &mut VecDeque<Output>,
    ) -> Result<(), Error> {
        if self.stage != Stage::Idle {
            return Err(ErrorCode::AlreadyStarted.into());
        }
        self.stage = Stage::Opening;
        self.since = now;
        out.push_back(Output::Listen { listen: LISTENER, target });
        Ok(())
    }

    /// It listens: tells so.
    pub(crate) fn bound(&mut self, address: String, out: &mut VecDeque<Output>) {
        if self.stage == Stage::Opening {
            self.stage = Stage::Serving;
            self.address.clone_from(&address);
            let transport = Transport::Listener;
            let ready = SessionEvent::Ready { id: address, transport, max_message: None };
            out.push_back(Output::Event(Event::Session(ready)));
        }
    }

    /// Tells whether new clients are taken.
    pub(crate) fn is_open(&self) -> bool {
        self.stage == Stage::Serving && !self.drain.is_on()
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Opening | Stage::Serving)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Takes no new clients; what `in_flight` clients wait for has so long.
    pub(crate) fn stop(
        &mut self,
        drain_ms: u64,
        in_flight: usize,
        now: Now,
        out: &mut VecDeque<Output>,
    ) {
        if self.drain.begin(drain_ms, now.mono) && self.stage == Stage::Serving {
            out.push_back(Output::Unlisten { listen: LISTENER });
            let draining = SessionEvent::Draining { in_flight, outbox: 0 };
            out.push_back(Output::Event(Event::Session(draining)));
        }
    }

    /// Tells whether a drain has begun and is over, now that something waits or not.
    pub(crate) fn is_drained(&self, is_waiting: bool, now: Now) -> bool {
        let is_over = !is_waiting || self.drain.is_over(now.mono) || self.stage != Stage::Serving;
        self.drain.is_on() && !self.is_ended() && is_over
    }

    /// Ends, for whatever reason; the role has said farewell to its clients.
    pub(crate) fn end(&mut self, error: Option<Error>, out: &mut VecDeque<Output>) {
        if self.stage == Stage::Opening {
            out.push_back(Output::Unlisten { listen: LISTENER });
        }
        self.stage = Stage::Ended;
        out.push_back(Output::Event(Event::Session(SessionEvent::Ended { error })));
    }

    pub(crate) fn deadline(&self) -> Option<Deadline> {
        self.drain.deadline()
    }

    /// Writes where it stands.
    pub(crate) fn describe(&self, object: Object, now: Now) -> Object {
        let state = match self.stage {
            Stage::Idle => "idle",
            Stage::Opening => "opening",
            Stage::Serving if self.drain.is_on() => "draining",
            Stage::Serving => "serving",
            Stage::Ended => "ended",
        };
        object
            .text("state", state)
            .text("address", &self.address)
            .text("since", &self.since.unix.to_string())
            .number("since_ms", now.mono.since(self.since.mono))
    }
}
