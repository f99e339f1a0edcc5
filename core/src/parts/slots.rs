//! Slots and the queue before them: never more than `max_concurrent` items run, and what arrives
//! beyond waits, up to `max_waiting`.

use std::collections::VecDeque;

use crate::base::ids::WorkId;

/// Counts running items and keeps the order of waiting ones.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    max_concurrent: usize,
    max_waiting: usize,
    pub(crate) running: usize,
    queue: VecDeque<WorkId>,
}

impl Slots {
    pub(crate) const fn new(max_concurrent: usize, max_waiting: usize) -> Self {
        Self { max_concurrent, max_waiting, running: 0, queue: VecDeque::new() }
    }

    /// Tells whether an item can start now without overtaking a waiting one.
    pub(crate) fn has_free(&self) -> bool {
        self.running < self.max_concurrent && self.queue.is_empty()
    }

    /// Tells whether an item can wait.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.len() < self.max_waiting
    }

    /// Gives a slot back.
    pub(crate) fn finish(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    pub(crate) fn wait(&mut self, work: WorkId) {
        self.queue.push_back(work);
    }

    /// Takes the oldest waiting item if a slot is free; the slot is taken with it.
    pub(crate) fn start_waiting(&mut self) -> Option<WorkId> {
        if self.running >= self.max_concurrent {
            return None;
        }
        let work = self.queue.pop_front()?;
        self.running += 1;
        Some(work)
    }

    /// Removes a waiting item.
    pub(crate) fn forget(&mut self, work: WorkId) {
        self.queue.retain(|waiting| *waiting != work);
    }

    /// Empties the queue and returns what was in it.
    pub(crate) fn drop_waiting(&mut self) -> VecDeque<WorkId> {
        std::mem::take(&mut self.queue)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Tells whether more work is wanted: a slot is free even after all that waits has started.
    pub(crate) fn wants_more(&self) -> bool {
        self.running + self.queue.len() < self.max_concurrent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_items_start_in_order_as_slots_free_up() {
        let mut slots = Slots::new(1, 2);
        assert!(slots.has_free());
        slots.wait(WorkId(1));
        assert_eq!(slots.start_waiting(), Some(WorkId(1)));
        assert!(!slots.has_free());
        slots.wait(WorkId(2));
        slots.wait(WorkId(3));
        assert!(!slots.has_room());
        assert_eq!(slots.start_waiting(), None);
        slots.finish();
        assert!(!slots.has_free(), "a newcomer must not overtake");
        assert_eq!(slots.start_waiting(), Some(WorkId(2)));
        assert_eq!((slots.running, slots.waiting()), (1, 1));
    }

    #[test]
    fn finishing_twice_does_not_open_an_extra_slot() {
        let mut slots = Slots::new(1, 0);
        slots.wait(WorkId(1));
        slots.start_waiting();
        slots.finish();
        slots.finish();
        slots.wait(WorkId(2));
        slots.start_waiting();
        assert!(!slots.has_free());
    }
}
