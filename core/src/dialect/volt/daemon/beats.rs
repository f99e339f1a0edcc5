//! Heartbeats: one loop, whatever happens to the link.
//!
//! The next beat is due an interval after the last was settled. While the daemon is not registered the
//! loop rests; each registration begins with a beat.

use super::VoltDaemon;
use super::calls::Asker;
use super::generation::UNKNOWN;
use crate::api::command::Outcome;
use crate::api::event::WorkEvent;
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::WorkId;
use crate::base::json::Raw;
use crate::base::time::Instant;
use crate::dialect::volt::learnt::Source;
use crate::dialect::volt::options::{BeatMode, VoltHeartbeatOptions};
use crate::dialect::volt::wire::{self, Generation};
use crate::dialect::volt::words::{DISPLACED, HEARTBEAT};
use crate::parts::pacer::Rank;

/// The longest wait for an answer. Servers take a daemon for dead after 60 s: one lost answer must not
/// use up half of that.
const MAX_TIMEOUT_MS: u64 = 30_000;
/// The shortest wait for an answer, however short the interval.
const MIN_TIMEOUT_MS: u64 = 1_000;
/// How long the application may take for a payload before the last one goes out again.
const MAX_GRACE_MS: u64 = 5_000;
/// For how many beats without an answer a displacement is remembered.
const MEMORY: u64 = 20;
/// Beats without an answer in a row, on a live connection, that make us doubt our registration.
const DOUBT: u8 = 2;

/// The loop; the default is one that never beats.
#[derive(Debug, Default)]
pub(super) struct Beats {
    next: Option<Instant>,
    /// When the grace ends for a payload that the application was asked for.
    asked: Option<Instant>,
    /// The last payload that was asked for: it may come late.
    pub(super) late: Option<WorkId>,
    last: Option<Raw>,
    unanswered: u8,
    /// Until when it is remembered that another daemon seemed to have taken our place.
    remembered: Option<Instant>,
    /// The place is left to another daemon: until then no registration is repeated.
    yields_until: Option<Instant>,
    /// The control plane does not know beats as commands.
    is_refused: bool,
    /// The generation of the control plane is asked for first.
    is_resting: bool,
    is_enabled: bool,
    interval_ms: u64,
}

impl Beats {
    pub(super) fn new(options: &VoltHeartbeatOptions) -> Self {
        Self { is_enabled: options.enabled, interval_ms: options.interval_ms, ..Self::default() }
    }

    pub(super) fn registered(&mut self, now: Instant) {
        self.unanswered = 0;
        self.yields_until = None;
        self.is_resting = false;
        self.next = self.is_enabled.then_some(now);
    }

    /// Waits with the first beat of a session.
    pub(super) const fn rest(&mut self) {
        self.is_refused = false;
        self.is_resting = true;
    }

    pub(super) const fn is_resting(&self) -> bool {
        self.is_resting
    }

    pub(super) fn link_lost(&mut self) {
        self.next = None;
        self.asked = None;
        self.is_resting = false;
    }

    /// Returns how long an answer may take.
    fn timeout_ms(&self) -> u64 {
        self.interval_ms.clamp(MIN_TIMEOUT_MS, MAX_TIMEOUT_MS)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next.into_iter().chain(self.asked).min()
    }
}

impl VoltDaemon {
    /// Sends the beat that is due.
    pub(super) fn beat(&mut self) {
        if self.beats.asked.take_if(|until| *until <= self.clock.mono).is_some() {
            let payload = self.beats.last.clone().unwrap_or_else(Raw::empty_object);
            self.send_beat(&payload);
        }
        if self.beats.next.take_if(|at| *at <= self.clock.mono).is_none() || !self.is_ready() {
            return;
        }
        if !self.options.heartbeat.asks {
            return self.send_beat(&Raw::empty_object());
        }
        self.last_work += 1;
        let beat = WorkId(self.last_work);
        let grace = (self.options.heartbeat.interval_ms / 2).clamp(100, MAX_GRACE_MS);
        self.beats.asked = Some(self.clock.mono.after(grace));
        self.beats.late = Some(beat);
        self.event(WorkEvent::BeatAsked { beat });
    }

    /// The application made a payload, or could not.
    pub(super) fn beat_made(&mut self, outcome: Outcome) -> Result<(), Error> {
        let is_late = self.beats.asked.take().is_none();
        self.beats.late = None;
        let made = match outcome {
            Outcome::Done { value, .. } if value.as_str() == "null" => Ok(Raw::empty_object()),
            Outcome::Done { value, .. } if value.as_str().trim_start().starts_with('{') => {
                Ok(value)
            }
            Outcome::Done { .. } => Err(String::from("the payload is not an object")),
            Outcome::Failed { message } => Err(message),
            Outcome::Cancelled => Err(String::from("cancelled")),
        };
        match made {
            Ok(payload) => {
                self.beats.last = Some(payload.clone());
                if !is_late && self.is_ready() {
                    self.send_beat(&payload);
                }
            }
            Err(message) => {
                self.notice(ErrorCode::HeartbeatFailed, format!("Heartbeat failed: {message}"));
                if !is_late {
                    self.schedule_beat();
                }
            }
        }
        Ok(())
    }

    fn send_beat(&mut self, payload: &Raw) {
        self.counters.beats += 1;
        let text = wire::beat_payload(&self.options, self.password.expose(), payload.as_str());
        if self.beats_as_message() {
            let json = wire::beat_message(&text);
            let write = |out: &mut String| out.push_str(&json);
            self.answer_as(Rank::First, payload.blobs(), json.len(), write);
            return self.schedule_beat();
        }
        let payload = Raw::trusted(text).with_blobs(payload.blobs().to_vec());
        let timeout = self.beats.timeout_ms();
        if let Err(error) = self.ask(Asker::Beat, String::from(HEARTBEAT), &payload, timeout) {
            let message = format!("Heartbeat failed: {}", error.message());
            self.notice(ErrorCode::HeartbeatFailed, message);
            self.schedule_beat();
        }
    }

    fn beats_as_message(&self) -> bool {
        match self.options.heartbeat.mode {
            BeatMode::Command => false,
            BeatMode::Message => true,
            BeatMode::Auto => {
                self.beats.is_refused || self.learnt.generation() == Some(Generation::Third)
            }
        }
    }

    /// The control plane does not know beats as commands: this one goes as a message, as all that follow.
    fn beat_unknown(&mut self) {
        self.beats.is_refused = true;
        self.beats.unanswered = 0;
        if self.learnt.generation() != Some(Generation::First) {
            self.learn(Generation::Third, Source::Heartbeat);
        }
        let payload = self.beats.last.clone().unwrap_or_else(Raw::empty_object);
        self.send_beat(&payload);
    }

    /// A beat was answered, refused, or left without an answer.
    pub(super) fn beat_settled(&mut self, result: Result<(), Error>) {
        let status = result.as_ref().err().and_then(Error::status);
        if status == Some(UNKNOWN) && self.options.heartbeat.mode == BeatMode::Auto {
            return self.beat_unknown();
        }
        self.schedule_beat();
        match result.as_ref().map_err(|error| (error.code(), error.status())) {
            // The loss of the link is told by itself.
            Err((ErrorCode::NotReady, _)) => return,
            Err((ErrorCode::CallTimeout, _)) => self.beats.unanswered += 1,
            Err((ErrorCode::RemoteError, Some(DISPLACED))) => return self.displaced(),
            Ok(()) => {
                self.beats.unanswered = 0;
                self.beats.yields_until = None;
            }
            Err(_) => self.beats.unanswered = 0,
        }
        // That nobody answers a daemon that has yielded was told.
        if let Err(error) = result
            && self.beats.yields_until.is_none()
        {
            self.complain(error);
        }
        if self.beats.unanswered >= DOUBT && self.is_ready() {
            self.beats.unanswered = 0;
            self.doubt();
        }
    }

    /// The connection lives but nobody answers: a second daemon may have taken our place, which the
    /// server does without a word. The first time, one registration takes it back; the second time the
    /// other is there to stay, and more would be a fight.
    fn doubt(&mut self) {
        let now = self.clock.mono;
        if self.beats.yields_until.is_some_and(|until| now < until) {
            return;
        }
        let id = &self.options.team_cluster_id;
        let memory_ms = MEMORY * self.beats.interval_ms.saturating_add(self.beats.timeout_ms());
        let memory = now.after(memory_ms);
        let before = self.beats.remembered.replace(memory);
        let is_second = before.is_some_and(|until| now < until);
        self.beats.yields_until = is_second.then_some(memory);
        let message = if is_second {
            format!(
                "another daemon is registered as {id:?} and has taken the place again: this one \
                 yields, and registers again after {memory_ms} ms if nobody answers it until then"
            )
        } else {
            format!(
                "heartbeats stay without an answer: another daemon may be registered as {id:?}; \
                 this one registers once more"
            )
        };
        self.notice(ErrorCode::RegistrationFailed, message);
        if !is_second {
            self.send_registration();
        }
    }

    /// The control plane says that another daemon has our place. It answers again when that is free.
    fn displaced(&mut self) {
        self.beats.unanswered = 0;
        if self.beats.yields_until.replace(self.clock.mono.after(u64::MAX)).is_none() {
            let message = format!(
                "another daemon has registered as {:?}: this one yields until it has left",
                self.options.team_cluster_id
            );
            self.notice(ErrorCode::RegistrationFailed, message);
        }
    }

    fn schedule_beat(&mut self) {
        if self.beats.is_enabled {
            let jitter = self.entropy.below(self.options.heartbeat.jitter_ms.saturating_add(1));
            self.beats.next =
                Some(self.clock.mono.after(self.beats.interval_ms.saturating_add(jitter)));
        }
    }
}
