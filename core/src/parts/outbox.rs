//! Finished outcomes, kept until the control plane has taken them.
//!
//! An outcome enters when its handler is done and leaves when the peer's answer, or the wire's best
//! evidence, says that it arrived; or when the peer says that it no longer knows the item. In between
//! it survives every loss of the link; with a store, also the end of the process.
//!
//! A connection delivers in order, so the answer to a ping proves that everything sent before it arrived:
//! each ping carries a number.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use bytestring::ByteString;
use serde::Deserialize;

use crate::api::command::Outcome;
use crate::base::json::Raw;
use crate::base::json::object::Object;

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

/// All outcomes on their way, in the order in which they were finished.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    max_items: usize,
    max_bytes: usize,
    entries: BTreeMap<u64, Entry>,
    by_wire: BTreeMap<ByteString, u64>,
    unsent: BTreeSet<u64>,
    /// The entry of each sending whose arrival is not proven.
    sendings: BTreeMap<u64, u64>,
    pub(crate) bytes: usize,
    bytes_sent: usize,
    next: u64,
    sending: u64,
    /// The number of the ping that was not answered, and the latest sending before it. Another link does not
    /// answer it.
    pub(crate) ping: Option<(u64, u64)>,
    last_ping: u64,
}

impl Outbox {
    pub(crate) fn new(max_items: usize, max_bytes: usize) -> Self {
        Self { max_items, max_bytes, ..Self::default() }
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
        self.sendings.insert(self.sending, id);
        Some(entry)
    }

    /// Marks an outcome as unsent, to be sent again.
    pub(crate) fn unsend(&mut self, wire: &str) {
        let Some(id) = self.by_wire.get(wire).copied() else { return };
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if let Some(sending) = entry.sent.take() {
            self.bytes_sent -= entry.bytes();
            self.sendings.remove(&sending);
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

    /// Returns the payload of a ping whose answer proves that everything sent so far has arrived;
    /// `None` while one is unanswered: peers give up who leaves them many pings at once.
    pub(crate) fn ping(&mut self) -> Option<Bytes> {
        if self.ping.is_some() {
            return None;
        }
        self.last_ping += 1;
        self.ping = Some((self.last_ping, self.sending));
        Some(Bytes::from(self.last_ping.to_string()))
    }

    /// Removes everything that the answer to a ping proves to have arrived; without `as_evidence` it
    /// proves nothing.
    pub(crate) fn pong(&mut self, payload: &[u8], as_evidence: bool) -> Vec<ByteString> {
        let number = std::str::from_utf8(payload).ok().and_then(|text| text.parse::<u64>().ok());
        match self.ping.take_if(|(ping, _)| number == Some(*ping)) {
            Some((_, covers)) if as_evidence => self.proven(covers),
            Some(_) | None => Vec::new(),
        }
    }

    fn proven(&mut self, covers: u64) -> Vec<ByteString> {
        let later = self.sendings.split_off(&(covers + 1));
        let arrived = std::mem::replace(&mut self.sendings, later);
        arrived.into_values().filter_map(|id| self.take(id)).map(|entry| entry.wire).collect()
    }

    /// Removes one outcome.
    pub(crate) fn remove(&mut self, wire: &str) -> Option<ByteString> {
        let id = self.by_wire.get(wire).copied()?;
        self.take(id).map(|entry| entry.wire)
    }

    fn take(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.by_wire.remove(&entry.wire);
        self.unsent.remove(&id);
        self.bytes -= entry.bytes();
        if let Some(sending) = entry.sent {
            self.bytes_sent -= entry.bytes();
            self.sendings.remove(&sending);
        }
        Some(entry)
    }
}

/// An outcome as it lies in a store.
#[derive(Deserialize)]
struct Record {
    attempt: u32,
    value: Option<Raw>,
    log: Option<Raw>,
    failure: Option<String>,
}

impl Entry {
    /// Writes the outcome for a store.
    pub(crate) fn to_record(&self) -> String {
        let record = Object::new().number("attempt", self.attempt);
        match &self.outcome {
            Outcome::Done { value, log } => record.value("value", value).value("log", log),
            Outcome::Failed { message } => record.text("failure", message),
            Outcome::Cancelled => record.text("failure", "given up"),
        }
        .end()
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
        let ping = outbox.ping().unwrap();
        outbox.send(1 << 20).unwrap();
        assert!(outbox.pong(b"hello", true).is_empty());
        let gone = outbox.pong(&ping, true);
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
        let ping = outbox.ping().unwrap();
        outbox.unsend_all();
        assert!(outbox.pong(&ping, true).is_empty(), "evidence of an old link proves nothing");
        assert_eq!(outbox.send(1 << 20).unwrap().wire, "a");
    }

    #[test]
    fn an_outcome_sent_again_is_proven_by_its_latest_sending_only() {
        let mut outbox = Outbox::new(10, 1 << 20);
        put(&mut outbox, "a", 1);
        outbox.send(1 << 20);
        let early = outbox.ping().unwrap();
        outbox.adopt("a", 2);
        assert_eq!(outbox.send(1 << 20).unwrap().attempt, 2);
        assert!(outbox.pong(&early, true).is_empty());
        let late = outbox.ping().unwrap();
        assert_eq!(outbox.pong(&late, true).len(), 1);
        assert!(outbox.is_empty());
        assert_eq!((outbox.bytes, outbox.bytes_sent), (0, 0));
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
    fn one_ping_at_a_time_is_unanswered() {
        let mut outbox = Outbox::new(10, 1 << 20);
        put(&mut outbox, "a", 1);
        outbox.send(1 << 20);
        let first = outbox.ping().unwrap();
        assert_eq!(outbox.ping(), None);
        assert!(outbox.pong(b"7", true).is_empty(), "nobody asked that");
        assert_eq!(outbox.pong(&first, true).len(), 1);
        put(&mut outbox, "b", 1);
        outbox.send(1 << 20);
        let second = outbox.ping().unwrap();
        outbox.ping = None;
        assert!(outbox.pong(&second, true).is_empty());
        assert!(outbox.ping().is_some());
    }

    #[test]
    fn what_is_remembered_of_a_sending_goes_with_it() {
        let mut outbox = Outbox::new(10, 1 << 20);
        put(&mut outbox, "a", 1);
        put(&mut outbox, "b", 1);
        for _ in 0..1_000 {
            outbox.send(1 << 20).unwrap();
            outbox.unsend("a");
        }
        outbox.send(1 << 20).unwrap();
        assert_eq!(outbox.sendings.len(), 1);
        outbox.remove("a");
        outbox.remove("b");
        assert!(outbox.sendings.is_empty());
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
