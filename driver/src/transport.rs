//! What carries the frames of a connection, whichever it is.

use std::task::Waker;

use bytes::Bytes;
use moorline_core::{CloseCause, Frame, FrameLimits, Framing};

use crate::io::Io;
use crate::listen::Share;
use crate::stream::Stream;
use crate::ws::{Agreed, Pool, Role, Ws};

/// Byte streams over which frames can flow.
pub(crate) enum Carrier {
    /// A WebSocket whose upgrade is through; `rest` was read beyond it.
    WebSocket { io: Io, rest: Bytes, role: Role, agreed: Option<Agreed> },
    /// A stream.
    Stream { io: Io, framing: Framing },
}

/// The transport of one connection.
pub(crate) enum Transport {
    WebSocket(Ws),
    Stream(Stream),
}

/// How a frame is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// As it is, unless it is long and both sides have agreed on how to compress.
    Usual,
    /// Compressed, if both sides have agreed on how.
    Compressed,
}

/// What a read gave.
pub(crate) enum Step {
    /// A frame.
    Frame(Frame),
    /// Nothing more for now; the connection's waker will tell.
    Pending,
    /// The connection is over, or will be once what was sent is flushed.
    Over(CloseCause),
}

/// How a flush went.
pub(crate) enum Flushed {
    /// Everything is written.
    All,
    /// The transport would block; the connection's waker will tell.
    Pending,
    /// The connection failed.
    Failed(CloseCause),
}

impl Transport {
    /// Takes over a byte stream.
    pub(crate) fn new(carrier: Carrier, limits: FrameLimits, waker: Waker) -> Self {
        match carrier {
            Carrier::WebSocket { io, rest, role, agreed } => {
                Self::WebSocket(Ws::new(io, rest, role, agreed, limits, waker))
            }
            Carrier::Stream { io, framing } => {
                Self::Stream(Stream::new(io, framing, limits, waker))
            }
        }
    }

    /// Changes the limits from the next frame on.
    pub(crate) fn set_limits(&mut self, limits: FrameLimits) {
        match self {
            Self::WebSocket(ws) => ws.set_limits(limits),
            Self::Stream(stream) => stream.set_limits(limits),
        }
    }

    /// Returns how many bytes a WebSocket holds: of a message that has not come in full, and of what waits to be sent.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::WebSocket(ws) => ws.held(),
            // Its listener has no limit for all together.
            Self::Stream(_) => 0,
        }
    }

    /// Returns where that is counted.
    pub(crate) fn share(&self) -> Option<&Share> {
        match self {
            Self::WebSocket(ws) => ws.io().share(),
            Self::Stream(_) => None,
        }
    }

    /// Reads one frame.
    pub(crate) fn receive(&mut self, pool: &mut Pool) -> Step {
        match self {
            Self::WebSocket(ws) => ws.receive(pool),
            Self::Stream(stream) => stream.receive(),
        }
    }

    /// Adds a frame to what the next flush writes.
    pub(crate) fn send(
        &mut self,
        frame: Frame,
        packing: Packing,
        pool: &mut Pool,
    ) -> Result<(), CloseCause> {
        match self {
            Self::WebSocket(ws) => ws.send(frame, packing, pool),
            Self::Stream(stream) => stream.send(frame),
        }
    }

    /// Writes what was collected.
    pub(crate) fn flush(&mut self) -> Flushed {
        match self {
            Self::WebSocket(ws) => ws.flush(),
            Self::Stream(stream) => stream.flush(),
        }
    }

    /// Closes after what was collected. Read on until the connection is over.
    pub(crate) fn close(&mut self, code: u16, reason: &str, pool: &mut Pool) {
        match self {
            Self::WebSocket(ws) => ws.close(code, reason, pool),
            Self::Stream(stream) => stream.close(),
        }
    }

    /// Parts in order from a peer whose end the machine has been told.
    pub(crate) fn part(&mut self) {
        match self {
            Self::WebSocket(ws) => ws.part(),
            Self::Stream(stream) => stream.close(),
        }
    }
}
