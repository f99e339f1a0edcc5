//! What must hold, whatever happens: the invariants of the daemon, by number.

use std::collections::{BTreeMap, BTreeSet};

use moorline_core::{CallEvent, SessionEvent, WorkEvent};
use moorline_core::{CallId, ErrorCode, Event, WorkId};
use serde_json::Value;

use crate::run::Setting;

/// How long the farewell may take.
const FAREWELL_MS: u64 = 1_000;

/// A session, as the server sees it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The registration was said.
    pub(crate) asked: bool,
    /// It was confirmed.
    pub(crate) registered: bool,
    /// When the server counts as silent to the daemon.
    pub(crate) silent_at: u64,
    /// A heartbeat that nobody has answered, by when it was said.
    beat: Option<u64>,
}

/// What is known of a run.
#[derive(Debug)]
pub(crate) struct Checks {
    setting: Setting,
    pub(crate) sessions: BTreeMap<usize, Seen>,
    pub(crate) calls: BTreeMap<CallId, u64>,
    settled: BTreeSet<CallId>,
    pub(crate) works: BTreeSet<WorkId>,
    /// `connect()` has settled, or when it must have.
    connect_until: Option<u64>,
    /// When the last heartbeat was said since the last registration.
    last_beat: Option<u64>,
    /// A registration was said, and has neither failed nor succeeded.
    registering: bool,
    ready: bool,
    /// The server once took its time with what was posted: it hears late, and then much at once.
    pub(crate) is_slow: bool,
    /// The server has refused the namespace.
    pub(crate) refused: bool,
    pub(crate) stop_until: Option<u64>,
    pub(crate) ended: bool,
    pub(crate) broken: Vec<String>,
}

impl Checks {
    pub(crate) fn new(setting: Setting, now: u64) -> Self {
        Self {
            setting,
            sessions: BTreeMap::new(),
            calls: BTreeMap::new(),
            settled: BTreeSet::new(),
            works: BTreeSet::new(),
            connect_until: Some(now + setting.connect_timeout_ms + setting.registration_timeout_ms),
            last_beat: None,
            registering: false,
            ready: false,
            is_slow: false,
            refused: false,
            stop_until: None,
            ended: false,
            broken: Vec::new(),
        }
    }

    pub(crate) fn broke(&mut self, number: u8, now: u64, what: impl std::fmt::Display) {
        self.broken.push(format!("invariant {number}, at {now}: {what}"));
    }

    /// The daemon said a text, or bytes.
    pub(crate) fn said(&mut self, session: usize, text: Option<&str>, now: u64) {
        let is_farewell = text.is_some_and(|text| text.starts_with("41"));
        let is_register = text.is_some_and(|text| {
            text.starts_with("42") && text.contains("[\"team-cluster-daemon:register\"")
        });
        let is_first = text.is_some_and(|text| text.starts_with("40") || text.starts_with('3'));
        let seen = self.sessions.entry(session).or_default();
        if !seen.registered && !is_first && !is_register && !is_farewell {
            let text = text.unwrap_or("bytes").to_owned();
            self.broke(1, now, format!("{text} before the registration"));
        }
        let seen = self.sessions.entry(session).or_default();
        if now > seen.silent_at && !is_farewell && !self.is_slow {
            let silent_at = seen.silent_at;
            self.broke(6, now, format!("said to a server silent since {silent_at}: {text:?}"));
        }
        if self.ended {
            self.broke(7, now, "said after the end");
        }
        if is_register {
            let was_ready = self.sessions.get(&session).is_some_and(|seen| seen.registered);
            if std::mem::replace(&mut self.registering, true) && !was_ready {
                self.broke(3, now, "a second registration under way");
            }
            self.registering = !was_ready;
            self.sessions.entry(session).or_default().asked = true;
        }
        if text.is_some_and(|text| text.contains("\"runtime.heartbeat\"")) {
            self.beat(session, now);
        }
    }

    fn beat(&mut self, session: usize, now: u64) {
        if self.is_slow {
            return;
        }
        let interval = self.setting.interval_ms;
        if let Some(last) = self.last_beat.replace(now).filter(|last| now < last + interval) {
            self.broke(3, now, format!("a heartbeat after {} ms", now - last));
        }
        let limit = interval.clamp(1_000, 30_000);
        let seen = self.sessions.entry(session).or_default();
        if seen.beat.replace(now).is_some_and(|last| now < last + limit) {
            self.broke(3, now, "a second heartbeat without an answer to the first");
        }
    }

    /// The server answers a heartbeat.
    pub(crate) fn beat_answered(&mut self, session: usize) {
        self.sessions.entry(session).or_default().beat = None;
    }

    /// The server confirms a registration.
    pub(crate) fn confirmed(&mut self, session: usize) {
        let seen = self.sessions.entry(session).or_default();
        if (seen.asked || self.is_slow) && !seen.registered {
            seen.registered = true;
            // From here on the daemon is registered; its first heartbeat comes at once.
            self.last_beat = None;
        }
    }

    pub(crate) fn happened(&mut self, event: &Event, now: u64) {
        if self.ended {
            self.broke(7, now, format!("{event:?} after the end"));
        }
        match event {
            Event::Session(SessionEvent::Ready { .. }) => {
                if std::mem::replace(&mut self.ready, true) {
                    self.broke(3, now, "registered twice");
                }
                self.registering = false;
                self.connect_until = None;
            }
            Event::Session(SessionEvent::Lost { .. }) => {
                self.ready = false;
                self.registering = false;
                self.all_settled(now, "the loss");
            }
            Event::Session(SessionEvent::Notice { error }) => match error.code() {
                ErrorCode::RegistrationFailed => {
                    self.registering = false;
                    self.connect_until = None;
                }
                ErrorCode::ConnectFailed => self.connect_until = None,
                ErrorCode::Internal => self.broke(6, now, error),
                _ => {}
            },
            Event::Call(CallEvent::Done { call, .. }) => {
                let is_first = self.calls.remove(call).is_some() && self.settled.insert(*call);
                self.once(is_first, now, format!("{call:?} settled"));
            }
            Event::Work(WorkEvent::Assigned { work, .. }) => drop(self.works.insert(*work)),
            Event::Work(WorkEvent::Withdrawn { work, .. }) => {
                let is_first = self.works.remove(work);
                self.once(is_first, now, format!("{work:?} withdrawn"));
            }
            Event::Session(SessionEvent::Ended { error }) => {
                self.connect_until = None;
                self.all_settled(now, "the end");
                self.ended = true;
                let may_end = self.stop_until.is_some()
                    || self.refused
                    || self.setting.max_attempts > 0
                    || !self.setting.reconnects;
                if !may_end {
                    self.broke(6, now, format!("ended by itself: {error:?}"));
                }
            }
            _ => {}
        }
    }

    fn once(&mut self, is_first: bool, now: u64, what: String) {
        if !is_first {
            self.broke(2, now, what + " a second time");
        }
    }

    fn all_settled(&mut self, now: u64, when: &str) {
        if !self.calls.is_empty() {
            self.broke(2, now, format!("{:?} outlive {when}", self.calls));
        }
        if !self.works.is_empty() {
            self.broke(2, now, format!("{:?} outlive {when}", self.works));
        }
    }

    /// After every move, when everything that was due has happened.
    pub(crate) fn at_rest(&mut self, now: u64, state: &Value, deadline: Option<u64>, open: usize) {
        let overdue: Vec<_> =
            self.calls.iter().filter(|(_, until)| **until <= now).map(|(call, _)| *call).collect();
        if !overdue.is_empty() {
            self.broke(2, now, format!("{overdue:?} are overdue"));
        }
        if self.connect_until.is_some_and(|until| until <= now) && self.stop_until.is_none() {
            self.broke(2, now, "connect() is overdue");
        }
        // A poll, a post, and a WebSocket that is probed.
        if open > 3 {
            self.broke(3, now, format!("{open} connections and requests"));
        }
        let queued = state["queued"].as_u64().unwrap_or(u64::MAX);
        if queued > self.setting.max_queued {
            self.broke(4, now, format!("{queued} messages wait"));
        }
        if state["pending_calls"].as_u64() > Some(self.calls.len() as u64 + 1) {
            self.broke(4, now, format!("calls pile up: {state}"));
        }
        if let Some(delay) = state["next_attempt_ms"].as_u64() {
            let Setting { base_ms, max_ms, jitter_percent, .. } = self.setting;
            let floor = base_ms.min(max_ms) * (100 - jitter_percent) / 100;
            let is_new = state["since_ms"] == 0;
            if delay > max_ms || (is_new && delay < floor.max(1)) {
                self.broke(5, now, format!("a delay of {delay} ms: {state}"));
            }
        }
        if let Some(until) = self.stop_until
            && now > until.saturating_add(FAREWELL_MS)
            && !self.ended
        {
            self.broke(7, now, format!("not ended: {state}"));
        }
        if self.ended && (deadline.is_some() || open > 0) {
            self.broke(
                7,
                now,
                format!("{open} connections, the deadline {deadline:?} after the end"),
            );
        }
        if deadline.is_some_and(|at| at == u64::MAX) {
            self.broke(7, now, "a deadline that never comes");
        }
    }
}
