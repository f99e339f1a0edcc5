//! WebSocket connections (RFC 6455), from the end of the upgrade on.
//!
//! A connection is polled from the drive loop's turn, without a task of its own: frames are read until
//! the transport would block, what the machine sends is collected, and one flush per turn writes it.
//! What comes in is read into a buffer that all connections of a thread share; an idle connection
//! holds none.

mod deflate;
mod extension;
mod frames;
mod keys;
#[cfg(all(test, unix))]
mod tests;
#[cfg(test)]
mod trial;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use moorline_core::{CloseCause, Error, ErrorCode, Frame, FrameLimits};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) use extension::{Agreed, accept, grant, offer};
pub(crate) use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::io::Io;
use crate::outgoing::{Outgoing, SHARED, WRITE_BUFFER};
use crate::transport::{Flushed, Packing, Step};
use crate::ws::deflate::{Codecs, Compression, Undone};
use crate::ws::frames::decoder::{Decoder, Excess, Fault, Item, message};
use crate::ws::frames::head::{Accepts, Head, MAX_CONTROL, Opcode};
use crate::ws::frames::mask::mask;
use crate::ws::keys::Keys;

/// The most bytes of one read.
const READ: usize = 64 * 1024;
/// The most reads that may pass without a frame before other connections get their turn.
const MAX_READS: usize = 4;
/// Stands for a close frame that says no code; never on the wire itself.
const NO_CODE: u16 = 1005;
const PROTOCOL: u16 = 1002;
const PAYLOAD: u16 = 1007;
const POLICY: u16 = 1008;
const TOO_LARGE: u16 = 1009;

/// Which side of a connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The side that dialed.
    Client,
    /// The side that listens.
    Server,
}

/// What the connections of one thread share.
pub(crate) struct Pool {
    /// What was read last. Nobody keeps it.
    buffer: Box<[u8]>,
    tools: Tools,
}

/// What frames are made with.
struct Tools {
    keys: Keys,
    codecs: Codecs,
}

impl Pool {
    /// Makes what a thread's connections share.
    ///
    /// # Errors
    /// `INTERNAL` where the system has no random bytes.
    pub(crate) fn new() -> Result<Self, Error> {
        let tools = Tools { keys: Keys::new()?, codecs: Codecs::default() };
        Ok(Self { buffer: vec![0; READ].into_boxed_slice(), tools })
    }
}

/// One WebSocket connection.
pub(crate) struct Ws {
    io: Io,
    waker: Waker,
    role: Role,
    decoder: Decoder,
    /// What both sides have agreed on, if they have.
    compression: Option<Box<Compression>>,
    /// What was read and is not looked through yet.
    rest: BytesMut,
    intake: Intake,
    out: Outgoing,
    max_send_queue: usize,
    /// Our close frame is among what was collected.
    is_closing: bool,
    /// Both sides have said that they close.
    is_agreed: bool,
    /// The machine knows that the connection is over.
    is_parting: bool,
    is_shut: bool,
}

/// What becomes of bytes that come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intake {
    /// They make frames.
    Frames,
    /// Nobody wants them: they are read so that the other side can end in order.
    Unwanted,
    /// None will come.
    Over,
}

impl Ws {
    /// Takes over a connection whose upgrade is through; `rest` was read beyond it.
    pub(crate) fn new(
        io: Io,
        rest: Bytes,
        role: Role,
        agreed: Option<Agreed>,
        limits: FrameLimits,
        waker: Waker,
    ) -> Self {
        let accepts = Accepts { masked: role == Role::Server, compressed: agreed.is_some() };
        Self {
            io,
            waker,
            role,
            decoder: Decoder::new(accepts, limits.max_message, limits.max_fragments),
            compression: agreed.map(|agreed| Box::new(Compression::new(agreed))),
            // Not the buffer that the upgrade was read into.
            rest: BytesMut::from(rest.as_ref()),
            intake: Intake::Frames,
            out: Outgoing::default(),
            max_send_queue: limits.max_send_queue,
            is_closing: false,
            is_agreed: false,
            is_parting: false,
            is_shut: false,
        }
    }

    /// Changes the limits from the next frame on.
    pub(crate) fn set_limits(&mut self, limits: FrameLimits) {
        self.decoder.set_limits(limits.max_message, limits.max_fragments);
        self.io.prove();
        self.max_send_queue = limits.max_send_queue;
    }

    /// Returns how many bytes it holds: of a message that has not come in full, and of what waits to be sent.
    pub(crate) fn held(&self) -> usize {
        self.decoder.held().saturating_add(self.rest.len()).saturating_add(self.out.len())
    }

    /// Returns the byte stream below.
    pub(crate) const fn io(&self) -> &Io {
        &self.io
    }

    /// Reads one frame.
    pub(crate) fn receive(&mut self, pool: &mut Pool) -> Step {
        for _ in 0..MAX_READS {
            if self.intake == Intake::Frames && !self.rest.is_empty() {
                let mut rest = std::mem::take(&mut self.rest);
                let (used, step) = self.decode(&mut rest, &mut pool.tools);
                if used < rest.len() {
                    rest.advance(used);
                    self.rest = rest;
                }
                if let Some(step) = step {
                    return step;
                }
            }
            if self.intake == Intake::Over {
                return Step::Over(CloseCause::Local);
            }
            match self.read(pool) {
                Poll::Ready(Ok(Some(step))) => return step,
                Poll::Ready(Ok(None)) => {}
                Poll::Ready(Err(error)) => return self.end(&error, &mut pool.tools.codecs),
                Poll::Pending if self.is_done() => {
                    self.intake = Intake::Over;
                    return Step::Over(CloseCause::Local);
                }
                Poll::Pending => {
                    // The beginning of a frame does not hold what came before it.
                    if !self.rest.is_empty() {
                        self.rest = BytesMut::from(self.rest.as_ref());
                    }
                    return Step::Pending;
                }
            }
        }
        self.waker.wake_by_ref();
        Step::Pending
    }

    /// Adds a frame to what the next flush writes.
    pub(crate) fn send(
        &mut self,
        frame: Frame,
        packing: Packing,
        pool: &mut Pool,
    ) -> Result<(), CloseCause> {
        if self.is_closing {
            return Ok(());
        }
        self.check_queue()?;
        let tools = &mut pool.tools;
        match frame {
            Frame::Text(text) => self.pack(Opcode::Text, text.into_bytes(), packing, tools),
            Frame::Binary(bytes) => self.pack(Opcode::Binary, bytes, packing, tools),
            Frame::Ping(bytes) => self.collect(Opcode::Ping, bytes, tools),
            Frame::Pong(bytes) => self.collect(Opcode::Pong, bytes, tools),
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
        if !matches!(flushed, Flushed::All) || !self.is_parting || self.is_shut {
            return flushed;
        }
        // A client leaves that to its server.
        if !self.is_agreed || self.role == Role::Server {
            let mut cx = Context::from_waker(&self.waker);
            match Pin::new(&mut self.io).poll_shutdown(&mut cx) {
                Poll::Pending => return Flushed::Pending,
                Poll::Ready(Ok(())) => {}
                // The other side was quicker.
                Poll::Ready(Err(error)) => tracing::trace!(%error, "WebSocket not shut down"),
            }
        }
        self.is_shut = true;
        self.waker.wake_by_ref();
        Flushed::All
    }

    /// Sends a close frame after what was collected; one without a code for 1005. Read on until the
    /// connection is over.
    pub(crate) fn close(&mut self, code: u16, reason: &str, pool: &mut Pool) {
        self.say_close(code, reason, &mut pool.tools);
    }

    /// Parts in order from a peer whose end the machine has been told.
    pub(crate) fn part(&mut self) {
        self.is_parting = true;
        if self.intake == Intake::Frames {
            self.intake = Intake::Unwanted;
            self.rest = BytesMut::new();
        }
    }

    /// Reads from the transport. `None` if what came makes no whole frame.
    fn read(&mut self, pool: &mut Pool) -> Poll<io::Result<Option<Step>>> {
        let Pool { buffer, tools } = pool;
        let kept = self.rest.len();
        let mut space = ReadBuf::new(buffer);
        space.put_slice(&self.rest);
        let mut cx = Context::from_waker(&self.waker);
        ready!(Pin::new(&mut self.io).poll_read(&mut cx, &mut space))?;
        let filled = space.filled_mut();
        if filled.len() == kept {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.rest = BytesMut::new();
        if self.intake != Intake::Frames {
            return Poll::Ready(Ok(None));
        }
        let (used, step) = self.decode(filled, tools);
        self.rest = BytesMut::from(filled.get(used..).unwrap_or_default());
        if self.intake != Intake::Frames {
            self.rest = BytesMut::new();
        }
        Poll::Ready(Ok(step))
    }

    /// Looks through bytes up to the first frame for the machine.
    fn decode(&mut self, bytes: &mut [u8], tools: &mut Tools) -> (usize, Option<Step>) {
        let (used, item) = self.decoder.decode(bytes);
        let step = match item {
            Ok(None) => return (used, None),
            Ok(Some(Item::Frame(Frame::Ping(bytes)))) => self.answer(bytes, tools),
            Ok(Some(Item::Frame(frame))) => Step::Frame(frame),
            Ok(Some(Item::Compressed { is_text, bytes })) => {
                self.decompressed(is_text, &bytes, tools)
            }
            Ok(Some(Item::Close(said))) => self.closed(said, tools),
            Ok(Some(Item::Excess(excess))) => self.exceeded(excess, tools),
            Err(fault) => self.refuse(fault, tools),
        };
        (used, Some(step))
    }

    /// Answers a ping: what waits for the socket is counted, whoever says it.
    fn answer(&mut self, bytes: Bytes, tools: &mut Tools) -> Step {
        if !self.is_closing {
            if let Err(cause) = self.check_queue() {
                self.intake = Intake::Over;
                return Step::Over(cause);
            }
            self.collect(Opcode::Pong, bytes.clone(), tools);
        }
        Step::Frame(Frame::Ping(bytes))
    }

    fn decompressed(&mut self, is_text: bool, bytes: &[u8], tools: &mut Tools) -> Step {
        let max = self.decoder.max_message();
        let broken = Fault::Payload("a compressed message is broken");
        let Some(compression) = &mut self.compression else { return self.refuse(broken, tools) };
        match compression.decompress(bytes, max, &mut tools.codecs) {
            Ok(whole) => match message(is_text, whole) {
                Ok(frame) => Step::Frame(frame),
                Err(fault) => self.refuse(fault, tools),
            },
            Err(Undone::TooLarge(beginning)) => {
                let size = max as u64 + 1;
                self.exceeded(Excess { size, beginning, is_compressed: false }, tools)
            }
            Err(Undone::Broken) => self.refuse(broken, tools),
        }
    }

    fn closed(&mut self, said: Option<(u16, String)>, tools: &mut Tools) -> Step {
        let (code, reason) = said.unwrap_or((NO_CODE, String::new()));
        self.say_close(code, &reason, tools);
        self.intake = Intake::Unwanted;
        self.is_agreed = true;
        Step::Over(CloseCause::Remote { code, reason })
    }

    fn exceeded(&mut self, excess: Excess, tools: &mut Tools) -> Step {
        let cause = self.too_large(excess, &mut tools.codecs);
        self.say_close(TOO_LARGE, cause.to_error().message(), tools);
        self.intake = Intake::Unwanted;
        Step::Over(cause)
    }

    fn too_large(&self, excess: Excess, codecs: &mut Codecs) -> CloseCause {
        let (size, max) = (excess.size, self.decoder.max_message());
        let message = format!("a message of {size} bytes exceeds the {max} that are allowed");
        let error = Error::new(ErrorCode::TooLarge, message);
        let beginning = match &self.compression {
            Some(it) if excess.is_compressed => it.beginning(&excess.beginning, codecs),
            _ => excess.beginning,
        };
        CloseCause::Exceeded { error, beginning: beginning.into() }
    }

    fn refuse(&mut self, fault: Fault, tools: &mut Tools) -> Step {
        let (code, error, message) = match fault {
            Fault::Protocol(wrong) => (PROTOCOL, ErrorCode::PeerProtocol, wrong),
            Fault::Payload(wrong) => (PAYLOAD, ErrorCode::PeerProtocol, wrong),
            Fault::Fragments => {
                let wrong = "a message has more fragments than max_fragments allows";
                (POLICY, ErrorCode::TooLarge, wrong)
            }
        };
        self.say_close(code, message, tools);
        self.intake = Intake::Unwanted;
        Step::Over(CloseCause::Failed(Error::new(error, message)))
    }

    /// The transport has ended or failed.
    fn end(&mut self, error: &io::Error, codecs: &mut Codecs) -> Step {
        let intake = std::mem::replace(&mut self.intake, Intake::Over);
        self.rest = BytesMut::new();
        if intake != Intake::Frames {
            return Step::Over(CloseCause::Local);
        }
        if let Some(excess) = self.decoder.give_up() {
            return Step::Over(self.too_large(excess, codecs));
        }
        Step::Over(if error.kind() == io::ErrorKind::UnexpectedEof {
            let message = "the other side dropped the connection";
            CloseCause::Failed(Error::new(ErrorCode::ConnectionLost, message))
        } else {
            lost(error)
        })
    }

    /// A server that has agreed with its client to close drops the connection; a client waits for that.
    const fn is_done(&self) -> bool {
        self.is_agreed && self.is_parting && self.is_shut && matches!(self.role, Role::Server)
    }

    fn say_close(&mut self, code: u16, reason: &str, tools: &mut Tools) {
        if std::mem::replace(&mut self.is_closing, true) {
            return;
        }
        let mut payload = BytesMut::new();
        if code != NO_CODE {
            payload.put_u16(code);
            payload.put_slice(cut(reason).as_bytes());
        }
        self.collect(Opcode::Close, payload.freeze(), tools);
    }

    fn check_queue(&self) -> Result<(), CloseCause> {
        if self.out.len() <= self.max_send_queue {
            return Ok(());
        }
        Err(CloseCause::Failed(Error::new(
            ErrorCode::Overloaded,
            "the other side does not read: max_send_queue_bytes is reached",
        )))
    }

    /// Collects a message, compressed if it is to be.
    fn pack(&mut self, opcode: Opcode, payload: Bytes, packing: Packing, tools: &mut Tools) {
        let is_marked = packing == Packing::Compressed;
        let packed = self.compression.as_mut();
        match packed.and_then(|it| it.compress(&payload, is_marked, &mut tools.codecs)) {
            Some(packed) => self.frame(opcode, true, packed, &mut tools.keys),
            None => self.collect(opcode, payload, tools),
        }
    }

    fn collect(&mut self, opcode: Opcode, payload: Bytes, tools: &mut Tools) {
        self.frame(opcode, false, payload, &mut tools.keys);
    }

    fn frame(&mut self, opcode: Opcode, is_compressed: bool, payload: Bytes, keys: &mut Keys) {
        let key = (self.role == Role::Client).then(|| keys.next());
        self.out.gather(|out| Head::write(opcode, is_compressed, key, payload.len(), out));
        match key {
            None => self.out.add(payload),
            Some(key) if payload.len() < SHARED => self.out.gather(|out| {
                let begin = out.len();
                out.extend_from_slice(&payload);
                mask(out.get_mut(begin..).unwrap_or_default(), key);
            }),
            Some(key) => {
                let mut masked = BytesMut::from(payload.as_ref());
                mask(&mut masked, key);
                self.out.add(masked.freeze());
            }
        }
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

/// Cuts a close reason at the 123 bytes that a close frame can hold.
fn cut(reason: &str) -> &str {
    reason.get(..reason.floor_char_boundary(MAX_CONTROL - 2)).unwrap_or_default()
}
