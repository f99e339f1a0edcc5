//! What is sent on a connection as it is: the three outcomes of a message, and those that wait for room.
//!
//! The driver is asked now and then whether everything has left. While it has not said so, what is sent
//! counts as queued; what was sent since then counts against the limit.

use std::collections::VecDeque;

use bytestring::ByteString;

use crate::api::event::{CallEvent, Event, PeerEvent};
use crate::api::options::WhenFull;
use crate::base::content::Content;
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{CallId, ConnId, PeerId};
use crate::base::json::Raw;
use crate::machine::Output;
use crate::net::Frame;
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

/// One connection's way out.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) conn: ConnId,
    /// The peer, at a provider.
    peer: Option<PeerId>,
    backlog: Backlog,
    waiting: Option<Box<Queue<Message>>>,
    /// The application was told of the backlog.
    is_told: bool,
}

impl Outlet {
    pub(crate) fn new(conn: ConnId, peer: Option<PeerId>) -> Self {
        Self { conn, peer, backlog: Backlog::default(), waiting: None, is_told: false }
    }

    /// Sends a message, or keeps it, or drops it.
    pub(crate) fn send(
        &mut self,
        message: Message,
        rules: &Rules,
        out: &mut VecDeque<Output>,
    ) -> Outcome {
        let room = self.backlog.room(rules.max);
        if room != Room::Full && self.waiting.is_none() {
            self.pass(message.content, message.compress, rules, out);
            return if room == Room::Free { Outcome::Sent } else { Outcome::Queued };
        }
        if !std::mem::replace(&mut self.is_told, true) {
            let (peer, bytes) = (self.peer, self.backlog.bytes);
            out.push_back(Output::Event(PeerEvent::Backlog { peer, bytes }.into()));
        }
        if rules.on_backlog != WhenFull::Block {
            return Outcome::Dropped;
        }
        let bytes = message.content.len() as u64;
        let waiting = self.waiting.get_or_insert_with(|| {
            let line = Queue::new(rules.max_waiting, rules.max_bytes, Overflow::DropNewest);
            Box::new(line)
        });
        if waiting.push(message, bytes) == 0 { Outcome::Waits } else { Outcome::Dropped }
    }

    /// What was sent has left: those that wait follow.
    pub(crate) fn sent(&mut self, rules: &Rules, out: &mut VecDeque<Output>) {
        self.backlog.clear();
        while self.backlog.room(rules.max) != Room::Full {
            let Some(message) = self.waiting.as_mut().and_then(|waiting| waiting.pop()) else {
                self.waiting = None;
                break;
            };
            self.pass(message.content, message.compress, rules, out);
            settle(message.call, Outcome::Queued, out);
        }
        if self.waiting.is_none() && std::mem::take(&mut self.is_told) {
            let peer = self.peer;
            out.push_back(Output::Event(PeerEvent::Backlog { peer, bytes: 0 }.into()));
        }
    }

    /// Tells whether something is known not to have left.
    pub(crate) const fn is_behind(&self) -> bool {
        self.backlog.is_waiting() || self.waiting.is_some()
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

    fn pass(
        &mut self,
        content: Content,
        compress: bool,
        rules: &Rules,
        out: &mut VecDeque<Output>,
    ) {
        let conn = self.conn;
        let asks = self.backlog.add(content.len(), rules.max);
        let frame = Frame::from(content);
        out.push_back(if compress {
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

/// The bytes on their way, as far as is known.
#[derive(Debug, Default)]
struct Backlog {
    /// Bytes sent since everything was known to have left.
    bytes: u64,
    /// The driver was asked and has not answered.
    is_asked: bool,
}

/// What a message finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// Nothing is known to be in its way.
    Free,
    /// What was sent before has not left.
    Behind,
    /// More than allowed has not left.
    Full,
}

impl Backlog {
    /// Looks what a message would find where `max` bytes may be on their way; 0 does not limit.
    const fn room(&self, max: u64) -> Room {
        if max > 0 && self.bytes > max {
            Room::Full
        } else if self.is_asked {
            Room::Behind
        } else {
            Room::Free
        }
    }

    /// Counts a message that is sent. Tells whether to ask the driver behind it.
    fn add(&mut self, bytes: usize, max: u64) -> bool {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        let step = if max == 0 { STEP } else { STEP.min(max / 4) };
        self.bytes > step && !std::mem::replace(&mut self.is_asked, true)
    }

    /// Tells whether something is known to wait.
    const fn is_waiting(&self) -> bool {
        self.is_asked
    }

    /// Everything has left.
    const fn clear(&mut self) {
        self.bytes = 0;
        self.is_asked = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_finds_what_is_before_it() {
        let mut backlog = Backlog::default();
        assert_eq!(backlog.room(1_000), Room::Free);
        assert!(!backlog.add(250, 1_000), "a quarter may go unasked");
        assert_eq!(backlog.room(1_000), Room::Free);
        assert!(backlog.add(1, 1_000));
        assert_eq!(backlog.room(1_000), Room::Behind);
        assert!(!backlog.add(749, 1_000), "it is asked once");
        assert_eq!(backlog.room(1_000), Room::Behind, "as many as allowed");
        backlog.add(1, 1_000);
        assert_eq!(backlog.room(1_000), Room::Full);
        backlog.clear();
        assert_eq!((backlog.room(1_000), backlog.is_waiting()), (Room::Free, false));
    }

    #[test]
    fn without_a_limit_the_driver_is_asked_all_the_same() {
        let mut backlog = Backlog::default();
        assert!(backlog.add(1 << 30, 0));
        assert_eq!(backlog.room(0), Room::Behind);
    }
}
