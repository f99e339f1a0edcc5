//! The control plane of beacon workers: a machine, and a child of the hub.
//!
//! ```text
//! connections, registration, registry, worker     who works here
//! clients, calls, requests, routes                what is asked: by clients, by the application
//! item, items, assign, affinity                   what waits, and who gets it
//! lease, reports, settle, results, lookups        who holds it, how it ends, what it came to
//! auth_worker                                     what a worker decides about logins and joins
//! runs, catalogue, records                        what is kept
//! views, board, metrics                           what is shown
//! ```
//!
//! It keeps the queue, leases items to workers and answers whoever asked, exactly once. Everything that
//! it promises is stored first. The hub says who comes and asks ([`Coordinator::offer`],
//! [`Coordinator::ask`], [`Coordinator::call`]), and loads what is stored.

mod affinity;
mod assign;
mod auth_worker;
mod board;
mod calls;
mod catalogue;
mod clients;
mod connections;
mod item;
mod items;
mod lease;
mod lookups;
mod metrics;
mod outputs;
mod records;
mod registration;
mod registry;
mod reports;
mod requests;
mod results;
mod routes;
mod runs;
mod settle;
mod views;
pub(crate) mod wire;
mod worker;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use affinity::Affinity;
pub(crate) use auth_worker::Decision;
use board::Recent;
pub(crate) use board::Rows;
use catalogue::Catalogue;
pub(crate) use clients::Denial;
use item::{ItemId, Waiter};
use items::Items;
use lookups::Want;
use metrics::Measured;
use records::Loading;
pub(crate) use records::{RESULTS, SPACES};
use registry::Registry;
use reports::LeftOut;
pub(crate) use requests::Asked;
use results::Results;
pub(crate) use routes::Route;
use runs::Runs;
use wire::Verdict;
use worker::Worker;

use crate::api::event::{Event, SessionEvent};
use crate::api::options::HubOptions;
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{CallId, ConnId, HttpId, PeerId, StoreId};
use crate::base::time::{Deadline, Instant, Now, Why};
use crate::dialect::beacon::wire::away_for;
use crate::machine::{CloseCause, ConnInput, Input, Machine, Output, ServerInput};
use crate::net::target::FrameLimits;
use crate::net::{Frame, HttpResponse};
use crate::parts::admission::{Accepted, AdmissionPolicy, Due, address};
use crate::parts::journal::Journal;
use crate::parts::readmission::Readmission;
use crate::parts::timers::Timers;
use crate::parts::window::{Buckets, Window};

/// The largest frame of a connection that has not registered, and of one that comes from this host or
/// has logged in.
const UNREGISTERED_FRAME: usize = 65_536;
const PROVEN_FRAME: usize = 4_194_304;

/// Over how long those come back at least who are sent away together.
const SPREAD_MS: u64 = 3_750;

/// How often what has expired is swept out.
const SWEEP_MS: u64 = 10_000;

/// Who asks, or who registered a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The session's id; [`ANONYMOUS`] at an open hub.
    pub(crate) session: Arc<str>,
    /// Who logged in; empty at an open hub.
    pub(crate) user: Arc<str>,
    /// What rate limits count by: the user, or the address.
    pub(crate) client: String,
    /// It may look at everything and change nothing.
    pub(crate) reads_only: bool,
}

/// The session that every request of an open hub has.
const ANONYMOUS: &str = "anonymous";

impl Caller {
    /// Makes the caller that `client` is at an open hub.
    pub(crate) fn anonymous(client: &str) -> Self {
        let client = client.to_owned();
        Self { session: ANONYMOUS.into(), user: "".into(), client, reads_only: false }
    }

    /// Makes the application itself: no login, no rate limit of anybody else.
    pub(crate) fn in_process() -> Self {
        Self::anonymous("in-process")
    }
}

/// The control plane of beacon workers.
#[derive(Debug)]
pub(crate) struct Coordinator {
    options: HubOptions,
    out: VecDeque<Output>,
    journal: Journal<Promise>,
    /// Words on outcomes, sent together at the end of a turn.
    verdicts: BTreeMap<ConnId, Vec<Verdict>>,
    accepted: Accepted,
    conns: BTreeMap<ConnId, Connection>,
    /// Connections of others whose name somebody else registered, until it is free.
    displaced: BTreeMap<ConnId, Arc<str>>,
    registry: Registry,
    catalogue: Catalogue,
    items: Items,
    /// Items that ran when the hub was restarted, by the name of their holder.
    held: BTreeMap<Arc<str>, BTreeSet<ItemId>>,
    affinity: Affinity,
    results: Results,
    /// Who waits for an outcome that is on disk, by request.
    lookups: BTreeMap<StoreId, (Arc<str>, Want)>,
    loading: Loading,
    runs: Runs,
    clients: BTreeMap<Client, (ItemId, Option<Patience>)>,
    /// Those that read their answers slowly.
    slow: BTreeMap<HttpId, LeftOut>,
    /// Wrong join secrets by address.
    guesses: Buckets,
    /// Counts what is told of each address.
    warnings: Window,
    /// What an auth worker has decided about logins.
    pub(crate) decisions: Vec<Decision>,
    timers: Timers<Timer>,
    minted: u64,
    counts: Counts,
    measured: Measured,
    recent: Recent,
    /// No lease ends before: set when this process itself was late.
    grace: Instant,
    /// Whether work is taken and given out.
    pub(crate) is_open: bool,
}

/// What waits for a commit.
#[derive(Debug)]
enum Promise {
    Output(Output),
    Verdict { conn: ConnId, verdict: Verdict },
}

/// When someone has waited long enough, and the time that it allowed.
type Patience = (Instant, u64);

/// What is known of an accepted connection beside its registration.
#[derive(Debug)]
struct Connection {
    caller: Option<Caller>,
    /// A registration that an auth worker is asked about, and the latest that came meanwhile.
    joining: Option<ByteString>,
    said_since: Option<ByteString>,
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
    /// A worker has had its time for an item that was taken from it, and has not reported it.
    Overdue(ItemId),
    /// An item that failed runs again.
    Retry(ItemId),
    /// Someone who came later has waited for an item long enough; with the time that it allowed.
    Patience(Client, u64),
    /// Holders from before a restart had their chance.
    Held,
    /// Expired records are swept out.
    Sweep,
}

impl Timer {
    const fn why(self) -> Why {
        match self {
            Self::Silence(_) => Why::Lease,
            Self::Limit(_) | Self::Overdue(_) => Why::Work,
            Self::Retry(_) => Why::Retry,
            Self::Patience(..) => Why::Patience,
            Self::Held => Why::Held,
            Self::Sweep => Why::Sweep,
        }
    }
}

/// Who waits for an item, and may go away or have waited long enough before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Client {
    Http(HttpId),
    Call(CallId),
}

impl Client {
    const fn of(waiter: &Waiter) -> Option<Self> {
        match waiter {
            Waiter::Http { http, .. } | Waiter::Login { http } => Some(Self::Http(*http)),
            Waiter::Call { call, .. } => Some(Self::Call(*call)),
            Waiter::Join { .. } => None,
        }
    }
}

impl Coordinator {
    /// Makes a coordinator that takes no work before [`restore`](Self::restore).
    pub(crate) fn new(options: HubOptions) -> Self {
        let admitted = FrameLimits::from(&options.limits);
        let accepted = Accepted::new(AdmissionPolicy {
            unadmitted: admitted.of_stranger(UNREGISTERED_FRAME),
            admitted,
            max_connections: options.max_connections,
            max_unadmitted_per_address: options.max_unadmitted_per_address,
            registration_timeout_ms: options.registration_timeout_ms,
            ping_interval_ms: options.ping_interval_ms,
        });
        Self {
            out: VecDeque::new(),
            journal: Journal::new(),
            verdicts: BTreeMap::new(),
            accepted,
            conns: BTreeMap::new(),
            displaced: BTreeMap::new(),
            registry: Registry::default(),
            catalogue: Catalogue::default(),
            items: Items::default(),
            held: BTreeMap::new(),
            affinity: Affinity::new(options.affinity_ttl_ms),
            results: Results::new(options.max_results, options.max_result_bytes),
            lookups: BTreeMap::new(),
            loading: Loading::default(),
            runs: Runs::default(),
            clients: BTreeMap::new(),
            slow: BTreeMap::new(),
            guesses: Buckets::of_guesses(),
            warnings: Window::of_warnings(),
            decisions: Vec::new(),
            timers: Timers::new(),
            minted: 0,
            counts: Counts::default(),
            measured: Measured::default(),
            recent: Recent::default(),
            grace: Instant::default(),
            is_open: false,
            options,
        }
    }

    /// Counts what workers run; what is held since a restart is as safe in the store as before.
    pub(crate) fn in_flight(&self) -> usize {
        let held: usize = self.held.values().map(BTreeSet::len).sum();
        self.items.lanes.running.saturating_sub(held)
    }

    /// Counts what is not stored of what was to be.
    pub(crate) fn unwritten(&self) -> usize {
        self.journal.unwritten()
    }

    /// Returns how many connections of workers there are.
    pub(crate) fn connections(&self) -> usize {
        self.accepted.len()
    }

    /// Answers everyone who waits: the queue is stored, so they may come back for it. Whoever waits
    /// for the store is answered `unavailable`.
    pub(crate) fn end(&mut self, unavailable: &HttpResponse) {
        self.is_open = false;
        let waiting: Vec<ItemId> = self.items.iter().map(|(id, _)| id).collect();
        for id in waiting {
            let Some(item) = self.items.get_mut(id) else { continue };
            for waiter in std::mem::take(&mut item.waiters) {
                self.turn_away(waiter, 503, ErrorCode::Stopped, "The hub is going away.");
            }
        }
        self.end_lookups();
        self.flush();
        // A call settles once, whatever becomes of what was to be stored.
        for promise in self.journal.abandon() {
            match promise {
                Promise::Output(
                    output @ (Output::HttpReply { .. } | Output::Event(_) | Output::HttpEnd { .. }),
                ) => self.out.push_back(output.unkept(unavailable)),
                Promise::Output(_) | Promise::Verdict { .. } => {}
            }
        }
        self.timers = Timers::new();
    }

    /// Closes every connection, and tells each when to come back.
    pub(crate) fn hang_up(&mut self, readmission: &Readmission) {
        let connections: Vec<ConnId> = self.accepted.connections().collect();
        let turns = readmission.turns(connections.len() as u64, SPREAD_MS);
        for (conn, turn) in connections.into_iter().zip(turns) {
            self.close(conn, 1001, &away_for("the hub is going away", turn));
        }
    }

    /// Sends what was collected during the turn: verdicts, then the commit.
    fn flush(&mut self) {
        for (conn, verdicts) in std::mem::take(&mut self.verdicts) {
            self.send(conn, wire::work_taken(&verdicts));
        }
        if let Some((store, request)) = self.journal.flush() {
            self.out.push_back(Output::Store { store, request });
        }
    }

    fn event(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    fn notice(&mut self, code: ErrorCode, text: impl AsRef<str>) {
        self.event(Event::Session(SessionEvent::Notice { error: Error::new(code, text) }));
    }

    /// Tells of somebody who was refused, unless there were too many from there.
    fn warn(&mut self, code: ErrorCode, from: &str, text: impl AsRef<str>, now: Now) {
        let error = Error::new(code, format!("{from}: {}", text.as_ref()));
        self.warnings.warn(address(from), error, now, &mut self.out);
    }

    /// Sends at once: for what promises nothing that must be stored.
    fn send(&mut self, conn: ConnId, text: String) {
        if self.accepted.is_open(conn) {
            self.out.push_back(Output::Send { conn, frame: Frame::Text(text.into()) });
        }
    }

    /// Answers at once.
    fn reply(&mut self, http: HttpId, response: HttpResponse) {
        self.out.push_back(Output::HttpReply { http, response });
    }

    /// Does something once everything written so far is stored.
    fn promise(&mut self, output: Output) {
        self.keep_later(Promise::Output(output));
    }

    fn promise_text(&mut self, conn: ConnId, text: String) {
        self.promise(Output::Send { conn, frame: Frame::Text(text.into()) });
    }

    fn keep_later(&mut self, promise: Promise) {
        if let Some(promise) = self.journal.after(promise) {
            self.keep(promise);
        }
    }

    fn keep(&mut self, promise: Promise) {
        match promise {
            Promise::Output(Output::Send { conn, .. }) if !self.accepted.is_open(conn) => {}
            Promise::Output(output) => self.out.push_back(output),
            Promise::Verdict { conn, verdict } => {
                self.verdicts.entry(conn).or_default().push(verdict);
            }
        }
    }

    /// Closes a connection from this side.
    fn close(&mut self, conn: ConnId, code: u16, reason: &str) {
        if self.accepted.is_open(conn) {
            self.accepted.closing(conn);
            self.out.push_back(Output::Close { conn, code, reason: reason.to_owned() });
        }
    }

    fn sweep(&mut self, now: Now) {
        if self.journal.look() {
            let text = "the store does not end a commit; nothing new is taken until it does";
            self.notice(ErrorCode::StoreFailed, text);
        }
        for hash in self.results.expire(now.mono) {
            self.journal.delete(RESULTS, &hash);
        }
        self.registry.forget_drained(now.mono);
        self.affinity.expire(now.mono);
        self.timers.add(Timer::Sweep, now.mono.after(SWEEP_MS));
    }
}

impl Machine for Coordinator {
    fn handle_input(&mut self, input: Input, now: Now) {
        match input {
            Input::Conn(ConnInput::Received { conn, frame }) => self.handle_frame(conn, frame, now),
            Input::Conn(ConnInput::Closed { conn, cause }) => {
                if let CloseCause::Exceeded { error, beginning } = &cause {
                    self.handle_excess(conn, error, Some(beginning), now);
                } else if matches!(cause, CloseCause::Remote { code: 1009, .. }) {
                    self.handle_excess(conn, &cause.to_error(), None, now);
                }
                self.accepted.closed(conn);
                self.handle_lost(conn, cause.to_error().message(), now);
                self.conns.remove(&conn);
                self.displaced.remove(&conn);
            }
            Input::Server(ServerInput::Gone { http }) => {
                self.forget_client(Client::Http(http));
                self.journal.drop_deferred(|promise| promise.is_for(http));
            }
            Input::Stored { store, result } if self.lookups.contains_key(&store) => {
                if let Some((hash, want)) = self.lookups.remove(&store) {
                    self.looked_up(&hash, want, result, now);
                }
            }
            Input::Stored { store, result } => match self.journal.stored(store, result, now.mono) {
                Ok(stored) => stored.into_iter().for_each(|promise| self.keep(promise)),
                Err(error) => self.event(Event::Session(SessionEvent::Notice { error })),
            },
            Input::Conn(ConnInput::Held { conn }) => self.alive(conn, now),
            // The hub listens, and says who comes: it dials nobody and asks nobody.
            Input::Conn(ConnInput::Sent { conn }) => {
                if let Some(worker) = self.registry.by_conn(conn) {
                    self.registry.update(worker, Worker::caught_up);
                    self.fill(worker, now);
                }
            }
            Input::Conn(ConnInput::Opened { .. })
            | Input::Http(_)
            | Input::Server(_)
            | Input::HostLag { .. } => {}
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        self.journal.retry(now.mono);
        while let Some(due) = self.accepted.take_due(now.mono) {
            match due {
                Due::Ping(conn) => {
                    self.out.push_back(Output::Send { conn, frame: Frame::Ping(Bytes::new()) });
                }
                Due::Silent(conn) => {
                    self.close(conn, 1001, "no answer to two pings");
                    self.handle_lost(conn, "it answered neither of two pings", now);
                }
                Due::Unregistered(conn) => {
                    let from = self.accepted.address(conn).to_owned();
                    self.warn(ErrorCode::PeerRefused, &from, "it did not register in time", now);
                    self.close(conn, 1008, "no registration in time");
                }
            }
        }
        while let Some((_, timer)) = self.timers.take_due(now.mono) {
            match timer {
                Timer::Silence(worker) => self.check_silence(worker, now),
                Timer::Limit(item) => self.expire_item(item, now),
                Timer::Overdue(item) => {
                    if let Some(worker) = self.registry.let_go(item) {
                        self.fill(worker, now);
                    }
                }
                Timer::Retry(item) => self.place(item, now),
                Timer::Patience(client, timeout_ms) => self.lose_patience(client, timeout_ms),
                Timer::Held => self.release_held(None, now),
                Timer::Sweep => self.sweep(now),
            }
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        if self.out.is_empty() {
            self.flush();
        }
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let timer = self.timers.deadline(Timer::why);
        let accepted = self.accepted.next_due().map(|at| Deadline { at, why: Why::Ping });
        let retry = self.journal.retry_at.map(|at| Deadline { at, why: Why::Store });
        [timer, accepted, retry].into_iter().flatten().min()
    }
}
