//! What is sent on a connection: the three outcomes of a message, and those that wait for room.

use std::collections::VecDeque;

use bytestring::ByteString;

use super::options::WhenFull;
use crate::api::event::{CallEvent, Event, PeerEvent};
use crate::base::content::Content;
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{CallId, ConnId, PeerId};
use crate::base::json::Raw;
use crate::machine::Output;
use crate::net::Frame;
use crate::parts::backlog::{Backlog, Room};
use crate::parts::queue::{Overflow, Queue};

/// How a connection takes messages; the same for all of a role.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// The most bytes on their way; 0 does not limit.
    pub(super) max: u64,
    pub(super) on_backlog: WhenFull,
    pub(super) max_waiting: u64,
    /// The largest message, and the most bytes that wait.
    pub(super) max_bytes: u64,
}

/// A message, and the call that its outcome settles.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) content: Content,
    pub(super) call: Option<CallId>,
}

/// What became of a message; the worse, the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Sent,
    Queued,
    /// It waits for room: its call is settled later.
    Waits,
    Dropped,
}

/// One connection's way out.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) conn: ConnId,
    /// The peer, at a provider.
    peer: Option<PeerId>,
    backlog: Backlog,
    waiting: Option<Box<Queue<Message>>>,
    /// The application was told of the backlog.
    is_told: bool,
}

impl Outlet {
    pub(super) fn new(conn: ConnId, peer: Option<PeerId>) -> Self {
        Self { conn, peer, backlog: Backlog::default(), waiting: None, is_told: false }
    }

    /// Sends a message, or keeps it, or drops it.
    pub(super) fn send(
        &mut self,
        message: Message,
        rules: &Rules,
        out: &mut VecDeque<Output>,
    ) -> Outcome {
        let room = self.backlog.room(rules.max);
        if room != Room::Full && self.waiting.is_none() {
            self.pass(message.content, rules, out);
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
    pub(super) fn sent(&mut self, rules: &Rules, out: &mut VecDeque<Output>) {
        self.backlog.clear();
        while self.backlog.room(rules.max) != Room::Full {
            let Some(message) = self.waiting.as_mut().and_then(|waiting| waiting.pop()) else {
                self.waiting = None;
                break;
            };
            self.pass(message.content, rules, out);
            settle(message.call, Outcome::Queued, out);
        }
        if self.waiting.is_none() && std::mem::take(&mut self.is_told) {
            let peer = self.peer;
            out.push_back(Output::Event(PeerEvent::Backlog { peer, bytes: 0 }.into()));
        }
    }

    /// Tells whether something is known not to have left.
    pub(super) const fn is_behind(&self) -> bool {
        self.backlog.is_waiting() || self.waiting.is_some()
    }

    /// The connection is over: nothing follows.
    pub(super) fn end(&mut self, out: &mut VecDeque<Output>) {
        for message in self.waiting.iter_mut().flat_map(|waiting| waiting.drain()) {
            let Some(call) = message.call else { continue };
            let result = Err(Error::from(ErrorCode::ConnectionLost));
            out.push_back(Output::Event(CallEvent::Done { call, result }.into()));
        }
        self.waiting = None;
    }

    fn pass(&mut self, content: Content, rules: &Rules, out: &mut VecDeque<Output>) {
        let conn = self.conn;
        let asks = self.backlog.add(content.len(), rules.max);
        out.push_back(Output::Send { conn, frame: Frame::from(content) });
        if asks {
            out.push_back(Output::AskSent { conn });
        }
    }
}

/// Tells what became of a message.
pub(super) fn settle(call: Option<CallId>, outcome: Outcome, out: &mut VecDeque<Output>) {
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
