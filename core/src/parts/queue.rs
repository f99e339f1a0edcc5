//! Messages that wait for a registration: bounded, the oldest gives way.

use std::collections::VecDeque;

use crate::net::Frame;

/// Whole messages with their attachments, oldest first.
#[derive(Debug)]
pub(super) struct Queue {
    messages: VecDeque<Vec<Frame>>,
    bytes: u64,
    max: u64,
    max_bytes: u64,
}

impl Queue {
    pub(super) const fn new(max: u64, max_bytes: u64) -> Self {
        Self { messages: VecDeque::new(), bytes: 0, max, max_bytes }
    }

    /// Adds a message. Returns how many had to go for it, itself perhaps.
    pub(super) fn push(&mut self, message: Vec<Frame>) -> u64 {
        self.bytes += size(&message);
        self.messages.push_back(message);
        let mut dropped = 0;
        while self.messages.len() as u64 > self.max || self.bytes > self.max_bytes {
            if self.pop().is_none() {
                break;
            }
            dropped += 1;
        }
        dropped
    }

    pub(super) fn pop(&mut self) -> Option<Vec<Frame>> {
        let message = self.messages.pop_front()?;
        self.bytes -= size(&message);
        Some(message)
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }
}

fn size(message: &[Frame]) -> u64 {
    message.iter().map(|frame| frame.len() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> Vec<Frame> {
        vec![Frame::Text("x".repeat(length).into())]
    }

    #[test]
    fn the_oldest_gives_way_by_count_and_by_bytes() {
        let mut queue = Queue::new(2, 10);
        assert_eq!(queue.push(message(1)), 0);
        assert_eq!(queue.push(message(2)), 0);
        assert_eq!(queue.push(message(3)), 1);
        assert_eq!(queue.push(message(8)), 2);
        assert_eq!(queue.push(message(11)), 2, "the new one does not fit either");
        assert_eq!(queue.len(), 0);
        assert!(queue.pop().is_none());
    }
}
