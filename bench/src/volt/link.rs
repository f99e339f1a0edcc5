//! The server's end of a WebSocket connection: reads what is there, answers it in one write.
//!
//! It is written for measuring, so it does what a peer may be expected to do and no more: whole text frames
//! without fragments, a handshake that is not examined.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::process::Failure;

const READ: usize = 64 * 1024;
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x8;

/// A connection, with what was read and what will be written.
pub(super) struct Link {
    stream: TcpStream,
    input: Vec<u8>,
    /// What will be written.
    pub(super) output: Output,
}

/// Frames that wait to be written.
#[derive(Default)]
pub(super) struct Output(Vec<u8>);

impl Output {
    /// Queues a text frame that consists of these parts.
    pub(super) fn say(&mut self, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.0.push(TEXT);
        if let Some(short) = u8::try_from(length).ok().filter(|length| *length < 126) {
            self.0.push(short);
        } else if let Ok(medium) = u16::try_from(length) {
            self.0.push(126);
            self.0.extend(medium.to_be_bytes());
        } else {
            self.0.push(127);
            self.0.extend((length as u64).to_be_bytes());
        }
        for part in parts {
            self.0.extend_from_slice(part);
        }
    }
}

impl Link {
    /// Answers the handshake of a connection.
    pub(super) fn open(mut stream: TcpStream) -> Result<Self, Failure> {
        stream.set_nodelay(true)?;
        let mut head = Vec::new();
        let mut part = [0; 1024];
        while !head.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut part)?;
            if count == 0 {
                return Err("a handshake ended early".into());
            }
            head.extend(part.iter().take(count));
        }
        let head = String::from_utf8(head)?;
        let key = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
            .map(|(_, key)| key.trim())
            .ok_or("no WebSocket was asked for")?;
        write!(
            stream,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
            derive_accept_key(key.as_bytes())
        )?;
        Ok(Self { stream, input: Vec::new(), output: Output::default() })
    }

    /// Writes what is queued.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.stream.write_all(&self.output.0)?;
        self.output.0.clear();
        Ok(())
    }

    /// Waits, at most `time` if there is one, and hands over every whole text frame; false at the end.
    pub(super) fn read(
        &mut self,
        time: Option<Duration>,
        mut each: impl FnMut(&[u8], &mut Output),
    ) -> Result<bool, Failure> {
        self.stream.set_read_timeout(time)?;
        let before = self.input.len();
        self.input.resize(before + READ, 0);
        let place = self.input.get_mut(before..).unwrap_or_default();
        let count = match self.stream.read(place) {
            Ok(count) => count,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                self.input.truncate(before);
                return Ok(true);
            }
            Err(_) => return Ok(false),
        };
        self.input.truncate(before + count);
        if count == 0 {
            return Ok(false);
        }
        let mut at = 0;
        while let Some(frame) = Frame::find(self.input.get(at..).unwrap_or_default()) {
            let (begin, end) = (at + frame.begin, at + frame.begin + frame.length);
            let payload = self.input.get_mut(begin..end).unwrap_or_default();
            for (byte, mask) in payload.iter_mut().zip(frame.mask.iter().cycle()) {
                *byte ^= mask;
            }
            if frame.kind == CLOSE {
                return Ok(false);
            }
            each(payload, &mut self.output);
            at = end;
        }
        self.input.drain(..at);
        self.flush()?;
        Ok(true)
    }

    /// Cuts the connection.
    pub(super) fn cut(&self) -> Result<(), Failure> {
        Ok(self.stream.shutdown(std::net::Shutdown::Both)?)
    }
}

struct Frame {
    kind: u8,
    begin: usize,
    length: usize,
    mask: [u8; 4],
}

impl Frame {
    /// Finds the whole frame at the begin of `input`.
    fn find(input: &[u8]) -> Option<Self> {
        let [first, second, ..] = *input else { return None };
        let (length, after) = match second & 0x7f {
            126 => (usize::from(u16::from_be_bytes(field(input, 2)?)), 4),
            127 => (usize::try_from(u64::from_be_bytes(field(input, 2)?)).ok()?, 10),
            short => (usize::from(short), 2),
        };
        let frame =
            Self { kind: first & 0xf, begin: after + 4, length, mask: field(input, after)? };
        (input.len() >= frame.begin + frame.length).then_some(frame)
    }
}

fn field<const N: usize>(input: &[u8], at: usize) -> Option<[u8; N]> {
    input.get(at..at + N)?.try_into().ok()
}
