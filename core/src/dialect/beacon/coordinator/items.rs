//! Every item that is not finished, found by number, by hash, by idempotency key and by lane.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::item::{Item, ItemId, Lanes, State};

/// The items of a hub.
#[derive(Debug, Default)]
pub(super) struct Items {
    /// Boxed: nodes of a tree that grows at its end are half empty.
    items: BTreeMap<ItemId, Box<Item>>,
    by_hash: HashMap<Arc<str>, ItemId>,
    by_key: HashMap<String, ItemId>,
    pub(super) lanes: Lanes,
    /// The number, and the turn, that the next item gets.
    pub(super) next: u64,
    /// How many are the hub's own.
    pub(super) internal: usize,
    /// The bytes of all items.
    pub(super) bytes: u64,
}

impl Items {
    /// Takes an item in; it must be placed next.
    pub(super) fn insert(&mut self, mut item: Item) -> ItemId {
        let id = ItemId(self.next);
        self.next += 1;
        self.by_hash.insert(item.order.hash.clone(), id);
        if let Some(key) = &item.order.key {
            self.by_key.insert(key.clone(), id);
        }
        item.counted = item.size();
        self.bytes += item.counted;
        self.internal += usize::from(item.order.internal);
        // One that waits is listed when it is placed: most are given out at once.
        if !matches!(item.state, State::Pending(_)) {
            self.lanes.enter(&item.state, item.rank(id));
        }
        self.items.insert(id, Box::new(item));
        id
    }

    /// Counts an item's bytes anew, once something was said about it.
    pub(super) fn recount(&mut self, id: ItemId) {
        let Some(item) = self.items.get_mut(&id) else { return };
        let size = item.size();
        let before = std::mem::replace(&mut item.counted, size);
        self.bytes = self.bytes.saturating_sub(before) + item.counted;
    }

    /// Takes an item out.
    pub(super) fn remove(&mut self, id: ItemId) -> Option<Item> {
        let item = self.items.remove(&id)?;
        self.by_hash.remove(&item.order.hash);
        if let Some(key) = &item.order.key {
            self.by_key.remove(key);
        }
        self.bytes = self.bytes.saturating_sub(item.counted);
        self.internal -= usize::from(item.order.internal);
        self.lanes.leave(&item.state, item.rank(id));
        Some(*item)
    }

    /// Moves an item to another state and returns it.
    pub(super) fn change(&mut self, id: ItemId, state: State) -> Option<&mut Item> {
        let item = self.items.get_mut(&id)?;
        let rank = item.rank(id);
        self.lanes.leave(&item.state, rank);
        self.lanes.enter(&state, rank);
        item.state = state;
        Some(item)
    }

    /// Moves a waiting item before or behind its neighbour in the order of delivery; returns its
    /// priority before and after.
    ///
    /// Peer: the new priority is one more or less than the neighbour's, so that whoever lists by priority
    /// sees the same order (`ultravisor` 1.3.24).
    ///
    /// # Errors
    /// Why it cannot be moved.
    pub(super) fn reorder(&mut self, id: ItemId, up: bool) -> Result<(i64, i64), &'static str> {
        let item = self.get(id).filter(|item| item.is_upcoming());
        let rank = item.ok_or("only Upcoming items can be reordered")?.rank(id);
        let upcoming = self.iter().filter(|(_, item)| item.is_upcoming());
        let ranks = upcoming.map(|(id, item)| item.rank(id));
        let (neighbour, edge) = if up {
            (ranks.filter(|other| *other < rank).max(), "already at top")
        } else {
            (ranks.filter(|other| *other > rank).min(), "already at bottom")
        };
        let (Reverse(beside), ..) = neighbour.ok_or(edge)?;
        let step = if up { 1 } else { -1 };
        let item = self.items.get_mut(&id).ok_or(edge)?;
        let before = item.priority;
        self.lanes.leave(&item.state, rank);
        item.priority = beside.saturating_add(step);
        self.lanes.enter(&item.state, item.rank(id));
        Ok((before, item.priority))
    }

    pub(super) fn get(&self, id: ItemId) -> Option<&Item> {
        self.items.get(&id).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, id: ItemId) -> Option<&mut Item> {
        self.items.get_mut(&id).map(Box::as_mut)
    }

    pub(super) fn find(&self, hash: &str) -> Option<ItemId> {
        self.by_hash.get(hash).copied()
    }

    pub(super) fn find_key(&self, key: &str) -> Option<ItemId> {
        self.by_key.get(key).copied()
    }

    /// Returns every item in order of arrival.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ItemId, &Item)> {
        self.items.iter().map(|(id, item)| (*id, &**item))
    }

    /// Returns how many wait.
    pub(super) fn waiting(&self) -> usize {
        self.items.len() - self.lanes.running
    }
}
