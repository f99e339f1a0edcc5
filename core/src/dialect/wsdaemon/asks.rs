//! Requests to other daemons that wait for their status.
//!
//! A status finds its request by the connection and the id; requests of one connection that share an id,
//! or have none, are answered in the order in which they were made.

use std::collections::{BTreeMap, VecDeque};

use bytestring::ByteString;

use crate::base::ids::{CallId, ConnId};
use crate::base::json::Raw;
use crate::base::time::{Deadline, Instant, Why};
use crate::parts::timers::Timers;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// A local program.
    Program(ConnId),
    /// The application.
    Call(CallId),
}

/// One request.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) asker: Asker,
    pub(super) id: Raw,
    line: ConnId,
    until: Instant,
}

/// All of them. A line is the connection to the daemon that is asked.
#[derive(Debug)]
pub(super) struct Asks {
    asks: BTreeMap<u64, Ask>,
    /// By line and id; the id's text is empty for none.
    waiting: BTreeMap<(ConnId, ByteString), VecDeque<u64>>,
    calls: BTreeMap<CallId, u64>,
    timers: Timers<u64>,
    next: u64,
    max: u64,
}

impl Asks {
    pub(super) const fn new(max: u64) -> Self {
        Self {
            asks: BTreeMap::new(),
            waiting: BTreeMap::new(),
            calls: BTreeMap::new(),
            timers: Timers::new(),
            next: 0,
            max,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.asks.len() as u64 >= self.max
    }

    pub(super) fn len(&self) -> usize {
        self.asks.len()
    }

    pub(super) fn add(&mut self, line: ConnId, asker: Asker, id: Raw, until: Instant) {
        let ask = self.next;
        self.next += 1;
        self.waiting.entry((line, id.clone().into_text())).or_default().push_back(ask);
        if let Asker::Call(call) = asker {
            self.calls.insert(call, ask);
        }
        self.timers.add(ask, until);
        self.asks.insert(ask, Ask { asker, id, line, until });
    }

    /// Takes the request that a status on a line answers.
    pub(super) fn answered(&mut self, line: ConnId, id: Raw) -> Option<Ask> {
        let ask = *self.waiting.get(&(line, id.into_text()))?.front()?;
        self.take(ask)
    }

    /// Takes the request of a call.
    pub(super) fn cancel(&mut self, call: CallId) -> Option<Ask> {
        let ask = *self.calls.get(&call)?;
        self.take(ask)
    }

    /// Takes a request that has waited long enough.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Ask> {
        let (_, ask) = self.timers.take_due(now)?;
        self.take(ask)
    }

    /// Takes the oldest request of a line.
    pub(super) fn lost(&mut self, line: ConnId) -> Option<Ask> {
        let ask = *self.asks.iter().find(|(_, ask)| ask.line == line)?.0;
        self.take(ask)
    }

    /// Takes the oldest request.
    pub(super) fn pop(&mut self) -> Option<Ask> {
        let ask = *self.asks.first_key_value()?.0;
        self.take(ask)
    }

    pub(super) fn deadline(&self) -> Option<Deadline> {
        self.timers.deadline(|_| Why::Call)
    }

    fn take(&mut self, number: u64) -> Option<Ask> {
        let ask = self.asks.remove(&number)?;
        self.timers.remove(number, ask.until);
        if let Asker::Call(call) = ask.asker {
            self.calls.remove(&call);
        }
        let key = (ask.line, ask.id.clone().into_text());
        if let Some(waiting) = self.waiting.get_mut(&key) {
            waiting.retain(|other| *other != number);
            if waiting.is_empty() {
                self.waiting.remove(&key);
            }
        }
        Some(ask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: ConnId = ConnId(2);

    fn id(text: &str) -> Raw {
        if text.is_empty() { Raw::absent() } else { Raw::parse(text.to_owned()).unwrap() }
    }

    fn asks(ids: &[&str]) -> Asks {
        let mut asks = Asks::new(8);
        for (number, text) in (0..).zip(ids) {
            let asker = Asker::Call(CallId(number));
            asks.add(LINE, asker, id(text), Instant::from_millis(100 + number));
        }
        asks
    }

    fn call(ask: Option<Ask>) -> Option<u64> {
        match ask?.asker {
            Asker::Call(call) => Some(call.0),
            Asker::Program(_) => None,
        }
    }

    #[test]
    fn a_status_finds_its_request_by_id_or_by_order() {
        let mut asks = asks(&["\"a\"", "", "\"a\"", "", "1"]);
        assert_eq!(call(asks.answered(LINE, id("1"))), Some(4));
        assert_eq!(call(asks.answered(LINE, id("\"a\""))), Some(0));
        assert_eq!(call(asks.answered(LINE, id("\"a\""))), Some(2));
        assert_eq!(call(asks.answered(LINE, id("\"a\""))), None);
        assert_eq!(call(asks.answered(LINE, id(""))), Some(1));
        assert_eq!(call(asks.answered(ConnId(4), id(""))), None, "another daemon's");
        assert_eq!(asks.len(), 1);
    }

    #[test]
    fn each_request_is_taken_once() {
        let mut asks = asks(&["", "", ""]);
        assert_eq!(call(asks.cancel(CallId(1))), Some(1));
        assert_eq!(call(asks.cancel(CallId(1))), None);
        assert_eq!(call(asks.expire(Instant::from_millis(99))), None);
        assert_eq!(call(asks.expire(Instant::from_millis(200))), Some(0));
        assert_eq!(call(asks.answered(LINE, id(""))), Some(2));
        assert_eq!((asks.len(), asks.deadline()), (0, None));
        assert!(asks.waiting.is_empty() && asks.calls.is_empty());
    }

    #[test]
    fn a_lost_line_gives_back_its_requests_oldest_first() {
        let mut asks = asks(&["2", "1"]);
        asks.add(ConnId(4), Asker::Program(ConnId(9)), id(""), Instant::from_millis(1));
        let lost = std::iter::from_fn(|| call(asks.lost(LINE)));
        assert_eq!(lost.collect::<Vec<_>>(), [0, 1]);
        assert_eq!(asks.pop().unwrap().asker, Asker::Program(ConnId(9)));
    }
}
