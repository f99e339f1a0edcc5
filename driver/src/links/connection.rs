//! One connection: what is held back while the application lags, and what its peer may ask for.

use std::collections::VecDeque;
use std::sync::Arc;

use moorline_core::{CloseCause, ConnId, Error, ErrorCode, Frame, Instant, Pulses};

use crate::inbox::ConnWaker;
use crate::links::control::{self, ControlRate};
use crate::listen::Share;
use crate::transport::{Step, Transport};
use crate::ws::Pool;

/// How many bytes of frames a connection holds back while the application does not keep up, so that
/// pings and pongs behind them still pass. Beyond, it is not read.
const MAX_HELD: usize = 64 * 1024;
/// The close code for a policy that was violated.
const POLICY: u16 = 1008;
/// What a frame that is held back costs besides its payload.
const FRAME_BYTES: usize = 64;

/// A connection over which frames flow, or did.
pub(super) struct Connection {
    pub(super) transport: Transport,
    pub(super) waker: Arc<ConnWaker>,
    pub(super) phase: Phase,
    pub(super) held: VecDeque<Frame>,
    pub(super) held_bytes: usize,
    pub(super) over: Option<CloseCause>,
    pub(super) is_paused: bool,
    pub(super) is_touched: bool,
    pub(super) is_unflushed: bool,
    pub(super) asks_sent: bool,
    /// Bytes of frames since the last flush.
    pub(super) unflushed: usize,
    pub(super) control: ControlRate,
    /// Frames by which the peer asks for a sign of life, or gives one.
    pub(super) pulses: Pulses,
}

impl Connection {
    /// Puts the connection on the list of those that the turn's flush goes through.
    pub(super) fn touch(&mut self, touched: &mut Vec<ConnId>) {
        if !std::mem::replace(&mut self.is_touched, true) {
            touched.push(self.waker.conn());
        }
    }

    /// Takes the next step: what was held back first. `None` if the rest must wait.
    pub(super) fn next(&mut self, hold: bool, pool: &mut Pool) -> Option<Step> {
        if !hold {
            if let Some(frame) = self.held.pop_front() {
                self.held_bytes -= frame.len() + FRAME_BYTES;
                return Some(Step::Frame(frame));
            }
            return Some(self.over.take().map_or_else(|| self.transport.receive(pool), Step::Over));
        }
        while self.over.is_none() && self.held_bytes < MAX_HELD {
            match self.transport.receive(pool) {
                Step::Frame(frame) if self.is_pulse(&frame) => return Some(Step::Frame(frame)),
                Step::Frame(frame @ (Frame::Text(_) | Frame::Binary(_))) => {
                    self.held_bytes += frame.len() + FRAME_BYTES;
                    self.held.push_back(frame);
                }
                Step::Over(cause) if self.held.is_empty() => return Some(Step::Over(cause)),
                Step::Over(cause) => {
                    self.transport.part();
                    self.over = Some(cause);
                }
                Step::Pending if self.held.is_empty() => return Some(Step::Pending),
                Step::Pending => return None,
                step @ Step::Frame(Frame::Ping(_) | Frame::Pong(_)) => return Some(step),
            }
        }
        None
    }

    /// Ends a connection whose peer sends more control frames than anybody needs.
    pub(super) fn permitted(&mut self, step: Step, now: Instant, pool: &mut Pool) -> Step {
        let is_permitted = match &step {
            Step::Frame(Frame::Ping(_)) => self.control.ping(now),
            Step::Frame(Frame::Pong(_)) => self.control.pong(now),
            Step::Frame(Frame::Text(_) | Frame::Binary(_)) | Step::Pending | Step::Over(_) => true,
        };
        if is_permitted || self.phase != Phase::Open {
            return step;
        }
        self.transport.close(POLICY, control::EXCEEDED, pool);
        Step::Over(CloseCause::Failed(Error::new(ErrorCode::PeerProtocol, control::EXCEEDED)))
    }

    /// Tells whether so much is held back that nothing more is read.
    pub(super) const fn is_unread(&self) -> bool {
        self.held_bytes >= MAX_HELD
    }

    /// Says what the connection holds to whoever adds up what all hold.
    pub(super) fn count(&self) {
        if let Some(share) = self.transport.share() {
            share.hold(self.transport.held() + self.held_bytes);
        }
    }

    /// Tells whether it held most when all held too much.
    pub(super) fn is_too_much(&self) -> bool {
        self.transport.share().is_some_and(Share::is_over)
    }

    fn is_pulse(&self, frame: &Frame) -> bool {
        match frame {
            Frame::Text(text) => self.pulses.contains(&text.as_bytes().as_ref()),
            Frame::Binary(bytes) => self.pulses.contains(&bytes.as_ref()),
            Frame::Ping(_) | Frame::Pong(_) => false,
        }
    }
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Frames flow.
    Open,
    /// We closed it; the machine waits for its end.
    Closing,
    /// The machine knows that it ended; what was sent is still on its way.
    Leaving,
}
