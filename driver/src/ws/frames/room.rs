//! How much room to make for a message that comes in parts.

use bytes::Bytes;

/// The least room that is made for a message of which more is announced.
const LEAST: usize = 4 * 1024;

/// What is announced to follow a part.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rest {
    /// How much of the frame.
    pub(super) left: u64,
    /// Whether the message ends with the frame.
    pub(super) is_final: bool,
}

impl Rest {
    /// Returns how much room to make for a part, so that nothing is moved often, and no more is held
    /// than twice what came: an announcement alone costs nothing.
    pub(super) fn room(self, len: usize, capacity: usize, part: usize) -> usize {
        if capacity - len >= part {
            return 0;
        }
        let come = len + part;
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let room = part + left.min(come.max(LEAST));
        if self.is_final || len == 0 { room } else { room.max(come) }
    }
}

/// Tells whether much is held for little.
pub(super) const fn is_wasteful(len: usize, capacity: usize) -> bool {
    capacity - len > len / 4 + 64
}

/// Makes what is no larger than it must be.
pub(super) fn exact(mut bytes: Vec<u8>) -> Bytes {
    if is_wasteful(bytes.len(), bytes.capacity()) {
        bytes.shrink_to_fit();
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds parts; returns how often room was made, and the most that was held beyond twice what came.
    fn grown(parts: impl Iterator<Item = (usize, Rest)>) -> (usize, usize) {
        let (mut bytes, mut times, mut beyond) = (Vec::<u8>::new(), 0, 0);
        for (part, rest) in parts {
            let room = rest.room(bytes.len(), bytes.capacity(), part);
            times += usize::from(room > 0);
            bytes.reserve_exact(room);
            bytes.resize(bytes.len() + part, 0);
            beyond = beyond.max(bytes.capacity().saturating_sub(2 * bytes.len()));
        }
        (times, beyond)
    }

    #[test]
    fn a_long_frame_is_moved_a_few_times_and_an_announcement_costs_little() {
        const WHOLE: u64 = 16 * 1024 * 1024;
        let parts =
            (1..=WHOLE / 1_024).map(|n| (1_024, Rest { left: WHOLE - n * 1_024, is_final: true }));
        let (times, beyond) = grown(parts);
        assert!(times < 20, "{times}");
        assert!(beyond <= LEAST, "{beyond}");
    }

    #[test]
    fn many_small_fragments_are_moved_a_few_times() {
        let parts = (0..100_000).map(|_| (1, Rest { left: 0, is_final: false }));
        let (times, beyond) = grown(parts);
        assert!(times < 30, "{times}");
        assert!(beyond <= LEAST, "{beyond}");
    }
}
