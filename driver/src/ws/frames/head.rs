//! The head of a WebSocket frame (RFC 6455, section 5.2).

use bytes::BufMut;

use super::mask::Key;

/// The longest payload of a control frame.
pub(crate) const MAX_CONTROL: usize = 125;
/// The longest head: two bytes, eight of length, four of key.
#[allow(dead_code, reason = "asked by the fuzz target")]
pub(crate) const MAX_HEAD: usize = 14;

const FINAL: u8 = 0x80;
const COMPRESSED: u8 = 0x40;
const RESERVED: u8 = 0x30;
const MASKED: u8 = 0x80;
/// Stands for a length in the two bytes that follow.
const SHORT: u8 = 126;
/// Stands for a length in the eight bytes that follow.
const LONG: u8 = 127;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    const fn read(byte: u8) -> Option<Self> {
        match byte & 0x0f {
            0 => Some(Self::Continuation),
            1 => Some(Self::Text),
            2 => Some(Self::Binary),
            8 => Some(Self::Close),
            9 => Some(Self::Ping),
            10 => Some(Self::Pong),
            _ => None,
        }
    }

    const fn is_control(self) -> bool {
        self as u8 >= Self::Close as u8
    }
}

/// What a side accepts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepts {
    /// Whether frames are masked: those of clients are, those of servers are not.
    pub(crate) masked: bool,
    /// Whether messages may be compressed.
    pub(crate) compressed: bool,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) opcode: Opcode,
    pub(crate) is_final: bool,
    pub(crate) is_compressed: bool,
    /// Zeros without a mask.
    pub(crate) key: Key,
    pub(crate) length: u64,
}

impl Head {
    /// Reads a head and how long it is; `None` if more bytes are needed.
    ///
    /// # Errors
    /// What is wrong with it, as soon as the bytes show it.
    pub(crate) fn read(
        bytes: &[u8],
        accepts: Accepts,
    ) -> Result<Option<(Self, usize)>, &'static str> {
        let Some((&first, bytes)) = bytes.split_first() else { return Ok(None) };
        let opcode = Opcode::read(first).ok_or("a frame has a reserved opcode")?;
        let is_final = first & FINAL != 0;
        let is_compressed = first & COMPRESSED != 0;
        let may_compress = accepts.compressed && matches!(opcode, Opcode::Text | Opcode::Binary);
        if first & RESERVED != 0 || (is_compressed && !may_compress) {
            return Err("a frame has a reserved bit set");
        }
        if opcode.is_control() && !is_final {
            return Err("a control frame is fragmented");
        }
        let Some((&second, bytes)) = bytes.split_first() else { return Ok(None) };
        let is_masked = second & MASKED != 0;
        if is_masked != accepts.masked {
            return Err(if is_masked {
                "a frame of a server is masked"
            } else {
                "a frame of a client is not masked"
            });
        }
        let short = second & !MASKED;
        if opcode.is_control() && usize::from(short) > MAX_CONTROL {
            return Err("a control frame is longer than 125 bytes");
        }
        let (length, bytes) = match short {
            SHORT => {
                let Some((length, bytes)) = bytes.split_first_chunk() else { return Ok(None) };
                (u64::from(u16::from_be_bytes(*length)), bytes)
            }
            LONG => {
                let Some((length, bytes)) = bytes.split_first_chunk() else { return Ok(None) };
                (u64::from_be_bytes(*length), bytes)
            }
            length => (u64::from(length), bytes),
        };
        if length >> 63 != 0 {
            return Err("a frame is longer than can be");
        }
        let extended = match length {
            0..126 => 0,
            126..=0xffff => 2,
            _ => 8,
        };
        let written = match short {
            SHORT => 2,
            LONG => 8,
            _ => 0,
        };
        if written != extended {
            return Err("the length of a frame is not written the shortest way");
        }
        let key = if is_masked {
            let Some((key, _)) = bytes.split_first_chunk() else { return Ok(None) };
            *key
        } else {
            [0; 4]
        };
        let head = Self { opcode, is_final, is_compressed, key, length };
        Ok(Some((head, 2 + extended + if is_masked { 4 } else { 0 })))
    }

    /// Writes the head; a key stands for a mask.
    pub(crate) fn write(
        opcode: Opcode,
        is_compressed: bool,
        key: Option<Key>,
        length: usize,
        out: &mut impl BufMut,
    ) {
        out.put_u8(opcode as u8 | FINAL | if is_compressed { COMPRESSED } else { 0 });
        let masked = if key.is_some() { MASKED } else { 0 };
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(length @ 0..SHORT), _) => out.put_u8(masked | length),
            (_, Ok(length)) => {
                out.put_u8(masked | SHORT);
                out.put_u16(length);
            }
            (_, Err(_)) => {
                out.put_u8(masked | LONG);
                out.put_u64(length as u64);
            }
        }
        if let Some(key) = key {
            out.put_slice(&key);
        }
    }

    /// Tells whether it is the head of a control frame.
    pub(crate) const fn is_control(&self) -> bool {
        self.opcode.is_control()
    }
}

/// Tells whether a close frame may say a code: those of the standard and its registry, of libraries and
/// of applications.
pub(crate) const fn may_close_with(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Accepts = Accepts { masked: false, compressed: false };
    const SERVER: Accepts = Accepts { masked: true, compressed: false };

    #[test]
    fn what_is_written_is_read_at_every_length() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20] {
            for key in [None, Some([1, 2, 3, 4])] {
                let mut bytes = Vec::new();
                Head::write(Opcode::Binary, false, key, length, &mut bytes);
                assert!(bytes.len() <= MAX_HEAD);
                let accepts = if key.is_some() { SERVER } else { CLIENT };
                let (head, size) = Head::read(&bytes, accepts).unwrap().unwrap();
                assert_eq!((head.length, size), (length as u64, bytes.len()));
                assert_eq!((head.opcode, head.key), (Opcode::Binary, key.unwrap_or_default()));
                for cut in 0..bytes.len() {
                    assert_eq!(Head::read(&bytes[..cut], accepts), Ok(None));
                }
            }
        }
    }

    #[test]
    fn every_first_byte_is_right_or_wrong_as_the_standard_has_it() {
        for first in 0..=255_u8 {
            let known = matches!(first & 0x0f, 0 | 1 | 2 | 8 | 9 | 10);
            let is_whole = first & 0x88 != 0x08;
            let is_right = known && is_whole && first & 0x70 == 0;
            assert_eq!(Head::read(&[first, 0], CLIENT).is_ok(), is_right, "{first:x}");
            let compressing = Accepts { compressed: true, ..CLIENT };
            let may = is_right || (matches!(first & 0x0f, 1 | 2) && first & 0x70 == 0x40);
            assert_eq!(Head::read(&[first, 0], compressing).is_ok(), may, "{first:x}");
        }
    }

    #[test]
    fn wrong_lengths_and_masks_are_refused() {
        let wrong: [&[u8]; 6] = [
            &[0x81, 126, 0, 125],
            &[0x81, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            &[0x81, 127, 0x80, 0, 0, 0, 0, 1, 0, 0],
            &[0x89, 126],
            &[0x88, 127],
            &[0x81, 0x80],
        ];
        for bytes in wrong {
            assert!(Head::read(bytes, CLIENT).is_err(), "{bytes:x?}");
        }
        assert!(Head::read(&[0x81, 0], SERVER).is_err());
    }

    #[test]
    fn codes_that_say_nothing_to_a_peer_are_not_said() {
        let right = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1014, 3000, 3999, 4999];
        let wrong = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];
        assert!(right.into_iter().all(may_close_with));
        assert!(!wrong.into_iter().any(may_close_with));
    }
}
