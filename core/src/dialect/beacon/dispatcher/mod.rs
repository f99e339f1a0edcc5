//! The side that asks for work: calls over HTTP, each settled exactly once.
//!
//! A call is one request under one idempotency key. While the control plane is away the request is
//! repeated with backoff; a control plane that honours keys runs the work once all the same. The
//! call's deadline ends it whatever happens.
//!
//! ```text
//! Idle ─start─▶ Login ─▶ Ready ─stop─▶ Draining ─▶ Ended
//!                 ▲ └ fails: backoff │ 401
//!                 └──────────────────┘
//! ```

mod call;
mod login;
mod plan;
mod reply;
#[cfg(test)]
mod storm;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::api::command::{CallCommand, Command};
use crate::api::event::{CallEvent, Event, SessionEvent, Transport};
use crate::api::options::ConfigError;
use crate::base::entropy::{Entropy, Seed};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{CallId, HttpId};
use crate::base::json::Raw;
use crate::base::json::object::Object;
use crate::base::time::{Deadline, Now, Why};
use crate::dialect::beacon::dispatcher::call::Call;
use crate::dialect::beacon::dispatcher::login::Login;
use crate::dialect::beacon::dispatcher::plan::Request;
use crate::dialect::beacon::options::DispatcherOptions;
use crate::machine::{Endpoint, HttpInput, Input, Machine, Output};
use crate::net::origin::Origin;
use crate::net::{HttpRequest, Method};
use crate::parts::backoff::Backoff;
use crate::parts::calls::Slab;
use crate::parts::credentials::Credentials;
use crate::parts::lifetime::Lifetime;
use crate::parts::timers::Timers;

/// The most work items that are cancelled at the same time.
const MAX_CANCELLATIONS: usize = 8;

/// What an HTTP request was for.
#[derive(Debug)]
enum Purpose {
    Login,
    Call(CallId),
    /// The end of the work item of a call that is settled already; nobody waits for it.
    Cancellation,
}

/// The dispatcher's machine.
#[derive(Debug)]
pub(crate) struct BeaconDispatcher {
    options: DispatcherOptions,
    origin: Origin,
    credentials: Credentials,
    entropy: Entropy,
    life: Lifetime,
    login: Login,
    login_backoff: Backoff,
    /// Logins so far, counted from 1: the first may not be wanted at all.
    logins: u64,
    calls: BTreeMap<CallId, Call>,
    deadlines: Timers<CallId>,
    retries: Timers<CallId>,
    exchanges: Slab<Purpose>,
    /// Keys of work items that are still to be cancelled, and how many are being.
    cancelled: VecDeque<String>,
    cancelling: usize,
    outputs: VecDeque<Output>,
    last_error: Option<Error>,
    counters: Counters,
}

/// What has happened since the dispatcher was opened.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Counters {
    calls: u64,
    succeeded: u64,
    failed: u64,
    retries: u64,
}

impl BeaconDispatcher {
    pub(crate) fn new(options: DispatcherOptions, seed: Seed) -> Result<Self, ConfigError> {
        let origin = Origin::parse(&options.server_url).map_err(|problem| {
            let mut problems = ConfigError::default();
            problems.add("server_url", problem);
            problems
        })?;
        Ok(Self {
            credentials: Credentials::new(options.user_name.clone(), options.password.clone()),
            origin,
            entropy: Entropy::new(seed),
            life: Lifetime::default(),
            login: Login::Done,
            login_backoff: Backoff::new(options.reconnect.clone()),
            logins: 1,
            calls: BTreeMap::new(),
            deadlines: Timers::new(),
            retries: Timers::new(),
            exchanges: Slab::new(),
            cancelled: VecDeque::new(),
            cancelling: 0,
            outputs: VecDeque::new(),
            last_error: None,
            counters: Counters::default(),
            options,
        })
    }

    fn start(&mut self, now: Now) -> Result<(), Error> {
        self.life.start(now)?;
        if self.options.user_name.is_empty() {
            self.ready();
        } else {
            self.log_in();
        }
        Ok(())
    }

    fn ready(&mut self) {
        let (id, transport) = (String::new(), Transport::Polling);
        self.event(SessionEvent::Ready { id, transport, max_message: None });
    }

    /// Ends a drained dispatcher, or one whose drain deadline has passed.
    fn advance_drain(&mut self, now: Now) {
        let is_busy = !self.calls.is_empty() || self.cancelling > 0;
        if !self.life.is_drained(is_busy, now) {
            return;
        }
        let error = (!self.calls.is_empty()).then(|| {
            Error::new(ErrorCode::DrainTimeout, "calls were still open at the drain deadline")
        });
        self.settle_all(&ErrorCode::Stopped.into());
        self.life.end(error, now, &mut self.outputs);
    }

    /// Asks under our session; under a `key` a repeated request finds its first one.
    fn request(
        &mut self,
        purpose: Purpose,
        request: Request,
        key: Option<&str>,
        timeout_ms: u64,
    ) -> HttpId {
        let Request { method, path, body } = request;
        let mut request =
            self.origin.request(method, &path, self.credentials.session.as_ref(), body);
        if let Some(key) = key.filter(|_| method == Method::Post) {
            request.headers.push_text("x-idempotency-key", key);
        }
        self.ask(purpose, request, timeout_ms)
    }

    /// Makes an HTTP call and remembers what it was for.
    fn ask(&mut self, purpose: Purpose, request: HttpRequest, timeout_ms: u64) -> HttpId {
        let call = if let Purpose::Call(call) = &purpose { self.calls.get(call) } else { None };
        let streams = call.is_some_and(Call::is_streaming);
        let http = HttpId(self.exchanges.open(purpose) << 1);
        let max_body = usize::try_from(self.options.limits.max_message_bytes).unwrap_or(usize::MAX);
        self.outputs.push_back(Output::HttpCall { http, request, timeout_ms, max_body, streams });
        http
    }

    fn event(&mut self, event: impl Into<Event>) {
        self.outputs.push_back(Output::Event(event.into()));
    }
}

impl Machine for BeaconDispatcher {
    fn handle_input(&mut self, input: Input, now: Now) {
        if self.life.is_ended() {
            return;
        }
        if let Input::Http(HttpInput::Part { http, bytes }) = &input
            && let Some(Purpose::Call(call)) = self.exchanges.get(http.0 >> 1)
        {
            self.call_streamed(*call, bytes);
        }
        if let Input::Http(HttpInput::Replied { http, result }) = input {
            match self.exchanges.take(http.0 >> 1) {
                Some(Purpose::Login) => self.logged_in(result, now),
                Some(Purpose::Call(call)) => self.call_answered(call, result, now),
                Some(Purpose::Cancellation) => {
                    self.cancelling -= 1;
                    self.cancel_items();
                }
                None => {}
            }
        }
        self.advance_drain(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        if self.life.is_ended() {
            return;
        }
        while let Some((_, call)) = self.deadlines.take_due(now.mono) {
            self.call_expired(call);
        }
        if self.login.retry_at().is_some_and(|at| at <= now.mono) {
            self.log_in();
        }
        while let Some((_, call)) = self.retries.take_due(now.mono) {
            self.send(call, now);
        }
        self.advance_drain(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        if self.life.is_ended() {
            return None;
        }
        let timers = [
            self.deadlines.deadline(|_| Why::Call),
            self.retries.deadline(|_| Why::Retry),
            self.login.retry_at().map(|at| Deadline { at, why: Why::Login }),
            self.life.deadline(),
        ];
        timers.into_iter().flatten().min()
    }
}

impl Endpoint for BeaconDispatcher {
    fn handle_command(&mut self, command: Command, now: Now) -> Result<(), Error> {
        if self.life.is_ended() && !matches!(command, Command::Snapshot { .. }) {
            return Err(ErrorCode::Stopped.into());
        }
        match command {
            Command::Start => self.start(now),
            Command::Stop { drain_ms } => {
                self.life.stop(drain_ms, self.calls.len(), now, &mut self.outputs);
                self.advance_drain(now);
                Ok(())
            }
            Command::Call(CallCommand::Make { call, name, payload, options }) => {
                self.call(call, &name, payload, &options, now)
            }
            Command::Call(CallCommand::Cancel { call }) => {
                self.cancel(call, now);
                self.advance_drain(now);
                Ok(())
            }
            Command::Snapshot { call } => {
                let result = Ok(Raw::trusted(self.snapshot(now)));
                self.event(CallEvent::Done { call, result });
                Ok(())
            }
            Command::Work(_) | Command::Peer(_) | Command::Emit { .. } => {
                Err(ErrorCode::Unsupported.into())
            }
        }
    }

    fn snapshot(&self, now: Now) -> String {
        let retry = self.login.retry_at();
        let state = match (retry, self.login.is_done()) {
            (Some(_), _) => "waiting",
            (None, true) => "ready",
            (None, false) => "preflight",
        };
        let object = Object::new().text("dialect", "beacon").text("role", "dispatcher");
        self.life
            .describe(object, state, now)
            .number("attempt", self.login_backoff.attempt)
            .value("next_attempt_ms", &retry.map(|at| at.since(now.mono)))
            .value("last_error", &self.last_error)
            .value("pending_calls", &self.calls.len())
            .value("counters", &self.counters)
            .end()
    }
}
