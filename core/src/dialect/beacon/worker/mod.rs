//! A worker: registers at a control plane, runs its work items and reports how they ended.
//!
//! ```text
//! Idle ─start─▶ Recalling ─▶ Preflight ─▶ Dialing ─▶ Greeting ─▶ Ready ─stop─▶ Leaving ─▶ Ended
//!                (store)      (login)        │           │          │                        ▲
//!                                 ▲          └─── fails ─┴── lost ──┤    attempts used up,   │
//!                                 └──────────────── Waiting ◀───────┴── refused at the first ┘
//! ```
//!
//! A failed dial or greeting on WebSocket tries HTTP requests before it counts as failed. While the link
//! is ready on requests, WebSocket is dialed in the background; only its greeting moves the link, so that
//! exactly one transport is active at any time. Work goes on while the link is away; what it yields waits
//! in the outbox.

mod action;
mod intake;
mod life;
mod passage;
mod polling;
mod report;
mod say;
mod snapshot;
#[cfg(test)]
mod tests;

pub(crate) use action::check_handler;

use std::collections::{BTreeMap, VecDeque};

use bytestring::ByteString;

use crate::api::command::{Command, WorkCommand};
use crate::api::event::{CallEvent, Event, SessionEvent, Transport, Withdrawal};
use crate::api::options::ConfigError;
use crate::base::entropy::{Entropy, Seed};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{ConnId, HttpId, WorkId};
use crate::base::json::Raw;
use crate::base::time::{Deadline, Instant, Now, Why};
use crate::dialect::beacon::options::{WorkerOptions, WorkerTransport};
use crate::machine::{ConnInput, DRIVER_SLACK_MS, Endpoint, HttpInput, Input, Machine, Output};
use crate::net::origin::Origin;
use crate::parts::backoff::Backoff;
use crate::parts::credentials::Credentials;
use crate::parts::drain::Drain;
use crate::parts::handlers::Handlers;
use crate::parts::heartbeat::Heartbeat;
use crate::parts::journal::Journal;
use crate::parts::link::Link;
use crate::parts::liveness::Liveness;
use crate::parts::outbox::Outbox;
use crate::parts::work::Work;

pub(super) use action::Action;
use passage::Passage;
use polling::{Polling, Upgrade};
use snapshot::Counters;

/// The worker's machine.
#[derive(Debug)]
pub(crate) struct BeaconWorker {
    options: WorkerOptions,
    origin: Origin,
    host: String,
    entropy: Entropy,
    link: Link<Stage>,
    /// The connection whose end has been seen to: it needs no further close.
    gone: Option<ConnId>,
    upgrade: Upgrade,
    polling: Polling,
    schedule: Schedule,
    heartbeat: Heartbeat,
    liveness: Liveness,
    credentials: Credentials,
    handlers: Handlers<Action>,
    work: Work,
    /// Items that hubs of others had stopped, with their attempts, while their handlers still run.
    stopping: BTreeMap<WorkId, (ByteString, u32)>,
    outbox: Outbox,
    /// The outbox on its way to the store.
    journal: Journal<()>,
    drain: Drain,
    /// Work items that were still running at the end of the drain.
    unfinished: usize,
    exchanges: BTreeMap<HttpId, Exchange>,
    /// Exchanges that failed in a row.
    failures: u32,
    id: String,
    /// The control plane acknowledges outcomes.
    acks: bool,
    announcing: Option<Announcement>,
    /// Bytes given to the connection since it last said that all was handed on, and whether it is asked.
    waiting: (usize, bool),
    passage: Passage,
    last_error: Option<Error>,
    /// For how long the control plane has asked us to stay away, in milliseconds.
    away_ms: Option<u64>,
    counters: Counters,
    outputs: VecDeque<Output>,
    last_conn: u64,
    last_http: u64,
}

/// Where the link stands.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Idle,
    /// Outcomes are being read back from the store.
    Recalling,
    Preflight,
    Dialing(ConnId),
    Greeting(Carrier),
    Ready(Carrier),
    Waiting {
        retry_ms: u64,
    },
    /// The farewell was said.
    Leaving(Carrier),
    Ended,
}

/// What carries the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Connection(ConnId),
    Requests,
}

/// When something is due on a link that is ready; nothing is on others.
#[derive(Debug, Default)]
struct Schedule {
    ping: Option<Instant>,
    /// To ask for evidence of what was sent.
    evidence: Option<Instant>,
    /// To announce changed handlers.
    announce: Option<Instant>,
    /// To try reports again that failed over HTTP.
    report: Option<Instant>,
}

/// What is still to be announced once the present page of it is confirmed.
#[derive(Debug)]
struct Announcement {
    page: u32,
    held: VecDeque<(ByteString, u32)>,
    /// What no assignment needs was left out, since it may be too much for who is not registered.
    is_brief: bool,
}

/// An HTTP call that was not answered yet.
#[derive(Debug)]
struct Exchange {
    purpose: Purpose,
    until: Instant,
}

/// What an HTTP call is for.
#[derive(Debug)]
enum Purpose {
    Login,
    Registration,
    Poll,
    Heartbeat,
    /// To learn whether we are still known.
    Verify,
    /// Progress of the item with this wire id, or word on its cancellation.
    Progress(ByteString),
    /// The outcome of the item with this wire id.
    Outcome(ByteString),
    Farewell,
}

impl BeaconWorker {
    /// Makes a worker that is idle until it is started; `host` is the operating system's host name.
    pub(crate) fn new(
        mut options: WorkerOptions,
        host: &str,
        seed: Seed,
    ) -> Result<Self, ConfigError> {
        let mut problems = ConfigError::default();
        let origin = Origin::parse(&options.server_url)
            .map_err(|problem| problems.add("server_url", problem))
            .ok();
        let shapes = [
            ("tags", &options.tags, '{'),
            ("contexts", &options.contexts, '{'),
            ("operations", &options.operations, '['),
            ("bind_addresses", &options.bind_addresses, '['),
            ("shared_mounts", &options.shared_mounts, '['),
        ];
        for (name, value, first) in shapes {
            if !value.as_str().starts_with(first) {
                let kind = if first == '{' { "object" } else { "list" };
                problems.add(name, format!("must be a JSON {kind}"));
            }
        }
        problems.compare(&options.limits.pairs());
        let reconnect = &options.reconnect;
        problems.compare(&[[
            ("reconnect.base_delay_ms", reconnect.base_delay_ms),
            ("reconnect.max_delay_ms", reconnect.max_delay_ms),
        ]]);
        let Some(origin) = origin else { return Err(problems) };
        let host = if options.host_id.is_empty() { host } else { options.host_id.as_str() };
        if options.name.is_empty() {
            host.clone_into(&mut options.name);
        }
        let user = &options.user_name;
        let user = if user.is_empty() { &options.name } else { user };
        problems.check(Self {
            origin,
            host: host.to_owned(),
            entropy: Entropy::new(seed),
            link: Link::new(Stage::Idle, Backoff::new(options.reconnect.clone())),
            gone: None,
            upgrade: Upgrade::default(),
            polling: Polling::default(),
            schedule: Schedule::default(),
            heartbeat: Heartbeat::new(options.heartbeat_interval_ms, options.max_stall_ms),
            liveness: Liveness::default(),
            credentials: Credentials::new(user.clone(), options.password.clone()),
            handlers: Handlers::new("session"),
            work: Work::new(
                size(options.max_concurrent),
                size(options.max_waiting),
                options.life_sign_interval_ms,
            ),
            stopping: BTreeMap::new(),
            outbox: Outbox::new(size(options.outbox.max_items), size(options.outbox.max_bytes)),
            journal: Journal::new(),
            drain: Drain::default(),
            unfinished: 0,
            exchanges: BTreeMap::new(),
            failures: 0,
            id: String::new(),
            acks: false,
            announcing: None,
            waiting: (0, false),
            passage: Passage::default(),
            last_error: None,
            away_ms: None,
            counters: Counters::default(),
            outputs: VecDeque::new(),
            last_conn: 0,
            last_http: 0,
            options,
        })
    }

    /// Takes all work back from its handlers; returns how many were told.
    fn withdraw_all(&mut self, why: Withdrawal, now: Now) -> usize {
        let events = self.work.withdraw_all(why, now.mono);
        let count = events.len();
        events.into_iter().for_each(|event| self.event(event));
        count
    }

    /// Does everything that has become possible.
    fn pump(&mut self, now: Now) {
        self.write();
        while !self.drain.is_on() && !self.is_full() {
            let Some(event) = self.work.start_next(now.mono) else { break };
            self.event(event);
        }
        self.flush(now);
        self.write();
        self.poll(now);
        self.advance_drain(now);
    }

    /// Returns what carries a link that is ready.
    const fn carrier(&self) -> Option<Carrier> {
        if let Stage::Ready(carrier) = self.link.stage() { Some(carrier) } else { None }
    }

    const fn is_leaving(&self) -> bool {
        matches!(self.link.stage(), Stage::Leaving(_) | Stage::Ended)
    }

    const fn has_ended(&self) -> bool {
        matches!(self.link.stage(), Stage::Ended)
    }

    fn prefers_connections(&self) -> bool {
        self.options.transport != WorkerTransport::Polling
    }

    const fn is_durable(&self) -> bool {
        !self.options.runtime.store_path.is_empty()
    }

    /// Tells whether new work should wait until the peer, or the store, has taken more of the outcomes.
    fn is_full(&self) -> bool {
        // Each is written and deleted.
        let unwritten = self.journal.unwritten() / 2;
        self.outbox.is_full() || unwritten > size(self.options.outbox.max_items)
    }

    /// Tells whether nothing runs, waits or is to be reported.
    fn is_spent(&self) -> bool {
        self.work.is_idle() && self.outbox.is_empty()
    }

    const fn dial_ms(&self) -> u64 {
        self.options.connect_timeout_ms + DRIVER_SLACK_MS
    }

    fn event(&mut self, event: impl Into<Event>) {
        self.outputs.push_back(Output::Event(event.into()));
    }

    fn notice(&mut self, error: Error) {
        self.event(SessionEvent::Notice { error });
    }
}

impl Stage {
    /// Returns the connection that the link stands on, dials or leaves.
    const fn conn(self) -> Option<ConnId> {
        match self {
            Self::Dialing(conn) => Some(conn),
            Self::Greeting(carrier) | Self::Ready(carrier) | Self::Leaving(carrier) => {
                carrier.conn()
            }
            Self::Idle | Self::Recalling | Self::Preflight | Self::Waiting { .. } | Self::Ended => {
                None
            }
        }
    }
}

impl Carrier {
    const fn conn(self) -> Option<ConnId> {
        if let Self::Connection(conn) = self { Some(conn) } else { None }
    }

    const fn transport(self) -> Transport {
        match self {
            Self::Connection(_) => Transport::WebSocket,
            Self::Requests => Transport::Polling,
        }
    }
}

impl Machine for BeaconWorker {
    fn handle_input(&mut self, input: Input, now: Now) {
        if self.has_ended() {
            return;
        }
        match input {
            Input::Conn(ConnInput::Opened { conn }) => self.opened(conn, now),
            Input::Conn(ConnInput::Received { conn, frame }) => self.received(conn, &frame, now),
            Input::Conn(ConnInput::Closed { conn, cause }) => self.closed(conn, &cause, now),
            Input::Http(HttpInput::Replied { http, result }) => self.replied(http, result, now),
            Input::Stored { store, result } => self.stored(store, result, now),
            Input::HostLag { millis } => self.heartbeat.host_lag_ms = millis,
            // Nobody dials this side, and it asks for no such news.
            Input::Server(_) | Input::Http(HttpInput::Part { .. }) => {}
            Input::Conn(ConnInput::Held { conn }) => self.alive(conn, now),
            Input::Conn(ConnInput::Sent { conn }) => {
                if self.link.stage().conn() == Some(conn) {
                    self.waiting = (0, false);
                }
            }
        }
        self.pump(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.journal.retry(now.mono);
        self.expire_work(now);
        self.expire_exchanges(now);
        self.link_timed_out(now);
        self.check_pulse(now);
        self.beat(now);
        self.life_signs(now);
        self.gather_evidence(now);
        self.try_upgrade(now);
        if let (Some(carrier), true) =
            (self.carrier(), self.schedule.announce.is_some_and(|at| at <= now.mono))
        {
            self.announce(carrier, now);
        }
        self.pump(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        if self.has_ended() {
            return None;
        }
        let timers = [
            (self.exchanges.values().next().map(|exchange| exchange.until), Why::Http),
            (self.journal.retry_at, Why::Store),
            (self.heartbeat.next, Why::Heartbeat),
            (self.schedule.ping, Why::Ping),
            (self.polling.deadline().filter(|_| self.may_poll()), Why::Poll),
            (self.upgrade.deadline(), Why::Upgrade),
            (self.schedule.report.filter(|_| self.outbox.has_unsent()), Why::Report),
            (self.schedule.evidence, Why::Evidence),
            (self.schedule.announce.filter(|_| self.carrier().is_some()), Why::Registration),
        ];
        let timers = timers.into_iter().filter_map(|(at, why)| Some(Deadline { at: at?, why }));
        let drain = self.drain.deadline().filter(|_| !self.is_leaving());
        timers.chain(self.link.limit).chain(self.work.deadline()).chain(drain).min()
    }
}

impl Endpoint for BeaconWorker {
    fn handle_command(&mut self, command: Command, now: Now) -> Result<(), Error> {
        if self.has_ended() && !matches!(command, Command::Snapshot { .. }) {
            return Err(ErrorCode::Stopped.into());
        }
        let result = match command {
            Command::Start => self.start(now),
            Command::Stop { drain_ms } => {
                self.stop(drain_ms, now);
                Ok(())
            }
            Command::Work(WorkCommand::Handle { key, meta }) => self.handle(key, &meta, now),
            Command::Work(WorkCommand::Unhandle { key }) => self.unhandle(&key, now),
            Command::Work(WorkCommand::Complete { work, outcome }) => {
                let result = self.complete(work, outcome);
                self.stopped(work, now);
                self.polling.hasten(now.mono);
                result
            }
            Command::Work(WorkCommand::Progress { work, report }) => {
                self.progress(work, &report, now)
            }
            Command::Snapshot { call } => {
                let result = Ok(Raw::trusted(self.snapshot(now)));
                self.event(CallEvent::Done { call, result });
                Ok(())
            }
            Command::Call(_) | Command::Peer(_) | Command::Emit { .. } => {
                Err(ErrorCode::Unsupported.into())
            }
        };
        self.pump(now);
        result
    }

    fn snapshot(&self, now: Now) -> String {
        self.describe(now)
    }

    // Nothing asks a page for it, where each byte counts.
    #[cfg(feature = "server")]
    fn measure(&mut self, page: &mut crate::api::metrics::MetricsPage, _: Now) {
        page.one(&crate::api::metrics::OUTBOX, self.outbox.len());
    }
}

/// Limits are options of 64 bits on every platform.
fn size(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
