//! `wsdaemon`: ws-daemon, by which programs of one machine run scripts on another.
//!
//! ```text
//!  program ──Unix socket──▶ daemon ◀──WebSocket──▶ daemon ──▶ script or handler
//!          ◀──── status ────       ◀─── status ───
//! ```
//!
//! A daemon is a client or a server towards others; everything else is the same. A client keeps one link
//! and what is to be said while it is down; a server gives messages to its clients in turn.
//!
//! ```text
//! client, server    the other daemons: the link that comes back, those that are let in
//! local             programs of this machine
//! messages          what all of them say; asks: the requests that wait for their status
//! requests          what runs for other daemons
//! commands          what the application says, and what it is told of the state
//! ```

mod asks;
mod client;
mod commands;
mod local;
mod messages;
pub mod options;
mod requests;
mod rotation;
mod server;
#[cfg(test)]
mod tests;
mod wire;
pub(crate) mod words;

use std::collections::{BTreeMap, VecDeque};

use crate::api::event::{Event, Withdrawal};
use crate::api::options::WhenFull;
use crate::base::content::Content;
use crate::base::entropy::{Entropy, Seed};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::ConnId;
use crate::base::time::{Deadline, Now, Why};
use crate::machine::{ConnInput, Input, Machine, Output, ServerInput};
use crate::net::{Frame, HttpResponse};
use crate::parts::handlers::Handlers;
use crate::parts::lifetime::Lifetime;
use crate::parts::pacer::{Message, Outcome, Outlet, Rules};
use crate::parts::reconnection::Reconnection;
use crate::parts::window::Window;
use crate::parts::work::Work;
use bytestring::ByteString;

use asks::{Asker, Asks};
use client::LINE;
use local::Local;
use options::{DaemonOptions, HandlerOptions};
use requests::Job;
use server::Server;
use wire::status;

/// The most bytes that are on their way to a daemon or a program at once; the rest waits here.
const WINDOW: u64 = 1_048_576;

/// A ws-daemon of either kind.
#[derive(Debug)]
pub(crate) struct WsDaemon {
    options: DaemonOptions,
    life: Lifetime,
    side: Side,
    local: Local,
    /// The ways out to daemons and programs, by line: the connection, or a client's one line.
    outlets: BTreeMap<ConnId, Outlet>,
    asks: Asks,
    handlers: Handlers<()>,
    work: Work,
    /// Whose requests the items of `work` are, by wire id.
    jobs: BTreeMap<ByteString, Job>,
    last_job: u64,
    /// Statuses whose asker was gone, or read too slowly.
    undelivered: u64,
    warnings: Window,
    entropy: Entropy,
    out: VecDeque<Output>,
}

/// What a daemon is towards others.
#[derive(Debug)]
enum Side {
    Client(Box<Reconnection>),
    Server(Box<Server>),
}

impl WsDaemon {
    pub(crate) fn new(options: DaemonOptions, seed: Seed) -> Result<Self, Error> {
        let mut outlets = BTreeMap::new();
        let side = if let Some(origin) = options.check()? {
            outlets.insert(LINE, Outlet::default());
            Side::Client(client::link(&options, &origin, seed).into())
        } else {
            Side::Server(Server::new(&options).into())
        };
        let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let HandlerOptions { max_concurrent, max_waiting, max_waiting_bytes, .. } =
            options.handlers;
        let work = Work::new(size(max_concurrent), size(max_waiting), requests::NO_LIFE_SIGN_MS);
        Ok(Self {
            life: Lifetime::default(),
            side,
            local: Local::default(),
            outlets,
            asks: Asks::new(options.asks.max_pending, options.asks.max_queued_bytes),
            handlers: Handlers::new("daemon"),
            work: work.with_most_bytes(max_waiting_bytes),
            jobs: BTreeMap::new(),
            last_job: 0,
            undelivered: 0,
            warnings: Window::of_warnings(),
            entropy: Entropy::new(seed),
            out: VecDeque::new(),
            options,
        })
    }

    fn start(&mut self, now: Now) -> Result<(), Error> {
        self.life.start(now)?;
        self.listen_locally();
        match &mut self.side {
            Side::Client(link) => link.dial(now, &mut self.out),
            Side::Server(server) => server.listen(&self.options, &mut self.out),
        }
        Ok(())
    }

    /// Ends a drained daemon, or one whose drain deadline has passed.
    fn advance_drain(&mut self, now: Now) {
        // Who is behind is asked of every line: not with every message.
        if !self.life.is_draining() {
            return;
        }
        let is_busy = !self.work.is_idle()
            || self.asks.len() > 0
            || self.outlets.values().any(Outlet::is_behind);
        if self.life.is_drained(is_busy, now) {
            let left = self.jobs.len() + self.asks.len();
            let error = (left > 0).then(|| {
                let text = format!("{left} requests were still open at the drain deadline");
                Error::new(ErrorCode::DrainTimeout, text)
            });
            self.end(error, now);
        }
    }

    fn end(&mut self, error: Option<Error>, now: Now) {
        for event in self.work.withdraw_all(Withdrawal::Draining, now.mono) {
            self.event(event);
        }
        for job in std::mem::take(&mut self.jobs).into_values() {
            self.reply(&job, Some(status::LOST));
        }
        while let Some(ask) = self.asks.pop() {
            self.settle_lost(&ask, ErrorCode::Stopped, "the daemon ended before the status came");
        }
        let before = self.undelivered;
        self.hang_up(now);
        let error = error.or_else(|| match self.undelivered - before {
            0 => None,
            unsent => {
                let text =
                    format!("{unsent} messages were not sent: there was no room, or no link");
                Some(Error::new(ErrorCode::DrainTimeout, text))
            }
        });
        self.life.end(error, now, &mut self.out);
    }

    /// Closes everything; what still waits is handed over before, as much as the driver takes at once.
    fn hang_up(&mut self, now: Now) {
        let lines: Vec<ConnId> = self.outlets.keys().copied().collect();
        for line in lines {
            let rules = Rules { max: self.options.limits.max_send_queue_bytes, ..self.rules(line) };
            let Some(outlet) = self.outlets.get_mut(&line) else { continue };
            outlet.flush(&rules, &mut self.out);
            self.line_lost(line);
            if line != LINE {
                self.close(line);
            }
        }
        match &mut self.side {
            Side::Client(link) => {
                link.hang_up(1_000, "", &mut self.out);
                link.end(now);
            }
            Side::Server(server) => server.listener.close(&mut self.out),
        }
        self.local.close(&self.options.local, &mut self.out);
    }

    /// Returns the line of a connection.
    fn line(&self, conn: ConnId) -> ConnId {
        match &self.side {
            Side::Client(link) if link.conn() == Some(conn) => LINE,
            Side::Client(_) | Side::Server(_) => conn,
        }
    }

    /// What may wait on a line: a client keeps what is asked while its link is away.
    fn rules(&self, line: ConnId) -> Rules {
        let (asks, limits) = (&self.options.asks, &self.options.limits);
        let (max_waiting, max_bytes, notice) = if line == LINE {
            let text = "asks.max_queued messages, or max_queued_bytes, wait for the other daemon";
            (asks.max_queued, asks.max_queued_bytes, Some(text))
        } else {
            let text = "limits.max_send_queue_bytes wait for a daemon or program that reads slowly";
            (limits.max_pending_calls, limits.max_send_queue_bytes, Some(text))
        };
        let max = WINDOW.min(limits.max_send_queue_bytes / 2);
        Rules { max, on_backlog: WhenFull::Block, max_waiting, max_bytes, notice }
    }

    /// Says a text on a line; false if that is gone, or has no room.
    fn say(&mut self, line: ConnId, text: ByteString) -> bool {
        let rules = self.rules(line);
        let Some(outlet) = self.outlets.get_mut(&line) else { return false };
        let message = Message { content: Content::Text(text), compress: false, call: None };
        outlet.send(message, &rules, &mut self.out) != Outcome::Dropped
    }

    /// Forgets a line with what waits on it.
    fn line_lost(&mut self, line: ConnId) {
        self.undelivered += self.outlets.remove(&line).map_or(0, |outlet| outlet.waiting() as u64);
    }

    fn close(&mut self, conn: ConnId) {
        self.out.push_back(Output::Close { conn, code: 1_000, reason: String::new() });
    }

    fn event(&mut self, event: impl Into<Event>) {
        self.out.push_back(Output::Event(event.into()));
    }

    /// Tells what somebody did against the protocol, unless there was too much of it.
    fn warn(&mut self, line: ConnId, text: &str, now: Now) {
        let from = match &self.side {
            Side::Client(_) => "",
            Side::Server(server) => server.accepted.address(line),
        };
        let text = if from.is_empty() { text.to_owned() } else { format!("{from}: {text}") };
        let error = Error::new(ErrorCode::PeerProtocol, text);
        self.warnings.warn(from, error, now, &mut self.out);
    }

    fn handle_conn(&mut self, news: ConnInput, now: Now) {
        let (conn, line) = (news.conn(), self.line(news.conn()));
        match news {
            ConnInput::Opened { .. } => self.opened(conn, now),
            ConnInput::Received { frame, .. } => {
                let is_remote = self.heard(conn);
                let Frame::Text(text) = frame else { return };
                if is_remote {
                    self.remote_said(line, &text, now);
                } else if self.local.programs.contains(&conn)
                    && !self.local_said(Asker::Program(conn), text, now)
                {
                    self.dismiss_program(conn, now);
                }
            }
            // It may have spoken: nobody reads it.
            ConnInput::Held { .. } => _ = self.heard(conn),
            ConnInput::Sent { .. } => {
                let rules = self.rules(line);
                if let Some(outlet) = self.outlets.get_mut(&line) {
                    outlet.sent(&rules, &mut self.out);
                }
            }
            ConnInput::Closed { cause, .. } => {
                if self.program_left(conn) {
                    return;
                }
                match &self.side {
                    Side::Client(_) => self.link_closed(conn, &cause, now),
                    Side::Server(_) => self.peer_left(conn, &cause),
                }
            }
        }
    }

    /// Notes a frame; tells whether it is one of another daemon.
    fn heard(&mut self, conn: ConnId) -> bool {
        match &mut self.side {
            Side::Client(link) => link.heard(conn),
            Side::Server(server) => server.heard(conn),
        }
    }
}

impl Machine for WsDaemon {
    fn handle_input(&mut self, input: Input, now: Now) {
        if !self.life.is_running() {
            return;
        }
        match input {
            Input::Conn(news) => self.handle_conn(news, now),
            Input::Server(ServerInput::Accepted { conn, .. }) => self.program_came(conn),
            Input::Server(ServerInput::Listening { listen, address }) => {
                self.listening(listen, address);
            }
            Input::Server(ServerInput::ListenFailed { listen, error }) => {
                self.listen_failed(listen, error, now);
            }
            Input::Server(ServerInput::Offered { conn, request, remote }) => {
                self.offered(conn, &request, &remote, now);
            }
            Input::Server(ServerInput::Asked { http, .. }) => {
                let response = HttpResponse::upgrade_required();
                self.out.push_back(Output::HttpReply { http, response });
            }
            Input::Server(
                ServerInput::Gone { .. }
                | ServerInput::Backlog { .. }
                | ServerInput::Exceeded { .. },
            )
            | Input::Http(_)
            | Input::Stored { .. }
            | Input::HostLag { .. } => {}
        }
        self.advance_drain(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        if !self.life.is_running() {
            return;
        }
        while let Some(ask) = self.asks.expire(now.mono) {
            self.settle(&ask, status::TIMED_OUT, ErrorCode::CallTimeout.into());
        }
        self.expire_work(now);
        match &self.side {
            Side::Client(_) => self.link_due(now),
            Side::Server(_) => self.peers_due(now),
        }
        self.advance_drain(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        if !self.life.is_running() {
            return None;
        }
        let side = match &self.side {
            Side::Client(link) => link.deadline(),
            Side::Server(server) => {
                server.accepted.next_due().map(|at| Deadline { at, why: Why::Ping })
            }
        };
        let timers = [self.asks.deadline(), self.work.deadline(), self.life.deadline(), side];
        timers.into_iter().flatten().min()
    }
}
