//! WebSocket connections: the only file that knows the WebSocket library.
//!
//! A connection is polled from the drive loop's turn, without a task of its own: frames are read until
//! the transport would block, what the machine sends is collected in the library's buffer, and one
//! flush per turn writes it. The library's asynchronous wrapper can change no limit after the
//! handshake, so its synchronous half runs here over a transport that reports "would block".

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use bytestring::ByteString;
use moorline_core::{CloseCause, Error, ErrorCode, Frame, FrameLimits};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame as WireFrame};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

pub(crate) use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
pub(crate) use tokio_tungstenite::tungstenite::protocol::Role;

use crate::fragments::FragmentWatch;
use crate::io::Io;
use crate::transport::{Flushed, Step};

/// The read buffer of a connection that was accepted; the largest part of what an idle one costs.
const ACCEPTED_BUFFER: usize = 6 * 1024;
/// The read buffer of a connection that was dialed: a process has few of them, and they are busy.
const DIALED_BUFFER: usize = 16 * 1024;
/// Where collected frames are written without waiting for the turn's flush.
const WRITE_BUFFER: usize = 128 * 1024;
/// How often in a row bytes are read that nobody looks at.
const PASSED_OVER: usize = 16;
/// The close code for a policy that was violated, such as too many fragments.
const POLICY: u16 = 1008;
/// Stands for a close frame that says no code; never on the wire itself.
const NO_CODE: u16 = 1005;

/// One WebSocket connection.
pub(crate) struct Ws {
    socket: WebSocket<Transport>,
    max_send_queue: usize,
    excess: Excess,
}

/// Whether the other side sent a message that is too large.
enum Excess {
    /// It did not.
    None,
    /// The beginning of the message is still to come.
    Begun(Error),
    /// What follows is not looked at.
    Told,
}

impl Ws {
    /// Takes over a connection whose upgrade is through; `rest` was read beyond it.
    pub(crate) fn new(io: Io, rest: Bytes, role: Role, limits: FrameLimits, waker: Waker) -> Self {
        let mut transport = Transport {
            io,
            waker,
            watch: Box::default(),
            max_fragments: limits.max_fragments,
            is_fragmented: false,
            queued: 0,
        };
        transport.watch.max_message = limits.max_message as u64;
        transport.is_fragmented = !transport.watch.look(&rest, limits.max_fragments);
        let read_buffer = match role {
            Role::Server => ACCEPTED_BUFFER,
            Role::Client => DIALED_BUFFER,
        };
        let config = configure(WebSocketConfig::default().read_buffer_size(read_buffer), limits);
        let socket = WebSocket::from_partially_read(transport, Vec::from(rest), role, Some(config));
        Self { socket, max_send_queue: limits.max_send_queue, excess: Excess::None }
    }

    /// Changes the limits from the next frame on.
    pub(crate) fn set_limits(&mut self, limits: FrameLimits) {
        self.socket.set_config(|config| *config = configure(*config, limits));
        self.socket.get_mut().max_fragments = limits.max_fragments;
        self.socket.get_mut().watch.max_message = limits.max_message as u64;
        self.socket.get_ref().io.prove();
        self.max_send_queue = limits.max_send_queue;
    }

    /// Reads one frame.
    pub(crate) fn receive(&mut self) -> Step {
        if self.socket.get_ref().is_fragmented {
            return self.refuse(
                CloseCode::from(POLICY),
                ErrorCode::TooLarge,
                "a message has more fragments than max_fragments allows",
            );
        }
        if !matches!(self.excess, Excess::None) {
            return self.pass_over();
        }
        match self.socket.read() {
            Ok(Message::Text(text)) => match ByteString::try_from(Bytes::from(text)) {
                Ok(text) => Step::Frame(Frame::Text(text)),
                Err(_) => self.refuse(CloseCode::Invalid, ErrorCode::PeerProtocol, "not UTF-8"),
            },
            Ok(Message::Binary(bytes)) => Step::Frame(Frame::Binary(bytes)),
            Ok(Message::Ping(bytes)) => {
                // The library answers: what waits for the socket is counted, whoever says it.
                self.socket.get_mut().queued += bytes.len();
                Step::Frame(Frame::Ping(bytes))
            }
            Ok(Message::Pong(bytes)) => Step::Frame(Frame::Pong(bytes)),
            Ok(Message::Close(frame)) => Step::Over(remote(frame)),
            Ok(Message::Frame(_)) => Step::Pending,
            Err(error) => self.read_failed(error),
        }
    }

    /// Adds a frame to what the next flush writes.
    pub(crate) fn send(&mut self, frame: Frame) -> Result<(), CloseCause> {
        if self.socket.get_ref().queued > self.max_send_queue {
            return Err(CloseCause::Failed(Error::new(
                ErrorCode::Overloaded,
                "the other side does not read: max_send_queue_bytes is reached",
            )));
        }
        self.socket.get_mut().queued += frame.len();
        let message = match frame {
            Frame::Text(text) => data(text.into_bytes(), Data::Text),
            Frame::Binary(bytes) => data(bytes, Data::Binary),
            Frame::Ping(bytes) => Message::Ping(bytes),
            Frame::Pong(bytes) => Message::Pong(bytes),
        };
        match self.socket.write(message) {
            Ok(()) => Ok(()),
            Err(tungstenite::Error::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(lost(&error)),
        }
    }

    /// Writes what was collected.
    pub(crate) fn flush(&mut self) -> Flushed {
        match self.socket.flush() {
            Ok(()) => {
                self.socket.get_mut().queued = 0;
                Flushed::All
            }
            Err(tungstenite::Error::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => {
                Flushed::Pending
            }
            Err(error) => Flushed::Failed(lost(&error)),
        }
    }

    /// Sends a close frame after what was collected; one without a code for 1005. Read on until the
    /// connection is over.
    pub(crate) fn close(&mut self, code: u16, reason: &str) {
        let frame = (code != NO_CODE)
            .then(|| CloseFrame { code: CloseCode::from(code), reason: cut(reason).into() });
        if let Err(error) = self.socket.close(frame) {
            tracing::trace!(%error, "close frame not written at once");
        }
    }

    fn read_failed(&mut self, error: tungstenite::Error) -> Step {
        use tungstenite::Error as E;
        if self.socket.get_ref().is_fragmented {
            return self.receive();
        }
        match &error {
            E::Io(e) if e.kind() == io::ErrorKind::WouldBlock => Step::Pending,
            E::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
                let message =
                    format!("a message of {size} bytes exceeds the {max_size} that are allowed");
                self.excess = Excess::Begun(Error::new(ErrorCode::TooLarge, message));
                self.pass_over()
            }
            E::Utf8(_) => {
                self.refuse(CloseCode::Invalid, ErrorCode::PeerProtocol, "a text is not UTF-8")
            }
            E::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                Step::Over(CloseCause::Failed(Error::new(
                    ErrorCode::ConnectionLost,
                    "the other side dropped the connection",
                )))
            }
            E::Protocol(e) => {
                self.refuse(CloseCode::Protocol, ErrorCode::PeerProtocol, &e.to_string())
            }
            E::ConnectionClosed
            | E::AlreadyClosed
            | E::Io(_)
            | E::Tls(_)
            | E::Capacity(_)
            | E::WriteBufferFull(_)
            | E::AttackAttempt
            | E::Url(_)
            | E::Http(_)
            | E::HttpFormat(_) => Step::Over(lost(&error)),
        }
    }

    /// Reads the beginning of a message that is too large, and then on without keeping anything: the
    /// library would keep it all.
    fn pass_over(&mut self) -> Step {
        let mut buffer = [0; 4_096];
        for _ in 0..PASSED_OVER {
            let transport = self.socket.get_mut();
            let is_known = transport.watch.beginning().1;
            let read = if is_known && matches!(self.excess, Excess::Begun(_)) {
                Err(io::ErrorKind::Other.into())
            } else {
                transport.read(&mut buffer)
            };
            match (read, std::mem::replace(&mut self.excess, Excess::Told)) {
                (Err(e), excess) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.excess = excess;
                    return Step::Pending;
                }
                (Ok(1..), excess) => self.excess = excess,
                (Ok(_) | Err(_), Excess::Begun(error)) => {
                    let beginning = self.socket.get_ref().watch.beginning().0;
                    let beginning = Bytes::copy_from_slice(beginning);
                    self.close(CloseCode::Size.into(), error.message());
                    return Step::Over(CloseCause::Exceeded { error, beginning });
                }
                (Ok(_) | Err(_), Excess::Told | Excess::None) => {
                    return Step::Over(CloseCause::Local);
                }
            }
        }
        self.socket.get_ref().waker.wake_by_ref();
        Step::Pending
    }

    fn refuse(&mut self, code: CloseCode, error: ErrorCode, message: &str) -> Step {
        self.close(code.into(), message);
        Step::Over(CloseCause::Failed(Error::new(error, message)))
    }
}

/// The byte stream as the library wants it: reads and writes that would block say so.
struct Transport {
    io: Io,
    waker: Waker,
    watch: Box<FragmentWatch>,
    max_fragments: usize,
    is_fragmented: bool,
    queued: usize,
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        let mut cx = Context::from_waker(&self.waker);
        match Pin::new(&mut self.io).poll_read(&mut cx, &mut buffer) {
            Poll::Ready(result) => result?,
            Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
        }
        let read = buffer.filled();
        if !self.watch.look(read, self.max_fragments) {
            self.is_fragmented = true;
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(read.len())
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut cx = Context::from_waker(&self.waker);
        match Pin::new(&mut self.io).poll_write(&mut cx, bytes) {
            Poll::Ready(written) => {
                let written = written?;
                self.queued = self.queued.saturating_sub(written);
                Ok(written)
            }
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut cx = Context::from_waker(&self.waker);
        match Pin::new(&mut self.io).poll_flush(&mut cx) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

fn configure(config: WebSocketConfig, limits: FrameLimits) -> WebSocketConfig {
    config
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(limits.max_message))
        .max_frame_size(Some(limits.max_message))
}

fn data(bytes: Bytes, kind: Data) -> Message {
    Message::Frame(WireFrame::message(bytes, OpCode::Data(kind), true))
}

fn remote(frame: Option<CloseFrame>) -> CloseCause {
    frame.map_or_else(
        || CloseCause::Remote { code: NO_CODE, reason: String::new() },
        |frame| CloseCause::Remote { code: frame.code.into(), reason: frame.reason.to_string() },
    )
}

fn lost(error: &tungstenite::Error) -> CloseCause {
    CloseCause::Failed(Error::new(ErrorCode::ConnectionLost, error.to_string()))
}

/// Cuts a close reason at the 123 bytes that a close frame can hold.
fn cut(reason: &str) -> &str {
    reason.get(..reason.floor_char_boundary(123)).unwrap_or_default()
}
