//! Counts the fragments of a WebSocket message from the bytes as they are read.
//!
//! The WebSocket library joins fragments silently and bounds only their total size; a peer that sends
//! one byte per fragment would cost far more than its message's size.

/// How much is kept of the beginning of a message that is too large.
const BEGINNING: usize = 256;

/// The longest frame header: 2 bytes, 8 of length, 4 of mask.
const LONGEST_HEADER: usize = 14;

/// Follows frame boundaries through a stream of bytes.
#[derive(Debug, Default)]
pub(crate) struct FragmentWatch {
    header: [u8; LONGEST_HEADER],
    have: usize,
    payload_left: u64,
    fragments: usize,
    /// The largest message that is allowed.
    pub(crate) max_message: u64,
    /// How large the present message is so far.
    message: u64,
    /// The beginning of the first message that is too large, or else of one that comes in fragments.
    beginning: Vec<u8>,
    is_exceeded: bool,
    /// Whether the present payload belongs to that message.
    is_kept: bool,
    mask: [u8; 4],
    /// How much of the present payload went by.
    at: usize,
}

impl FragmentWatch {
    /// Looks at the next bytes; false once a message has more than `max` fragments.
    pub(crate) fn look(&mut self, mut bytes: &[u8], max: usize) -> bool {
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let skip = usize::try_from(self.payload_left).unwrap_or(usize::MAX);
                let skip = skip.min(bytes.len());
                self.keep(bytes.get(..skip).unwrap_or_default());
                self.payload_left -= skip as u64;
                bytes = bytes.get(skip..).unwrap_or_default();
                continue;
            }
            let Some((&byte, rest)) = bytes.split_first() else { break };
            bytes = rest;
            if let Some(slot) = self.header.get_mut(self.have) {
                *slot = byte;
            }
            self.have += 1;
            if self.have == self.header_len() {
                self.begin_payload();
                if self.fragments > max {
                    return false;
                }
            }
        }
        true
    }

    /// Returns the first bytes of the first message that is too large, and whether those are all that are
    /// kept of it.
    pub(crate) fn beginning(&self) -> (&[u8], bool) {
        let is_all = self.beginning.len() == BEGINNING || self.payload_left == 0 || !self.is_kept;
        (&self.beginning, is_all)
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = if self.is_kept { BEGINNING.saturating_sub(self.beginning.len()) } else { 0 };
        for byte in bytes.iter().take(room) {
            self.beginning.push(byte ^ self.mask[self.at % 4]);
            self.at += 1;
        }
    }

    fn header_len(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let length = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
        2 + length + mask
    }

    fn begin_payload(&mut self) {
        let [first, second, rest @ ..] = self.header;
        let short = [rest[0], rest[1]];
        let long = [rest[0], rest[1], rest[2], rest[3], rest[4], rest[5], rest[6], rest[7]];
        self.payload_left = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes(short)),
            127 => u64::from_be_bytes(long),
            length => u64::from(length),
        };
        let is_masked = second & 0x80 != 0;
        let mask = match second & 0x7f {
            _ if !is_masked => [0; 4],
            126 => [rest[2], rest[3], rest[4], rest[5]],
            127 => [rest[8], rest[9], rest[10], rest[11]],
            _ => [rest[0], rest[1], rest[2], rest[3]],
        };
        self.have = 0;
        let is_control = first & 0x08 != 0;
        let is_final = first & 0x80 != 0;
        let is_first = first & 0x0f != 0;
        self.is_kept = !is_control && !self.is_exceeded;
        if self.is_kept {
            if is_first {
                self.message = 0;
                self.beginning.clear();
            }
            self.message = self.message.saturating_add(self.payload_left);
            self.is_exceeded = self.message > self.max_message;
            self.is_kept = self.is_exceeded || !is_final || !is_first;
        }
        self.at = 0;
        self.mask = mask;
        if !is_control {
            self.fragments = if is_final { 0 } else { self.fragments + 1 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_messages_are_no_fragments() {
        let mut watch = FragmentWatch::default();
        for _ in 0..100 {
            assert!(watch.look(&[0x81, 0x02, b'h', b'i'], 0));
        }
    }

    #[test]
    fn fragments_add_up_until_the_final_one_even_byte_by_byte() {
        let mut watch = FragmentWatch::default();
        let message =
            [0x01, 0x81, 9, 9, 9, 9, b'a', 0x00, 0x01, b'b', 0x89, 0x00, 0x80, 0x01, b'c'];
        for _ in 0..10 {
            assert!(message.iter().all(|byte| watch.look(&[*byte], 2)));
        }
        assert!(!watch.look(&[0x01, 0, 0, 0, 0, 0], 2));
    }

    #[test]
    fn the_beginning_of_a_long_message_is_kept_unmasked_however_it_comes() {
        let text: Vec<u8> = (0..2_000).map(|n| b'a' + (n % 26) as u8).collect();
        let frame = |first: u8, payload: &[u8]| {
            let mask = [1, 2, 3, 4];
            let mut frame = vec![first, 0x80 | 126];
            frame.extend((payload.len() as u16).to_be_bytes());
            frame.extend(mask);
            frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
            frame
        };
        for step in [1, 7, 5_000] {
            let whole = frame(0x81, &text);
            let parts = [frame(0x01, &text[..150]), frame(0x80, &text[150..])].concat();
            for bytes in [whole, parts] {
                let mut watch = FragmentWatch { max_message: 1_000, ..FragmentWatch::default() };
                for chunk in bytes.chunks(step) {
                    assert!(watch.look(chunk, 9));
                }
                assert_eq!(watch.beginning(), (&text[..256], true));
                watch.look(&[0x89, 0x01, b'p', 0x81, 0x02, b'h', b'i'], 9);
                assert_eq!(watch.beginning().0, &text[..256]);
            }
        }
    }

    #[test]
    fn long_lengths_are_followed() {
        let mut watch = FragmentWatch::default();
        let mut frame = vec![0x82, 126, 0x01, 0x00];
        frame.extend([0_u8; 256]);
        frame.extend([0x01, 127, 0, 0, 0, 0, 0, 0, 0, 1, 7]);
        assert!(watch.look(&frame, 1));
        assert!(!watch.look(&[0x00, 0x00], 1));
    }
}
