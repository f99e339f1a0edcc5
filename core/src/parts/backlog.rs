//! What was sent on a connection and has not left: whether the next message passes, has to queue, or is
//! one too many.
//!
//! The driver is asked now and then whether everything has left. While it has not said so, what is sent
//! counts as queued; what was sent since then counts against the limit.

/// How many bytes may be sent before the driver is asked.
const STEP: u64 = 128 * 1024;

/// The bytes on their way, as far as is known.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// Bytes sent since everything was known to have left.
    pub(crate) bytes: u64,
    /// The driver was asked and has not answered.
    is_asked: bool,
}

/// What a message finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Nothing is known to be in its way.
    Free,
    /// What was sent before has not left.
    Behind,
    /// More than allowed has not left.
    Full,
}

impl Backlog {
    /// Looks what a message would find where `max` bytes may be on their way; 0 does not limit.
    pub(crate) const fn room(&self, max: u64) -> Room {
        if max > 0 && self.bytes > max {
            Room::Full
        } else if self.is_asked {
            Room::Behind
        } else {
            Room::Free
        }
    }

    /// Counts a message that is sent. Tells whether to ask the driver behind it.
    pub(crate) fn add(&mut self, bytes: usize, max: u64) -> bool {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        let step = if max == 0 { STEP } else { STEP.min(max / 4) };
        self.bytes > step && !std::mem::replace(&mut self.is_asked, true)
    }

    /// Tells whether something is known to wait.
    pub(crate) const fn is_waiting(&self) -> bool {
        self.is_asked
    }

    /// Everything has left.
    pub(crate) const fn clear(&mut self) {
        self.bytes = 0;
        self.is_asked = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_finds_what_is_before_it() {
        let mut backlog = Backlog::default();
        assert_eq!(backlog.room(1_000), Room::Free);
        assert!(!backlog.add(250, 1_000), "a quarter may go unasked");
        assert_eq!(backlog.room(1_000), Room::Free);
        assert!(backlog.add(1, 1_000));
        assert_eq!(backlog.room(1_000), Room::Behind);
        assert!(!backlog.add(749, 1_000), "it is asked once");
        assert_eq!(backlog.room(1_000), Room::Behind, "as many as allowed");
        backlog.add(1, 1_000);
        assert_eq!(backlog.room(1_000), Room::Full);
        backlog.clear();
        assert_eq!((backlog.room(1_000), backlog.is_waiting()), (Room::Free, false));
    }

    #[test]
    fn without_a_limit_the_driver_is_asked_all_the_same() {
        let mut backlog = Backlog::default();
        assert!(backlog.add(1 << 30, 0));
        assert_eq!(backlog.room(0), Room::Behind);
    }
}
