//! What the connections of a listener hold together: messages and bodies that have not come in full, and
//! what waits to be sent.
//!
//! Each of them has limits of its own, but no limit of one bounds the sum of all. Here the sum is bounded: when
//! it is too much, whoever holds most is ended, so that many who hold little are not in the way of
//! each other.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::Notify;

/// What every connection may hold uncounted: its buffers. Part of what a connection costs.
pub(crate) const UNCOUNTED: usize = 16 * 1024;

/// The sum of all connections.
pub(super) struct Sum {
    max: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    total: usize,
    /// What those still hold that were ended.
    ending: usize,
    /// Those that count, by the address of their record.
    shares: HashMap<usize, Arc<Record>>,
}

/// What one connection holds.
#[derive(Default)]
struct Record {
    held: AtomicUsize,
    counted: AtomicUsize,
    /// What it held when it was ended.
    ending: AtomicUsize,
    is_over: AtomicBool,
    over: Notify,
    waker: Mutex<Option<Waker>>,
}

/// One connection's share of the sum; given back on drop.
pub(crate) struct Share {
    sum: Arc<Sum>,
    record: Arc<Record>,
}

impl Sum {
    /// Makes one that nobody holds anything of.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, held: Mutex::default() })
    }

    /// Makes a share that holds nothing.
    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share { sum: Arc::clone(self), record: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn count(&mut self, record: &Arc<Record>, counted: usize) {
        let before = record.counted.swap(counted, Ordering::Relaxed);
        self.total = self.total - before + counted;
        let key = Arc::as_ptr(record) as usize;
        if counted == 0 {
            self.shares.remove(&key);
        } else if before == 0 {
            self.shares.insert(key, Arc::clone(record));
        }
    }

    /// Takes out whoever holds most.
    fn largest(&mut self) -> Option<Arc<Record>> {
        let all = self.shares.values();
        let largest = all.max_by_key(|record| record.counted.load(Ordering::Relaxed)).cloned()?;
        let counted = largest.counted.load(Ordering::Relaxed);
        self.count(&largest, 0);
        self.ending += counted;
        largest.ending.store(counted, Ordering::Relaxed);
        Some(largest)
    }
}

impl Record {
    fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.over.notify_waiters();
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Share {
    /// Says how many bytes the connection holds by now.
    pub(crate) fn hold(&self, bytes: usize) {
        let before = self.record.held.swap(bytes, Ordering::Relaxed);
        let counted = bytes.saturating_sub(UNCOUNTED);
        if before == bytes || counted == before.saturating_sub(UNCOUNTED) || self.is_over() {
            return;
        }
        let mut held = self.sum.lock();
        held.count(&self.record, counted);
        while held.total > self.sum.max {
            let Some(largest) = held.largest() else { return };
            largest.end();
        }
    }

    /// Holds so much more, if there is room. If there is none and somebody holds more than that, whoever holds
    /// most is ended, so that there is room soon.
    pub(crate) fn try_hold(&self, bytes: usize) -> bool {
        let mut held = self.sum.lock();
        let counted = self.record.counted.load(Ordering::Relaxed);
        let grown = (self.record.held.load(Ordering::Relaxed).saturating_add(bytes))
            .saturating_sub(UNCOUNTED);
        let all = held.total.saturating_add(held.ending).saturating_add(grown - counted.min(grown));
        if grown > 0 && all > self.sum.max {
            let is_larger = |it: &Arc<Record>| it.counted.load(Ordering::Relaxed) > grown;
            if held.ending == 0
                && held.shares.values().any(is_larger)
                && let Some(largest) = held.largest()
            {
                largest.end();
            }
            return false;
        }
        drop(held);
        self.hold_more(bytes);
        true
    }

    /// Says that it holds so much more.
    pub(crate) fn hold_more(&self, bytes: usize) {
        self.hold(self.record.held.load(Ordering::Relaxed).saturating_add(bytes));
    }

    /// Says that it holds so much less.
    pub(crate) fn hold_less(&self, bytes: usize) {
        let held = self.record.held.load(Ordering::Relaxed);
        if held > 0 {
            self.hold(held.saturating_sub(bytes));
        }
    }

    /// Tells whether the connection is to end: it held most when all held too much.
    pub(crate) fn is_over(&self) -> bool {
        self.record.is_over.load(Ordering::Relaxed)
    }

    /// Resolves when the connection is to end; for one who waits.
    pub(crate) async fn over(&self) {
        let mut notified = pin!(self.record.over.notified());
        // From here on it is heard, also between the look and the wait.
        notified.as_mut().enable();
        if !self.is_over() {
            notified.await;
        }
    }

    /// Wakes whoever is to look when the connection is to end.
    pub(crate) fn wake(&self, waker: Waker) {
        *self.record.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let ending = self.record.ending.load(Ordering::Relaxed);
        if ending > 0 || self.record.counted.load(Ordering::Relaxed) > 0 {
            let mut held = self.sum.lock();
            held.ending -= ending;
            held.count(&self.record, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn whoever_holds_most_is_ended_when_all_hold_too_much() {
        let sum = Sum::new(4 * MIB);
        let (large, middle, small) = (sum.share(), sum.share(), sum.share());
        large.hold(2 * MIB);
        middle.hold(MIB);
        small.hold_more(MIB / 2);
        small.hold_more(MIB / 4);
        assert!(![&large, &middle, &small].iter().any(|share| share.is_over()));
        small.hold_more(MIB / 2);
        assert!(large.is_over() && !middle.is_over() && !small.is_over());
        // What it still says counts no more.
        large.hold(100 * MIB);
        assert!(!middle.is_over() && !small.is_over());
        small.hold_less(10 * MIB);
        drop((middle, large));
        assert_eq!(sum.lock().total, 0);
        assert!(sum.lock().shares.is_empty());
    }

    #[test]
    fn an_answer_without_room_is_not_held_and_makes_room_for_the_next() {
        let sum = Sum::new(4 * MIB);
        let (large, other) = (sum.share(), sum.share());
        assert!(large.try_hold(3 * MIB));
        assert!(!other.try_hold(2 * MIB));
        assert!(large.is_over() && !other.is_over());
        assert!(!other.try_hold(2 * MIB), "what is ended still holds it");
        drop(large);
        assert!(other.try_hold(2 * MIB));
        assert!(!sum.share().try_hold(3 * MIB));
        assert!(!other.is_over(), "nobody is ended for one who wants more");
        assert!(sum.share().try_hold(UNCOUNTED));
    }

    #[test]
    fn what_everybody_may_hold_is_not_counted() {
        let sum = Sum::new(MIB);
        let shares: Vec<Share> = (0..1_000).map(|_| sum.share()).collect();
        shares.iter().for_each(|share| share.hold(UNCOUNTED));
        assert_eq!(sum.lock().total, 0);
        assert!(shares.iter().all(|share| !share.is_over()));
    }

    #[tokio::test]
    async fn who_is_ended_hears_of_it() {
        let sum = Sum::new(0);
        let share = sum.share();
        share.hold(MIB);
        share.over().await;
    }
}
