//! The control plane of VOLT daemons: a machine, and a child of the hub.
//!
//! ```text
//! engine     requests of Engine.IO clients
//! session    what carries a session: polling, WebSocket, upgrade, liveness
//! socket     Socket.IO packets: the namespace, events, acknowledgements
//! daemons    registration, displacement, presence, heartbeats
//! planes     a daemon's further connections, and the generation that it speaks
//! enroll     one-time tokens, passwords, what is stored
//! calls      commands to daemons, their answers and streams
//! control    what clients and the application ask of daemons
//! work       commands of daemons that the application answers
//! wire       messages as text
//! ```
//!
//! The hub decides who may ask, and loads what is stored. Source of every
//! text and number: `@voltstack/daemon-cluster-client` 1.0.0 and the server it was recorded against,
//! of the first generation; of what later ones do otherwise, their sources.

mod calls;
mod control;
mod daemons;
mod engine;
mod enroll;
mod planes;
mod session;
mod socket;
mod wire;
mod work;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

pub(crate) use calls::{Asker, Order};
pub(crate) use control::Control;
pub(crate) use enroll::SPACES;

use calls::Pending;
use daemons::Daemon;
use enroll::Token;
use session::Session;
use work::Running;

use crate::api::event::{Event, SessionEvent};
use crate::api::options::{HubOptions, VoltHubOptions};
use crate::base::entropy::{Entropy, Seeds};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{ConnId, HttpId, WorkId};
use crate::base::time::{Deadline, Now, Why};
use crate::machine::{ConnInput, Input, Machine, Output, ServerInput};
use crate::net::target::FrameLimits;
use crate::net::{HttpResponse, http};
use crate::parts::admission::Admission;
use crate::parts::handlers::Handlers;
use crate::parts::journal::Journal;
use crate::parts::timers::Timers;
use crate::parts::window::{Buckets, Window};

/// Where the numbers of daemons begin among the hub's peers.
const FIRST_PEER: u64 = 1 << 40;

/// One Engine.IO session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionId(u64);

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A session is pinged, or has not answered.
    Life(SessionId),
    /// A session has joined no namespace.
    Join(SessionId),
    /// A session has joined the namespace and never registered.
    Register(SessionId),
    /// An upgrade takes too long, or a poll is released for it.
    Probe(SessionId),
    /// A call has waited long enough.
    Call(u64),
    /// A handler of the application has had long enough.
    Work(WorkId),
    /// Heartbeats are checked.
    Presence,
}

impl Timer {
    const fn why(self) -> Why {
        match self {
            Self::Life(_) => Why::Ping,
            Self::Join(_) => Why::Connect,
            Self::Register(_) => Why::Registration,
            Self::Probe(_) => Why::Upgrade,
            Self::Call(_) => Why::Call,
            Self::Work(_) => Why::Work,
            Self::Presence => Why::Presence,
        }
    }
}

/// The control plane of VOLT daemons.
#[derive(Debug)]
pub(crate) struct VoltServer {
    options: VoltHubOptions,
    /// Limits of a session that has registered.
    limits: FrameLimits,
    out: VecDeque<Output>,
    journal: Journal<Output>,
    sessions: BTreeMap<SessionId, Session>,
    by_sid: BTreeMap<String, SessionId>,
    by_conn: BTreeMap<ConnId, SessionId>,
    by_poll: BTreeMap<HttpId, SessionId>,
    admission: Admission,
    /// Polling sessions with something to say.
    dirty: BTreeSet<SessionId>,
    daemons: BTreeMap<String, Daemon>,
    tokens: BTreeMap<String, Token>,
    token_by_hash: BTreeMap<enroll::Hash, String>,
    calls: BTreeMap<u64, Pending>,
    /// The bytes of payloads of calls that wait for daemons, and the most of them.
    waiting_bytes: u64,
    max_waiting_bytes: u64,
    /// Calls that were sent, by request id. Never iterated.
    requests: HashMap<uuid::Uuid, u64>,
    askers: BTreeMap<Asker, u64>,
    /// What the application answers, and what it is at.
    handlers: Handlers<()>,
    running: BTreeMap<WorkId, Running>,
    last_work: u64,
    timers: Timers<Timer>,
    enrollments: Window,
    /// Wrong passwords by address.
    guesses: Buckets,
    /// Counts what is told of each address.
    warnings: Window,
    entropy: Entropy,
    /// Makes tokens, passwords and the ids of Engine.IO sessions, which are as good as passwords.
    secrets: Entropy,
    /// The time of the latest input.
    pub(crate) clock: Now,
    next: u64,
    /// Whether the application wants the messages of daemons.
    pub(crate) listens: bool,
    /// Whether new commands are taken.
    is_open: bool,
}

impl VoltServer {
    /// Makes the control plane of a hub.
    pub(crate) fn new(hub: &HubOptions, seeds: Seeds) -> Self {
        let options = hub.volt.clone();
        let limits = FrameLimits {
            max_message: usize::try_from(options.max_message_bytes).unwrap_or(usize::MAX),
            ..(&hub.limits).into()
        };
        let enrollments = Window::new(options.enroll_limit, options.enroll_window_ms);
        let mut server = Self {
            limits,
            out: VecDeque::new(),
            journal: Journal::new(),
            sessions: BTreeMap::new(),
            by_sid: BTreeMap::new(),
            by_conn: BTreeMap::new(),
            by_poll: BTreeMap::new(),
            admission: Admission::new(hub.max_connections, hub.max_unadmitted_per_address),
            dirty: BTreeSet::new(),
            daemons: BTreeMap::new(),
            tokens: BTreeMap::new(),
            token_by_hash: BTreeMap::new(),
            calls: BTreeMap::new(),
            waiting_bytes: 0,
            max_waiting_bytes: hub.max_queued_bytes,
            requests: HashMap::new(),
            askers: BTreeMap::new(),
            handlers: Handlers::new("hub"),
            running: BTreeMap::new(),
            last_work: 0,
            timers: Timers::new(),
            enrollments,
            guesses: Buckets::of_guesses(),
            warnings: Window::of_warnings(),
            entropy: Entropy::new(seeds.run),
            secrets: Entropy::new(seeds.secrets),
            clock: Now::default(),
            next: 1,
            listens: false,
            is_open: true,
            options,
        };
        server.know_configured();
        server
    }

    /// Begins to check heartbeats.
    pub(crate) fn start(&mut self, now: Now) {
        if self.options.enabled {
            self.timers.add(Timer::Presence, now.mono.after(self.options.presence_interval_ms));
        }
    }

    /// Tells whether this part of the hub answers a request for `url`.
    pub(crate) fn claims(&self, url: &str) -> bool {
        let path = http::path(url);
        self.options.enabled
            && (path.trim_end_matches('/') == self.options.path.trim_end_matches('/')
                || enroll::cluster_of(path).is_some())
    }

    /// Tells whether a connection is this part's own.
    pub(crate) fn owns(&self, conn: ConnId) -> bool {
        self.by_conn.contains_key(&conn)
    }

    /// Returns how many commands wait for an answer, ours and those of daemons: what a drain waits
    /// for.
    pub(crate) fn in_flight(&self) -> usize {
        self.calls.len() + self.running.len()
    }

    /// Counts what is not stored of what was to be.
    pub(crate) fn unwritten(&self) -> usize {
        self.journal.unwritten()
    }

    /// Returns how many sessions there are.
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Takes no new commands, of either side: the hub drains.
    pub(crate) fn drain(&mut self) {
        self.is_open = false;
        self.give_up_calls(|pending| pending.session.is_none());
    }

    /// Says farewell to every daemon, in a way that makes them come back: `41`, then the transport.
    /// Whoever waits for the store is answered `unavailable`.
    pub(crate) fn end(&mut self, unavailable: &HttpResponse, now: Now) {
        self.clock = now;
        self.is_open = false;
        self.give_up_calls(|_| true);
        self.withdraw_all();
        let sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
        for session in sessions {
            self.dismiss(session, "the hub is going away");
        }
        self.timers = Timers::new();
        self.flush_polls();
        self.flush_journal();
        let held = self.journal.abandon().into_iter();
        self.out.extend(held.map(|output| output.unkept(unavailable)));
    }

    const fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    /// Answers a request at once: it promises nothing that must be stored.
    fn reply(&mut self, http: HttpId, response: HttpResponse) {
        self.out.push_back(Output::HttpReply { http, response });
    }

    /// Does something once everything written so far is stored.
    fn hold(&mut self, output: Output) {
        self.out.extend(self.journal.after(output));
    }

    fn flush_journal(&mut self) {
        if let Some((store, request)) = self.journal.flush() {
            self.out.push_back(Output::Store { store, request });
        }
    }

    fn event(&mut self, event: impl Into<Event>) {
        self.out.push_back(Output::Event(event.into()));
    }

    fn notice(&mut self, code: ErrorCode, text: String) {
        self.event(SessionEvent::Notice { error: Error::new(code, text) });
    }

    /// Tells of somebody at an address, unless there was too much from there.
    fn warn(&mut self, code: ErrorCode, address: &str, text: &str) {
        if self.warnings.count(address, self.clock.mono).is_ok() {
            self.notice(code, format!("{address}: {text}"));
        }
    }
}

fn going_away() -> Error {
    Error::new(ErrorCode::Stopped, "The hub is going away.")
}

impl Machine for VoltServer {
    fn handle_input(&mut self, input: Input, now: Now) {
        self.clock = now;
        match input {
            Input::Conn(ConnInput::Received { conn, frame }) => self.received(conn, &frame),
            Input::Conn(ConnInput::Closed { conn, cause }) => {
                self.closed(conn, cause.to_error().message());
            }
            Input::Server(ServerInput::Offered { conn, request, remote }) => {
                self.offer(conn, &request, &remote);
            }
            Input::Server(ServerInput::Asked { http, request, remote }) => {
                self.ask(http, &request, &remote);
            }
            Input::Server(ServerInput::Gone { http }) => self.gone(http),
            Input::Stored { store, result } => match self.journal.stored(store, result, now.mono) {
                Ok(held) => self.out.extend(held),
                Err(error) => self.event(SessionEvent::Notice { error }),
            },
            Input::Conn(ConnInput::Sent { conn }) => self.sent(conn),
            Input::Conn(ConnInput::Held { conn }) => {
                if let Some(session) = self.by_conn.get(&conn).copied() {
                    self.heard(session);
                }
            }
            // It dials nobody, asks nobody, takes no streams, and the hub listens for it and passes backlogs on.
            Input::Conn(ConnInput::Opened { .. })
            | Input::Server(ServerInput::Accepted { .. } | ServerInput::Exceeded { .. })
            | Input::Http(_)
            | Input::Server(
                ServerInput::Listening { .. }
                | ServerInput::ListenFailed { .. }
                | ServerInput::Backlog { .. },
            )
            | Input::HostLag { .. } => {}
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        self.clock = now;
        self.journal.retry(now.mono);
        while let Some((at, timer)) = self.timers.take_due(now.mono) {
            match timer {
                Timer::Life(session) => self.check_life(session, at),
                Timer::Join(session) => self.check_joined(session),
                Timer::Register(session) => self.check_registered(session),
                Timer::Probe(session) => self.check_probe(session, at),
                Timer::Call(call) => self.expire(call),
                Timer::Work(work) => self.expire_work(work),
                Timer::Presence => self.check_presence(),
            }
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        if self.out.is_empty() {
            self.flush_polls();
        }
        if self.out.is_empty() {
            self.flush_journal();
        }
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let timer = self.timers.deadline(Timer::why);
        let retry = self.journal.retry_at.map(|at| Deadline { at, why: Why::Store });
        timer.into_iter().chain(retry).min()
    }
}
