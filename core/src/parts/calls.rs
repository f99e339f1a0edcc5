//! Calls that wait for an answer: each settles exactly once, by its answer, by its deadline, by whoever
//! asked, or because the link is lost.
//!
//! The id for the wire is a version-4 UUID that carries the key of the call's slot, so that an answer
//! finds its call without a search. Late, foreign and repeated ids find nothing. Calls of equal timeouts
//! expire in the order in which they were made: one queue per timeout knows the next deadline, and
//! settled calls leave it when they reach its front, or when most of it is settled.

use std::collections::{BTreeSet, VecDeque};

use uuid::Uuid;

use crate::base::entropy::Entropy;
use crate::base::time::Instant;

/// Calls, each with its asker and with what the role wants to know of it when it settles.
///
/// Whoever loses a link decides what becomes of its calls: they are kept by leaving them, or failed by
/// [`pop`](Self::pop).
#[derive(Debug)]
pub(crate) struct Calls<A, T> {
    slots: Slab<Call<A, T>>,
    classes: Vec<Class<A>>,
    odd: BTreeSet<Due<A>>,
    pending: usize,
    max: u64,
}

/// A call that has settled.
#[derive(Debug)]
pub(crate) struct Call<A, T> {
    pub(crate) asker: A,
    pub(crate) what: T,
    /// The random part of the id: an answer must know it.
    nonce: u64,
}

/// When a call expires, its key and its asker.
type Due<A> = (Instant, u64, A);

/// Calls of one timeout, in the order of their deadlines.
#[derive(Debug)]
struct Class<A> {
    timeout_ms: u64,
    queue: VecDeque<Due<A>>,
}

impl<A: Copy + Ord, T> Calls<A, T> {
    /// Makes a table that counts as full with `max` calls in it.
    pub(crate) const fn new(max: u64) -> Self {
        Self { slots: Slab::new(), classes: Vec::new(), odd: BTreeSet::new(), pending: 0, max }
    }

    /// Opens a call that expires after `timeout_ms`; returns its key and its id for the wire.
    ///
    /// Calls are cancelled fastest when later ones of one timeout have greater askers.
    pub(crate) fn open(
        &mut self,
        asker: A,
        what: T,
        timeout_ms: u64,
        now: Instant,
        entropy: &mut Entropy,
    ) -> (u64, Uuid) {
        let nonce = entropy.bits();
        let key = self.slots.open(Call { asker, what, nonce });
        self.pending += 1;
        let due = (now.after(timeout_ms), key, asker);
        let known = self.classes.iter().position(|class| class.timeout_ms == timeout_ms);
        if known.is_none() && self.classes.len() >= MAX_CLASSES {
            self.classes.retain(|class| !class.queue.is_empty());
        }
        if known.is_none() && self.classes.len() < MAX_CLASSES {
            self.classes.push(Class { timeout_ms, queue: VecDeque::new() });
        }
        let known = known.unwrap_or_else(|| self.classes.len().saturating_sub(1));
        match self.classes.get_mut(known).filter(|class| class.timeout_ms == timeout_ms) {
            Some(class) => {
                if class.queue.len() > SLACK + 2 * self.pending {
                    let slots = &self.slots;
                    class.queue.retain(|(_, key, _)| slots.get(*key).is_some());
                }
                class.queue.push_back(due);
            }
            None => drop(self.odd.insert(due)),
        }
        (key, wire_id(key, nonce))
    }

    /// Takes the call that an id of the wire belongs to.
    pub(crate) fn settle(&mut self, id: &str) -> Option<Call<A, T>> {
        let id = Uuid::try_parse(id).ok()?;
        let key = key_of(id);
        let nonce = self.slots.get(key)?.nonce;
        if wire_id(key, nonce) == id { self.take(key) } else { None }
    }

    /// Takes the call of a key.
    pub(crate) fn take(&mut self, key: u64) -> Option<Call<A, T>> {
        let call = self.slots.take(key)?;
        self.pending -= 1;
        Some(call)
    }

    /// Takes the call of an asker who gives it up.
    pub(crate) fn cancel(&mut self, asker: A) -> Option<Call<A, T>> {
        let in_order = self.classes.iter().find_map(|class| {
            let at = class.queue.partition_point(|(_, _, other)| *other < asker);
            class.queue.get(at).filter(|(_, _, found)| *found == asker)
        });
        let (_, key, _) = in_order.or_else(|| {
            let mut all = self.classes.iter().flat_map(|class| &class.queue).chain(&self.odd);
            all.find(|(_, _, other)| *other == asker)
        })?;
        self.take(*key)
    }

    /// Takes one call whose deadline has passed.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Call<A, T>> {
        self.tidy();
        let is_due = |due: &Due<A>| due.0 <= now;
        let first = self.classes.iter_mut().find_map(|class| {
            if is_due(class.queue.front()?) { class.queue.pop_front() } else { None }
        });
        let (_, key, _) = first.or_else(|| self.odd.first().copied().filter(is_due))?;
        self.take(key)
    }

    /// Takes any call, in no promised order.
    pub(crate) fn pop(&mut self) -> Option<Call<A, T>> {
        loop {
            let first = self.classes.iter_mut().find_map(|class| class.queue.pop_front());
            let (_, key, _) = first.or_else(|| self.odd.pop_first())?;
            if let Some(call) = self.take(key) {
                return Some(call);
            }
        }
    }

    /// Looks up what the call of a key is about.
    pub(crate) fn get(&self, key: u64) -> Option<&T> {
        self.slots.get(key).map(|call| &call.what)
    }

    pub(crate) const fn len(&self) -> usize {
        self.pending
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.pending as u64 >= self.max
    }

    /// Returns when to call [`expire`](Self::expire); too early where the next to expire has settled.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let classes = self.classes.iter().filter_map(|class| class.queue.front());
        classes.chain(self.odd.first()).map(|(at, _, _)| *at).min()
    }

    /// Drops settled calls from the front of each queue.
    fn tidy(&mut self) {
        let slots = &self.slots;
        for class in &mut self.classes {
            while class.queue.pop_front_if(|(_, key, _)| slots.get(*key).is_none()).is_some() {}
        }
        while self.odd.first().is_some_and(|(_, key, _)| slots.get(*key).is_none()) {
            self.odd.pop_first();
        }
    }
}

/// Values by keys of slot and generation. A key is good for one taking.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    /// Keeps a value and returns its key; keys begin at 2³² and are never 0.
    pub(crate) fn open(&mut self, value: T) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, value: None });
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let Some(slot) = self.slots.get_mut(index as usize) else { return 0 };
        slot.generation += 1;
        slot.value = Some(value);
        (u64::from(slot.generation) << 32) | u64::from(index)
    }

    /// Looks the value of a key up.
    pub(crate) fn get(&self, key: u64) -> Option<&T> {
        let slot = self.slots.get((key & u64::from(u32::MAX)) as usize)?;
        slot.value.as_ref().filter(|_| u64::from(slot.generation) == key >> 32)
    }

    /// Takes the value of a key.
    pub(crate) fn take(&mut self, key: u64) -> Option<T> {
        let index = (key & u64::from(u32::MAX)) as u32;
        let slot = self.slots.get_mut(index as usize)?;
        if u64::from(slot.generation) != key >> 32 {
            return None;
        }
        let value = slot.value.take()?;
        // A slot whose generations are used up is retired: keys are never used twice.
        if slot.generation < MAX_GENERATION {
            self.free.push(index);
        }
        Some(value)
    }
}

/// Spreads key and nonce over the bits that version 4 leaves free.
const fn wire_id(key: u64, nonce: u64) -> Uuid {
    let nonce = (nonce & NONCE) as u128;
    let key = key as u128;
    // 48 bits, the version, 12 bits, the variant, 62 bits.
    let free = (key << 58) | nonce;
    let high = (free >> 74) << 80;
    let middle = ((free >> 62) & 0xfff) << 64;
    let low = free & ((1 << 62) - 1);
    Uuid::from_u128(high | (4 << 76) | middle | (2 << 62) | low)
}

const fn key_of(id: Uuid) -> u64 {
    let bits = id.as_u128();
    let free = ((bits >> 80) << 74) | (((bits >> 64) & 0xfff) << 62) | (bits & ((1 << 62) - 1));
    (free >> 58) as u64
}

/// Timeouts that have a queue of their own; calls of further ones are kept in a sorted set.
const MAX_CLASSES: usize = 16;
/// A queue is looked through when it is longer than twice what is pending, and than this.
const SLACK: usize = 1_024;
/// The generation is kept below 31 bits, so that a key fits an id that is doubled.
const MAX_GENERATION: u32 = (1 << 31) - 1;
/// The 58 bits of a UUID that a key of 64 bits and the marks of version 4 leave.
const NONCE: u64 = (1 << 58) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_version_4_uuid_and_gives_its_key_back() {
        for (key, nonce) in [(0, 0), (u64::MAX, u64::MAX), (0x1234_5678_9abc_def0, 42)] {
            let id = wire_id(key, nonce);
            assert_eq!(id.get_version_num(), 4);
            assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
            assert_eq!(key_of(id), key);
        }
    }

    #[test]
    fn calls_settle_once_and_only_for_their_own_id() {
        let mut rig = Rig::new();
        let (key, id) = rig.open(1, 100, 0);
        let stranger = wire_id(key, 1).to_string();
        assert!(rig.calls.settle(&stranger).is_none());
        assert_eq!(rig.calls.get(key), Some(&"1".to_owned()));
        assert_eq!(rig.calls.settle(&id).unwrap().what, "1");
        assert!(rig.calls.settle(&id).is_none());
        assert_eq!((rig.calls.len(), rig.calls.get(key)), (0, None));
    }

    #[test]
    fn a_table_is_full_until_a_call_settles() {
        let mut rig = Rig::new();
        rig.calls.max = 2;
        let (first, _) = rig.open(1, 100, 0);
        assert!(!rig.calls.is_full());
        rig.open(2, 100, 0);
        assert!(rig.calls.is_full());
        assert_eq!(rig.calls.take(first).unwrap().asker, 1);
        assert!(rig.calls.take(first).is_none());
        assert!(!rig.calls.is_full());
    }

    #[test]
    fn deadlines_come_in_order_across_timeouts() {
        let mut rig = Rig::new();
        for (asker, timeout) in [(1, 300), (2, 100), (3, 300), (4, 50)] {
            rig.open(asker, timeout, asker);
        }
        assert_eq!(rig.calls.deadline(), Some(at(54)));
        assert_eq!(rig.calls.cancel(2).unwrap().what, "2");
        assert_eq!(rig.calls.expire(at(60)).unwrap().what, "4");
        assert!(rig.calls.expire(at(200)).is_none());
        assert_eq!(rig.calls.deadline(), Some(at(301)));
        assert_eq!(rig.calls.pop().unwrap().what, "1");
        assert_eq!(rig.calls.cancel(3).unwrap().what, "3");
        assert!(rig.calls.pop().is_none());
    }

    #[test]
    fn askers_are_found_in_any_order() {
        let mut rig = Rig::new();
        for asker in [5, 9, 1, 7, 3] {
            rig.open(asker, 100, 0);
        }
        for asker in [1, 9, 5, 3, 7] {
            assert_eq!(rig.calls.cancel(asker).unwrap().asker, asker);
            assert!(rig.calls.cancel(asker).is_none());
        }
    }

    #[test]
    fn many_different_timeouts_expire_in_order_too() {
        let mut rig = Rig::new();
        for asker in 1..=100 {
            rig.open(asker, 1_000 - asker, 0);
        }
        assert_eq!(rig.calls.cancel(100).unwrap().what, "100");
        assert_eq!(rig.calls.cancel(1).unwrap().what, "1");
        let mut expired = Vec::new();
        while let Some(due) = rig.calls.deadline() {
            expired.extend(rig.calls.expire(due).map(|call| call.asker));
        }
        assert_eq!(expired, (2..100).rev().collect::<Vec<_>>());
    }

    #[test]
    fn what_is_settled_does_not_pile_up_behind_what_is_not() {
        let mut rig = Rig::new();
        rig.open(0, 30_000, 0);
        for asker in 1..=100_000 {
            let (_, id) = rig.open(asker, 30_000, 0);
            rig.calls.settle(&id).unwrap();
        }
        let length = rig.calls.classes[0].queue.len();
        assert!(length <= SLACK + 8, "{length}");
    }

    #[test]
    fn a_key_of_a_slab_is_good_once() {
        let mut slab = Slab::new();
        let key = slab.open("a");
        assert_eq!(slab.get(key), Some(&"a"));
        assert_eq!(slab.take(key), Some("a"));
        assert_eq!(slab.get(key), None);
        assert_eq!(slab.take(key), None);
    }

    #[test]
    fn a_reused_slot_does_not_answer_to_its_old_key() {
        let mut slab = Slab::new();
        let old = slab.open("a");
        slab.take(old);
        let new = slab.open("b");
        assert_ne!(old, new);
        assert_eq!(slab.take(old), None);
        assert_eq!(slab.take(new), Some("b"));
    }

    #[test]
    fn foreign_keys_find_nothing() {
        let mut slab = Slab::new();
        slab.open(1);
        for key in [0, 1, u64::MAX, 7 << 32] {
            assert_eq!(slab.take(key), None);
        }
    }

    struct Rig {
        calls: Calls<u64, String>,
        entropy: Entropy,
    }

    impl Rig {
        fn new() -> Self {
            Self { calls: Calls::new(1_000_000), entropy: Entropy::new([7; 32]) }
        }

        fn open(&mut self, asker: u64, timeout_ms: u64, millis: u64) -> (u64, String) {
            let what = asker.to_string();
            let opened = self.calls.open(asker, what, timeout_ms, at(millis), &mut self.entropy);
            (opened.0, opened.1.to_string())
        }
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }
}
