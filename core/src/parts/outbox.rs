//! Finished outcomes, kept until the control plane has taken them.
//!
//! An outcome enters when its handler is done and leaves when the peer's answer, or the wire's best
//! evidence, says that it arrived; or when the peer says that it no longer knows the item. In between
//! it survives every loss of the link; with a store, also the end of the process.
//!
//! A connection delivers in order, so the answer to a ping proves that everything sent before it arrived:
//! each ping carries a number.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::api::command::Outcome;
use crate::base::json::Raw;

/// What an entry costs beside its payload, in bytes.
const OVERHEAD: usize = 160;

/// One outcome on its way.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The item's wire id.
    pub(crate) wire: ByteString,
    /// The attempt that produced the outcome.
    pub(crate) attempt: u32,
    /// The outcome.
    pub(crate) outcome: Outcome,
    /// The number of its latest sending on the present link.
    sent: Option<u64>,
}

impl Entry {
    fn bytes(&self) -> usize {
        let payload = match &self.outcome {
            Outcome::Done { value, log } => value.as_str().len() + log.as_str().len(),
            Outcome::Failed { message } => message.len(),
            Outcome::Cancelled => 0,
        };
        payload + self.wire.len() + OVERHEAD
    }
}

/// An entry that left the outbox.
#[derive(Debug)]
pub(crate) struct Removed {
    /// The item's wire id.
    pub(crate) wire: ByteString,
}

/// All outcomes on their way, in the order in which they were finished.
#[derive(Debug)]
pub(crate) struct Outbox {
    max_items: usize,
    max_bytes: usize,
    entries: BTreeMap<u64, Entry>,
    by_wire: BTreeMap<ByteString, u64>,
    unsent: BTreeSet<u64>,
    sendings: VecDeque<(u64, u64)>,
    bytes: usize,
    bytes_sent: usize,
    next: u64,
    sending: u64,
    /// Pings that were not answered, by number, and the latest sending before each.
    pings: VecDeque<(u64, u64)>,
    last_ping: u64,
}

impl Outbox {
    pub(crate) const fn new(max_items: usize, max_bytes: usize) -> Self {
        Self {
            max_items,
            max_bytes,
            entries: BTreeMap::new(),
            by_wire: BTreeMap::new(),
            unsent: BTreeSet::new(),
            sendings: VecDeque::new(),
            bytes: 0,
            bytes_sent: 0,
            next: 0,
            sending: 0,
            pings: VecDeque::new(),
            last_ping: 0,
        }
    }

    /// Adds an outcome. One of an earlier attempt of the same item is replaced.
    pub(crate) fn put(&mut self, wire: ByteString, attempt: u32, outcome: Outcome) {
        self.remove(&wire);
        let id = self.next;
        self.next += 1;
        let entry = Entry { wire: wire.clone(), attempt, outcome, sent: None };
        self.bytes += entry.bytes();
        self.entries.insert(id, entry);
        self.by_wire.insert(wire, id);
        self.unsent.insert(id);
    }

    /// Tells whether new work should wait until there is room.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= self.max_items || self.bytes >= self.max_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn find(&self, wire: &str) -> Option<&Entry> {
        self.entries.get(self.by_wire.get(wire)?)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Tells whether something was sent on this link of which nothing has been heard.
    pub(crate) fn has_sent(&self) -> bool {
        self.unsent.len() < self.entries.len()
    }

    /// Marks the oldest unsent outcome as sent and returns it, unless `window` bytes are on their
    /// way already. One outcome is always let through.
    pub(crate) fn send(&mut self, window: usize) -> Option<&Entry> {
        let id = *self.unsent.first()?;
        let entry = self.entries.get_mut(&id)?;
        let bytes = entry.bytes();
        if self.bytes_sent > 0 && self.bytes_sent + bytes > window {
            return None;
        }
        self.unsent.remove(&id);
        self.bytes_sent += bytes;
        self.sending += 1;
        entry.sent = Some(self.sending);
        self.sendings.push_back((self.sending, id));
        Some(entry)
    }

    /// Marks an outcome as unsent, to be sent again.
    pub(crate) fn unsend(&mut self, wire: &str) {
        let Some(id) = self.by_wire.get(wire).copied() else { return };
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.sent.take().is_some() {
            self.bytes_sent -= entry.bytes();
            self.unsent.insert(id);
        }
    }

    /// Marks everything as unsent: the link is gone.
    pub(crate) fn unsend_all(&mut self) {
        for (id, entry) in &mut self.entries {
            if entry.sent.take().is_some() {
                self.unsent.insert(*id);
            }
        }
        self.sendings.clear();
        self.bytes_sent = 0;
    }

    /// Gives the outcome of an item a newer attempt number and marks it as unsent.
    pub(crate) fn adopt(&mut self, wire: &str, attempt: u32) {
        self.unsend(wire);
        if let Some(entry) = self.by_wire.get(wire).and_then(|id| self.entries.get_mut(id)) {
            entry.attempt = attempt;
        }
    }

    /// Returns the payload of a ping whose answer proves that everything sent so far has arrived.
    pub(crate) fn ping(&mut self) -> Bytes {
        self.last_ping += 1;
        self.pings.push_back((self.last_ping, self.sending));
        Bytes::from(self.last_ping.to_string())
    }

    /// Removes everything that the answer to a ping proves to have arrived; without `as_evidence` it
    /// proves nothing.
    pub(crate) fn pong(&mut self, payload: &[u8], as_evidence: bool) -> Vec<Removed> {
        let number = std::str::from_utf8(payload).ok().and_then(|text| text.parse::<u64>().ok());
        let mut covers = None;
        while let Some((ping, sending)) = self.pings.front().copied()
            && number.is_some_and(|number| ping <= number)
        {
            self.pings.pop_front();
            covers = Some(sending);
        }
        covers.filter(|_| as_evidence).map_or_else(Vec::new, |covers| self.proven(covers))
    }

    /// Forgets pings that were not answered: another link answers none of them.
    pub(crate) fn forget_pings(&mut self) {
        self.pings.clear();
    }

    fn proven(&mut self, covers: u64) -> Vec<Removed> {
        let mut removed = Vec::new();
        while let Some((sending, id)) = self.sendings.front().copied() {
            if sending > covers {
                break;
            }
            self.sendings.pop_front();
            let latest = self.entries.get(&id).is_some_and(|entry| entry.sent == Some(sending));
            if latest {
                removed.extend(self.take(id).map(|entry| Removed { wire: entry.wire }));
            }
        }
        removed
    }

    /// Removes one outcome.
    pub(crate) fn remove(&mut self, wire: &str) -> Option<Removed> {
        let id = self.by_wire.get(wire).copied()?;
        self.take(id).map(|entry| Removed { wire: entry.wire })
    }

    fn take(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.by_wire.remove(&entry.wire);
        self.unsent.remove(&id);
        self.bytes -= entry.bytes();
        if entry.sent.is_some() {
            self.bytes_sent -= entry.bytes();
        }
        if self.entries.is_empty() {
            self.sendings.clear();
        }
        Some(entry)
    }
}

/// An outcome as it lies in a store.
#[derive(Serialize, Deserialize)]
struct Record {
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

impl Entry {
    /// Writes the outcome for a store.
    pub(crate) fn to_record(&self) -> String {
        let mut record = Record { attempt: self.attempt, value: None, log: None, failure: None };
        match &self.outcome {
            Outcome::Done { value, log } => {
                record.value = Some(value.clone());
                record.log = Some(log.clone());
            }
            Outcome::Failed { message } => record.failure = Some(message.clone()),
            Outcome::Cancelled => record.failure = Some(String::from("given up")),
        }
        serde_json::to_string(&record).unwrap_or_default()
    }
}

/// Reads an outcome from a store.
pub(crate) fn from_record(bytes: &[u8]) -> Option<(u32, Outcome)> {
    let record: Record = serde_json::from_slice(bytes).ok()?;
    let outcome = match (record.value, record.failure) {
        (Some(value), None) => {
            Outcome::Done { value, log: record.log.unwrap_or_else(Raw::empty_list) }
        }
        (None, Some(message)) => Outcome::Failed { message },
        (Some(_), Some(_)) | (None, None) => return None,
    };
    Some((record.attempt, outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_removes_what_was_sent_before_it_and_nothing_else() {
        let mut outbox = Outbox::new(10, 1 << 20);
        put(&mut outbox, "a", 1);
        put(&mut outbox, "b", 1);
        outbox.send(1 << 20).unwrap();
        let ping = outbox.ping();
        outbox.send(1 << 20).unwrap();
        assert!(outbox.pong(b"hello", true).is_empty());
        let gone: Vec<_> = outbox.pong(&ping, true).into_iter().map(|r| r.wire).collect();
        assert_eq!(gone, ["a"]);
        assert!(outbox.find("b").is_some());
        assert!(outbox.pong(&ping, true).is_empty());
    }

    #[test]
    fn a_lost_link_makes_everything_unsent_in_the_old_order() {
        let mut outbox = Outbox::new(10, 1 << 20);
        put(&mut outbox, "a", 1);
        put(&mut outbox, "b", 1);
        outbox.send(1 << 20);
        outbox.send(1 << 20);
        let ping = outbox.ping();
        outbox.unsend_all();
        assert!(outbox.pong(&ping, true).is_empty(), "evidence of an old link proves nothing");
        assert_eq!(outbox.send(1 << 20).unwrap().wire, "a");
    }

    #[test]
    fn an_outcome_sent_again_is_proven_by_its_latest_sending_only() {
        let mut outbox = Outbox::new(10, 1 << 20);
        put(&mut outbox, "a", 1);
        outbox.send(1 << 20);
        let early = outbox.ping();
        outbox.adopt("a", 2);
        assert_eq!(outbox.send(1 << 20).unwrap().attempt, 2);
        assert!(outbox.pong(&early, true).is_empty());
        let late = outbox.ping();
        assert_eq!(outbox.pong(&late, true).len(), 1);
        assert!(outbox.is_empty());
        assert_eq!((outbox.bytes(), outbox.bytes_sent), (0, 0));
    }

    #[test]
    fn the_window_bounds_what_is_on_its_way_but_lets_one_through() {
        let mut outbox = Outbox::new(10, 1 << 20);
        put(&mut outbox, "a", 1);
        put(&mut outbox, "b", 1);
        assert!(outbox.send(1).is_some());
        assert!(outbox.send(1).is_none());
        outbox.remove("a");
        assert!(outbox.send(1).is_some());
    }

    #[test]
    fn a_late_answer_stands_for_the_pings_before_it() {
        let mut outbox = Outbox::new(10, 1 << 20);
        put(&mut outbox, "a", 1);
        put(&mut outbox, "b", 1);
        outbox.send(1 << 20);
        let first = outbox.ping();
        outbox.send(1 << 20);
        let second = outbox.ping();
        assert_eq!(outbox.pong(&second, true).len(), 2);
        assert!(outbox.pong(&first, true).is_empty());
        put(&mut outbox, "c", 1);
        outbox.send(1 << 20);
        let third = outbox.ping();
        outbox.forget_pings();
        assert!(outbox.pong(&third, true).is_empty());
    }

    #[test]
    fn full_is_by_count_or_by_bytes() {
        let mut outbox = Outbox::new(1, 1 << 20);
        assert!(!outbox.is_full());
        put(&mut outbox, "a", 1);
        assert!(outbox.is_full());
        let mut outbox = Outbox::new(10, 10);
        put(&mut outbox, "a", 1);
        assert!(outbox.is_full());
    }

    #[test]
    fn records_bring_outcomes_back() {
        let mut outbox = Outbox::new(10, 1 << 20);
        put(&mut outbox, "a", 3);
        let record = outbox.find("a").unwrap().to_record();
        let (attempt, outcome) = from_record(record.as_bytes()).unwrap();
        assert_eq!(attempt, 3);
        assert_eq!(outcome, outbox.find("a").unwrap().outcome);
        assert!(from_record(b"{}").is_none());
        assert!(from_record(b"\xff").is_none());
    }

    fn put(outbox: &mut Outbox, wire: &'static str, attempt: u32) {
        let value = Raw::parse("{\"n\":1.0}").unwrap();
        let outcome = Outcome::Done { value, log: Raw::empty_list() };
        outbox.put(ByteString::from_static(wire), attempt, outcome);
    }
}
