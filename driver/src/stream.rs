//! Connections that are plain streams of bytes: TCP, TLS, Unix sockets.
//!
//! Like a WebSocket, a stream is polled from the drive loop's turn without a task of its own. What is
//! read goes to the core's splitter; what the machine sends is collected and leaves in one vectored
//! write per turn. An idle stream holds no buffer.

use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use moorline_core::frame::Splitter;
use moorline_core::{CloseCause, Error, ErrorCode, Frame, FrameLimits, Framing};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::io::Io;
use crate::outgoing::{Outgoing, WRITE_BUFFER};
use crate::transport::{Flushed, Step};

/// The most bytes of one read.
const READ: usize = 16 * 1024;
/// The most reads that may pass without a frame before other connections get their turn.
const MAX_READS: usize = 16;
/// Stands for an end without a code.
const NO_CODE: u16 = 1005;

/// One stream.
pub(crate) struct Stream {
    io: Io,
    waker: Waker,
    framing: Framing,
    splitter: Splitter,
    /// What came in and makes no whole frame yet.
    buffer: BytesMut,
    intake: Intake,
    out: Outgoing,
    max_send_queue: usize,
    is_closing: bool,
    is_shut: bool,
}

/// What becomes of bytes that come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intake {
    /// They make frames.
    Frames,
    /// None will come; what did is not looked through yet.
    Ended,
    /// Nobody wants them: they are read so that the other side can end in order.
    Unwanted,
    /// None will come.
    Over,
}

impl Stream {
    /// Takes over a connected byte stream.
    pub(crate) fn new(io: Io, framing: Framing, limits: FrameLimits, waker: Waker) -> Self {
        Self {
            io,
            waker,
            framing,
            splitter: Splitter::new(framing, limits.max_message),
            buffer: BytesMut::new(),
            intake: Intake::Frames,
            out: Outgoing::default(),
            max_send_queue: limits.max_send_queue,
            is_closing: false,
            is_shut: false,
        }
    }

    /// Changes the limits from the next frame on.
    pub(crate) fn set_limits(&mut self, limits: FrameLimits) {
        self.io.prove();
        self.splitter.set_max(limits.max_message);
        self.max_send_queue = limits.max_send_queue;
    }

    /// Reads one frame.
    pub(crate) fn receive(&mut self) -> Step {
        for _ in 0..MAX_READS {
            match self.intake {
                Intake::Frames => match self.splitter.take(&mut self.buffer) {
                    Ok(Some(frame)) => return Step::Frame(frame),
                    Ok(None) => {}
                    Err(error) => {
                        self.intake = Intake::Unwanted;
                        return Step::Over(CloseCause::Failed(error));
                    }
                },
                Intake::Ended => {
                    let cause = match self.splitter.finish(&mut self.buffer) {
                        Ok(Some(frame)) => return Step::Frame(frame),
                        Ok(None) => CloseCause::Remote { code: NO_CODE, reason: String::new() },
                        Err(error) => CloseCause::Failed(error),
                    };
                    self.intake = Intake::Over;
                    return Step::Over(cause);
                }
                Intake::Unwanted => self.buffer.clear(),
                Intake::Over if self.is_shut => return Step::Over(CloseCause::Local),
                Intake::Over => return Step::Pending,
            }
            match self.read() {
                Poll::Ready(Ok(0)) if self.intake == Intake::Frames => self.intake = Intake::Ended,
                Poll::Ready(Ok(0)) => self.intake = Intake::Over,
                Poll::Ready(Ok(_)) => self.io.acknowledge(),
                Poll::Ready(Err(error)) => {
                    self.intake = Intake::Over;
                    self.is_shut = true;
                    return Step::Over(lost(&error));
                }
                Poll::Pending => {
                    if self.buffer.is_empty() {
                        self.buffer = BytesMut::new();
                    }
                    return Step::Pending;
                }
            }
        }
        self.waker.wake_by_ref();
        Step::Pending
    }

    /// Adds a frame to what the next flush writes.
    pub(crate) fn send(&mut self, frame: Frame) -> Result<(), CloseCause> {
        if self.out.len() > self.max_send_queue {
            return Err(CloseCause::Failed(Error::new(
                ErrorCode::Overloaded,
                "the other side does not read: max_send_queue_bytes is reached",
            )));
        }
        match frame {
            Frame::Text(text) => self.collect(text.into_bytes()),
            Frame::Binary(bytes) => self.collect(bytes),
            Frame::Ping(_) | Frame::Pong(_) => {}
        }
        if self.out.len() > WRITE_BUFFER
            && let Flushed::Failed(cause) = self.write()
        {
            return Err(cause);
        }
        Ok(())
    }

    /// Writes what was collected, and the end if there is to be one.
    pub(crate) fn flush(&mut self) -> Flushed {
        let flushed = self.write();
        if !matches!(flushed, Flushed::All) || !self.is_closing || self.is_shut {
            return flushed;
        }
        let mut cx = Context::from_waker(&self.waker);
        match Pin::new(&mut self.io).poll_shutdown(&mut cx) {
            Poll::Pending => return Flushed::Pending,
            Poll::Ready(Ok(())) => {}
            // The other side was quicker.
            Poll::Ready(Err(error)) => tracing::trace!(%error, "stream not shut down"),
        }
        self.is_shut = true;
        if self.intake == Intake::Over {
            self.waker.wake_by_ref();
        }
        Flushed::All
    }

    /// Ends the stream after what was collected. Read on until the other side has ended it, too.
    pub(crate) fn close(&mut self) {
        self.is_closing = true;
        if matches!(self.intake, Intake::Frames) {
            self.intake = Intake::Unwanted;
        } else if self.intake == Intake::Ended {
            self.intake = Intake::Over;
        }
    }

    fn collect(&mut self, payload: Bytes) {
        let framing = self.framing;
        self.out.gather(|out| framing.write_head(payload.len(), out));
        self.out.add(payload);
        self.out.gather(|out| out.extend_from_slice(framing.tail()));
    }

    fn read(&mut self) -> Poll<io::Result<usize>> {
        let mut cx = Context::from_waker(&self.waker);
        if !self.buffer.is_empty() {
            // The rest of a frame goes where its beginning is.
            self.buffer.reserve(READ);
            return pin!(self.io.read_buf(&mut self.buffer)).poll(&mut cx);
        }
        // Frames keep what they came in: it is no larger than what came.
        let mut space = [MaybeUninit::uninit(); READ];
        let mut space = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.io).poll_read(&mut cx, &mut space))?;
        self.buffer = BytesMut::from(space.filled());
        Poll::Ready(Ok(space.filled().len()))
    }

    fn write(&mut self) -> Flushed {
        let mut cx = Context::from_waker(&self.waker);
        match self.out.poll_write(&mut self.io, &mut cx) {
            Poll::Ready(Ok(())) => Flushed::All,
            Poll::Ready(Err(error)) => Flushed::Failed(lost(&error)),
            Poll::Pending => Flushed::Pending,
        }
    }
}

fn lost(error: &io::Error) -> CloseCause {
    CloseCause::Failed(Error::new(ErrorCode::ConnectionLost, error.to_string()))
}
