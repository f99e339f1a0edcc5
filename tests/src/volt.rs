//! A VOLT daemon in virtual time, and the Engine.IO side of the server that it talks to.
//!
//! The server's transports are played here, without delays; what the server says above them, a test
//! decides.

mod session;
mod transport;

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use moorline_core::frame::engineio;
use moorline_core::trace::{Header, Recorder};
use moorline_core::{
    CloseCause, Command, ConnId, Endpoint, Error, ErrorCode, Event, Frame, Headers, HttpBody,
    HttpId, HttpRequest, HttpResponse, Input, Now, Output,
};
use moorline_core::{ConnInput, HttpInput};

pub use crate::disk::Disk;
use crate::scripts;
use session::{Session, Transport};

/// Where virtual time begins, as a wall clock tells it.
const EPOCH: u64 = 1_795_000_000_000;

/// What the server's side of a daemon learns, in order.
#[derive(Clone, Debug)]
pub enum Told {
    /// A session is asked for: [`open`](Daemon::open) or [`refuse`](Daemon::refuse) it.
    Asked {
        /// The session, counted from 0.
        session: usize,
        /// The URL that was asked.
        url: String,
    },
    /// The daemon said a packet: a message, or the answer to a ping.
    Said {
        /// The session.
        session: usize,
        /// The packet as a WebSocket frame.
        frame: Frame,
    },
    /// The daemon closed a session.
    Left {
        /// The session.
        session: usize,
    },
    /// A request that is none of the transport's; answer it with [`answer`](Daemon::answer).
    Http {
        /// The exchange.
        http: HttpId,
        /// The request.
        request: HttpRequest,
    },
}

/// What passes between a daemon and its server.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// Whether the server is reached at all.
    pub is_up: bool,
    /// Whether WebSockets pass.
    pub web_sockets: bool,
    /// Whether what is posted is answered only when [`release`](Daemon::release) is called.
    pub is_slow: bool,
}

/// A daemon with its world.
pub struct Daemon {
    machine: Box<dyn Endpoint + Send>,
    recording: Arc<Mutex<String>>,
    now: u64,
    inputs: VecDeque<Input>,
    sessions: Vec<Session>,
    conns: BTreeSet<ConnId>,
    /// Posts that wait for their answers, with their sessions.
    posts: Vec<(HttpId, usize)>,
    told: VecDeque<Told>,
    events: VecDeque<Event>,
    faults: Vec<String>,
    /// What its store holds.
    pub disk: Disk,
    /// What passes.
    pub network: Network,
}

impl Daemon {
    /// Opens a daemon at a time.
    ///
    /// # Panics
    /// If the options are wrong.
    #[must_use]
    pub fn new(options: &str, seed: u8, now: u64) -> Self {
        let opened = scripts::open("volt-daemon", "volt", "daemon", options, "host", [seed; 32]);
        Self::of(opened.unwrap_or_else(|e| panic!("{e}: {options}")).endpoint, now)
    }

    /// Opens a daemon with a flight recorder around it.
    ///
    /// # Panics
    /// If the options are wrong.
    #[must_use]
    pub fn recorded(options: &str, seed: u8, now: u64) -> Self {
        let opened = scripts::open("volt-daemon", "volt", "daemon", options, "host", [seed; 32]);
        let machine = opened.unwrap_or_else(|e| panic!("{e}: {options}")).endpoint;
        let host = "host";
        let header = Header { dialect: "volt", role: "daemon", options, host, seed: [seed; 32] };
        let recording = Arc::<Mutex<String>>::default();
        let lines = Arc::clone(&recording);
        let sink = move |line: &str| lines.lock().expect("one thread").push_str(line);
        let machine = Box::new(Recorder::new(machine, &header, Box::new(sink)));
        Self { recording, ..Self::of(machine, now) }
    }

    /// Returns the recording so far; empty if there is no recorder.
    ///
    /// # Panics
    /// Never: one thread has it.
    #[must_use]
    pub fn recording(&self) -> String {
        self.recording.lock().expect("one thread").clone()
    }

    fn of(machine: Box<dyn Endpoint + Send>, now: u64) -> Self {
        Self {
            machine,
            recording: Arc::default(),
            now,
            inputs: VecDeque::new(),
            sessions: Vec::new(),
            conns: BTreeSet::new(),
            posts: Vec::new(),
            told: VecDeque::new(),
            events: VecDeque::new(),
            faults: Vec::new(),
            disk: Disk::default(),
            network: Network { is_up: true, web_sockets: true, is_slow: false },
        }
    }

    /// Returns the time in milliseconds.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// Returns the next thing that the server's side learned.
    pub fn told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    /// Returns the next event.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns what the daemon's transport did against the rules, such as a second poll.
    #[must_use]
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Returns the daemon's state.
    #[must_use]
    pub fn snapshot(&self) -> serde_json::Value {
        serde_json::from_str(&self.machine.snapshot(self.clock())).unwrap_or_default()
    }

    /// Returns how many connections and requests of the daemon are under way.
    #[must_use]
    pub fn open_transports(&self) -> usize {
        self.conns.len()
            + self.posts.len()
            + self.sessions.iter().map(Session::exchanges).sum::<usize>()
    }

    /// Returns when the daemon wants to be woken.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.machine.poll_timeout().map(|deadline| deadline.at.as_millis())
    }

    /// Tells whether a session is open at both ends.
    #[must_use]
    pub fn is_open(&self, session: usize) -> bool {
        self.sessions.get(session).is_some_and(Session::is_open)
    }

    /// Carries out a command.
    ///
    /// # Errors
    /// Those of the machine.
    pub fn command(&mut self, command: Command) -> Result<(), Error> {
        let result = self.machine.handle_command(command, self.clock());
        self.drain();
        result
    }

    /// Lets time pass to the next deadline, at most to `limit`; tells whether there was one.
    pub fn step(&mut self, limit: u64) -> bool {
        match self.deadline().filter(|at| *at <= limit) {
            Some(at) => {
                self.now = self.now.max(at);
                self.machine.handle_timeout(self.clock());
                self.drain();
                true
            }
            None => {
                self.now = self.now.max(limit);
                false
            }
        }
    }

    /// Lets time pass.
    ///
    /// # Panics
    /// If the machine wants to be woken without end.
    pub fn pass_to(&mut self, time: u64) {
        let mut steps = 0;
        while self.step(time) {
            steps += 1;
            assert!(steps < 100_000, "the machine spins at {}", self.now);
        }
    }

    /// Lets time pass while the process is suspended: no deadline is noticed before its end.
    pub fn suspend(&mut self, millis: u64) {
        self.now += millis;
    }

    /// Gives the machine an input that no server of ours makes up.
    pub fn input(&mut self, input: Input) {
        self.inputs.push_back(input);
        self.drain();
    }

    /// Opens a session that was asked for, with a packet such as `0{"sid":"x",…}`.
    pub fn open(&mut self, session: usize, handshake: &str) {
        let Some(it) = self.sessions.get_mut(session) else { return };
        it.sid = sid_of(handshake);
        match it.transport {
            Transport::Dialing(conn) => {
                it.transport = Transport::Socket(conn);
                let text = handshake.replace("\"upgrades\":[\"websocket\"]", "\"upgrades\":[]");
                self.inputs.push_back(Input::Conn(ConnInput::Opened { conn }));
                self.inputs.push_back(Input::Conn(ConnInput::Received {
                    conn,
                    frame: Frame::Text(text.into()),
                }));
            }
            Transport::Asking(http) => {
                it.transport = Transport::Polling;
                self.inputs.push_back(replied(http, ok(handshake.to_owned())));
            }
            Transport::Polling | Transport::Socket(_) | Transport::Over => {}
        }
        self.drain();
    }

    /// Refuses a session that was asked for.
    pub fn refuse(&mut self, session: usize) {
        let Some(it) = self.sessions.get_mut(session) else { return };
        match std::mem::replace(&mut it.transport, Transport::Over) {
            Transport::Dialing(conn) => {
                let cause = CloseCause::Failed(Error::from(ErrorCode::ConnectFailed));
                self.close(conn, cause);
            }
            Transport::Asking(http) => self.inputs.push_back(failed(http)),
            Transport::Polling | Transport::Socket(_) | Transport::Over => {}
        }
        self.drain();
    }

    /// Says packets, in one polling body if need be.
    pub fn say(&mut self, session: usize, frames: impl IntoIterator<Item = Frame>) {
        if let Some(it) = self.sessions.get_mut(session) {
            it.outbox.extend(frames);
            it.flush(&mut self.inputs);
        }
        self.drain();
    }

    /// Answers a pending poll with any body and status; says whether there was one.
    pub fn answer_poll(&mut self, session: usize, status: u16, body: Vec<u8>) -> bool {
        let poll = self.sessions.get_mut(session).and_then(|it| it.poll.take());
        if let Some(http) = poll {
            let response =
                HttpResponse { status, headers: Headers::new(), body: HttpBody::Full(body.into()) };
            self.inputs.push_back(replied(http, response));
            self.drain();
        }
        poll.is_some()
    }

    /// Ends a session from outside: the connection is cut, or closed with a code.
    pub fn end(&mut self, session: usize, code: Option<u16>) {
        let Some(it) = self.sessions.get_mut(session) else { return };
        let (polls, probe) = (it.exchanges_taken(), it.probe.take());
        let socket = std::mem::replace(&mut it.transport, Transport::Over);
        it.outbox.clear();
        let cause = match code {
            Some(code) => CloseCause::Remote { code, reason: String::new() },
            None => CloseCause::Failed(Error::from(ErrorCode::ConnectionLost)),
        };
        let (ended, posts): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.posts).into_iter().partition(|(_, of)| *of == session);
        self.posts = posts;
        for http in polls.into_iter().chain(ended.into_iter().map(|(http, _)| http)) {
            self.inputs.push_back(failed(http));
        }
        if let Transport::Socket(conn) | Transport::Dialing(conn) = socket {
            self.close(conn, cause.clone());
        }
        if let Some(conn) = probe {
            self.close(conn, cause);
        }
        self.drain();
    }

    /// Answers what was posted to a slow server.
    pub fn release(&mut self) {
        for (http, _) in std::mem::take(&mut self.posts) {
            self.inputs.push_back(replied(http, ok(String::from("ok"))));
        }
        self.drain();
    }

    /// Answers a request that is none of the transport's; `None` for no answer.
    pub fn answer(&mut self, http: HttpId, response: Option<HttpResponse>) {
        self.inputs.push_back(response.map_or_else(|| failed(http), |it| replied(http, it)));
        self.drain();
    }

    fn clock(&self) -> Now {
        Now::new(self.now, EPOCH + self.now)
    }

    fn close(&mut self, conn: ConnId, cause: CloseCause) {
        if self.conns.remove(&conn) {
            self.inputs.push_back(Input::Conn(ConnInput::Closed { conn, cause }));
        }
    }

    fn drain(&mut self) {
        let mut turns = 0;
        loop {
            while let Some(output) = self.machine.poll_output() {
                self.perform(output);
            }
            let Some(input) = self.inputs.pop_front() else { return };
            turns += 1;
            assert!(turns < 1_000_000, "the machine spins");
            self.machine.handle_input(input, self.clock());
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "a daemon makes a few outputs of many")]
    fn perform(&mut self, output: Output) {
        match output {
            Output::Event(event) => self.events.push_back(event),
            Output::Dial { conn, target } => self.dial(conn, target),
            Output::Send { conn, frame } => self.sent(conn, frame),
            Output::AskSent { conn } => {
                self.inputs.push_back(Input::Conn(ConnInput::Sent { conn }))
            }
            Output::Close { conn, .. } => self.closed(conn),
            Output::HttpCall { http, request, .. } => self.called(http, request),
            Output::HttpCancel { http } => self.cancelled(http),
            Output::Store { store, request } => {
                let result = Ok(self.disk.perform(request));
                self.inputs.push_back(Input::Stored { store, result });
            }
            other => self.faults.push(format!("{other:?}")),
        }
    }
}

/// Returns a value of a URL's query.
#[must_use]
pub fn parameter<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = url.split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn sid_of(handshake: &str) -> String {
    let text = handshake.get(1..).unwrap_or_default();
    engineio::Handshake::parse(text).map_or_else(|_| String::new(), |it| it.sid)
}

fn ok(body: String) -> HttpResponse {
    HttpResponse { status: 200, headers: Headers::new(), body: HttpBody::Full(body.into()) }
}

const fn replied(http: HttpId, response: HttpResponse) -> Input {
    Input::Http(HttpInput::Replied { http, result: Ok(response) })
}

fn failed(http: HttpId) -> Input {
    Input::Http(HttpInput::Replied { http, result: Err(Error::from(ErrorCode::ConnectFailed)) })
}
