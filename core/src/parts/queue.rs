//! A waiting line, bounded by count and by bytes.

use std::collections::VecDeque;

/// What gives way in a line that is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// The oldest: what comes is worth more than what has waited.
    DropOldest,
    /// The one that comes: what waits is a beginning without gaps.
    DropNewest,
}

/// Items, oldest first. Each counts with the bytes that it was pushed with.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    items: VecDeque<(T, u64)>,
    /// The bytes of what waits.
    pub(crate) bytes: u64,
    max: u64,
    max_bytes: u64,
    overflow: Overflow,
}

impl<T> Queue<T> {
    pub(crate) const fn new(max: u64, max_bytes: u64, overflow: Overflow) -> Self {
        Self { items: VecDeque::new(), bytes: 0, max, max_bytes, overflow }
    }

    /// Adds an item. Returns how many were dropped for it, itself perhaps.
    pub(crate) fn push(&mut self, item: T, bytes: u64) -> u64 {
        self.displace(item, bytes).len() as u64
    }

    /// Adds an item. Returns those that were dropped for it, oldest first, itself perhaps.
    pub(crate) fn displace(&mut self, item: T, bytes: u64) -> Vec<T> {
        if self.overflow == Overflow::DropNewest && self.exceeds(1, bytes) {
            return vec![item];
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.items.push_back((item, bytes));
        self.trim()
    }

    fn trim(&mut self) -> Vec<T> {
        let mut dropped = Vec::new();
        while self.exceeds(0, 0)
            && let Some(item) = self.pop()
        {
            dropped.push(item);
        }
        dropped
    }

    /// Puts items back in front that were taken before what waits, oldest first. Returns how many were
    /// dropped for them.
    pub(crate) fn put_back(&mut self, items: Vec<T>, size: impl Fn(&T) -> u64) -> u64 {
        for item in items.into_iter().rev() {
            let bytes = size(&item);
            self.bytes = self.bytes.saturating_add(bytes);
            self.items.push_front((item, bytes));
        }
        self.trim().len() as u64
    }

    /// Takes the oldest item.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let (item, bytes) = self.items.pop_front()?;
        self.bytes = self.bytes.saturating_sub(bytes);
        Some(item)
    }

    /// Takes all items, oldest first.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.bytes = 0;
        self.items.drain(..).map(|(item, _)| item)
    }

    pub(crate) fn clear(&mut self) {
        self.items.clear();
        self.bytes = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Tells whether there is too much in it with so much more.
    fn exceeds(&self, items: u64, bytes: u64) -> bool {
        self.items.len() as u64 + items > self.max
            || self.bytes.saturating_add(bytes) > self.max_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_gives_way_by_count_and_by_bytes() {
        let mut queue = Queue::new(2, 10, Overflow::DropOldest);
        assert_eq!(queue.push('a', 1), 0);
        assert_eq!(queue.push('b', 2), 0);
        assert_eq!(queue.push('c', 3), 1);
        assert_eq!((queue.len(), queue.bytes), (2, 5));
        assert_eq!(queue.push('d', 8), 2);
        assert_eq!(queue.push('e', 11), 2, "the new one does not fit either");
        assert_eq!((queue.pop(), queue.bytes), (None, 0));
    }

    #[test]
    fn the_newest_gives_way_to_what_has_waited() {
        let mut queue = Queue::new(2, 10, Overflow::DropNewest);
        assert_eq!(queue.push('a', 8), 0);
        assert_eq!(queue.push('b', 3), 1);
        assert_eq!(queue.push('c', 2), 0);
        assert_eq!(queue.push('d', 0), 1);
        assert_eq!(queue.bytes, 10);
        assert_eq!([queue.pop(), queue.pop(), queue.pop()], [Some('a'), Some('c'), None]);
    }

    #[test]
    fn an_emptied_line_has_all_its_room() {
        let mut queue = Queue::new(1, 4, Overflow::DropNewest);
        queue.push('a', 4);
        queue.clear();
        assert_eq!(queue.len(), 0);
        assert_eq!(queue.push('b', 4), 0);
    }

    #[test]
    fn what_is_put_back_comes_first_and_is_the_first_to_give_way() {
        let mut queue = Queue::new(3, 10, Overflow::DropOldest);
        queue.push('d', 1);
        assert_eq!(queue.put_back(vec!['a', 'b', 'c'], |_| 2), 1);
        assert_eq!([queue.pop(), queue.pop(), queue.pop()], [Some('b'), Some('c'), Some('d')]);
        assert_eq!(queue.bytes, 0);
    }
}
