//! Requests to other daemons that wait for their status.
//!
//! A status finds its request by the connection and the id; requests of one connection that share an id,
//! or have none, are answered in the order in which they were made.

use std::collections::{BTreeMap, BTreeSet};

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
}

/// All of them, each with its line, the connection to the daemon that is asked, with its place among what
/// was said there, and with its end.
#[derive(Debug)]
pub(super) struct Asks {
    asks: BTreeMap<u64, (Ask, ConnId, u64, Instant)>,
    /// By line, id and age; the id's text is empty for none.
    by_id: BTreeSet<(ConnId, ByteString, u64)>,
    calls: BTreeMap<CallId, u64>,
    timers: Timers<u64>,
    next: u64,
    /// The bytes of their ids.
    bytes: u64,
    max: u64,
    max_bytes: u64,
}

impl Asks {
    pub(super) const fn new(max: u64, max_bytes: u64) -> Self {
        Self {
            asks: BTreeMap::new(),
            by_id: BTreeSet::new(),
            calls: BTreeMap::new(),
            timers: Timers::new(),
            next: 0,
            bytes: 0,
            max,
            max_bytes,
        }
    }

    pub(super) fn has_room(&self, ask: &Ask) -> bool {
        let bytes = self.bytes + ask.id.as_str().len() as u64;
        (self.asks.len() as u64) < self.max && bytes <= self.max_bytes
    }

    pub(super) fn len(&self) -> usize {
        self.asks.len()
    }

    pub(super) fn add(&mut self, (line, place): (ConnId, u64), ask: Ask, until: Instant) {
        let number = self.next;
        self.next += 1;
        self.bytes += ask.id.as_str().len() as u64;
        self.by_id.insert((line, ask.id.clone().into_text(), number));
        if let Asker::Call(call) = ask.asker {
            self.calls.insert(call, number);
        }
        self.timers.add(number, until);
        self.asks.insert(number, (ask, line, place, until));
    }

    /// Takes the request that a status on a line answers.
    pub(super) fn answered(&mut self, line: ConnId, id: Raw) -> Option<Ask> {
        let id = id.into_text();
        let mut all = self.by_id.range((line, id.clone(), 0)..=(line, id, u64::MAX));
        let ask = all.next()?.2;
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

    /// Takes the oldest request of a line, if it was among the first so many messages.
    pub(super) fn lost(&mut self, line: ConnId, passed: u64) -> Option<Ask> {
        let (ask, (_, _, place, _)) =
            self.asks.iter().find(|(_, (_, other, ..))| *other == line)?;
        let ask = Some(*ask).filter(|_| *place <= passed)?;
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
        let (ask, line, _, until) = self.asks.remove(&number)?;
        self.timers.remove(number, until);
        self.bytes -= ask.id.as_str().len() as u64;
        if let Asker::Call(call) = ask.asker {
            self.calls.remove(&call);
        }
        self.by_id.remove(&(line, ask.id.clone().into_text(), number));
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
        let mut asks = Asks::new(8, 1_024);
        for (number, text) in (0..).zip(ids) {
            let asker = Asker::Call(CallId(number));
            let ask = Ask { asker, id: id(text) };
            asks.add((LINE, number), ask, Instant::from_millis(100 + number));
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
    fn ids_have_so_many_bytes_together() {
        let ask = |text: &str| Ask { asker: Asker::Call(CallId(9)), id: id(text) };
        let mut asks = asks(&["\"a\""]);
        asks.max_bytes = 10;
        assert!(asks.has_room(&ask("1234567")) && !asks.has_room(&ask("12345678")));
        asks.answered(LINE, id("\"a\""));
        assert!(asks.has_room(&ask("1234567890")));
        asks.max = 0;
        assert!(!asks.has_room(&ask("1")));
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
        assert!(asks.by_id.is_empty() && asks.calls.is_empty());
    }

    #[test]
    fn a_lost_line_gives_back_its_requests_oldest_first() {
        let mut asks = asks(&["2", "1"]);
        let other = Ask { asker: Asker::Program(ConnId(9)), id: id("") };
        asks.add((ConnId(4), 0), other, Instant::from_millis(1));
        assert_eq!(call(asks.lost(LINE, 0)), Some(0));
        assert_eq!(call(asks.lost(LINE, 0)), None, "the second was not among the first");
        asks.add((LINE, 2), Ask { asker: Asker::Call(CallId(2)), id: id("2") }, Instant::default());
        let lost = std::iter::from_fn(|| call(asks.lost(LINE, u64::MAX)));
        assert_eq!(lost.collect::<Vec<_>>(), [1, 2]);
        assert_eq!(asks.pop().unwrap().asker, Asker::Program(ConnId(9)));
    }
}
