//! A daemon: registers at a control plane, runs its commands and sends commands to it.
//!
//! ```text
//!                                                   ┌────────────── stop ────────────────┐
//! Idle ─▶ Recalling ─▶ Probing ─▶ Enrolling ─▶ Keeping ─▶ Opening ─▶ Joining ─▶ Registering ─▶ Ready ─▶ Leaving ─▶ Ended
//!          (store)     (store)                 (store)       │          │            │           │
//!                                                            └─ fails ──┴─ refused ──┴── lost ───┘
//!                                                                           ▼
//!                                                                        Waiting ─ due ─▶ Opening
//! ```
//!
//! Nothing but the registration leaves before it is confirmed: servers ignore, without a word, what an
//! unregistered socket says. What the application emits meanwhile waits in a bounded queue.

mod beats;
mod calls;
mod connect;
mod enroll;
mod generation;
mod intake;
mod planes;
mod register;
mod reverse;
mod streams;

use std::collections::{BTreeMap, VecDeque};

pub(crate) use planes::VoltPlanes;

use beats::Beats;
use calls::Asker;
use connect::Stage;
use enroll::Enrollment;
use reverse::Running;
use streams::Waiting;

use super::address::Address;
use super::engine::Engine;
use super::learnt::Learnt;
use crate::api::command::{CallCommand, Command, WorkCommand};
use crate::api::event::{CallEvent, Event, SessionEvent};
use crate::api::options::ConfigError;
use crate::base::entropy::{Entropy, Seed};
use crate::base::error::{Error, ErrorCode, invalid};
use crate::base::ids::{CallId, WorkId};
use crate::base::json::Raw;
use crate::base::json::object::Object;
use crate::base::secret::Secret;
use crate::base::time::{Deadline, Now, Why};
use crate::dialect::volt::options::DaemonOptions;
use crate::dialect::volt::words::{MESSAGE, STREAM};
use crate::machine::{ConnInput, Endpoint, HttpInput, Input, Machine, Output};
use crate::net::Frame;
use crate::net::socketio::{self, Decoder, MAX_ATTACHMENTS};
use crate::parts::backoff::Backoff;
use crate::parts::calls::Calls;
use crate::parts::drain::Drain;
use crate::parts::handlers::Handlers;
use crate::parts::link::Link;
use crate::parts::pacer::Rank;
use crate::parts::queue::{Overflow, Queue};

/// The daemon's machine.
#[derive(Debug)]
pub(crate) struct VoltDaemon {
    options: DaemonOptions,
    address: Address,
    entropy: Entropy,
    /// The time of the latest input.
    clock: Now,
    /// Where the daemon stands, and the ladder of attempts until a registration has held.
    link: Link<Stage>,
    engine: Engine,
    decoder: Decoder,
    /// What an ordinary message begins with, in both directions: `2["team-cluster-daemon:message",`.
    prefix: String,
    password: Secret,
    enrollment: Enrollment,
    /// Orderly ends by the server, in a row, of registrations that did not hold.
    early_ends: u32,
    was_joined: bool,
    /// Commands that we have sent, with their names.
    calls: Calls<Asker, String>,
    handlers: Handlers<()>,
    wants_messages: bool,
    running: BTreeMap<WorkId, Running>,
    last_work: u64,
    last_store: u64,
    beats: Beats,
    /// The generation of the protocol that the control plane speaks, and commands of this session that wait
    /// until it is known.
    learnt: Learnt,
    deferred: Queue<Raw>,
    /// Parts of streams that the daemon opens, which wait for a registration and for the generation.
    opened: Waiting,
    /// Messages of the application that wait for a registration, each with its attachments.
    queue: Queue<Vec<Frame>>,
    /// The drain gives time for what is still to be sent.
    is_patient: bool,
    /// Answers of this session that wait for its registration.
    held: Queue<Vec<Frame>>,
    /// Answers were dropped for want of room: further ones are, too.
    has_dropped: bool,
    /// Messages that were dropped since the last registration, and how many of them were told.
    dropped: [u64; 2],
    /// How many messages the application has emitted, and who wants to know when how many have left.
    emitted: u64,
    awaited: VecDeque<Awaited>,
    drain: Drain,
    /// Why the daemon ends, while its farewell is on its way.
    ending: Option<Error>,
    frames: Vec<Frame>,
    last_error: Option<Error>,
    counters: Counters,
}

/// Who waits until all that was said so far has left: messages and streams, whatever session they leave in,
/// and the parcels of the present session.
#[derive(Debug)]
struct Awaited {
    emitted: u64,
    opened: u64,
    parcels: u64,
    call: CallId,
}

/// What has happened since the daemon was opened.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
struct Counters {
    registrations: u64,
    losses: u64,
    commands_sent: u64,
    commands_run: u64,
    messages_in: u64,
    messages_out: u64,
    messages_dropped: u64,
    beats: u64,
}

impl VoltDaemon {
    pub(crate) fn new(options: DaemonOptions, seed: Seed) -> Result<Self, ConfigError> {
        let mut problems = ConfigError::default();
        let address =
            Address::parse(&options).map_err(|(field, problem)| problems.add(field, problem)).ok();
        if options.team_cluster_id.is_empty() {
            problems.add("team_cluster_id", "must not be empty");
        }
        let enrollment = Enrollment::plan(&options, &mut problems);
        let Some(address) = address else { return Err(problems) };
        let namespace = match address.namespace.as_str() {
            "/" => String::new(),
            namespace => format!("{namespace},"),
        };
        problems.check(Self {
            engine: Engine::new(address.clone(), &options),
            address,
            entropy: Entropy::new(seed),
            clock: Now::default(),
            link: Link::new(Stage::Idle, Backoff::like_socket_io(options.reconnect.clone())),
            decoder: Decoder::default(),
            prefix: format!("2{namespace}[\"{MESSAGE}\","),
            password: options.daemon_password.clone(),
            enrollment,
            early_ends: 0,
            was_joined: false,
            calls: Calls::new(options.limits.max_pending_calls),
            handlers: Handlers::new("daemon"),
            wants_messages: false,
            running: BTreeMap::new(),
            last_work: 0,
            last_store: 0,
            beats: Beats::new(&options.heartbeat),
            learnt: Learnt::new(options.generation),
            deferred: Queue::new(
                options.max_concurrent,
                options.max_queued_bytes,
                Overflow::DropNewest,
            ),
            opened: Waiting::new(options.max_queued, options.max_queued_bytes),
            is_patient: false,
            queue: Queue::new(options.max_queued, options.max_queued_bytes, Overflow::DropOldest),
            held: Queue::new(u64::MAX, options.max_queued_bytes, Overflow::DropNewest),
            has_dropped: false,
            dropped: [0, 0],
            emitted: 0,
            awaited: VecDeque::new(),
            drain: Drain::default(),
            ending: None,
            frames: Vec::new(),
            last_error: None,
            counters: Counters::default(),
            options,
        })
    }

    /// Makes one whose connections, requests and work have numbers from `first` on.
    fn numbered(options: DaemonOptions, seed: Seed, first: u64) -> Result<Self, ConfigError> {
        let mut daemon = Self::new(options, seed)?;
        (daemon.last_work, daemon.last_store) = (first, first);
        daemon.engine.count_from(first);
        Ok(daemon)
    }

    fn event(&mut self, event: impl Into<Event>) {
        self.engine.out.push_back(Output::Event(event.into()));
    }

    fn notice(&mut self, code: ErrorCode, text: impl AsRef<str>) {
        self.complain(Error::new(code, text));
    }

    fn complain(&mut self, error: Error) {
        self.last_error = Some(error.clone());
        self.event(SessionEvent::Notice { error });
    }

    fn settle(&mut self, call: CallId, result: Result<Raw, Error>) {
        self.event(CallEvent::Done { call, result });
    }

    const fn is_ready(&self) -> bool {
        matches!(self.link.stage(), Stage::Ready)
    }

    /// Sends frames of this session once it is registered; they are lost with it.
    fn say(&mut self, rank: Rank) {
        if self.is_ready() {
            return self.engine.say(&mut self.frames, rank, self.clock);
        }
        let frames = std::mem::take(&mut self.frames);
        let bytes = size(&frames);
        // A server that asks without end before it lets the daemon in gets no more answers.
        if !self.has_dropped && self.held.push(frames, bytes) > 0 {
            self.has_dropped = true;
            let max = self.options.max_queued_bytes;
            let message = format!(
                "answers before the registration exceed the {max} bytes of max_queued_bytes: \
                 further ones are dropped"
            );
            self.notice(ErrorCode::Overloaded, message);
        }
    }

    /// Says frames now.
    fn say_all(&mut self, mut frames: Vec<Frame>, rank: Rank) {
        self.engine.say(&mut frames, rank, self.clock);
    }

    /// Forgets answers that were held for a registration.
    fn drop_held(&mut self) {
        self.held.clear();
        self.frames.clear();
        self.has_dropped = false;
    }

    /// Refuses frames that the server would end the connection for.
    fn check_size(&self, frames: &[Frame]) -> Result<(), Error> {
        let Some(max) = self.engine.max_payload() else { return Ok(()) };
        let largest = frames.iter().map(Frame::len).max().unwrap_or(0);
        if largest as u64 <= max {
            return Ok(());
        }
        let message =
            format!("a message of {largest} bytes: the control plane takes at most {max}");
        Err(Error::new(ErrorCode::TooLarge, message))
    }

    /// Does what is left to do after an input or a command.
    fn pump(&mut self) {
        self.handle_engine_events();
        self.advance_drain();
        self.engine.pump();
        self.handle_engine_events();
        self.settle_awaited();
    }

    fn emit(&mut self, name: &str, payload: &Raw) -> Result<(), Error> {
        if name == "$password" {
            self.password = read_password(payload)?;
            return Ok(());
        }
        if name == STREAM {
            return self.stream(payload);
        }
        if !name.is_empty() {
            let message = format!("{name:?} is nothing that a daemon emits; leave the name empty");
            return Err(invalid(message));
        }
        let frames = self.write_event(MESSAGE, None, payload)?;
        self.check_size(&frames)?;
        let bytes = size(&frames);
        if self.is_ready() {
            self.check_room(self.engine.has_room_to_emit())?;
            self.emitted += 1;
            self.counters.messages_out += 1;
            self.say_all(frames, Rank::Kept);
            return Ok(());
        }
        self.emitted += 1;
        let dropped = self.queue.push(frames, bytes);
        self.count_dropped(dropped);
        Ok(())
    }

    /// Refuses what would have to wait where as much waits as may.
    fn check_room(&self, has_room: bool) -> Result<(), Error> {
        if has_room {
            return Ok(());
        }
        let max = self.options.limits.max_send_queue_bytes;
        let message = format!(
            "the control plane reads more slowly than this daemon writes: the {max} bytes of \
             limits.max_send_queue_bytes wait already"
        );
        Err(Error::new(ErrorCode::Overloaded, message))
    }

    /// Puts messages back that the session which is over has not begun to send.
    fn take_back(&mut self) {
        let unsaid = std::mem::take(&mut self.engine.unsaid);
        self.counters.messages_out -= unsaid.len() as u64;
        self.awaited.iter_mut().for_each(|it| it.parcels = 0);
        let dropped = self.queue.put_back(unsaid, |frames| size(frames));
        self.count_dropped(dropped);
    }

    /// Tells of the first message of an outage that is dropped; the others are counted.
    fn count_dropped(&mut self, dropped: u64) {
        let [sum, told] = &mut self.dropped;
        self.counters.messages_dropped += dropped;
        *sum += dropped;
        if dropped == 0 || *told > 0 {
            return;
        }
        *told = *sum;
        let message = format!(
            "{dropped} of the messages that wait for a registration dropped, the oldest: \
             max_queued is {}, max_queued_bytes {}; the next registration tells how many it were",
            self.options.max_queued, self.options.max_queued_bytes
        );
        self.notice(ErrorCode::Overloaded, message);
    }

    /// Tells how many messages were dropped before this registration, where that is news.
    fn tell_dropped(&mut self) {
        let [sum, told] = std::mem::take(&mut self.dropped);
        if sum > told {
            let message = format!("{sum} messages that waited for the registration were dropped");
            self.notice(ErrorCode::Overloaded, message);
        }
    }

    /// Tells those who wait for it that what was said has left, or will not.
    fn settle_awaited(&mut self) {
        let opened = self.opened.gone();
        let unsaid = (self.queue.len() + self.engine.unsaid.len()) as u64;
        let gone = self.emitted - unsaid - self.engine.pacer.kept();
        let left = self.engine.pacer.left();
        let is_over =
            |it: &mut Awaited| it.emitted <= gone && it.opened <= opened && it.parcels <= left;
        while let Some(Awaited { call, .. }) = self.awaited.pop_front_if(is_over) {
            self.settle(call, Ok(Raw::null()));
        }
        if !self.awaited.is_empty() && !self.engine.pacer.has_left() {
            self.engine.ask_flushed();
        }
    }

    fn write_event(&self, name: &str, id: Option<u64>, value: &Raw) -> Result<Vec<Frame>, Error> {
        let mut frames = Vec::new();
        socketio::event(&self.address.namespace, id, name, value, &mut frames).map_err(too_many)?;
        Ok(frames)
    }

    /// Writes a message whose argument `write` appends as JSON, for [`say`](Self::say).
    fn write_message(
        &mut self,
        blobs: &[bytes::Bytes],
        size: usize,
        write: impl FnOnce(&Self, &mut String),
    ) -> Result<(), Error> {
        if blobs.is_empty() {
            let mut text = String::with_capacity(self.prefix.len() + size + 2);
            text.push('4');
            text.push_str(&self.prefix);
            write(self, &mut text);
            text.push(']');
            self.frames.push(Frame::Text(text.into()));
            return Ok(());
        }
        let mut frames = std::mem::take(&mut self.frames);
        let namespace = &self.address.namespace;
        let write = |json: &mut String| write(self, json);
        let written =
            socketio::event_with(namespace, None, MESSAGE, size, blobs, &mut frames, write);
        self.frames = frames;
        written.map_err(too_many)
    }

    /// Forgets what was written if the server would end the connection for it.
    fn check_written(&mut self) -> Result<(), Error> {
        self.check_size(&self.frames).inspect_err(|_| self.frames.clear())
    }
}

fn size(frames: &[Frame]) -> u64 {
    frames.iter().map(|frame| frame.len() as u64).sum()
}

fn too_many(_: socketio::Malformed) -> Error {
    let message = format!(
        "a message with more than {MAX_ATTACHMENTS} byte strings: join them or send several"
    );
    Error::new(ErrorCode::TooLarge, message)
}

fn read_password(payload: &Raw) -> Result<Secret, Error> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Password {
        password: String,
    }
    let wrong = |_| invalid("$password takes {password: text}");
    payload.read::<Password>().map(|body| Secret::new(body.password)).map_err(wrong)
}

impl Machine for VoltDaemon {
    fn handle_input(&mut self, input: Input, now: Now) {
        self.clock = now;
        if self.link.stage() == Stage::Ended {
            return;
        }
        match input {
            Input::Conn(ConnInput::Opened { conn }) => self.engine.opened(conn),
            Input::Conn(ConnInput::Received { conn, frame }) => {
                self.engine.received(conn, &frame, now);
            }
            Input::Conn(ConnInput::Sent { conn }) => self.engine.sent(conn),
            Input::Conn(ConnInput::Held { conn }) => self.engine.held(conn, now),
            Input::Conn(ConnInput::Closed { conn, cause }) => self.engine.closed(conn, &cause),
            Input::Http(HttpInput::Replied { http, result }) => self.replied(http, result),
            Input::Stored { result, .. } => self.stored(result),
            // Nobody dials a daemon, and it asks for no parts and no lag.
            Input::Server(_) | Input::Http(HttpInput::Part { .. }) | Input::HostLag { .. } => {}
        }
        self.pump();
    }

    fn handle_timeout(&mut self, now: Now) {
        self.clock = now;
        if self.link.stage() == Stage::Ended {
            return;
        }
        self.expire_calls();
        self.engine.timed_out(now);
        self.handle_engine_events();
        self.stage_timed_out();
        self.beat();
        self.pump();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.engine.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        if self.link.stage() == Stage::Ended {
            return None;
        }
        let drain = self.drain.deadline().filter(|_| self.link.stage() != Stage::Leaving);
        let deadlines = [
            self.link.limit,
            self.engine.deadline(),
            self.calls.deadline().map(|at| Deadline { at, why: Why::Call }),
            self.beats.deadline().map(|at| Deadline { at, why: Why::Heartbeat }),
            drain,
        ];
        deadlines.into_iter().flatten().min()
    }
}

impl Endpoint for VoltDaemon {
    fn handle_command(&mut self, command: Command, now: Now) -> Result<(), Error> {
        self.clock = now;
        if self.link.stage() == Stage::Ended && !matches!(command, Command::Snapshot { .. }) {
            return Err(ErrorCode::Stopped.into());
        }
        let mut result = Ok(());
        match command {
            Command::Start => result = self.start(),
            Command::Stop { drain_ms } => self.stop(drain_ms),
            Command::Work(WorkCommand::Handle { key, meta }) => result = self.handle(key, &meta),
            Command::Work(WorkCommand::Unhandle { key }) => self.unhandle(&key),
            Command::Call(CallCommand::Make { call, name, payload, options }) => {
                result = self.call(call, name, &payload, &options);
            }
            Command::Call(CallCommand::Cancel { call }) => self.cancel(call),
            Command::Emit { name, payload } => result = self.emit(&name, &payload),
            Command::Work(WorkCommand::Complete { work, outcome }) => {
                result = self.complete(work, outcome);
            }
            Command::Work(WorkCommand::Progress { work, report }) => {
                result = self.progress(work, &report);
            }
            Command::Peer(_) => result = Err(ErrorCode::Unsupported.into()),
            Command::Snapshot { call } => self.settle(call, Ok(Raw::trusted(self.snapshot(now)))),
        }
        self.pump();
        result
    }

    fn snapshot(&self, now: Now) -> String {
        let since = self.link.since;
        let retry = self.link.limit.filter(|_| self.link.stage() == Stage::Waiting);
        Object::with_capacity(512)
            .text("dialect", "volt")
            .text("role", "daemon")
            .text("id", &self.options.team_cluster_id)
            .text("state", self.link.stage().name())
            .text("transport", self.engine.transport().as_str())
            .text("since", &since.unix.to_string())
            .number("since_ms", now.mono.since(since.mono))
            .number("attempt", self.link.backoff.attempt)
            .value("generation", &self.learnt.number())
            .text("generation_from", self.learnt.source.name())
            .value("next_attempt_ms", &retry.map(|due| due.at.since(now.mono)))
            .value("last_error", &self.last_error)
            .value("pending_calls", &self.calls.len())
            .value("in_flight", &self.running.len())
            .value("queued", &self.queue.len())
            .value("handlers", &self.handlers.len())
            .value("counters", &self.counters)
            .end()
    }
}

#[cfg(test)]
mod tests;
