//! How items end: outcome, error, time limit, cancellation. Whoever waits is answered once, after the
//! outcome is stored.

use super::item::{Ending, Item, ItemId, State, Waiter};
use super::results::Finished;
use super::worker::Worker;
use super::{Client, Coordinator, Promise, Timer, outputs, wire};
use crate::api::event::{CallEvent, Event};
use crate::base::error::ErrorCode;
use crate::base::ids::{HttpId, PeerId};
use crate::base::json::Raw;
use crate::base::time::Now;
use crate::machine::Output;
use crate::net::HttpResponse;
use crate::net::binary_frames::Kind;

impl Coordinator {
    /// Ends an item, keeps the outcome and answers whoever waits; `reported` if its holder said so.
    pub(super) fn finish(
        &mut self,
        id: ItemId,
        ending: Ending,
        reported: bool,
        result: Result<(Raw, Raw), String>,
        now: Now,
    ) {
        let Some(mut item) = self.items.remove(id) else { return };
        if let Some(limit) = item.deadline {
            self.timers.remove(Timer::Limit(id), limit);
        }
        match &item.state {
            State::Running(worker) => self.registry.unassign(*worker, id),
            State::Held => {
                if let Some(holder) = item.holder.clone() {
                    self.unhold(&holder.name, id);
                }
            }
            State::Retry(at) => {
                self.timers.remove(Timer::Retry(id), *at);
            }
            State::Pending(_) => {}
        }
        self.counts.finished += 1;
        let waiters = std::mem::take(&mut item.waiters);
        let Item { order, priority, attempt, holder, .. } = item;
        let internal = order.internal;
        let done = Finished {
            hash: order.hash,
            key: order.key,
            capability: order.capability,
            action: order.action,
            run_id: order.run_id,
            priority,
            enqueued: order.enqueued,
            finished: now.unix,
            ending,
            reported,
            attempt,
            holder,
            result,
        };
        if !internal {
            self.store_result(&done);
        }
        for waiter in waiters {
            self.answer(waiter, &done, now);
        }
        if !internal {
            self.keep_result(done, now.mono.after(self.options.result_ttl_ms));
        }
    }

    /// Ends an item whose time limit passed.
    pub(super) fn expire_item(&mut self, id: ItemId, now: Now) {
        let Some(item) = self.items.get(id) else { return };
        let (limit, hash) = (item.order.timeout_ms, item.order.hash.clone());
        if let Some(worker) = item.worker()
            && self.registry.get(worker).is_some_and(|worker| !worker.acks)
        {
            self.registry.update(worker, |worker| worker.overdue.insert(hash, id));
            self.timers.add(Timer::Overdue(worker, id), now.mono.after(limit));
        }
        let Some(item) = self.items.get(id) else { return };
        let what = if item.order.direct { "Direct dispatch" } else { "Work item" };
        let text = format!("{what} timed out after {limit}ms.");
        self.withdraw(id, Ending::Timeout, &text, now);
    }

    /// Frees the slot of an item that ended at its limit: its worker reported it, or never will.
    pub(super) fn free_overdue(
        &mut self,
        worker: PeerId,
        is_it: impl Fn(&str, ItemId) -> bool,
        now: Now,
    ) {
        if self.registry.get(worker).is_some_and(|worker| !worker.overdue.is_empty()) {
            let keep = |worker: &mut Worker| worker.overdue.retain(|hash, id| !is_it(hash, *id));
            self.registry.update(worker, keep);
            self.fill(worker, now);
        }
    }

    /// Ends an item for another reason than its worker's word, and tells the worker.
    pub(super) fn withdraw(&mut self, id: ItemId, ending: Ending, text: &str, now: Now) {
        let Some(item) = self.items.get(id) else { return };
        let (worker, hash) = (item.worker(), item.order.hash.clone());
        self.finish(id, ending, false, Err(text.to_owned()), now);
        let Some(worker) = worker else { return };
        let record = self.registry.get(worker).filter(|record| record.acks);
        if let Some(conn) = record.and_then(|record| record.conn) {
            self.promise_text(conn, wire::work_cancel(&hash, text, ending.withdrawal()));
        }
        self.fill(worker, now);
    }

    /// Cancels an item. One that runs at a worker that cannot be told is only marked.
    pub(super) fn cancel(&mut self, id: ItemId, reason: &str, now: Now) -> Option<String> {
        let item = self.items.get_mut(id)?;
        let hash = item.order.hash.clone();
        let told = match item.state {
            State::Running(worker) => {
                self.registry.get(worker).is_some_and(|worker| worker.acks && worker.conn.is_some())
            }
            State::Pending(_) | State::Retry(_) => true,
            State::Held => false,
        };
        if !told {
            item.cancel_reason = Some(reason.to_owned());
            return Some(wire::cancelled(&hash, false, true, item.status(false)));
        }
        let text = format!("Work item was canceled: {reason}");
        self.withdraw(id, Ending::Cancelled, &text, now);
        Some(wire::cancelled(&hash, true, false, Ending::Cancelled.name()))
    }

    /// Answers one who waits with a kept outcome.
    pub(super) fn answer(&mut self, waiter: Waiter, done: &Finished, now: Now) {
        if let Some(client) = Client::of(&waiter) {
            self.wait_no_longer(client);
        }
        match (waiter, &done.result) {
            (Waiter::Login { http }, _) => self.decide_login(http, done),
            (Waiter::Join { conn }, _) => self.decide_join(conn, done, now),
            (waiter, Err(error)) => self.turn_away(waiter, 500, done.ending.code(), error),
            (Waiter::Http { http, stream: false }, Ok((outputs, log))) => {
                let text = wire::dispatched(true, &done.hash, outputs.as_str(), log.as_str());
                let response = HttpResponse::json(200, text);
                self.promise(Output::HttpReply { http, response });
            }
            (Waiter::Http { http, stream: true }, Ok((outputs, log))) => {
                let (bytes, rest) = outputs::split(outputs);
                if let Some(bytes) = bytes {
                    self.stream(http, Kind::FinalBytes, &bytes);
                }
                let text = wire::dispatched(true, &done.hash, &rest, log.as_str());
                self.stream(http, Kind::Result, text.as_bytes());
                self.promise(Output::HttpEnd { http });
            }
            (Waiter::Call { call, .. }, Ok((outputs, log))) => {
                let text = wire::dispatched(false, &done.hash, outputs.as_str(), log.as_str());
                self.settle(call, Ok(text));
            }
        }
    }

    /// Answers one who waits in vain.
    pub(super) fn turn_away(&mut self, waiter: Waiter, status: u16, code: ErrorCode, text: &str) {
        let response = |text: String| {
            let response = HttpResponse::json(status, text);
            if status == 503 { response.retry_later() } else { response }
        };
        match waiter {
            Waiter::Http { http, stream: false } => {
                self.promise(Output::HttpReply { http, response: response(wire::failure(text)) });
            }
            Waiter::Http { http, stream: true } => {
                self.stream(http, Kind::Error, wire::error(text).as_bytes());
                self.promise(Output::HttpEnd { http });
            }
            Waiter::Call { call, .. } => {
                let result = Err(wire::failed(code, text));
                self.promise(Output::Event(Event::Call(CallEvent::Done { call, result })));
            }
            Waiter::Login { http } => {
                let response = response(wire::login_refused(text));
                self.promise(Output::HttpReply { http, response });
            }
            Waiter::Join { conn } => self.close(conn, 1001, text),
        }
    }
}

impl Promise {
    /// Tells whether it is an answer to a request.
    pub(super) const fn is_for(&self, asked: HttpId) -> bool {
        match self {
            Self::Output(
                Output::HttpReply { http, .. }
                | Output::HttpPart { http, .. }
                | Output::HttpEnd { http },
            ) => http.0 == asked.0,
            Self::Output(_) | Self::Verdict { .. } => false,
        }
    }
}
