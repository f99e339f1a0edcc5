//! Requests of other daemons: what runs for them, and how each is answered.

use super::WsDaemon;
use super::wire::{self, status};
use super::words::check_name;
use crate::api::command::Outcome;
use crate::base::error::Error;
use crate::base::ids::{ConnId, WorkId};
use crate::base::json::Raw;
use crate::base::json::object::Object;
use crate::base::time::Now;
use crate::parts::work::Inbound;

/// Other daemons want no signs of life of what runs for them.
pub(super) const NO_LIFE_SIGN_MS: u64 = 86_400_000;

/// The status of a handler that failed, as that of a program that ends with an error.
const FAILED: i64 = 1;

/// Whose request an item is.
#[derive(Debug)]
pub(super) struct Job {
    line: ConnId,
    id: Raw,
}

impl WsDaemon {
    /// Offers a handler or a script.
    pub(super) fn offer(&mut self, key: String) -> Result<(), Error> {
        check_name(&key)?;
        self.handlers.add(key, ())
    }

    /// Another daemon wants something run.
    pub(super) fn requested(
        &mut self,
        line: ConnId,
        name: Option<String>,
        id: Raw,
        params: Raw,
        now: Now,
    ) {
        let job = Job { line, id };
        if self.life.is_draining() {
            return self.reply(&job, Some(status::REFUSED));
        }
        let Some(key) = name.filter(|name| self.handlers.contains(name)) else {
            if self.options.handlers.answer_unknown {
                self.reply(&job, Some(status::NOT_STARTED));
            }
            return;
        };
        self.last_job += 1;
        let id = Some(job.id.as_str()).filter(|_| !job.id.is_absent());
        let wire = bytestring::ByteString::from(self.last_job.to_string());
        let timeout_ms = Some(self.options.handlers.timeout_ms).filter(|millis| *millis > 0);
        let inbound = Inbound {
            wire: wire.clone(),
            attempt: 1,
            key,
            payload: params,
            timeout_ms,
            meta: Raw::trusted(Object::new().given(id, |meta, id| meta.raw("id", id)).end()),
            is_stale: false,
        };
        if self.work.offer(inbound, now.mono) {
            self.jobs.insert(wire, job);
            self.start_waiting(now);
        } else {
            self.reply(&job, Some(status::REFUSED));
        }
    }

    /// An item was run.
    pub(super) fn completed(
        &mut self,
        work: WorkId,
        outcome: &Outcome,
        now: Now,
    ) -> Result<(), Error> {
        let settled = self.work.settle(work)?;
        if let Some(job) = settled.and_then(|settled| self.jobs.remove(&settled.wire)) {
            let status = match outcome {
                Outcome::Done { value, .. } => wire::status_of(value),
                Outcome::Failed { .. } => Some(FAILED),
                Outcome::Cancelled => None,
            };
            self.reply(&job, status);
        }
        self.start_waiting(now);
        Ok(())
    }

    pub(super) fn expire_work(&mut self, now: Now) {
        while let Some((event, settled)) = self.work.expire(now.mono) {
            event.into_iter().for_each(|event| self.event(event));
            if let Some(job) = self.jobs.remove(&settled.wire) {
                self.reply(&job, Some(status::TIMED_OUT));
            }
        }
        self.work.forget_ignored(now.mono);
        while self.work.life_sign(now.mono).is_some() {}
        self.start_waiting(now);
    }

    fn start_waiting(&mut self, now: Now) {
        while let Some(event) = self.work.start_next(now.mono) {
            self.event(event);
        }
    }

    /// Answers the daemon that asked. A client keeps the answer for its next link.
    pub(super) fn reply(&mut self, job: &Job, status: Option<i64>) {
        let is_said = self.say(job.line, wire::status_command(&wire::answer(status, &job.id)));
        self.undelivered += u64::from(!is_said);
    }
}
