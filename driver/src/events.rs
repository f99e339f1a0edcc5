//! Events on their way to the application: appended as JSON by the I/O thread, drained in batches.
//!
//! The doorbell rings when the queue turns from empty to non-empty and stays silent until the
//! application has drained it to the end: a burst of events costs one wake-up.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moorline_core::SessionEvent;
use moorline_core::{Event, Instant, event};

use crate::clock::Clock;
use crate::counters::Counting;
use crate::inbox::Inbox;

/// The most bytes that one drain moves, unless a single event is larger.
const MAX_DRAIN: usize = 64 * 1024;

/// Where the I/O thread puts events.
pub(crate) trait Sink: Send + Sync + 'static {
    /// Takes events, in order. Never waits.
    fn deliver(&self, events: &mut Vec<Event>);

    /// Rings the doorbell if the queue has turned non-empty. Called once per turn.
    fn ring(&self, now: Instant);

    /// Rings although there may be nothing to read: does the application answer?
    fn probe(&self, now: Instant);

    /// Returns how long the application has left the doorbell unanswered, in milliseconds.
    fn lag(&self, now: Instant) -> u64;

    /// Tells whether so much waits that reading from peers should pause.
    fn is_full(&self) -> bool;
}

/// A bounded queue of events as JSON text, with a doorbell.
pub struct EventQueue {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    counting: Arc<Counting>,
    inbox: Arc<Inbox>,
    max_bytes: usize,
    process: u32,
}

#[derive(Default)]
struct State {
    text: String,
    entries: VecDeque<Entry>,
    taken: usize,
    armed: bool,
    unanswered_since: Option<Instant>,
    was_full: bool,
    ended: bool,
    short: bool,
    doorbell: Option<Arc<dyn Fn() + Send + Sync>>,
}

/// One event in the text.
struct Entry {
    length: usize,
    /// If it is frequent: its number, and how long its value is, which comes last.
    frequent: Option<(u64, usize)>,
}

/// The frequent events that a drain took apart, see [`event::frequent`]: numbers and texts.
#[derive(Debug, Default)]
pub struct Frequent {
    text: String,
    ends: Vec<(u64, usize)>,
}

impl Frequent {
    /// Returns each call with its result, or 0 with a message. They are JSON; `null` for no result.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u64, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |(number, end)| {
            let text = self.text.get(start..*end).unwrap_or_default();
            start = *end;
            (*number, text)
        })
    }

    fn push(&mut self, number: u64, value: &str) {
        self.text.push_str(if value.is_empty() { "null" } else { value });
        self.ends.push((number, self.text.len()));
    }
}

/// What a drain left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// More events wait: drain again after the event loop had its turn. The doorbell stays silent.
    pub more: bool,
    /// The `ended` event has been drained: nothing will follow.
    pub ended: bool,
}

impl EventQueue {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        counting: Arc<Counting>,
        inbox: Arc<Inbox>,
        max_bytes: usize,
    ) -> Self {
        let state = Mutex::new(State { armed: true, ..State::default() });
        Self { state, clock, counting, inbox, max_bytes, process: std::process::id() }
    }

    /// Moves at most 64 KiB of events (at least one) into `out` as one JSON array. In a child process
    /// there is none, and none will come.
    pub fn drain(&self, out: &mut String) -> Drained {
        let before = out.len();
        let drained = self.take(None, out);
        if out.len() == before {
            out.push_str("[]");
        }
        drained
    }

    /// The same for hosts that are better off reading frequent events one by one: those that come first
    /// are put into `frequent`, and `out` stays as it is if nothing else is left.
    pub fn drain_apart(&self, frequent: &mut Frequent, out: &mut String) -> Drained {
        self.take(Some(frequent), out)
    }

    fn take(&self, mut apart: Option<&mut Frequent>, out: &mut String) -> Drained {
        if self.is_inherited() {
            return Drained { more: false, ended: true };
        }
        let mut guard = self.lock();
        let state = &mut *guard;
        let mut bytes = 0;
        let mut count = 0;
        for Entry { length, .. } in &state.entries {
            if count > 0 && bytes + length > MAX_DRAIN {
                break;
            }
            bytes += length;
            count += 1;
        }
        let mut is_open = false;
        for Entry { length, frequent } in state.entries.drain(..count) {
            let end = state.taken + length;
            let text = state.text.get(state.taken..end).unwrap_or_default();
            state.taken = end;
            if let (Some(apart), Some((number, length))) = (apart.as_mut(), frequent) {
                let value = text.len() - 1 - length..text.len() - 1;
                apart.push(number, text.get(value).unwrap_or_default());
                continue;
            }
            // What came behind another event stays behind it.
            apart = None;
            if !is_open {
                out.reserve(bytes + count + 2);
            }
            out.push(if is_open { ',' } else { '[' });
            is_open = true;
            out.push_str(text);
        }
        if is_open {
            out.push(']');
        }
        let more = !state.entries.is_empty();
        if !more {
            state.text.clear();
            state.text.shrink_to(MAX_DRAIN);
            state.taken = 0;
        } else if state.taken > state.text.len() / 2 {
            state.text.drain(..state.taken);
            state.taken = 0;
        }
        state.armed = !more;
        state.unanswered_since = more.then(|| self.clock.now().mono);
        let drained = Drained { more, ended: state.ended && !more };
        let room = state.was_full && state.text.len() - state.taken <= self.max_bytes / 2;
        if room {
            state.was_full = false;
        }
        drop(guard);
        if room {
            self.inbox.nudge();
        }
        drained
    }

    /// Lets frequent events be two elements of a drained array each, from now on; see
    /// [`event::write_short`]. They are no longer told apart by [`drain_apart`](Self::drain_apart).
    pub fn write_short(&self) {
        if !self.is_inherited() {
            self.lock().short = true;
        }
    }

    /// Sets what is called on the I/O thread when the queue turns from empty to non-empty. Called
    /// at once if it is not empty now. It must return quickly and never wait for the host.
    pub fn set_doorbell(&self, ring: impl Fn() + Send + Sync + 'static) {
        if self.is_inherited() {
            return;
        }
        let ring: Arc<dyn Fn() + Send + Sync> = Arc::new(ring);
        let mut state = self.lock();
        state.doorbell = Some(Arc::clone(&ring));
        let waiting = !state.entries.is_empty();
        if waiting {
            state.armed = false;
        }
        drop(state);
        if waiting {
            self.counting.doorbells.tick();
            ring();
        }
    }

    /// Tells whether this is a child's copy: the I/O thread may have held its lock at the fork.
    fn is_inherited(&self) -> bool {
        self.process != std::process::id()
    }

    fn ring_now(&self, mut state: MutexGuard<'_, State>, now: Instant) {
        state.unanswered_since.get_or_insert(now);
        let Some(ring) = state.doorbell.clone() else { return };
        state.armed = false;
        drop(state);
        self.counting.doorbells.tick();
        ring();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for EventQueue {
    fn deliver(&self, events: &mut Vec<Event>) {
        let mut state = self.lock();
        for event in events.drain(..) {
            let before = state.text.len();
            let short = state.short && event::write_short(&event, &mut state.text);
            if !short {
                event::write(&event, &mut state.text);
            }
            let length = state.text.len() - before;
            let frequent = event::frequent(&event).filter(|_| !short);
            let frequent = frequent.map(|(number, value)| (number, value.len()));
            state.entries.push_back(Entry { length, frequent });
            state.ended |= matches!(event, Event::Session(SessionEvent::Ended { .. }));
        }
    }

    fn ring(&self, now: Instant) {
        let state = self.lock();
        if state.armed && !state.entries.is_empty() {
            self.ring_now(state, now);
        }
    }

    fn probe(&self, now: Instant) {
        let state = self.lock();
        if state.unanswered_since.is_none() {
            self.ring_now(state, now);
        }
    }

    fn lag(&self, now: Instant) -> u64 {
        self.lock().unanswered_since.map_or(0, |since| now.since(since))
    }

    fn is_full(&self) -> bool {
        let mut state = self.lock();
        state.was_full = state.text.len() - state.taken > self.max_bytes;
        state.was_full
    }
}

impl fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventQueue").finish_non_exhaustive()
    }
}
