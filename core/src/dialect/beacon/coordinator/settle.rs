//! How items end: outcome, error, time limit, cancellation. Whoever waits is answered once, after the
//! outcome is stored.

use super::item::{Ending, Item, ItemId, Lane, State, Waiter};
use super::results::Finished;
use super::worker::Overdue;
use super::{Client, Coordinator, Promise, Timer, outputs, wire};
use crate::api::event::{CallEvent, Event, Withdrawal};
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
            State::Running(worker) => {
                self.registry.unassign(*worker, id);
                self.registry.forget_cancel(*worker, &item.order.hash);
            }
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
        if !item.order.internal {
            self.measured.end(&item, ending, now);
        }
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
            if let (Ending::Error | Ending::Timeout, Err(error)) = (ending, &done.result) {
                self.recent.fail(&done, error);
            }
        }
        for waiter in waiters {
            self.answer(waiter, &done, now);
        }
        if !internal {
            self.keep_result(&done, now.mono.after(self.options.result_ttl_ms));
        }
    }

    /// Ends an item whose time limit passed.
    pub(super) fn expire_item(&mut self, id: ItemId, now: Now) {
        let Some(item) = self.items.get(id) else { return };
        let limit = item.order.timeout_ms;
        let what = if item.order.direct { "Direct dispatch" } else { "Work item" };
        let text = format!("{what} timed out after {limit}ms.");
        self.withdraw(id, Ending::Timeout, &text, now);
    }

    /// Keeps the slot of an item that is taken from a worker of others, until that reports it or has had
    /// its time for it: what is left of it, or as long again at its end.
    pub(super) fn hold_slot(&mut self, id: ItemId, worker: PeerId, now: Now) {
        let Some(record) = self.registry.get(worker) else { return };
        let Some(item) = self.items.get(id) else { return };
        if record.acks || record.conn.is_none() {
            return;
        }
        let again = now.mono.after(item.order.timeout_ms);
        let until = item.deadline.filter(|at| *at > now.mono).unwrap_or(again);
        let hash = item.order.hash.clone();
        self.registry.hold(worker, hash, Overdue { id, until, holds: true });
        self.timers.add(Timer::Overdue(id), until);
    }

    /// Frees the slot of an item that was taken from a worker and that it has reported. If that held no
    /// slot any more, the worker has dropped what was pushed in its place: that is pushed again.
    pub(super) fn free_overdue(&mut self, worker: PeerId, hash: &str, now: Now) {
        let Some(Overdue { id, until, holds }) = self.registry.reported(worker, hash) else {
            return;
        };
        self.timers.remove(Timer::Overdue(id), until);
        let doubtful = self.registry.get(worker).and_then(|it| it.doubtful.first().copied());
        if let Some(dropped) = doubtful.filter(|_| !holds) {
            self.take_back(dropped);
            self.place(dropped, now);
        }
        self.fill(worker, now);
    }

    /// Gives a worker of others that is back what it lost and nobody else has: if it runs that still, it
    /// drops it, and its report is taken.
    pub(super) fn give_back(&mut self, worker: PeerId, now: Now) {
        let Some(record) = self.registry.get(worker) else { return };
        if record.conn.is_none() || record.draining || !self.is_open {
            return;
        }
        for overdue in record.overdue.clone().into_values() {
            let Some(record) = self.registry.get(worker) else { return };
            let item = self.items.get(overdue.id);
            let waits = item.is_some_and(|item| match &item.state {
                State::Pending(Lane { capability, name }) => {
                    record.offers(capability) && name.as_ref().is_none_or(|it| *it == record.name)
                }
                State::Running(_) | State::Held | State::Retry(_) => false,
            });
            if waits && self.check_size(overdue.id, Some(worker), now) {
                self.deliver(overdue.id, worker, false, now);
            }
        }
    }

    /// Ends an item for another reason than its worker's word, and tells the worker.
    pub(super) fn withdraw(&mut self, id: ItemId, ending: Ending, text: &str, now: Now) {
        let Some(item) = self.items.get(id) else { return };
        let (worker, hash) = (item.worker(), item.order.hash.clone());
        if let Some(worker) = worker {
            self.hold_slot(id, worker, now);
        }
        self.finish(id, ending, false, Err(text.to_owned()), now);
        let Some(worker) = worker else { return };
        self.tell_cancel(worker, &hash, text, ending.withdrawal());
        self.fill(worker, now);
    }

    /// Asks a worker to stop working on an item: at once, or in the answer to its next request.
    pub(super) fn tell_cancel(&mut self, worker: PeerId, hash: &str, text: &str, why: Withdrawal) {
        let Some(record) = self.registry.get(worker) else { return };
        let polls = record.polls || record.conn.is_none();
        if let Some(conn) = record.conn {
            let acks = record.acks;
            let frame =
                if acks { wire::work_cancel(hash, text, why) } else { wire::cancel(hash, text) };
            self.promise_text(conn, frame);
        }
        if polls {
            self.registry.cancel_later(worker, hash, text);
        }
    }

    /// Cancels an item. One that runs at a worker of others is marked, and ends when that says so.
    pub(super) fn cancel(&mut self, id: ItemId, reason: &str, now: Now) -> Option<String> {
        let item = self.items.get_mut(id)?;
        let hash = item.order.hash.clone();
        let worker = item.worker();
        let ends = match item.state {
            State::Running(worker) => {
                self.registry.get(worker).is_some_and(|worker| worker.acks && worker.conn.is_some())
            }
            State::Pending(_) | State::Retry(_) => true,
            State::Held => false,
        };
        if !ends {
            item.cancel_reason = Some(reason.to_owned());
            let answer = wire::cancelled(&hash, false, true, item.status(false));
            if let Some(worker) = worker {
                self.tell_cancel(worker, &hash, reason, Withdrawal::Cancelled);
            }
            return Some(answer);
        }
        let text = format!("Work item was canceled: {reason}");
        self.withdraw(id, Ending::Cancelled, &text, now);
        Some(wire::cancelled(&hash, true, false, Ending::Cancelled.name()))
    }

    /// Answers one who waits with a kept outcome.
    pub(super) fn answer(&mut self, waiter: Waiter, done: &Finished, now: Now) {
        if let Some(client) = Client::of(&waiter) {
            if let Client::Http(http) = client {
                self.tell_left_out(http, now);
            }
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
