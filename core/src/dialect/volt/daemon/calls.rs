//! Commands that we send: each settled exactly once, by its answer, its deadline or the end of the
//! session.
//!
//! The id on the wire is a version-4 UUID that carries the key of its slot, so that an answer finds its
//! call without a search. Calls of equal timeouts expire in the order in which they were made: one
//! queue per timeout knows the next deadline, and settled calls leave it when they reach its front, or
//! when most of it is settled.

use std::collections::{BTreeSet, VecDeque};

use uuid::Uuid;

use super::VoltDaemon;
use crate::api::options::{self};
use crate::base::entropy::Entropy;
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::CallId;
use crate::base::json::Raw;
use crate::base::time::{Instant, Now};
use crate::dialect::volt::options::CommandOptions;
use crate::dialect::volt::wire::{self, Message};
use crate::parts::correlation::Correlation;

/// Timeouts that have a queue of their own; calls of further ones are kept in a sorted set.
const MAX_CLASSES: usize = 16;
/// A queue is looked through when it is longer than twice what is pending, and than this.
const SLACK: usize = 1_024;

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Asker {
    Application(CallId),
    Beat,
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) asker: Asker,
    pub(super) name: String,
    /// The random part of the id: an answer must know it.
    nonce: u64,
}

/// Calls of one timeout, in the order of their deadlines.
#[derive(Debug)]
struct Class {
    timeout_ms: u64,
    queue: VecDeque<(Instant, u64, Asker)>,
}

/// The calls that wait for an answer.
#[derive(Debug)]
pub(super) struct Calls {
    slots: Correlation<Pending>,
    classes: Vec<Class>,
    odd: BTreeSet<(Instant, u64, Asker)>,
    pending: usize,
    max: u64,
}

impl Calls {
    pub(super) const fn new(max: u64) -> Self {
        Self {
            slots: Correlation::new(),
            classes: Vec::new(),
            odd: BTreeSet::new(),
            pending: 0,
            max,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.pending
    }

    pub(super) const fn is_full(&self) -> bool {
        self.pending as u64 >= self.max
    }

    /// Opens a call and returns its key and its id on the wire.
    pub(super) fn open(
        &mut self,
        asker: Asker,
        name: String,
        timeout_ms: u64,
        now: Instant,
        entropy: &mut Entropy,
    ) -> (u64, Uuid) {
        let nonce = entropy.bits();
        let key = self.slots.open(Pending { asker, name, nonce });
        self.pending += 1;
        let entry = (now.after(timeout_ms), key, asker);
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
                class.queue.push_back(entry);
            }
            None => drop(self.odd.insert(entry)),
        }
        (key, wire_id(key, nonce))
    }

    /// Returns the command of a call.
    fn name(&self, key: u64) -> &str {
        self.slots.get(key).map_or("", |pending| &pending.name)
    }

    /// Takes the call that an id belongs to.
    pub(super) fn settle(&mut self, id: &str) -> Option<Pending> {
        let id = Uuid::try_parse(id).ok()?;
        let key = key_of(id);
        let nonce = self.slots.get(key)?.nonce;
        if wire_id(key, nonce) == id { self.take(key) } else { None }
    }

    /// Takes a call of the application.
    pub(super) fn cancel(&mut self, call: CallId) -> Option<Pending> {
        let asker = Asker::Application(call);
        // Applications count their calls, so that a queue is in order; if not, it is looked through.
        let found = self.classes.iter().find_map(|class| {
            let at = class.queue.partition_point(|(_, _, other)| match other {
                Asker::Application(other) => *other < call,
                Asker::Beat => true,
            });
            class.queue.get(at).filter(|(_, _, found)| *found == asker).map(|(_, key, _)| *key)
        });
        let found = found.or_else(|| {
            let mut all = self.classes.iter().flat_map(|class| &class.queue);
            all.find(|(_, _, other)| *other == asker).map(|(_, key, _)| *key)
        });
        let found = found.or_else(|| {
            self.odd.iter().find(|(_, _, other)| *other == asker).map(|(_, key, _)| *key)
        });
        self.take(found?)
    }

    /// Takes one call whose deadline has passed.
    fn expire(&mut self, now: Instant) -> Option<Pending> {
        self.tidy();
        let due = self.classes.iter_mut().find_map(|class| {
            class.queue.pop_front_if(|(at, _, _)| *at <= now).map(|(_, key, _)| key)
        });
        let due = due.or_else(|| {
            let (at, key, _) = *self.odd.first()?;
            (at <= now).then_some(key)
        });
        self.take(due?)
    }

    /// Takes any call, in no promised order.
    fn pop(&mut self) -> Option<Pending> {
        loop {
            let first = self.classes.iter_mut().find_map(|class| class.queue.pop_front());
            let (_, key, _) = first.or_else(|| self.odd.pop_first())?;
            if let Some(pending) = self.take(key) {
                return Some(pending);
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let classes = self.classes.iter().filter_map(|class| class.queue.front());
        classes.chain(self.odd.first()).map(|(at, _, _)| *at).min()
    }

    fn take(&mut self, key: u64) -> Option<Pending> {
        let pending = self.slots.settle(key)?;
        self.pending -= 1;
        Some(pending)
    }

    /// Drops settled calls from the front of each queue, and queues that are empty.
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

/// The 58 bits of a UUID that a key of 64 bits and the marks of version 4 leave.
const NONCE: u64 = (1 << 58) - 1;

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

impl VoltDaemon {
    /// Sends a command; it settles in one `CallDone`.
    pub(super) fn call(
        &mut self,
        call: CallId,
        name: String,
        payload: &Raw,
        options: &Raw,
        now: Now,
    ) -> Result<(), Error> {
        let options = match options.as_str() {
            "{}" => CommandOptions::default(),
            text => options::read::<CommandOptions>(text).map_err(|e| {
                Error::new(ErrorCode::ArgumentInvalid, format!("the command's options: {e}"))
            })?,
        };
        if !self.is_ready() || self.drain_until.is_some() {
            return Err(not_ready(&name));
        }
        if self.calls.is_full() {
            let message =
                format!("{} commands wait for answers: max_pending_calls", self.calls.len());
            return Err(Error::new(ErrorCode::Overloaded, message));
        }
        self.ask(Asker::Application(call), name, payload, options.timeout_ms, now)
    }

    /// Sends a command for whoever asks.
    pub(super) fn ask(
        &mut self,
        asker: Asker,
        name: String,
        payload: &Raw,
        timeout_ms: u64,
        now: Now,
    ) -> Result<(), Error> {
        let mut frames = std::mem::take(&mut self.frames);
        let (key, id) = self.calls.open(asker, name, timeout_ms, now.mono, &mut self.entropy);
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let id: &str = id.hyphenated().encode_lower(&mut text);
        let name = self.calls.name(key);
        let size = wire::command_len(id, name, payload.as_str());
        let written = self
            .write_message(payload.blobs(), size, &mut frames, |json| {
                wire::command(id, name, payload.as_str(), json);
            })
            .and_then(|()| self.check_size(&frames));
        if let Err(error) = written {
            frames.clear();
            self.frames = frames;
            self.calls.take(key);
            return Err(error);
        }
        self.frames = frames;
        self.counters.commands_sent += 1;
        self.say(now);
        if timeout_ms == 0 {
            // Peer: the command goes out all the same.
            self.expire_calls(now);
        }
        Ok(())
    }

    pub(super) fn cancel(&mut self, call: CallId) {
        if self.calls.cancel(call).is_some() {
            self.settle(call, Err(ErrorCode::CallCancelled.into()));
        }
    }

    /// An answer came. Late, foreign and repeated ones meet nobody.
    pub(super) fn answered(
        &mut self,
        message: &Message<'_>,
        result: impl FnOnce() -> Raw,
        now: Now,
    ) {
        let Some(id) = message.request_id.and_then(wire::lenient_text) else { return };
        let Some(pending) = self.calls.settle(&id) else { return };
        let result = if message.ok.is_some_and(wire::is_truthy) {
            Ok(result())
        } else {
            Err(rejection(&pending.name, message))
        };
        self.conclude(pending, result, now);
    }

    pub(super) fn expire_calls(&mut self, now: Now) {
        while let Some(pending) = self.calls.expire(now.mono) {
            let message = format!("no answer to the command \"{}\" in time", pending.name);
            self.conclude(pending, Err(Error::new(ErrorCode::CallTimeout, message)), now);
        }
    }

    /// The session is over: no answer will come, since the server answers to the socket that asked.
    pub(super) fn fail_calls(&mut self, now: Now) {
        while let Some(pending) = self.calls.pop() {
            let message = format!(
                "the connection ended before the answer to \"{}\"; whether it was carried out is \
                 unknown",
                pending.name
            );
            self.conclude(pending, Err(Error::new(ErrorCode::NotReady, message)), now);
        }
    }

    fn conclude(&mut self, pending: Pending, result: Result<Raw, Error>, now: Now) {
        match pending.asker {
            Asker::Application(call) => self.settle(call, result),
            Asker::Beat => self.beat_settled(result.map(drop), now),
        }
    }
}

fn rejection(name: &str, message: &Message<'_>) -> Error {
    let said = message.message.and_then(wire::lenient_text).filter(|text| !text.is_empty());
    let status = message.status.and_then(|status| status.parse().ok());
    let text = match said {
        Some(text) => text.into_owned(),
        None => format!("the control plane rejected the command \"{name}\""),
    };
    Error::new(ErrorCode::RemoteError, text).with_status(status)
}

fn not_ready(name: &str) -> Error {
    let message = format!("the daemon is not registered: the command \"{name}\" was not sent");
    Error::new(ErrorCode::NotReady, message)
}

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
        let mut entropy = Entropy::new([7; 32]);
        let mut calls = Calls::new(10);
        let asker = Asker::Application(CallId(1));
        let at = Instant::from_millis(0);
        let (key, id) = calls.open(asker, "a".into(), 100, at, &mut entropy);
        let id = id.to_string();
        let stranger = wire_id(key, 1).to_string();
        assert!(calls.settle(&stranger).is_none());
        assert_eq!(calls.settle(&id).unwrap().name, "a");
        assert!(calls.settle(&id).is_none());
        assert_eq!(calls.len(), 0);
    }

    #[test]
    fn deadlines_come_in_order_across_timeouts() {
        let mut entropy = Entropy::new([7; 32]);
        let mut calls = Calls::new(10);
        for (call, timeout) in [(1, 300), (2, 100), (3, 300), (4, 50)] {
            let asker = Asker::Application(CallId(call));
            calls.open(asker, call.to_string(), timeout, Instant::from_millis(call), &mut entropy);
        }
        assert_eq!(calls.next_deadline(), Some(Instant::from_millis(54)));
        assert_eq!(calls.cancel(CallId(2)).unwrap().name, "2");
        assert_eq!(calls.expire(Instant::from_millis(60)).unwrap().name, "4");
        assert!(calls.expire(Instant::from_millis(200)).is_none());
        assert_eq!(calls.next_deadline(), Some(Instant::from_millis(301)));
        assert_eq!(calls.pop().unwrap().name, "1");
        assert_eq!(calls.cancel(CallId(3)).unwrap().name, "3");
        assert!(calls.pop().is_none());
    }

    #[test]
    fn many_different_timeouts_expire_in_order_too() {
        let mut entropy = Entropy::new([7; 32]);
        let mut calls = Calls::new(1_000);
        let at = Instant::from_millis(0);
        for call in 1..=100 {
            let asker = Asker::Application(CallId(call));
            calls.open(asker, call.to_string(), 1_000 - call, at, &mut entropy);
        }
        assert_eq!(calls.cancel(CallId(100)).unwrap().name, "100");
        assert_eq!(calls.cancel(CallId(1)).unwrap().name, "1");
        let mut expired = Vec::new();
        while let Some(due) = calls.next_deadline() {
            expired.extend(calls.expire(due).map(|pending| pending.name));
        }
        let all: Vec<_> = (2..100).rev().map(|call: u64| call.to_string()).collect();
        assert_eq!(expired, all);
    }

    #[test]
    fn what_is_settled_does_not_pile_up_behind_what_is_not() {
        let mut entropy = Entropy::new([7; 32]);
        let mut calls = Calls::new(1_000_000);
        let at = Instant::from_millis(0);
        calls.open(Asker::Beat, "first".into(), 30_000, at, &mut entropy);
        for call in 0..100_000 {
            let asker = Asker::Application(CallId(call));
            let (_, id) = calls.open(asker, String::new(), 30_000, at, &mut entropy);
            calls.settle(&id.to_string()).unwrap();
        }
        assert!(calls.classes[0].queue.len() <= SLACK + 8, "{}", calls.classes[0].queue.len());
    }
}
