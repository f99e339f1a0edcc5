//! The relation to a control plane that survives reconnects: everything the dialects share.
//!
//! A [`Session`] owns the link's state, the timers, the table of work and the outbox; the dialect only
//! translates. Work goes on while the link is away; what it yields waits in the outbox.

#[cfg(test)]
pub(crate) mod bench;
mod connect;
mod drain;
mod intake;
mod leave;
mod link;
mod loss;
mod polling;
mod report;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use crate::api::command::Command;
use crate::api::command::WorkCommand;
use crate::api::event::CallEvent;
use crate::base::entropy::{Entropy, Seed};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{ConnId, HttpId, WorkId};
use crate::base::json::Raw;
use crate::base::time::{Deadline, Instant, Now, Why};
use crate::dialect::{Asked, Dialect, Meaning, Outgoing};
use crate::machine::{ConnInput, HttpInput};
use crate::machine::{Endpoint, Input, Machine, Output};
use crate::parts::backoff::Backoff;
use crate::parts::credentials::Credentials;
use crate::parts::heartbeat::Heartbeat;
use crate::parts::liveness::Liveness;
use crate::parts::outbox::Outbox;
use crate::parts::work::Dispatcher;
use crate::session::drain::Drain;
use crate::session::link::{Carrier, Link, Pace};
use crate::session::polling::{Polling, Upgrade};
use crate::session::snapshot::Counters;

/// How long the store may take to return the outcomes of an earlier run.
const RECALL_MS: u64 = 5_000;

/// A session of the side that dials and works.
#[derive(Debug)]
pub(crate) struct Session<D> {
    dialect: D,
    entropy: Entropy,
    link: Link,
    since: Now,
    /// The connection whose end has been seen to: it needs no further close.
    gone: Option<ConnId>,
    upgrade: Upgrade,
    polling: Polling,
    backoff: Backoff,
    heartbeat: Heartbeat,
    liveness: Liveness,
    credentials: Credentials,
    dispatcher: Dispatcher,
    outbox: Outbox,
    drain: Option<Drain>,
    exchanges: BTreeMap<HttpId, Exchange>,
    failures: u32,
    /// When reports that failed over HTTP are tried again.
    retry_at: Option<Instant>,
    /// When to ask for evidence of what was sent.
    evidence_at: Option<Instant>,
    /// When to announce changed handlers.
    announce_at: Option<Instant>,
    id: String,
    acks: bool,
    was_ready: bool,
    last_error: Option<Error>,
    counters: Counters,
    outputs: VecDeque<Output>,
    meanings: Vec<Meaning>,
    last_conn: u64,
    last_http: u64,
    last_store: u64,
}

/// An HTTP call that was not answered yet.
#[derive(Debug)]
struct Exchange {
    asked: Asked,
    until: Instant,
}

impl<D: Dialect> Session<D> {
    /// Makes a session that is idle until it is started.
    pub(crate) fn new(dialect: D, credentials: Credentials, seed: Seed) -> Self {
        let policy = dialect.policy();
        let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        Self {
            entropy: Entropy::new(seed),
            link: Link::Idle,
            since: Now::default(),
            gone: None,
            upgrade: Upgrade::default(),
            polling: Polling::default(),
            backoff: Backoff::new(policy.reconnect.clone()),
            heartbeat: Heartbeat::new(policy.heartbeat_interval_ms, policy.max_stall_ms),
            liveness: Liveness::new(policy.ping_interval_ms),
            credentials,
            dispatcher: Dispatcher::new(
                policy.max_concurrent,
                policy.max_waiting,
                policy.life_sign_interval_ms,
            ),
            outbox: Outbox::new(size(policy.outbox.max_items), size(policy.outbox.max_bytes)),
            drain: None,
            exchanges: BTreeMap::new(),
            failures: 0,
            retry_at: None,
            evidence_at: None,
            announce_at: None,
            id: String::new(),
            acks: false,
            was_ready: false,
            last_error: None,
            counters: Counters::default(),
            outputs: VecDeque::new(),
            meanings: Vec::new(),
            last_conn: 0,
            last_http: 0,
            last_store: 0,
            dialect,
        }
    }

    fn start(&mut self, now: Now) -> Result<(), Error> {
        if !matches!(self.link, Link::Idle) {
            return Err(ErrorCode::AlreadyStarted.into());
        }
        if self.dialect.policy().is_durable {
            self.set_link(Link::Recalling { until: now.mono.after(RECALL_MS) }, now);
            self.recall();
        } else {
            self.begin_attempt(now);
        }
        Ok(())
    }

    fn progress(&mut self, work: WorkId, report: &Raw, now: Now) -> Result<(), Error> {
        if !report.as_str().starts_with('{') {
            let message = "a progress report is a JSON object";
            return Err(Error::new(ErrorCode::ArgumentInvalid, message));
        }
        let Some((wire, attempt)) = self.dispatcher.running(work) else {
            let message = format!("work item {} is not running here", work.0);
            return Err(Error::new(ErrorCode::WorkUnknown, message));
        };
        let wire = wire.clone();
        self.report_progress(&wire, attempt, Some(report), now);
        Ok(())
    }

    /// Changed handlers are announced together, once the present turn is over.
    fn handlers_changed(&mut self, now: Now) {
        if self.link.ready().is_some() {
            self.announce_at = Some(now.mono);
        }
    }

    /// Does everything that has become possible.
    fn pump(&mut self, now: Now) {
        while self.drain.is_none() && !self.outbox.is_full() {
            let Some(event) = self.dispatcher.start_next(now.mono) else { break };
            self.event(event);
        }
        self.flush(now);
        self.poll(now);
        self.advance_drain(now);
    }

    fn poll(&mut self, now: Now) {
        let Some(carrier @ Carrier::Requests) = self.link.ready() else { return };
        let has_room = self.dispatcher.slots().wants_more() && !self.outbox.is_full();
        if self.drain.is_some() || !has_room || !self.polling.is_due(now.mono) {
            return;
        }
        self.polling.asked(now.mono.after(self.dialect.policy().poll_interval_ms));
        let parcel = self.dialect.encode(Outgoing::Poll, carrier.transport(), &self.credentials);
        self.send(parcel, carrier, Asked::Poll, now);
    }

    fn try_upgrade(&mut self, now: Now) {
        if self.upgrade.deadline().is_none_or(|at| at > now.mono) {
            return;
        }
        let interval = self.dialect.policy().upgrade_interval_ms;
        if let Some(conn) = self.upgrade.stop() {
            self.close(conn, 1000, "");
            self.upgrade.wait(now.mono.after(interval));
        } else if self.link.ready() == Some(Carrier::Requests) {
            let conn = self.dial();
            self.upgrade.dial(conn, self.dial_limit(now));
        } else {
            self.upgrade.wait(now.mono.after(interval));
        }
    }
}

impl<D: Dialect> Machine for Session<D> {
    fn handle_input(&mut self, input: Input, now: Now) {
        if matches!(self.link, Link::Ended) {
            return;
        }
        match input {
            Input::Conn(ConnInput::Opened { conn }) => self.opened(conn, now),
            Input::Conn(ConnInput::Received { conn, frame }) => self.received(conn, &frame, now),
            Input::Conn(ConnInput::Closed { conn, cause }) => self.closed(conn, &cause, now),
            Input::Http(HttpInput::Replied { http, result }) => self.replied(http, result, now),
            Input::Stored { result, .. } => self.stored(result, now),
            Input::HostLag { millis } => self.heartbeat.host_lag(millis),
            // Nobody dials this side, and it asks for no such news.
            Input::Server(_)
            | Input::Conn(ConnInput::Sent { .. })
            | Input::Http(HttpInput::Part { .. }) => {}
        }
        self.pump(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.expire_work(now);
        self.exchange_timeouts(now);
        self.link_timeout(now);
        self.check_pulse(now);
        self.beat(now);
        self.life_signs(now);
        self.gather_evidence(now);
        self.try_upgrade(now);
        if let (true, Some(carrier)) =
            (self.announce_at.is_some_and(|at| at <= now.mono), self.link.ready())
        {
            self.announce(carrier, now);
        }
        self.pump(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let polls = self.link.ready() == Some(Carrier::Requests)
            && self.drain.is_none()
            && self.dispatcher.slots().wants_more()
            && !self.outbox.is_full();
        let draining = matches!(self.link, Link::Leaving { .. } | Link::Ended);
        let timers = [
            (self.exchanges.values().next().map(|exchange| exchange.until), Why::Http),
            (self.heartbeat.deadline(), Why::Heartbeat),
            (self.liveness.deadline(), Why::Ping),
            (self.polling.deadline().filter(|_| polls), Why::Poll),
            (self.upgrade.deadline(), Why::Upgrade),
            (self.retry_at.filter(|_| self.outbox.has_unsent()), Why::Report),
            (self.evidence_at, Why::Evidence),
            (self.announce_at, Why::Registration),
            (self.drain.as_ref().map(Drain::deadline).filter(|_| !draining), Why::Drain),
        ];
        let due = timers.into_iter().filter_map(|(at, why)| Some(Deadline { at: at?, why }));
        due.chain(self.link.deadline())
            .chain(self.dispatcher.deadline())
            .min()
            .filter(|_| !matches!(self.link, Link::Ended))
    }
}

impl<D: Dialect> Endpoint for Session<D> {
    fn handle_command(&mut self, command: Command, now: Now) -> Result<(), Error> {
        if matches!(self.link, Link::Ended) && !matches!(command, Command::Snapshot { .. }) {
            return Err(ErrorCode::Stopped.into());
        }
        let result = match command {
            Command::Start => self.start(now),
            Command::Stop { drain_ms } => {
                self.begin_drain(drain_ms, now);
                Ok(())
            }
            Command::Work(WorkCommand::Handle { key, meta }) => {
                let added = self.dialect.check_handler(&meta);
                let added = added.and_then(|()| self.dispatcher.handlers_mut().add(&key, meta));
                added.map(|()| self.handlers_changed(now))
            }
            Command::Work(WorkCommand::Unhandle { key }) => {
                let removed = self.dispatcher.handlers_mut().remove(&key);
                removed.map(|()| self.handlers_changed(now))
            }
            Command::Work(WorkCommand::Complete { work, outcome }) => {
                let result = self.complete(work, outcome);
                self.polling.hasten(now.mono);
                result
            }
            Command::Work(WorkCommand::Progress { work, report }) => {
                self.progress(work, &report, now)
            }
            Command::Snapshot { call } => {
                let result = Ok(Raw::trusted(self.snapshot(now)));
                self.event(crate::api::event::Event::Call(CallEvent::Done { call, result }));
                Ok(())
            }
            Command::Call(_) | Command::Emit { .. } => Err(ErrorCode::Unsupported.into()),
        };
        self.pump(now);
        result
    }

    fn snapshot(&self, now: Now) -> String {
        self.describe(now)
    }
}
