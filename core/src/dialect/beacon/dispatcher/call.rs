//! One call: sent, repeated while the control plane is away, settled once.

use crate::api::event::CallEvent;
use crate::api::options::read;
use crate::base::error::{Error, ErrorCode, invalid};
use crate::base::ids::{CallId, HttpId};
use crate::base::json::Raw;
use crate::base::time::{Instant, Now};
use crate::dialect::beacon::dispatcher::plan::{Plan, Request};
use crate::dialect::beacon::dispatcher::reply::{Verdict, judge};
use crate::dialect::beacon::dispatcher::stream::Stream;
use crate::dialect::beacon::dispatcher::{BeaconDispatcher, MAX_CANCELLATIONS, Purpose};
use crate::dialect::beacon::options::CallOptions;
use crate::machine::{DRIVER_SLACK_MS, Output};
use crate::net::HttpResponse;
use crate::parts::backoff::Backoff;

/// How long a call waits for a first worker: after a restart of the control plane they come back one
/// by one.
const NO_WORKER_GRACE_MS: u64 = 10_000;

/// A call that is not settled.
#[derive(Debug)]
pub(super) struct Call {
    plan: Plan,
    key: String,
    deadline: Instant,
    backoff: Backoff,
    asking: Option<HttpId>,
    /// What the present request has streamed so far.
    stream: Stream,
    /// The number of the login whose session the last request showed; 0 before the first request.
    sent_in: u64,
    retry_at: Option<Instant>,
    lonely_since: Option<Instant>,
    last_error: Option<Error>,
}

impl Call {
    /// Tells whether its answer is a stream of frames.
    pub(super) fn is_streaming(&self) -> bool {
        match &self.plan {
            Plan::Work { options, .. } => options.stream,
            Plan::Command { is_stream, .. } => *is_stream,
            Plan::Request(_) => false,
        }
    }

    /// Tells whether it is asked again after a failure on the way.
    fn may_repeat(&self, error: &Error) -> bool {
        match &self.plan {
            Plan::Work { .. } | Plan::Request(_) => error.is_retryable(),
            // It surely was not asked.
            Plan::Command { .. } => error.code() == ErrorCode::ConnectFailed,
        }
    }
}

impl BeaconDispatcher {
    pub(super) fn call(
        &mut self,
        call: CallId,
        name: &str,
        payload: Raw,
        options: &Raw,
        now: Now,
    ) -> Result<(), Error> {
        self.life.check_open()?;
        let max = self.options.limits.max_pending_calls;
        if self.calls.len() as u64 >= max {
            let message = format!("limits.max_pending_calls ({max}) calls are open");
            return Err(Error::new(ErrorCode::Overloaded, message));
        }
        if self.calls.contains_key(&call) {
            return Err(invalid(format!("call {} is open already", call.0)));
        }
        let options: CallOptions =
            read(options.as_str()).map_err(|e| invalid(format!("call options: {e}")))?;
        if options.idempotency_key.contains(char::is_control) {
            return Err(invalid(
                "call options: idempotency_key holds a line break or another control character",
            ));
        }
        let key = options.key().map(str::to_owned);
        let key = key.unwrap_or_else(|| self.entropy.uuid().to_string());
        let asked_ms = options.timeout_ms;
        let plan = Plan::new(name, payload, options, &key)?;
        let default_ms = match plan {
            Plan::Work { .. } | Plan::Command { .. } => self.options.call_timeout_ms,
            Plan::Request(_) => self.options.http_timeout_ms,
        };
        let deadline = now.mono.after(if asked_ms > 0 { asked_ms } else { default_ms });
        self.counters.calls += 1;
        self.deadlines.add(call, deadline);
        self.calls.insert(
            call,
            Call {
                plan,
                key,
                deadline,
                backoff: Backoff::new(self.options.reconnect.clone()),
                asking: None,
                stream: Stream::default(),
                sent_in: 0,
                retry_at: None,
                lonely_since: None,
                last_error: None,
            },
        );
        self.send(call, now);
        Ok(())
    }

    /// Sends the request of a call, unless a login comes first.
    pub(super) fn send(&mut self, id: CallId, now: Now) {
        if !self.login.is_done() {
            return;
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.asking.is_some() {
            return;
        }
        call.retry_at = None;
        call.stream = Stream::default();
        call.sent_in = self.logins;
        let left_ms = call.deadline.since(now.mono);
        let (request, key) = (call.plan.request(left_ms), std::mem::take(&mut call.key));
        // The driver gives a call up a little later than we do.
        let timeout_ms = left_ms.saturating_add(DRIVER_SLACK_MS);
        let http = self.request(Purpose::Call(id), request, Some(&key), timeout_ms);
        if let Some(call) = self.calls.get_mut(&id) {
            call.asking = Some(http);
            call.key = key;
        }
    }

    /// Sends every call that waits for nothing else.
    pub(super) fn send_all(&mut self, now: Now) {
        let waiting = |(id, call): (&CallId, &Call)| call.retry_at.is_none().then_some(*id);
        let open: Vec<_> = self.calls.iter().filter_map(waiting).collect();
        for call in open {
            self.send(call, now);
        }
    }

    /// Passes on what a streamed answer has brought.
    pub(super) fn call_streamed(&mut self, id: CallId, bytes: &[u8]) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let parts = call.stream.feed(bytes);
        // A stream may be as long as it likes; what is kept of it is a part that is not whole.
        let max = self.options.limits.max_message_bytes;
        let is_too_large = call.stream.cut.len() as u64 > max;
        for part in parts {
            self.event(CallEvent::Part { call: id, part });
        }
        if is_too_large {
            let text = format!(
                "a part of the answer has more than the {max} bytes of limits.max_message_bytes"
            );
            self.settle(id, Err(Error::new(ErrorCode::TooLarge, text)));
        }
    }

    pub(super) fn call_answered(
        &mut self,
        id: CallId,
        result: Result<HttpResponse, Error>,
        now: Now,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.asking = None;
        let mut stream = std::mem::take(&mut call.stream);
        let parts = match &result {
            Ok(response) if call.is_streaming() && response.status / 100 == 2 => {
                stream.feed(response.bytes())
            }
            Ok(_) | Err(_) => Vec::new(),
        };
        let verdict = match result {
            Ok(response) => judge(&call.plan, &response, stream),
            Err(error) if call.may_repeat(&error) => Verdict::Again { error, after_ms: None },
            Err(error) if error.code() == ErrorCode::TooLarge => {
                let text = format!("{}: limits.max_message_bytes", error.message());
                Verdict::Settled(Err(Error::new(ErrorCode::TooLarge, text)))
            }
            Err(error) => Verdict::Settled(Err(error)),
        };
        for part in parts {
            self.event(CallEvent::Part { call: id, part });
        }
        match verdict {
            Verdict::Settled(result) => {
                self.credentials.honoured = true;
                self.settle(id, result);
            }
            Verdict::Again { error, after_ms } => self.again(id, error, after_ms, now),
            Verdict::NoWorker(error) => self.no_worker(id, error, now),
            Verdict::Unauthorized => self.unauthorized(id, now),
        }
    }

    fn no_worker(&mut self, id: CallId, error: Error, now: Now) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let since = *call.lonely_since.get_or_insert(now.mono);
        if now.mono.since(since) >= NO_WORKER_GRACE_MS {
            self.settle(id, Err(error));
        } else {
            self.again(id, error, None, now);
        }
    }

    fn again(&mut self, id: CallId, error: Error, after_ms: Option<u64>, now: Now) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(delay) = call.backoff.next(&mut self.entropy) else {
            self.settle(id, Err(error));
            return;
        };
        self.counters.retries += 1;
        let at = now.mono.after(delay.max(after_ms.unwrap_or(0)));
        self.retries.set(&mut call.retry_at, id, at);
        call.last_error = Some(error.clone());
        self.last_error = Some(error);
    }

    /// A session that has been of use has expired: log in again. One that never was is no good.
    fn unauthorized(&mut self, id: CallId, now: Now) {
        if !self.login.is_done() {
            return;
        }
        let is_outdated = self.calls.get(&id).is_some_and(|call| call.sent_in != self.logins);
        let can_log_in = !self.options.user_name.is_empty();
        if is_outdated {
            self.send(id, now);
        } else if can_log_in && self.credentials.drop_session() {
            self.log_in();
        } else {
            self.settle(id, Err(ErrorCode::AuthenticationFailed.into()));
        }
    }

    /// The deadline of a call has passed.
    pub(super) fn call_expired(&mut self, id: CallId) {
        let last = self.calls.get(&id).and_then(|call| call.last_error.clone());
        let error = match last {
            Some(last) => {
                let message = format!("no reply came before the deadline; at last: {last}");
                Error::new(ErrorCode::CallTimeout, message)
            }
            None => ErrorCode::CallTimeout.into(),
        };
        self.settle(id, Err(error));
    }

    pub(super) fn settle(&mut self, id: CallId, result: Result<Raw, Error>) -> Option<Call> {
        let mut call = self.calls.remove(&id)?;
        self.deadlines.remove(id, call.deadline);
        self.retries.clear(&mut call.retry_at, id);
        if let Some(http) = call.asking.take() {
            self.exchanges.take(http.0 >> 1);
            self.outputs.push_back(Output::HttpCancel { http });
        }
        match &result {
            Ok(_) => self.counters.succeeded += 1,
            Err(_) => self.counters.failed += 1,
        }
        self.event(CallEvent::Done { call: id, result });
        Some(call)
    }

    /// Cancels a call, and its work item by the key; a control plane of others knows no such request.
    pub(super) fn cancel(&mut self, id: CallId, now: Now) {
        let was_sent = self.calls.get(&id).is_some_and(|call| call.sent_in > 0);
        let Some(call) = self.settle(id, Err(ErrorCode::CallCancelled.into())) else { return };
        let is_work = matches!(call.plan, Plan::Work { .. });
        if was_sent && is_work && call.deadline > now.mono {
            // A loop that calls and cancels must not grow; the items' time limits end the rest.
            if (self.cancelled.len() as u64) < self.options.limits.max_pending_calls {
                self.cancelled.push_back(call.key);
            }
            self.cancel_items();
        }
    }

    /// Cancels the work items of cancelled calls, a few at a time.
    pub(super) fn cancel_items(&mut self) {
        while self.cancelling < MAX_CANCELLATIONS
            && let Some(key) = self.cancelled.pop_front()
        {
            self.cancelling += 1;
            let timeout_ms = self.options.http_timeout_ms;
            self.request(Purpose::Cancellation, Request::cancel(), Some(&key), timeout_ms);
        }
    }

    /// Settles every call that is open.
    pub(super) fn settle_all(&mut self, error: &Error) {
        while let Some(call) = self.calls.keys().next().copied() {
            self.settle(call, Err(error.clone()));
        }
    }
}
