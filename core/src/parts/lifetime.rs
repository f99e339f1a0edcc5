//! A role's life, from its start to its orderly end.
//!
//! ```text
//! idle ─start─▶ running ─stop─▶ draining ─▶ ended
//! ```

use std::collections::VecDeque;

use crate::api::event::{Event, SessionEvent};
use crate::base::error::{Error, ErrorCode};
use crate::base::json::object::Object;
use crate::base::time::{Deadline, Now};
use crate::machine::Output;
use crate::parts::drain::Drain;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    Running,
    Ended,
}

/// Where a role is in its life.
#[derive(Debug, Default)]
pub(crate) struct Lifetime {
    stage: Stage,
    /// When it was started, or ended.
    pub(crate) since: Now,
    drain: Drain,
}

impl Lifetime {
    /// Begins.
    ///
    /// # Errors
    /// `ALREADY_STARTED`.
    pub(crate) fn start(&mut self, now: Now) -> Result<(), Error> {
        if self.stage != Stage::Idle {
            return Err(ErrorCode::AlreadyStarted.into());
        }
        (self.stage, self.since) = (Stage::Running, now);
        Ok(())
    }

    /// Checks that something new may begin.
    ///
    /// # Errors
    /// `NOT_STARTED` or `STOPPED`.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        match self.stage {
            Stage::Idle => Err(ErrorCode::NotStarted.into()),
            Stage::Running if !self.is_draining() => Ok(()),
            Stage::Running | Stage::Ended => Err(ErrorCode::Stopped.into()),
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.stage == Stage::Running
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    pub(crate) const fn is_draining(&self) -> bool {
        self.drain.is_on()
    }

    /// Begins the end, or brings it forward: what is `in_flight` has so long.
    pub(crate) fn stop(
        &mut self,
        drain_ms: u64,
        in_flight: usize,
        now: Now,
        out: &mut VecDeque<Output>,
    ) {
        if self.drain.begin(drain_ms, now.mono) && self.is_running() {
            let draining = SessionEvent::Draining { in_flight, outbox: 0 };
            out.push_back(Output::Event(Event::Session(draining)));
        }
    }

    /// Tells whether a drain has begun and is over, now that something is in flight or not.
    pub(crate) fn is_drained(&self, is_busy: bool, now: Now) -> bool {
        let is_over = !is_busy || self.drain.is_over(now.mono) || self.stage == Stage::Idle;
        self.is_draining() && !self.is_ended() && is_over
    }

    /// Ends, for whatever reason.
    pub(crate) fn end(&mut self, error: Option<Error>, now: Now, out: &mut VecDeque<Output>) {
        (self.stage, self.since) = (Stage::Ended, now);
        out.push_back(Output::Event(Event::Session(SessionEvent::Ended { error })));
    }

    pub(crate) fn deadline(&self) -> Option<Deadline> {
        self.drain.deadline()
    }

    /// Writes where it stands; `running` says it while it runs.
    pub(crate) fn describe(&self, object: Object, running: &str, now: Now) -> Object {
        let state = match self.stage {
            Stage::Ended => "ended",
            Stage::Idle | Stage::Running if self.is_draining() => "draining",
            Stage::Idle => "idle",
            Stage::Running => running,
        };
        object
            .text("state", state)
            .text("since", &self.since.unix.to_string())
            .number("since_ms", now.mono.since(self.since.mono))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Now {
        Now::new(millis, 0)
    }

    fn state(life: &Lifetime) -> String {
        life.describe(Object::new(), "serving", at(0)).end().split('"').nth(3).unwrap().to_owned()
    }

    #[test]
    fn a_life_has_one_start_and_one_end() {
        let (mut life, mut out) = (Lifetime::default(), VecDeque::new());
        assert_eq!(life.check_open().unwrap_err().code(), ErrorCode::NotStarted);
        life.start(at(5)).unwrap();
        assert!(life.check_open().is_ok() && state(&life) == "serving");
        assert_eq!(life.start(at(6)).unwrap_err().code(), ErrorCode::AlreadyStarted);
        life.stop(100, 3, at(10), &mut out);
        life.stop(200, 3, at(10), &mut out);
        assert_eq!((out.len(), state(&life).as_str()), (1, "draining"), "told once");
        assert_eq!(life.check_open().unwrap_err().code(), ErrorCode::Stopped);
        assert!(!life.is_drained(true, at(109)) && life.is_drained(true, at(110)));
        assert!(life.is_drained(false, at(11)));
        life.end(None, at(11), &mut out);
        assert!(life.is_ended() && !life.is_drained(false, at(500)) && state(&life) == "ended");
        assert!(life.start(at(600)).is_err());
    }

    #[test]
    fn one_that_never_began_ends_at_once_and_tells_of_no_drain() {
        let (mut life, mut out) = (Lifetime::default(), VecDeque::new());
        life.stop(100, 0, at(0), &mut out);
        assert!(out.is_empty() && life.is_drained(true, at(0)));
    }
}
