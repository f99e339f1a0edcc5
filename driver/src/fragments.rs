//! Counts the fragments of a WebSocket message from the bytes as they are read.
//!
//! The WebSocket library joins fragments silently and bounds only their total size; a peer that sends
//! one byte per fragment would cost far more than its message's size.

/// The longest frame header: 2 bytes, 8 of length, 4 of mask.
const LONGEST_HEADER: usize = 14;

/// Follows frame boundaries through a stream of bytes.
#[derive(Debug, Default)]
pub(crate) struct FragmentWatch {
    header: [u8; LONGEST_HEADER],
    have: usize,
    payload_left: u64,
    fragments: usize,
}

impl FragmentWatch {
    /// Looks at the next bytes; false once a message has more than `max` fragments.
    pub(crate) fn look(&mut self, mut bytes: &[u8], max: usize) -> bool {
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let skip = usize::try_from(self.payload_left).unwrap_or(usize::MAX);
                let skip = skip.min(bytes.len());
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
        self.have = 0;
        let is_control = first & 0x08 != 0;
        let is_final = first & 0x80 != 0;
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
    fn long_lengths_are_followed() {
        let mut watch = FragmentWatch::default();
        let mut frame = vec![0x82, 126, 0x01, 0x00];
        frame.extend([0_u8; 256]);
        frame.extend([0x01, 127, 0, 0, 0, 0, 0, 0, 0, 1, 7]);
        assert!(watch.look(&frame, 1));
        assert!(!watch.look(&[0x00, 0x00], 1));
    }
}
