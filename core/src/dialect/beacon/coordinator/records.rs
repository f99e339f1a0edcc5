//! What is stored, and how it comes back at the start.
//!
//! | space | key | record |
//! |---|---|---|
//! | `hub.work` | hash | what was asked; written once |
//! | `hub.attempt` | hash | the latest attempt: number, holder, losses; written before each delivery |
//! | `hub.result` | hash | the outcome |
//! | `hub.run` | id | a run |

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use super::item::{Ending, Holder, Item, ItemId, Order, State};
use super::results::{Finished, Kept};
use super::runs::Run;
use super::{Coordinator, SWEEP_MS, Timer};
use crate::base::json::Raw;
use crate::base::json::object::{Object, inside};
use crate::base::store::{Loaded, StoreRequest, read_all};
use crate::base::time::{Instant, Now, UnixMillis};

pub(super) const WORK: &str = "hub.work";
pub(super) const ATTEMPTS: &str = "hub.attempt";
pub(crate) const RESULTS: &str = "hub.result";
pub(super) const RUNS: &str = "hub.run";

/// Every space that is loaded whole.
pub(crate) const SPACES: [&str; 3] = [WORK, ATTEMPTS, RUNS];

/// How many outcomes are looked at together at the start, and how much of each: what stands before the
/// outputs.
const PART: (usize, usize) = (4_096, 8_192);

/// What was read of outcomes so far.
#[derive(Debug, Default)]
pub(super) struct Loading {
    found: Vec<(UnixMillis, Kept)>,
    /// Holders, most of which are the same few.
    names: BTreeMap<String, Arc<str>>,
    unreadable: usize,
}

/// What a record of work says beside the order.
#[derive(Deserialize)]
struct Place {
    priority: i64,
    turn: u64,
}

#[derive(Deserialize)]
struct AttemptRecord {
    attempt: u64,
    failures: u64,
    losses: u64,
    #[serde(flatten)]
    holder: Holder,
    assigned: UnixMillis,
    /// When it runs again after an error; absent while it runs.
    retry_after: Option<UnixMillis>,
}

/// What a record of an outcome says beside the rest.
#[derive(Deserialize)]
struct Said {
    outputs: Option<Raw>,
    log: Option<Raw>,
    error: Option<String>,
}

impl Coordinator {
    /// Stores what was asked.
    pub(super) fn store_work(&mut self, id: ItemId) {
        let Some(item) = self.items.get(id) else { return };
        let order = &item.order;
        if order.internal {
            return;
        }
        let text = Object::with_capacity(order.settings.as_str().len() + 512)
            .text("capability", &order.capability)
            .text("action", &order.action)
            .raw("settings", order.settings.as_str())
            .text("run_id", &order.run_id)
            .text("run_hash", &order.run_hash)
            .text("node_hash", &order.node_hash)
            .text("operation_hash", &order.operation_hash)
            .text("affinity_key", &order.affinity_key)
            .flag("strict", order.strict)
            .number("timeout_ms", order.timeout_ms)
            .number("max_attempts", order.max_attempts)
            .number("retry_backoff_ms", order.retry_backoff_ms)
            .text_or_null("key", order.key.as_deref())
            .flag("direct", order.direct)
            .number("enqueued", order.enqueued.0)
            .number("priority", item.priority)
            .number("turn", item.turn)
            .end();
        self.journal.put(WORK, &order.hash, text);
    }

    /// Stores the latest attempt of an item.
    pub(super) fn store_attempt(&mut self, id: ItemId) {
        let Some(item) = self.items.get(id) else { return };
        let (Some(holder), false) = (&item.holder, item.order.internal) else { return };
        let retry_after = item.retry_after.filter(|_| matches!(item.state, State::Retry(_)));
        let record = Object::new()
            .number("attempt", item.attempt)
            .number("failures", item.failures)
            .number("losses", item.losses)
            .text("beacon_id", &holder.beacon_id)
            .text("name", &holder.name)
            .number("assigned", item.assigned.unwrap_or_default().0)
            .given(retry_after, |record, at| record.number("retry_after", at.0));
        self.journal.put(ATTEMPTS, &item.order.hash, record.end());
    }

    /// Keeps an outcome for look-up until it is too old; those that go for it leave the store too.
    pub(super) fn keep_result(&mut self, done: &Finished, until: Instant) {
        for hash in
            self.results.insert(Kept::new(done, until, self.options.runtime.store_path.is_empty()))
        {
            self.journal.delete(RESULTS, &hash);
        }
    }

    /// Stores an outcome in place of the item.
    pub(super) fn store_result(&mut self, done: &Finished) {
        let said = serde_json::to_string(done).unwrap_or_default();
        let record = Object::new()
            .fields(inside(&said).unwrap_or_default())
            .number("bytes", done.size())
            .given(done.holder.as_ref(), |record, holder| {
                record.text("beacon_id", &holder.beacon_id).text("name", &holder.name)
            });
        let record = match &done.result {
            Ok((outputs, log)) => record.raw("outputs", outputs.as_str()).raw("log", log.as_str()),
            Err(error) => record.text("error", error),
        };
        self.journal.delete(WORK, &done.hash);
        self.journal.delete(ATTEMPTS, &done.hash);
        self.journal.put(RESULTS, &done.hash, record.end());
    }

    pub(super) fn store_run(&mut self, run: &Run, forgotten: Option<String>) {
        if let Some(id) = forgotten {
            self.journal.delete(RUNS, &id);
        }
        if let Ok(text) = serde_json::to_string(run) {
            self.journal.put(RUNS, &run.id, text);
        }
    }

    /// Takes what a part of the outcomes begins with, if there is one, and returns how to ask for the
    /// next; `None` behind the last.
    pub(crate) fn load_results(
        &mut self,
        part: Option<&[(String, Bytes)]>,
    ) -> Option<StoreRequest> {
        for (hash, bytes) in part.into_iter().flatten() {
            match Beginning::read(bytes).and_then(|told| told.kept(hash, &mut self.loading.names)) {
                Some(found) => self.loading.found.push(found),
                None => self.loading.unreadable += 1,
            }
        }
        let (limit, bytes) = PART;
        let last = part.map(|part| part.last().filter(|_| part.len() >= limit));
        // The key behind the last is that and the smallest character.
        let from = last.map_or(Some(String::new()), |last| Some(format!("{}\0", last?.0)))?;
        Some(StoreRequest::Find { space: RESULTS, from, limit, bytes })
    }

    /// Takes over what was stored, and takes work from here on. Returns how many records cannot be
    /// read; they stay in the store.
    pub(crate) fn restore(&mut self, spaces: &mut Loaded, now: Now) -> usize {
        self.is_open = true;
        let mut take = |space| spaces.remove(space).unwrap_or_default();
        let Loading { mut found, mut unreadable, .. } = std::mem::take(&mut self.loading);
        found.sort_by(|(a, one), (b, other)| (a, &one.hash).cmp(&(b, &other.hash)));
        self.results.reserve(found.len());
        for (finished, kept) in found {
            // The wall clock is all that spans a restart; a life is never longer than it was.
            let age = now.unix.0.saturating_sub(finished.0);
            let until = now.mono.after(self.options.result_ttl_ms.saturating_sub(age));
            for hash in self.results.insert(Kept { until, ..kept }) {
                self.journal.delete(RESULTS, &hash);
            }
        }
        let mut runs =
            read_all(take(RUNS), |_, run| serde_json::from_slice::<Run>(run).ok(), &mut unreadable);
        runs.sort_by(|a, b| (a.started, &a.id).cmp(&(b.started, &b.id)));
        for run in runs {
            self.runs.insert(run);
        }
        let mut latest: BTreeMap<String, Bytes> = take(ATTEMPTS).into_iter().collect();
        let mut items = read_all(take(WORK), read_work, &mut unreadable);
        // The turn knows the order whatever the wall clock said meanwhile.
        items.sort_by_cached_key(|item| (item.turn, item.order.enqueued, item.order.hash.clone()));
        for item in items {
            let attempt = latest.remove(&*item.order.hash);
            self.restore_item(item, attempt, now);
        }
        if !self.held.is_empty() {
            self.timers.add(Timer::Held, now.mono.after(self.options.lease_ms));
        }
        self.timers.add(Timer::Sweep, now.mono.after(SWEEP_MS));
        unreadable
    }

    fn restore_item(&mut self, mut item: Item, attempt: Option<Bytes>, now: Now) {
        self.items.next = self.items.next.max(item.turn);
        let latest: Option<AttemptRecord> =
            attempt.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let limit = item.order.timeout_ms;
        let mut since = item.order.direct.then_some(item.order.enqueued);
        if let Some(latest) = latest {
            item.attempt = latest.attempt;
            item.failures = latest.failures;
            item.losses = latest.losses;
            item.assigned = Some(latest.assigned);
            if let Some(at) = latest.retry_after {
                let longest = item.order.retry_backoff_ms.saturating_mul(latest.failures);
                let wait = at.0.saturating_sub(now.unix.0).min(longest);
                item.retry_after = Some(UnixMillis(now.unix.0.saturating_add(wait)));
                item.state = State::Retry(now.mono.after(wait));
            } else {
                item.state = State::Held;
                since = since.or(Some(latest.assigned));
            }
            item.holder = Some(latest.holder);
        }
        // The wall clock is all that spans a restart; the limit is never longer than it was.
        let left = since.map(|at| at.0.saturating_add(limit).saturating_sub(now.unix.0).min(limit));
        item.deadline = left.map(|left| now.mono.after(left));
        let (deadline, state, holder) = (item.deadline, item.state.clone(), item.holder.clone());
        let id = self.items.insert(item);
        if let Some(at) = deadline {
            self.timers.add(Timer::Limit(id), at);
        }
        match (state, holder) {
            (State::Retry(at), _) => self.timers.add(Timer::Retry(id), at),
            (State::Pending(_), _) => self.place(id, now),
            (State::Held, Some(Holder { name, .. })) => {
                self.held.entry(name).or_default().insert(id);
            }
            (State::Held | State::Running(_), _) => {}
        }
    }
}

/// What a record of an outcome begins with.
#[derive(Default)]
struct Beginning {
    key: Option<Box<str>>,
    name: Option<Box<str>>,
    finished: Option<UnixMillis>,
    ending: Option<Ending>,
    reported: bool,
    attempt: u64,
    bytes: Option<u64>,
}

impl Beginning {
    /// Reads as far as the outputs, which may be cut.
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut told = Self { bytes: None, ..Self::default() };
        let size = bytes.len() as u64;
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        // That the rest was not read is no fault.
        let _ = serde::Deserializer::deserialize_map(&mut reader, &mut told);
        told.bytes = told.bytes.or(Some(size));
        told.finished.is_some().then_some(told)
    }

    fn kept(
        self,
        hash: &str,
        names: &mut BTreeMap<String, Arc<str>>,
    ) -> Option<(UnixMillis, Kept)> {
        let name = self.name.map(|name| match names.get(&*name) {
            Some(known) => known.clone(),
            None => names.entry(name.to_string()).or_insert_with(|| (*name).into()).clone(),
        });
        let kept = Kept {
            hash: hash.into(),
            key: self.key.map(Arc::from),
            name,
            ending: self.ending?,
            reported: self.reported,
            attempt: self.attempt,
            until: Instant::default(),
            size: self.bytes?,
            whole: None,
        };
        Some((self.finished?, kept))
    }
}

impl<'de> Visitor<'de> for &mut Beginning {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record of an outcome")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<&str>()? {
            match name {
                "key" => self.key = map.next_value()?,
                "name" => self.name = map.next_value()?,
                "finished" => self.finished = map.next_value()?,
                "ending" => self.ending = map.next_value()?,
                "reported" => self.reported = map.next_value()?,
                "attempt" => self.attempt = map.next_value()?,
                "bytes" => self.bytes = map.next_value()?,
                "outputs" | "log" | "error" => return Ok(()),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

fn read_work(hash: &str, bytes: &[u8]) -> Option<Item> {
    let order: Order = serde_json::from_slice(bytes).ok()?;
    let place: Place = serde_json::from_slice(bytes).ok()?;
    Some(Item::new(Order { hash: hash.into(), ..order }, place.priority, place.turn))
}

pub(super) fn read_result(hash: &str, bytes: &[u8]) -> Option<Finished> {
    let done: Finished = serde_json::from_slice(bytes).ok()?;
    let Said { outputs, log, error } = serde_json::from_slice(bytes).ok()?;
    let result = match outputs.zip(log) {
        Some(success) => Ok(success),
        None => Err(error.unwrap_or_else(|| "Unknown error".to_owned())),
    };
    let holder = serde_json::from_slice(bytes).ok();
    Some(Finished { hash: hash.into(), holder, result, ..done })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_earlier_builds_stored_is_read() {
        let work = r#"{"capability":"Echo","action":"Say","settings":{"n":1.0},"run_id":"r",
            "run_hash":"","node_hash":"","operation_hash":"","affinity_key":"","strict":false,
            "timeout_ms":5,"max_attempts":2,"retry_backoff_ms":7,"key":null,"direct":true,
            "enqueued":9,"priority":-3,"turn":4}"#;
        let item = read_work("wi-1", work.as_bytes()).unwrap();
        assert_eq!((&*item.order.hash, item.priority, item.turn), ("wi-1", -3, 4));
        assert_eq!(item.order.settings.as_str(), r#"{"n":1.0}"#);
        let attempt = r#"{"attempt":2,"failures":1,"losses":0,"beacon_id":"bcn-w","name":"w",
            "assigned":8,"retry_after":10}"#;
        let attempt: AttemptRecord = serde_json::from_str(attempt).unwrap();
        assert_eq!((&*attempt.holder.name, attempt.retry_after), ("w", Some(UnixMillis(10))));
        let run = r#"{"id":"rn-1","key":"k","started":3,"state":"Active"}"#;
        let run: Run = serde_json::from_str(run).unwrap();
        assert_eq!(run.key.as_deref(), Some("k"));
    }

    #[test]
    fn the_beginning_of_an_outcome_tells_what_is_kept_in_memory() {
        let text = r#"{"key":"k","capability":"Echo","action":"Say","run_id":"","priority":1,
            "enqueued":2,"finished":3,"ending":"Error","reported":true,"attempt":4,"bytes":999,
            "beacon_id":"b","name":"w","outputs":{"a":"#;
        let told = Beginning::read(text.as_bytes()).unwrap();
        let (finished, kept) = told.kept("wi-1", &mut BTreeMap::new()).unwrap();
        assert_eq!((finished, kept.size, kept.attempt), (UnixMillis(3), 999, 4));
        assert_eq!((kept.key.as_deref(), kept.name.as_deref()), (Some("k"), Some("w")));
        assert!(kept.reported && kept.ending == Ending::Error);
        for broken in ["{not a record", "", r#"{"key":"k"}"#, "[]"] {
            assert!(Beginning::read(broken.as_bytes()).is_none(), "{broken}");
        }
    }

    #[test]
    fn outcomes_of_earlier_builds_are_read() {
        let record = |rest: &str| {
            let text = format!(
                r#"{{"key":"k","capability":"Echo","action":"Say","run_id":"","priority":1,
                "enqueued":2,"finished":3,"ending":"Canceled","reported":true,"attempt":4{rest}}}"#
            );
            read_result("wi-1", text.as_bytes()).unwrap()
        };
        let done = record(r#","beacon_id":"b","name":"w","outputs":{"a":1.0},"log":["x"]"#);
        assert_eq!((done.ending, &*done.holder.unwrap().name), (Ending::Cancelled, "w"));
        let (outputs, log) = done.result.unwrap();
        assert_eq!((outputs.as_str(), log.as_str()), (r#"{"a":1.0}"#, r#"["x"]"#));
        assert_eq!(record(r#","error":"no""#).result.unwrap_err(), "no");
        assert!(record("").holder.is_none());
    }
}
