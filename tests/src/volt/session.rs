//! The server's end of one Engine.IO session.

use std::collections::VecDeque;

use moorline_core::ConnInput;
use moorline_core::frame::engineio::PayloadWriter;
use moorline_core::{ConnId, Frame, HttpId, Input};

/// How a session is carried.
#[derive(Clone, Copy, Debug)]
pub(super) enum Transport {
    /// A WebSocket is asked for.
    Dialing(ConnId),
    /// The first poll is under way.
    Asking(HttpId),
    Polling,
    Socket(ConnId),
    Over,
}

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) transport: Transport,
    pub(super) sid: String,
    /// The poll that waits.
    pub(super) poll: Option<HttpId>,
    /// The WebSocket that is probed.
    pub(super) probe: Option<ConnId>,
    /// What waits for a poll.
    pub(super) outbox: VecDeque<Frame>,
}

impl Session {
    pub(super) const fn new(transport: Transport) -> Self {
        Self { transport, sid: String::new(), poll: None, probe: None, outbox: VecDeque::new() }
    }

    pub(super) const fn is_open(&self) -> bool {
        matches!(self.transport, Transport::Polling | Transport::Socket(_))
    }

    pub(super) fn is_polling(&self, sid: &str) -> bool {
        matches!(self.transport, Transport::Polling) && self.sid == sid
    }

    pub(super) fn is_on(&self, conn: ConnId) -> bool {
        self.probe == Some(conn)
            || matches!(self.transport,
                Transport::Socket(on) | Transport::Dialing(on) if on == conn)
    }

    pub(super) fn has(&self, http: HttpId) -> bool {
        self.poll == Some(http)
            || matches!(self.transport, Transport::Asking(asked) if asked == http)
    }

    /// Returns how many requests wait for an answer.
    pub(super) fn exchanges(&self) -> usize {
        usize::from(self.poll.is_some())
            + usize::from(matches!(self.transport, Transport::Asking(_)))
    }

    pub(super) fn exchanges_taken(&mut self) -> Vec<HttpId> {
        let asking = if let Transport::Asking(http) = self.transport { Some(http) } else { None };
        self.poll.take().into_iter().chain(asking).collect()
    }

    /// Says what waits, if it can be said.
    pub(super) fn flush(&mut self, inputs: &mut VecDeque<Input>) {
        if let Transport::Socket(conn) = self.transport {
            let frames = self.outbox.drain(..);
            inputs.extend(frames.map(|frame| Input::Conn(ConnInput::Received { conn, frame })));
            return;
        }
        if self.outbox.is_empty() {
            return;
        }
        let Some(http) = self.poll.take() else { return };
        let mut body = PayloadWriter::new();
        for frame in self.outbox.drain(..) {
            body.push(&frame);
        }
        inputs.push_back(super::replied(http, super::ok(body.finish())));
    }

    /// Ends a poll that has nothing to carry.
    pub(super) fn release(&mut self, inputs: &mut VecDeque<Input>) {
        if let Some(http) = self.poll.take() {
            inputs.push_back(super::replied(http, super::ok(String::from("6"))));
        }
    }
}
