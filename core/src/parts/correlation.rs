//! Finds what a reply belongs to, without hashing: a slab whose keys carry slot and generation.
//!
//! A key is good for one settling. Late, foreign and repeated keys find nothing.

/// The generation is kept below 31 bits, so that a key fits a wire id that is doubled.
const MAX_GENERATION: u32 = (1 << 31) - 1;

/// Pending values by key.
#[derive(Debug)]
pub(crate) struct Correlation<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Correlation<T> {
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
    pub(crate) fn settle(&mut self, key: u64) -> Option<T> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_settles_once() {
        let mut correlation = Correlation::new();
        let key = correlation.open("a");
        assert_eq!(correlation.get(key), Some(&"a"));
        assert_eq!(correlation.settle(key), Some("a"));
        assert_eq!(correlation.get(key), None);
        assert_eq!(correlation.settle(key), None);
    }

    #[test]
    fn a_reused_slot_does_not_answer_to_its_old_key() {
        let mut correlation = Correlation::new();
        let old = correlation.open("a");
        correlation.settle(old);
        let new = correlation.open("b");
        assert_ne!(old, new);
        assert_eq!(correlation.settle(old), None);
        assert_eq!(correlation.settle(new), Some("b"));
    }

    #[test]
    fn foreign_keys_find_nothing() {
        let mut correlation = Correlation::new();
        correlation.open(1);
        for key in [0, 1, u64::MAX, 7 << 32] {
            assert_eq!(correlation.settle(key), None);
        }
    }
}
