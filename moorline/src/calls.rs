//! Calls that wait for their results: each owns a slot, where its waker is kept and its result put.
//!
//! An id carries its slot in the low bits and a running number above, so that ids are never used twice
//! and grow with time. No call needs a channel or a table look-up by hash.

use std::task::{Context, Poll, Waker};

use moorline_core::{CallId, Raw};

use crate::{Error, ErrorCode};

/// How many bits of an id are its slot: as many as calls may ever wait at once.
const SLOT_BITS: u32 = 20;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;

/// The slots of one session.
#[derive(Default)]
pub(crate) struct Calls {
    slots: Vec<Slot>,
    free: Vec<usize>,
    last: u64,
    /// Calls that are settled and whose callers have not seen it yet.
    untaken: usize,
    is_over: bool,
}

struct Slot {
    call: CallId,
    state: State,
}

enum State {
    Free,
    Waiting(Option<Waker>),
    Done(Result<Raw, Error>),
}

impl Calls {
    /// Opens a slot and returns its id.
    ///
    /// # Errors
    /// `STOPPED` after the end, `OVERLOADED` when every slot is taken.
    pub(crate) fn open(&mut self) -> Result<CallId, Error> {
        if self.is_over {
            return Err(ErrorCode::Stopped.into());
        }
        let index = self.free.pop().unwrap_or(self.slots.len());
        if index as u64 > SLOT_MASK {
            let message = format!("{} calls wait for their results", self.slots.len());
            return Err(Error::new(ErrorCode::Overloaded, message));
        }
        self.last += 1;
        let call = CallId(self.last << SLOT_BITS | index as u64);
        let slot = Slot { call, state: State::Waiting(None) };
        match self.slots.get_mut(index) {
            Some(place) => *place = slot,
            None => self.slots.push(slot),
        }
        Ok(call)
    }

    /// Puts a result into its slot; returns who waits for it.
    pub(crate) fn settle(&mut self, call: CallId, result: Result<Raw, Error>) -> Option<Waker> {
        let slot = self.slot(call)?;
        match std::mem::replace(&mut slot.state, State::Done(result)) {
            State::Waiting(waker) => {
                self.untaken += 1;
                waker
            }
            State::Done(first) => {
                slot.state = State::Done(first);
                None
            }
            State::Free => {
                slot.state = State::Free;
                None
            }
        }
    }

    /// Takes the result, or leaves the waker.
    pub(crate) fn poll(&mut self, call: CallId, cx: &Context<'_>) -> Poll<Result<Raw, Error>> {
        let Some(slot) = self.slot(call) else {
            return Poll::Ready(Err(ErrorCode::Stopped.into()));
        };
        match &mut slot.state {
            State::Waiting(Some(waker)) if waker.will_wake(cx.waker()) => Poll::Pending,
            State::Waiting(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            State::Done(_) | State::Free => Poll::Ready(match self.close(call) {
                Some(State::Done(result)) => result,
                Some(State::Waiting(_) | State::Free) | None => Err(ErrorCode::Stopped.into()),
            }),
        }
    }

    /// Gives a call up; tells whether it was still waiting.
    pub(crate) fn abandon(&mut self, call: CallId) -> bool {
        matches!(self.close(call), Some(State::Waiting(_)))
    }

    /// Tells whether somebody waits for the call, or has not taken its result.
    pub(crate) fn is_open(&mut self, call: CallId) -> bool {
        self.slot(call).is_some()
    }

    /// Tells whether some calls are settled and their callers have not seen it yet.
    pub(crate) const fn has_untaken(&self) -> bool {
        self.untaken > 0
    }

    /// Tells whether nobody has a slot.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    /// The session is over: every call that waits is settled; returns who waits.
    pub(crate) fn end(&mut self) -> Vec<Waker> {
        self.is_over = true;
        let untaken = &mut self.untaken;
        let waiting = self.slots.iter_mut().filter(|it| matches!(it.state, State::Waiting(_)));
        let settled = waiting.filter_map(|slot| {
            let over = State::Done(Err(ErrorCode::Stopped.into()));
            *untaken += 1;
            match std::mem::replace(&mut slot.state, over) {
                State::Waiting(waker) => waker,
                State::Done(_) | State::Free => None,
            }
        });
        settled.collect()
    }

    fn close(&mut self, call: CallId) -> Option<State> {
        let slot = self.slot(call)?;
        let state = std::mem::replace(&mut slot.state, State::Free);
        slot.call = CallId(0);
        if matches!(state, State::Done(_)) {
            self.untaken = self.untaken.saturating_sub(1);
        }
        self.free.push((call.0 & SLOT_MASK) as usize);
        Some(state)
    }

    fn slot(&mut self, call: CallId) -> Option<&mut Slot> {
        self.slots.get_mut((call.0 & SLOT_MASK) as usize).filter(|slot| slot.call == call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_used_again_and_an_id_is_not() {
        let mut calls = Calls::default();
        let cx = Context::from_waker(Waker::noop());
        let first = calls.open().unwrap();
        assert!(calls.poll(first, &cx).is_pending());
        assert!(calls.settle(first, Ok(Raw::null())).is_some());
        assert!(calls.settle(first, Ok(Raw::empty_list())).is_none());
        assert!(calls.has_untaken());
        assert!(matches!(calls.poll(first, &cx), Poll::Ready(Ok(raw)) if raw == Raw::null()));
        let second = calls.open().unwrap();
        assert!(second > first);
        assert!(calls.settle(first, Ok(Raw::null())).is_none());
        assert!(calls.poll(second, &cx).is_pending());
        assert!(calls.abandon(second));
        assert!(!calls.abandon(second));
        assert!(calls.is_empty());
    }

    #[test]
    fn the_end_settles_what_waits_and_keeps_what_is_settled() {
        let mut calls = Calls::default();
        let cx = Context::from_waker(Waker::noop());
        let [settled, waiting] = [calls.open().unwrap(), calls.open().unwrap()];
        calls.settle(settled, Ok(Raw::null()));
        assert!(calls.poll(waiting, &cx).is_pending());
        assert_eq!(calls.end().len(), 1);
        assert!(matches!(calls.poll(settled, &cx), Poll::Ready(Ok(_))));
        let Poll::Ready(Err(error)) = calls.poll(waiting, &cx) else { panic!("it still waits") };
        assert_eq!(error.code(), ErrorCode::Stopped);
        assert!(calls.is_empty() && !calls.has_untaken());
        assert_eq!(calls.open().unwrap_err().code(), ErrorCode::Stopped);
    }
}
