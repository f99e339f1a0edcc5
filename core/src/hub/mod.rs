//! The hub: the embedded control plane of beacon workers.
//!
//! ```text
//!   Idle ─start─▶ Loading ──▶ Serving ─stop─▶ Draining ──▶ Ended
//!                    └── store or listener failed ───────────▲
//! ```
//!
//! It decides who may register and ask, keeps the queue, leases items to workers and answers whoever
//! asked, exactly once. Everything that it promises is stored first.

mod affinity;
mod assign;
mod auth;
mod calls;
mod catalogue;
mod children;
mod clients;
mod connections;
mod http;
mod item;
mod lease;
mod lifecycle;
mod login;
pub(crate) mod options;
mod queue;
mod rate;
mod records;
mod registration;
mod registry;
mod reports;
mod results;
mod routes;
mod runs;
mod settle;
mod stream;
#[cfg(test)]
mod tests;
mod views;
mod worker;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use affinity::Affinity;
use auth::{Auth, Caller};
use bytes::Bytes;
use catalogue::Catalogue;
use children::{Child, Stores};
use item::{ItemId, Waiter};
use lifecycle::Phase;
use queue::Queue;
use rate::RateLimit;
use registry::Registry;
use results::Results;
use runs::Runs;

use crate::api::command::Command;
use crate::api::command::{CallCommand, WorkCommand};
use crate::api::event::Event;
use crate::api::event::{CallEvent, SessionEvent};
use crate::base::entropy::{Entropy, Seed};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{CallId, ConnId, HttpId, PeerId};
use crate::base::time::{Deadline, Instant, Now, Why};
use crate::dialect::beacon::wire::coordinator::{self as wire, Verdict};
use crate::dialect::volt::server::VoltServer;
use crate::hub::options::{HubAccess, HubOptions};
use crate::machine::{ConnInput, ServerInput};
use crate::machine::{Endpoint, Input, Machine, Output};
use crate::net::target::FrameLimits;
use crate::net::{Frame, HttpResponse};
use crate::parts::accepted::{Due, Server, ServerPolicy};
use crate::parts::journal::Journal;

/// The largest frame of a connection that has not registered.
const UNREGISTERED_FRAME: usize = 65_536;

/// The handler key by which an application asks for the messages of VOLT daemons.
const MESSAGES: &str = "*";

/// How often what has expired is swept out.
const SWEEP_MS: u64 = 10_000;

/// The embedded control plane.
#[derive(Debug)]
pub struct Hub {
    options: HubOptions,
    phase: Phase,
    out: VecDeque<Output>,
    server: Server,
    links: BTreeMap<ConnId, Link>,
    registry: Registry,
    catalogue: Catalogue,
    queue: Queue,
    /// Items that ran when the hub was restarted, by the name of their holder.
    held: BTreeMap<Arc<str>, BTreeSet<ItemId>>,
    affinity: Affinity,
    results: Results,
    runs: Runs,
    auth: Auth,
    rate: RateLimit,
    journal: Journal<Deferred>,
    verdicts: BTreeMap<ConnId, Vec<Verdict>>,
    calls: BTreeMap<CallId, ItemId>,
    /// Allowed origins of the pages that wait for an answer.
    origins: BTreeMap<HttpId, String>,
    /// The control plane of VOLT daemons.
    volt: VoltServer,
    stores: Stores,
    timers: BTreeSet<(Instant, Timer)>,
    entropy: Entropy,
    minted: u64,
    counts: Counts,
    started: Now,
    address: Option<String>,
    /// No lease ends before: set when this process itself was late.
    grace: Instant,
}

/// What is known of an accepted connection beside its registration.
#[derive(Debug)]
struct Link {
    caller: Option<Caller>,
    /// A registration that an auth worker is asked about.
    joining: Option<bytestring::ByteString>,
}

/// What has happened since the start.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    finished: u64,
    redelivered: u64,
    refused_reports: u64,
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A worker may have been silent for too long.
    Silence(PeerId),
    /// The time limit of an item.
    Limit(ItemId),
    /// An item that failed runs again.
    Retry(ItemId),
    /// Someone who came later has waited for an item long enough; with the time that it allowed.
    Patience(Patience, u64),
    /// Holders from before a restart had their chance.
    Held,
    /// Expired records are swept out.
    Sweep,
    /// The drain ends.
    Drain,
}

impl Timer {
    const fn why(self) -> Why {
        match self {
            Self::Silence(_) => Why::Lease,
            Self::Limit(_) => Why::Work,
            Self::Retry(_) => Why::Retry,
            Self::Patience(..) => Why::Patience,
            Self::Held => Why::Held,
            Self::Sweep => Why::Sweep,
            Self::Drain => Why::Drain,
        }
    }
}

/// Who waits for an item with a limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Patience {
    Http(HttpId),
    Call(CallId),
}

impl Patience {
    const fn of(waiter: &Waiter) -> Option<Self> {
        match waiter {
            Waiter::Http { http, .. } => Some(Self::Http(*http)),
            Waiter::Call { call, .. } => Some(Self::Call(*call)),
            Waiter::Login { .. } | Waiter::Join { .. } => None,
        }
    }
}

/// What waits for a commit.
#[derive(Debug)]
enum Deferred {
    Send { conn: ConnId, text: String },
    Reply { http: HttpId, response: HttpResponse },
    Part { http: HttpId, bytes: Bytes },
    End { http: HttpId },
    Verdict { conn: ConnId, verdict: Verdict },
    Event(Event),
}

impl Hub {
    /// Opens a hub.
    ///
    /// # Errors
    /// `CONFIG_INVALID` when the options would let anyone in from a network, or nobody at all.
    pub fn open(options: HubOptions, seed: Seed) -> Result<Self, Error> {
        lifecycle::check(&options)?;
        let limits = &options.limits;
        let admitted = FrameLimits {
            max_message: usize::try_from(limits.max_message_bytes).unwrap_or(usize::MAX),
            max_fragments: usize::try_from(limits.max_fragments).unwrap_or(usize::MAX),
            max_send_queue: usize::try_from(limits.max_send_queue_bytes).unwrap_or(usize::MAX),
        };
        let server = Server::new(ServerPolicy {
            unadmitted: FrameLimits {
                max_message: admitted.max_message.min(UNREGISTERED_FRAME),
                ..admitted
            },
            admitted,
            max_connections: options.max_connections,
            max_unadmitted_per_address: options.max_unadmitted_per_address,
            registration_timeout_ms: options.registration_timeout_ms,
            ping_interval_ms: options.ping_interval_ms,
        });
        let volt = VoltServer::new(
            options.volt.clone(),
            limits,
            options.max_connections,
            options.max_unadmitted_per_address,
            // Another stream of randomness than the hub's own.
            seed.map(|byte| byte ^ 0x5a),
        );
        Ok(Self {
            phase: Phase::Idle,
            out: VecDeque::new(),
            server,
            links: BTreeMap::new(),
            registry: Registry::default(),
            catalogue: Catalogue::default(),
            queue: Queue::default(),
            held: BTreeMap::new(),
            affinity: Affinity::new(options.affinity_ttl_ms),
            results: Results::new(
                options.max_results,
                options.max_result_bytes,
                options.result_ttl_ms,
            ),
            runs: Runs::default(),
            auth: Auth::new(options.users.clone(), options.session_ttl_ms),
            rate: RateLimit::new(options.enqueue_rate, options.enqueue_burst),
            journal: Journal::default(),
            verdicts: BTreeMap::new(),
            calls: BTreeMap::new(),
            origins: BTreeMap::new(),
            volt,
            stores: Stores::default(),
            timers: BTreeSet::new(),
            entropy: Entropy::new(seed),
            minted: 0,
            counts: Counts::default(),
            started: Now::default(),
            address: None,
            grace: Instant::default(),
            options,
        })
    }

    fn is_secured(&self) -> bool {
        match self.options.access {
            HubAccess::Secured => true,
            HubAccess::Open => false,
        }
    }

    fn event(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    fn notice(&mut self, code: ErrorCode, text: impl AsRef<str>) {
        self.event(Event::Session(SessionEvent::Notice { error: Error::new(code, text) }));
    }

    /// Sends at once: for what promises nothing that must be stored.
    fn send(&mut self, conn: ConnId, text: String) {
        if self.server.is_open(conn) {
            self.out.push_back(Output::Send { conn, frame: Frame::Text(text.into()) });
        }
    }

    /// Answers at once.
    fn reply(&mut self, http: HttpId, mut response: HttpResponse) {
        if let Some(origin) = self.origins.remove(&http) {
            response.headers.push("access-control-allow-origin", origin);
            response.headers.push("vary", "Origin");
        }
        self.out.push_back(Output::HttpReply { http, response });
    }

    /// Does `what` once everything written so far is stored.
    fn later(&mut self, what: Deferred) {
        if let Some(what) = self.journal.after(what) {
            self.perform(what);
        }
    }

    fn perform(&mut self, what: Deferred) {
        match what {
            Deferred::Send { conn, text } => self.send(conn, text),
            Deferred::Reply { http, response } => self.reply(http, response),
            Deferred::Part { http, bytes } => {
                self.out.push_back(Output::HttpPart { http, bytes });
            }
            Deferred::End { http } => self.out.push_back(Output::HttpEnd { http }),
            Deferred::Verdict { conn, verdict } => {
                self.verdicts.entry(conn).or_default().push(verdict);
            }
            Deferred::Event(event) => self.event(event),
        }
    }

    /// Closes a connection from this side.
    fn close(&mut self, conn: ConnId, code: u16, reason: &str) {
        if self.server.is_open(conn) {
            self.server.closing(conn);
            self.out.push_back(Output::Close { conn, code, reason: reason.to_owned() });
        }
    }

    fn arm(&mut self, at: Instant, timer: Timer) {
        self.timers.insert((at, timer));
    }

    /// Sends what was collected during the turn: verdicts, then the commit. Tells whether any was.
    fn flush(&mut self) -> bool {
        self.collect_volt();
        for (conn, verdicts) in std::mem::take(&mut self.verdicts) {
            self.send(conn, wire::work_taken(&verdicts));
        }
        if let Some((store, request)) = self.journal.flush() {
            self.ask_store(Child::Beacon, store, request);
        }
        !self.out.is_empty()
    }

    fn handle_due(&mut self, now: Now) {
        while let Some(due) = self.server.take_due(now.mono) {
            match due {
                Due::Ping(conn) => {
                    self.out.push_back(Output::Send { conn, frame: Frame::Ping(Bytes::new()) });
                }
                Due::Silent(conn) => {
                    self.close(conn, 1001, "no answer to two pings");
                    self.handle_lost(conn, "it answered neither of two pings", now);
                }
                Due::Unregistered(conn) => {
                    self.close(conn, 1008, "no registration in time");
                }
            }
        }
        while let Some((at, timer)) = self.timers.first().copied() {
            if at > now.mono {
                break;
            }
            self.timers.remove(&(at, timer));
            match timer {
                Timer::Silence(worker) => self.check_silence(worker, now),
                Timer::Limit(item) => self.expire_item(item, now),
                Timer::Retry(item) => self.place(item, now),
                Timer::Patience(patience, timeout_ms) => self.lose_patience(patience, timeout_ms),
                Timer::Held => self.release_held(None, now),
                Timer::Sweep => self.sweep(now),
                Timer::Drain => self.end_drain(now),
            }
        }
    }

    fn sweep(&mut self, now: Now) {
        for hash in self.results.expire(now.unix) {
            self.journal.delete(records::RESULTS, &hash);
        }
        self.affinity.expire(now.mono);
        self.auth.expire(now.mono);
        self.arm(now.mono.after(SWEEP_MS), Timer::Sweep);
    }
}

impl Machine for Hub {
    fn handle_input(&mut self, input: Input, now: Now) {
        match input {
            Input::Server(ServerInput::Offered { conn, request, remote }) => {
                self.handle_offer(conn, request, &remote, now);
            }
            Input::Conn(ConnInput::Received { conn, .. } | ConnInput::Closed { conn, .. })
                if self.volt.owns(conn) =>
            {
                self.volt.handle_input(input, now);
            }
            Input::Conn(ConnInput::Received { conn, frame }) => self.handle_frame(conn, frame, now),
            Input::Conn(ConnInput::Closed { conn, cause }) => {
                self.server.closed(conn);
                self.handle_lost(conn, cause.to_error().message(), now);
                self.links.remove(&conn);
            }
            Input::Server(ServerInput::Asked { http, request, remote }) => {
                self.handle_request(http, request, &remote, now);
            }
            Input::Server(ServerInput::Gone { http }) => {
                self.volt.handle_input(Input::Server(ServerInput::Gone { http }), now);
                self.handle_gone(http);
            }
            Input::Stored { store, result } => self.handle_stored(store, result, now),
            Input::Server(ServerInput::Listening { address, .. }) => self.handle_listening(address),
            Input::Server(ServerInput::ListenFailed { error, .. }) => self.end(Some(error), now),
            // A hub dials nobody and asks nobody.
            Input::Conn(ConnInput::Opened { .. })
            | Input::Conn(ConnInput::Sent { .. })
            | Input::Http(_)
            | Input::HostLag { .. } => {}
        }
        self.check_drained(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.notice_lateness(now.mono);
        self.volt.handle_timeout(now);
        self.journal.retry(now.mono);
        self.handle_due(now);
        self.check_drained(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        if self.out.is_empty() {
            self.flush();
        }
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let timer = self.timers.first().map(|(at, timer)| Deadline { at: *at, why: timer.why() });
        let server = self.server.next_due().map(|at| Deadline { at, why: Why::Ping });
        let retry = self.journal.retry_at().map(|at| Deadline { at, why: Why::Store });
        [timer, server, retry, self.volt.poll_timeout()].into_iter().flatten().min()
    }
}

impl Endpoint for Hub {
    fn handle_command(&mut self, command: Command, now: Now) -> Result<(), Error> {
        self.volt.at(now);
        let result = match command {
            Command::Start => self.start(now),
            Command::Stop { drain_ms } => {
                self.stop(drain_ms, now);
                Ok(())
            }
            Command::Call(CallCommand::Make { call, name, payload, options }) => {
                self.call(call, &name, payload, &options, now)
            }
            Command::Call(CallCommand::Cancel { call }) => {
                self.cancel_call(call, now);
                Ok(())
            }
            Command::Snapshot { call } => {
                let result = crate::base::json::Raw::parse(self.snapshot(now))
                    .map_err(|e| Error::new(ErrorCode::Internal, e.to_string()));
                self.event(Event::Call(CallEvent::Done { call, result }));
                Ok(())
            }
            Command::Work(WorkCommand::Handle { key, .. }) if key == MESSAGES => {
                self.volt.listen(true);
                Ok(())
            }
            Command::Work(WorkCommand::Unhandle { key }) if key == MESSAGES => {
                self.volt.listen(false);
                Ok(())
            }
            Command::Work(WorkCommand::Handle { key, .. }) => self.volt.handle(key),
            Command::Work(WorkCommand::Unhandle { key }) => {
                self.volt.unhandle(&key);
                Ok(())
            }
            Command::Work(WorkCommand::Complete { work, outcome }) => {
                self.volt.complete(work, &outcome)
            }
            Command::Emit { name, payload } if self.is_serving() => {
                self.volt.message(&name, &payload)
            }
            Command::Emit { .. } | Command::Work(WorkCommand::Progress { .. }) => {
                Err(Error::new(ErrorCode::Unsupported, "a hub has no such call"))
            }
        };
        self.check_drained(now);
        result
    }

    fn snapshot(&self, now: Now) -> String {
        self.moorline_status(now)
    }
}
