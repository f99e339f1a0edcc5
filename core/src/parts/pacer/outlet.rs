//! Messages that are sent on a connection as they are: what became of each, and those that wait for room.
//!
//! The driver is asked now and then whether everything has left. While it has not said so, what is sent
//! counts as queued; what was sent since then counts against the limit.

use std::collections::VecDeque;

use bytestring::ByteString;

use crate::api::event::{CallEvent, Event, PeerEvent, SessionEvent};
use crate::api::options::WhenFull;
use crate::base::content::Content;
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{CallId, ConnId, PeerId};
use crate::base::json::Raw;
use crate::machine::Output;
use crate::net::Frame;
use crate::parts::pacer::Underway;
use crate::parts::queue::{Overflow, Queue};

/// How a connection takes messages; the same for all of a role.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The most bytes on their way; 0 does not limit.
    pub(crate) max: u64,
    pub(crate) on_backlog: WhenFull,
    pub(crate) max_waiting: u64,
    /// The largest message, and the most bytes that wait.
    pub(crate) max_bytes: u64,
    /// What a notice says of messages that find no room to wait; without, backlogs are told by events.
    pub(crate) notice: Option<&'static str>,
}

/// A message, and the call that its outcome settles.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) content: Content,
    /// Whether to compress it where that was agreed on.
    pub(crate) compress: bool,
    pub(crate) call: Option<CallId>,
}

/// What became of a message; the worse, the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Sent,
    Queued,
    /// It waits for room: its call is settled later.
    Waits,
    Dropped,
}

/// One connection's way out; what is sent while there is none waits.
#[derive(Debug, Default)]
pub(crate) struct Outlet {
    conn: Option<ConnId>,
    /// The peer, at a provider.
    peer: Option<PeerId>,
    underway: Underway,
    waiting: Option<Box<Queue<Message>>>,
    /// How many messages were handed over, to whatever connection.
    pub(crate) passed: u64,
    /// The application was told of the backlog.
    is_told: bool,
}

impl Outlet {
    pub(crate) fn new(conn: ConnId, peer: Option<PeerId>) -> Self {
        Self { conn: Some(conn), peer, ..Self::default() }
    }

    /// Another connection is there: what waits begins to leave over it.
    pub(crate) fn open(&mut self, conn: ConnId, rules: &Rules, out: &mut VecDeque<Output>) {
        self.conn = Some(conn);
        self.sent(rules, out);
    }

    /// The connection is gone, with what was on its way; what waits goes on waiting.
    pub(crate) fn close(&mut self) {
        self.conn = None;
        self.underway.sent_all();
    }

    /// Sends a message, or keeps it, or drops it.
    pub(crate) fn send(
        &mut self,
        message: Message,
        rules: &Rules,
        out: &mut VecDeque<Output>,
    ) -> Outcome {
        if let Some(conn) = self.conn.filter(|_| self.waiting.is_none() && !self.is_full(rules)) {
            let is_behind = self.underway.asked.is_some();
            self.pass(conn, message, rules, out);
            return if is_behind { Outcome::Queued } else { Outcome::Sent };
        }
        if rules.notice.is_none() && !std::mem::replace(&mut self.is_told, true) {
            let (peer, bytes) = (self.peer, self.underway.load.bytes);
            out.push_back(Output::Event(PeerEvent::Backlog { peer, bytes }.into()));
        }
        if rules.on_backlog == WhenFull::Block {
            let bytes = message.content.len() as u64;
            let waiting = self.waiting.get_or_insert_with(|| {
                let line = Queue::new(rules.max_waiting, rules.max_bytes, Overflow::DropNewest);
                Box::new(line)
            });
            if waiting.push(message, bytes) == 0 {
                return Outcome::Waits;
            }
        }
        if let Some(text) = rules.notice
            && !std::mem::replace(&mut self.is_told, true)
        {
            let error = Error::new(ErrorCode::Overloaded, text);
            out.push_back(Output::Event(SessionEvent::Notice { error }.into()));
        }
        Outcome::Dropped
    }

    /// What was sent has left: those that wait follow. What was sent behind the question counts as gone
    /// with it: there is little before the next one.
    pub(crate) fn sent(&mut self, rules: &Rules, out: &mut VecDeque<Output>) {
        let Some(conn) = self.conn else { return };
        self.underway.sent_all();
        while !self.is_full(rules) {
            let Some(message) = self.waiting.as_mut().and_then(|waiting| waiting.pop()) else {
                self.waiting = None;
                break;
            };
            let call = message.call;
            self.pass(conn, message, rules, out);
            settle(call, Outcome::Queued, out);
        }
        if self.waiting.is_none() && std::mem::take(&mut self.is_told) && rules.notice.is_none() {
            let peer = self.peer;
            out.push_back(Output::Event(PeerEvent::Backlog { peer, bytes: 0 }.into()));
        }
    }

    /// Tells whether something is known not to have left.
    pub(crate) const fn is_behind(&self) -> bool {
        self.underway.asked.is_some() || self.waiting.is_some()
    }

    /// Returns how many messages wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.len())
    }

    /// Returns how many messages it has taken.
    pub(crate) fn said(&self) -> u64 {
        self.passed + self.waiting() as u64
    }

    /// There is no later any more: hands over what waits, as far as the rules let it be on its way.
    pub(crate) fn flush(&mut self, rules: &Rules, out: &mut VecDeque<Output>) {
        let Some(conn) = self.conn else { return };
        while !self.is_full(rules)
            && let Some(message) = self.waiting.as_mut().and_then(|waiting| waiting.pop())
        {
            self.pass(conn, message, rules, out);
        }
    }

    /// The connection is over: nothing follows.
    pub(crate) fn end(&mut self, out: &mut VecDeque<Output>) {
        for message in self.waiting.iter_mut().flat_map(|waiting| waiting.drain()) {
            let Some(call) = message.call else { continue };
            let result = Err(Error::from(ErrorCode::ConnectionLost));
            out.push_back(Output::Event(CallEvent::Done { call, result }.into()));
        }
        self.waiting = None;
    }

    /// Tells whether more than allowed has not left.
    const fn is_full(&self, rules: &Rules) -> bool {
        rules.max > 0 && self.underway.load.bytes > rules.max
    }

    fn pass(&mut self, conn: ConnId, message: Message, rules: &Rules, out: &mut VecDeque<Output>) {
        self.passed += 1;
        self.underway.load.bytes += message.content.len() as u64;
        let step = if rules.max == 0 { STEP } else { STEP.min(rules.max / 4) };
        let asks = self.underway.load.bytes > step && self.underway.ask();
        let frame = Frame::from(message.content);
        out.push_back(if message.compress {
            Output::SendCompressed { conn, frame }
        } else {
            Output::Send { conn, frame }
        });
        if asks {
            out.push_back(Output::AskSent { conn });
        }
    }
}

/// Tells what became of a message.
pub(crate) fn settle(call: Option<CallId>, outcome: Outcome, out: &mut VecDeque<Output>) {
    let word = match outcome {
        Outcome::Sent => "\"sent\"",
        Outcome::Queued => "\"queued\"",
        Outcome::Dropped => "\"dropped\"",
        Outcome::Waits => return,
    };
    let Some(call) = call else { return };
    let result = Ok(Raw::accepted(ByteString::from_static(word)));
    out.push_back(Output::Event(Event::Call(CallEvent::Done { call, result })));
}

/// How many bytes may be sent before the driver is asked.
const STEP: u64 = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends so many bytes; returns what became of them, and whether the driver is asked.
    fn send(outlet: &mut Outlet, bytes: usize, max: u64) -> (Outcome, bool) {
        let rules =
            Rules { max, on_backlog: WhenFull::Drop, max_waiting: 0, max_bytes: 0, notice: None };
        let content = Content::Text("x".repeat(bytes).into());
        let mut out = VecDeque::new();
        let outcome =
            outlet.send(Message { content, compress: false, call: None }, &rules, &mut out);
        (outcome, matches!(out.back(), Some(Output::AskSent { .. })))
    }

    #[test]
    fn a_message_finds_what_is_before_it() {
        let mut outlet = Outlet::new(ConnId(1), None);
        assert_eq!(send(&mut outlet, 250, 1_000), (Outcome::Sent, false), "a quarter goes unasked");
        assert_eq!(send(&mut outlet, 1, 1_000), (Outcome::Sent, true));
        assert_eq!(send(&mut outlet, 749, 1_000), (Outcome::Queued, false), "it is asked once");
        assert_eq!(send(&mut outlet, 1, 1_000), (Outcome::Queued, false), "as many as allowed");
        assert_eq!(send(&mut outlet, 1, 1_000), (Outcome::Dropped, false));
        assert!(outlet.is_behind());
        let rules = Rules {
            max: 1_000,
            on_backlog: WhenFull::Drop,
            max_waiting: 0,
            max_bytes: 0,
            notice: None,
        };
        outlet.sent(&rules, &mut VecDeque::new());
        assert!(!outlet.is_behind());
        assert_eq!(send(&mut outlet, 1, 1_000), (Outcome::Sent, false));
    }

    #[test]
    fn without_a_limit_the_driver_is_asked_all_the_same() {
        let mut outlet = Outlet::new(ConnId(1), None);
        assert_eq!(send(&mut outlet, 1 << 20, 0), (Outcome::Sent, true));
        assert_eq!(send(&mut outlet, 1 << 20, 0), (Outcome::Queued, false));
    }
}
