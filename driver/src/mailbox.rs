//! Events on their way to an application in Rust: values, taken in batches.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moorline_core::{CallEvent, PeerEvent, WorkEvent};
use moorline_core::{Event, Instant};
use tokio::sync::Notify;

use crate::counters::Counting;
use crate::events::Sink;
use crate::inbox::Inbox;

/// What an event costs besides its payload, roughly.
const EVENT_BYTES: usize = 256;

/// A bounded queue of events as values.
pub struct Mailbox {
    state: Mutex<State>,
    arrived: Notify,
    counting: Arc<Counting>,
    inbox: Arc<Inbox>,
    max_bytes: usize,
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    bytes: usize,
    has_rung: bool,
    was_full: bool,
    unanswered_since: Option<Instant>,
}

impl Mailbox {
    pub(crate) fn new(counting: Arc<Counting>, inbox: Arc<Inbox>, max_bytes: usize) -> Self {
        Self { state: Mutex::default(), arrived: Notify::new(), counting, inbox, max_bytes }
    }

    /// Waits for events and takes all of them; `events` must be empty, its room is used again.
    pub async fn take(&self, events: &mut VecDeque<Event>) {
        loop {
            self.arrived.notified().await;
            let mut state = self.lock();
            state.bytes = 0;
            state.has_rung = false;
            state.unanswered_since = None;
            let was_full = std::mem::take(&mut state.was_full);
            std::mem::swap(&mut state.events, events);
            drop(state);
            if was_full {
                self.inbox.nudge();
            }
            if !events.is_empty() {
                return;
            }
        }
    }

    fn ring_now(&self, mut state: MutexGuard<'_, State>, now: Instant) {
        state.has_rung = true;
        state.unanswered_since.get_or_insert(now);
        drop(state);
        self.counting.doorbells.tick();
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Mailbox {
    fn deliver(&self, events: &mut Vec<Event>) {
        let bytes: usize = events.iter().map(|event| EVENT_BYTES + payload_len(event)).sum();
        let mut state = self.lock();
        state.bytes += bytes;
        state.events.extend(events.drain(..));
    }

    fn ring(&self, now: Instant) {
        let state = self.lock();
        if !state.has_rung && !state.events.is_empty() {
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
        state.was_full = state.bytes > self.max_bytes;
        state.was_full
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

fn payload_len(event: &Event) -> usize {
    match event {
        Event::Call(CallEvent::Done { result: Ok(payload), .. })
        | Event::Call(CallEvent::Part { part: payload, .. })
        | Event::Peer(PeerEvent::Message { payload, .. })
        | Event::Peer(PeerEvent::AdmissionAsked { request: payload, .. }) => payload.len(),
        Event::Peer(PeerEvent::Received { content, .. }) => content.len(),
        Event::Work(WorkEvent::Assigned { payload, meta, .. }) => payload.len() + meta.len(),
        Event::Call(CallEvent::Done { result: Err(_), .. })
        | Event::Session(_)
        | Event::Work(WorkEvent::Withdrawn { .. })
        | Event::Work(WorkEvent::Drained { .. })
        | Event::Work(WorkEvent::BeatAsked { .. })
        | Event::Peer(PeerEvent::Joined { .. })
        | Event::Peer(PeerEvent::Left { .. })
        | Event::Peer(PeerEvent::Closed { .. })
        | Event::Peer(PeerEvent::Backlog { .. })
        | Event::Peer(PeerEvent::Heartbeat { .. }) => 0,
    }
}
