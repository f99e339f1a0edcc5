//! The side of the test: frames written and read without the code that is tested.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use bytes::Bytes;

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as it is on the wire, right or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WireFrame {
    pub(crate) is_final: bool,
    /// The reserved bits, as a number from 0 to 7.
    pub(crate) reserved: u8,
    pub(crate) opcode: u8,
    pub(crate) payload: Bytes,
}

impl WireFrame {
    pub(crate) fn new(opcode: u8, payload: &[u8]) -> Self {
        Self::of(opcode, Bytes::copy_from_slice(payload))
    }

    pub(crate) const fn of(opcode: u8, payload: Bytes) -> Self {
        Self { is_final: true, reserved: 0, opcode, payload }
    }

    /// Returns the head and the payload, masked if a client sends them.
    pub(crate) fn encode(&self, is_masked: bool) -> (Vec<u8>, Vec<u8>) {
        let first = u8::from(self.is_final) << 7 | self.reserved << 4 | self.opcode;
        let masked = u8::from(is_masked) << 7;
        let mut head = vec![first];
        match self.payload.len() {
            length @ 0..=125 => head.push(masked | length as u8),
            length @ 126..=0xffff => {
                head.push(masked | 126);
                head.extend((length as u16).to_be_bytes());
            }
            length => {
                head.push(masked | 127);
                head.extend((length as u64).to_be_bytes());
            }
        }
        let mut payload = self.payload.to_vec();
        if is_masked {
            head.extend(KEY);
            payload.iter_mut().zip(KEY.into_iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        }
        (head, payload)
    }

    pub(crate) fn write(&self, stream: &mut TcpStream, is_masked: bool) -> io::Result<()> {
        let (head, payload) = self.encode(is_masked);
        stream.write_all(&[head, payload].concat())
    }

    /// Reads a frame; `None` at the end of the stream.
    pub(crate) fn read(stream: &mut impl Read) -> io::Result<Option<Self>> {
        let mut head = [0; 2];
        if stream.read(&mut head[..1])? == 0 {
            return Ok(None);
        }
        stream.read_exact(&mut head[1..])?;
        let length = match head[1] & 0x7f {
            126 => {
                let mut length = [0; 2];
                stream.read_exact(&mut length)?;
                usize::from(u16::from_be_bytes(length))
            }
            127 => {
                let mut length = [0; 8];
                stream.read_exact(&mut length)?;
                u64::from_be_bytes(length) as usize
            }
            length => usize::from(length),
        };
        let mut key = [0; 4];
        if head[1] & 0x80 != 0 {
            stream.read_exact(&mut key)?;
        }
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload)?;
        payload.iter_mut().zip(key.into_iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        Ok(Some(Self {
            is_final: head[0] & 0x80 != 0,
            reserved: head[0] >> 4 & 7,
            opcode: head[0] & 0x0f,
            payload: payload.into(),
        }))
    }
}
