//! `wsdaemon`: ws-daemon, by which programs of one machine run scripts on another.
//!
//! ```text
//!  program ──Unix socket──▶ daemon ◀──WebSocket──▶ daemon ──▶ script or handler
//!          ◀──── status ────       ◀─── status ───
//! ```
//!
//! A daemon is a client or a server towards others; everything else is the same. A client keeps one link
//! and what is to be said while it is down; a server gives messages to its clients in turn.

mod asks;
mod client;
mod local;
pub mod options;
mod requests;
mod rotation;
mod server;
#[cfg(test)]
mod tests;
mod wire;
pub(crate) mod words;

use std::collections::{BTreeMap, VecDeque};

use crate::api::command::{CallCommand, Command, WorkCommand};
use crate::api::event::{CallEvent, Event, SessionEvent, Withdrawal};
use crate::api::options::read;
use crate::base::entropy::{Entropy, Seed};
use crate::base::error::{Error, ErrorCode, invalid};
use crate::base::ids::{CallId, ConnId};
use crate::base::json::Raw;
use crate::base::json::object::Object;
use crate::base::time::{Deadline, Now};
use crate::machine::{ConnInput, Endpoint, Input, Machine, Output, ServerInput};
use crate::net::Frame;
use crate::net::target::FrameLimits;
use crate::parts::drain::Drain;
use crate::parts::handlers::Handlers;
use crate::parts::work::Work;
use bytestring::ByteString;

use asks::{Ask, Asker, Asks};
use client::Client;
use local::Local;
use options::{CallOptions, DaemonOptions, HandlerOptions};
use requests::Job;
use server::Server;
use wire::{Command as Order, LOCAL_COMMAND, Message, REMOTE_COMMAND, status};

/// A ws-daemon of either kind.
#[derive(Debug)]
pub(crate) struct WsDaemon {
    options: DaemonOptions,
    limits: FrameLimits,
    stage: Stage,
    drain: Drain,
    since: Now,
    side: Side,
    local: Local,
    asks: Asks,
    handlers: Handlers<()>,
    work: Work,
    /// Whose requests the items of `work` are, by wire id.
    jobs: BTreeMap<ByteString, Job>,
    last_job: u64,
    /// Statuses whose asker was gone.
    undelivered: u64,
    entropy: Entropy,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Running,
    Ended,
}

/// What a daemon is towards others.
#[derive(Debug)]
enum Side {
    Client(Client),
    Server(Server),
}

impl WsDaemon {
    pub(crate) fn new(options: DaemonOptions, seed: Seed) -> Result<Self, Error> {
        let side = match options.check()? {
            Some(origin) => Side::Client(Client::new(&options, &origin)),
            None => Side::Server(Server::new(&options)),
        };
        let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let HandlerOptions { max_concurrent, max_waiting, .. } = options.handlers;
        Ok(Self {
            limits: FrameLimits::from(&options.limits),
            stage: Stage::Idle,
            drain: Drain::default(),
            since: Now::default(),
            side,
            local: Local::default(),
            asks: Asks::new(options.asks.max_pending),
            handlers: Handlers::new("daemon"),
            work: Work::new(size(max_concurrent), size(max_waiting), requests::NO_LIFE_SIGN_MS),
            jobs: BTreeMap::new(),
            last_job: 0,
            undelivered: 0,
            entropy: Entropy::new(seed),
            outputs: VecDeque::new(),
            options,
        })
    }

    fn start(&mut self, now: Now) -> Result<(), Error> {
        if self.stage != Stage::Idle {
            return Err(ErrorCode::AlreadyStarted.into());
        }
        self.stage = Stage::Running;
        self.since = now;
        self.listen_locally();
        match &self.side {
            Side::Client(_) => self.dial(now),
            Side::Server(_) => self.listen(),
        }
        Ok(())
    }

    /// Takes a message of another daemon.
    fn remote_said(&mut self, line: ConnId, text: &ByteString, now: Now) {
        match wire::read(text, REMOTE_COMMAND) {
            Ok(Message::Command(Order::Status(data))) => self.status_came(line, data),
            Ok(Message::Command(Order::Pause(millis))) => self.pause_asked(millis, false, now),
            Ok(Message::Request { name, id, params }) => {
                self.requested(line, name, id, params, now);
            }
            // Peer: what is neither a command nor a request is ignored.
            Ok(Message::Command(Order::Unknown) | Message::Other) => {}
            Err(error) => self.notice(
                ErrorCode::PeerProtocol,
                format!(
                    "another daemon sent what is not JSON: {}",
                    crate::base::json::flaw(&error)
                ),
            ),
        }
    }

    /// Takes a message of a local program, or of the application in its place; `ask` is whose status it
    /// waits for.
    fn local_said(&mut self, asker: Asker, text: ByteString, now: Now) -> bool {
        match wire::read(&text, LOCAL_COMMAND) {
            Ok(Message::Command(Order::Status(data))) => self.tell_newest(data),
            Ok(Message::Command(Order::Pause(millis))) => self.pause_asked(millis, true, now),
            Ok(Message::Command(Order::Unknown)) => {}
            Ok(Message::Request { name, id, .. }) => {
                let is_command = name.as_deref() == Some(REMOTE_COMMAND);
                let timeout_ms = (!is_command).then_some(self.options.asks.timeout_ms);
                self.forward(asker, id, timeout_ms, text, now);
            }
            Ok(Message::Other) => self.forward(asker, Raw::absent(), None, text, now),
            Err(_) => return false,
        }
        true
    }

    /// Sends a message to another daemon; with a time limit its status is waited for.
    fn forward(
        &mut self,
        asker: Asker,
        id: Raw,
        timeout_ms: Option<u64>,
        text: ByteString,
        now: Now,
    ) {
        let until = timeout_ms.map(|millis| now.mono.after(millis));
        let refused = |message: &str| (status::REFUSED, Error::new(ErrorCode::Overloaded, message));
        let sent = if self.drain.is_on() {
            Err(refused("the daemon ends"))
        } else if until.is_some() && self.asks.is_full() {
            Err(refused("asks.max_pending requests wait for their status"))
        } else {
            self.send_on(text)
        };
        match (sent, until) {
            (Ok(line), Some(until)) => self.asks.add(line, asker, id, until),
            (Ok(_), None) => {}
            (Err((status, error)), _) => self.settle(asker, &id, status, error),
        }
    }

    /// Sends a message on the client's link, or to the client whose turn it is; returns the line.
    fn send_on(&mut self, text: ByteString) -> Result<ConnId, (i64, Error)> {
        match &mut self.side {
            Side::Client(client) => {
                if !client.say(text, &mut self.outputs) {
                    let message = "asks.max_queued messages wait for the other daemon";
                    return Err((status::REFUSED, Error::new(ErrorCode::Overloaded, message)));
                }
                Ok(client::LINE)
            }
            Side::Server(server) => {
                let Some(conn) = server.rotation.next() else {
                    let message = "no daemon is connected";
                    return Err((status::NOBODY, Error::new(ErrorCode::NotReady, message)));
                };
                self.send(conn, text);
                Ok(conn)
            }
        }
    }

    /// A status arrived, or something else for local programs.
    fn status_came(&mut self, line: ConnId, data: Raw) {
        if data.is_absent() {
            return;
        }
        let ask = wire::answered_id(&data).and_then(|id| self.asks.answered(line, id));
        match ask.map(|ask| ask.asker) {
            Some(Asker::Call(call)) => self.event(CallEvent::Done { call, result: Ok(data) }),
            Some(Asker::Program(conn)) => self.tell_program(conn, data),
            None => self.tell_newest(data),
        }
    }

    /// Answers a request of our side that the other did not answer.
    fn settle(&mut self, asker: Asker, id: &Raw, status: i64, error: Error) {
        match asker {
            Asker::Call(CallId(0)) => self.event(SessionEvent::Notice { error }),
            Asker::Call(call) => self.event(CallEvent::Done { call, result: Err(error) }),
            Asker::Program(conn) => self.tell_program(conn, wire::answer(Some(status), id)),
        }
    }

    fn settle_lost(&mut self, ask: &Ask, code: ErrorCode, text: &str) {
        self.settle(ask.asker, &ask.id, status::LOST, Error::new(code, text));
    }

    /// Ends a drained daemon, or one whose drain deadline has passed.
    fn advance_drain(&mut self, now: Now) {
        let is_idle = self.work.is_idle() && self.asks.len() == 0;
        if self.stage != Stage::Running || !self.drain.is_on() {
            return;
        }
        if is_idle || self.drain.is_over(now.mono) {
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
        self.hang_up();
        self.stage = Stage::Ended;
        self.since = now;
        self.event(SessionEvent::Ended { error });
    }

    /// Closes everything.
    fn hang_up(&mut self) {
        let conns = match &mut self.side {
            Side::Client(client) => client.leave().into_iter().collect(),
            Side::Server(server) => {
                self.outputs.push_back(Output::Unlisten { listen: server::LISTENER });
                server.rotation.conns().to_vec()
            }
        };
        for listen in local::listeners(&self.options.local) {
            self.outputs.push_back(Output::Unlisten { listen });
        }
        let programs = std::mem::take(&mut self.local.programs);
        for conn in conns.into_iter().chain(programs) {
            self.close(conn);
        }
    }

    fn call(
        &mut self,
        call: CallId,
        name: &str,
        params: &Raw,
        options: &Raw,
        now: Now,
    ) -> Result<(), Error> {
        let options: CallOptions = read(options.as_str())?;
        if name == REMOTE_COMMAND || name == LOCAL_COMMAND {
            return Err(invalid(format!("{name} is never answered: emit it")));
        }
        if self.stage == Stage::Idle {
            return Err(ErrorCode::NotStarted.into());
        }
        let id = format!("\"{}\"", self.entropy.uuid());
        let text = wire::request(name, Some(&id), params);
        self.check_size(&text)?;
        let timeout_ms = match options.timeout_ms {
            0 => self.options.asks.timeout_ms,
            millis => millis,
        };
        self.forward(Asker::Call(call), Raw::trusted(id), Some(timeout_ms), text, now);
        Ok(())
    }

    /// Carries out what the application says as a local program would.
    fn emit(&mut self, name: &str, params: &Raw, now: Now) -> Result<(), Error> {
        if self.stage == Stage::Idle {
            return Err(ErrorCode::NotStarted.into());
        }
        let text = wire::request(name, None, params);
        self.check_size(&text)?;
        if name == LOCAL_COMMAND {
            self.local_said(Asker::Call(CallId(0)), text, now);
        } else {
            self.forward(Asker::Call(CallId(0)), Raw::absent(), None, text, now);
        }
        Ok(())
    }

    fn check_size(&self, text: &ByteString) -> Result<(), Error> {
        if text.len() <= self.limits.max_message {
            return Ok(());
        }
        let message = format!("a message of {} bytes exceeds limits.max_message_bytes", text.len());
        Err(Error::new(ErrorCode::TooLarge, message))
    }

    fn send(&mut self, conn: ConnId, text: ByteString) {
        self.outputs.push_back(Output::Send { conn, frame: Frame::Text(text) });
    }

    fn close(&mut self, conn: ConnId) {
        self.outputs.push_back(Output::Close { conn, code: 1000, reason: String::new() });
    }

    fn event(&mut self, event: impl Into<Event>) {
        self.outputs.push_back(Output::Event(event.into()));
    }

    fn notice(&mut self, code: ErrorCode, text: impl AsRef<str>) {
        self.event(SessionEvent::Notice { error: Error::new(code, text) });
    }

    fn handle_conn(&mut self, news: ConnInput, now: Now) {
        match news {
            ConnInput::Opened { conn } => self.opened(conn, now),
            ConnInput::Received { conn, frame } => {
                let is_remote = match &mut self.side {
                    Side::Client(client) => client.heard(conn),
                    Side::Server(server) => server.heard(conn),
                };
                match frame {
                    Frame::Text(text) if is_remote => {
                        let line = self.line(conn);
                        self.remote_said(line, &text, now);
                    }
                    Frame::Text(text) if self.local.programs.contains(&conn) => {
                        if !self.local_said(Asker::Program(conn), text, now) {
                            self.dismiss_program(conn);
                        }
                    }
                    Frame::Text(_) | Frame::Binary(_) | Frame::Ping(_) | Frame::Pong(_) => {}
                }
            }
            ConnInput::Closed { conn, cause } => {
                if !self.local.left(conn) {
                    match &self.side {
                        Side::Client(_) => self.link_closed(conn, &cause, now),
                        Side::Server(_) => self.peer_left(conn, &cause),
                    }
                }
            }
            // It may have spoken: nobody reads it.
            ConnInput::Held { conn } => {
                let _ = match &mut self.side {
                    Side::Client(client) => client.heard(conn),
                    Side::Server(server) => server.heard(conn),
                };
            }
            ConnInput::Sent { .. } => {}
        }
    }

    /// Returns the line of a connection: a client has one, whatever carries it.
    const fn line(&self, conn: ConnId) -> ConnId {
        match self.side {
            Side::Client(_) => client::LINE,
            Side::Server(_) => conn,
        }
    }
}

impl Machine for WsDaemon {
    fn handle_input(&mut self, input: Input, now: Now) {
        if self.stage != Stage::Running {
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
                self.outputs.push_back(Output::HttpReply { http, response: server::upgrade() });
            }
            Input::Server(ServerInput::Gone { .. } | ServerInput::Exceeded { .. })
            | Input::Http(_)
            | Input::Stored { .. }
            | Input::HostLag { .. } => {}
        }
        self.advance_drain(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        if self.stage != Stage::Running {
            return;
        }
        while let Some(ask) = self.asks.expire(now.mono) {
            let error = Error::from(ErrorCode::CallTimeout);
            self.settle(ask.asker, &ask.id, status::TIMED_OUT, error);
        }
        self.expire_work(now);
        match &self.side {
            Side::Client(_) => self.link_due(now),
            Side::Server(_) => self.peers_due(now),
        }
        self.advance_drain(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        if self.stage != Stage::Running {
            return None;
        }
        let side = match &self.side {
            Side::Client(client) => client.deadline(),
            Side::Server(server) => server.deadline(),
        };
        let timers = [self.asks.deadline(), self.work.deadline(), self.drain.deadline(), side];
        timers.into_iter().flatten().min()
    }
}

impl Endpoint for WsDaemon {
    fn handle_command(&mut self, command: Command, now: Now) -> Result<(), Error> {
        if self.stage == Stage::Ended && !matches!(command, Command::Snapshot { .. }) {
            return Err(ErrorCode::Stopped.into());
        }
        match command {
            Command::Start => self.start(now)?,
            Command::Stop { .. } if self.stage == Stage::Idle => self.end(None, now),
            Command::Stop { drain_ms } => {
                if self.drain.begin(drain_ms, now.mono) {
                    let in_flight = self.jobs.len() + self.asks.len();
                    self.event(SessionEvent::Draining { in_flight, outbox: 0 });
                }
            }
            Command::Call(CallCommand::Make { call, name, payload, options }) => {
                self.call(call, &name, &payload, &options, now)?;
            }
            Command::Call(CallCommand::Cancel { call }) => {
                if let Some(ask) = self.asks.cancel(call) {
                    self.settle_lost(&ask, ErrorCode::CallCancelled, "the call was cancelled");
                }
            }
            Command::Work(WorkCommand::Handle { key, .. }) => self.offer(key)?,
            Command::Work(WorkCommand::Unhandle { key }) => {
                if !self.handlers.remove(&key) {
                    return Err(ErrorCode::HandlerUnknown.into());
                }
            }
            Command::Work(WorkCommand::Complete { work, outcome }) => {
                self.completed(work, &outcome, now)?;
            }
            Command::Emit { name, payload } => self.emit(&name, &payload, now)?,
            Command::Snapshot { call } => {
                let result = Ok(Raw::trusted(self.snapshot(now)));
                self.event(CallEvent::Done { call, result });
            }
            Command::Work(WorkCommand::Progress { .. }) | Command::Peer(_) => {
                return Err(ErrorCode::Unsupported.into());
            }
        }
        self.advance_drain(now);
        Ok(())
    }

    fn snapshot(&self, now: Now) -> String {
        let state = match (self.stage, &self.side) {
            (Stage::Ended, _) => "ended",
            (Stage::Idle, _) => "idle",
            (Stage::Running, _) if self.drain.is_on() => "draining",
            (Stage::Running, Side::Client(client)) => client.state(),
            (Stage::Running, Side::Server(_)) => "serving",
        };
        let snapshot = Object::new()
            .text("dialect", "wsdaemon")
            .text("role", "daemon")
            .text("mode", self.options.mode.as_str())
            .text("state", state)
            .text("since", &self.since.unix.to_string())
            .number("since_ms", now.mono.since(self.since.mono))
            .value("local", &self.local.addresses)
            .value("programs", &self.local.programs.len())
            .value("asks", &self.asks.len())
            .value("running", &self.work.running)
            .value("waiting", &self.work.waiting.len())
            .number("undelivered", self.undelivered);
        match &self.side {
            Side::Client(client) => client.describe(snapshot, now),
            Side::Server(server) => server.describe(snapshot),
        }
        .end()
    }
}
