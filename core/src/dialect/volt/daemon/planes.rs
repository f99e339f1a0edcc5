//! One daemon with a connection for each purpose, as those of the third generation have.
//!
//! Each connection is a daemon by itself, with a channel of its own. That for control enrolls, and its
//! registration is the daemon's; once it is registered the others begin, with its password. What the
//! application says goes over control, but for heartbeats, for streams that the daemon opens, and for
//! messages of a tunnel, which go where that was opened. A connection that is lost comes back by itself:
//! the application is told in a notice.

use std::collections::{BTreeMap, VecDeque};

use super::VoltDaemon;
use crate::api::command::{CallCommand, Command, WorkCommand};
use crate::api::event::{CallEvent, Event, PeerEvent, SessionEvent};
use crate::api::options::ConfigError;
use crate::base::entropy::Seed;
use crate::base::error::Error;
use crate::base::ids::CallId;
use crate::base::json::Raw;
use crate::base::json::object::{Object, inside};
use crate::base::time::{Deadline, Now};
use crate::dialect::volt::options::{DaemonChannel, DaemonOptions};
use crate::dialect::volt::wire::{self, Message};
use crate::dialect::volt::words::{SENT, STREAM};
use crate::machine::{ConnInput, Endpoint, HttpInput, Input, Machine, Output};

/// How far apart the numbers of two connections begin: what each counts stays below.
const STEP: u64 = 1 << 40;

/// The most tunnels whose connection is remembered; of more, the oldest go over control.
const MAX_TUNNELS: usize = 4_096;

/// A daemon with all its connections.
#[derive(Debug)]
pub(crate) struct VoltPlanes {
    control: VoltDaemon,
    planes: Vec<Plane>,
    out: VecDeque<Output>,
    /// Over which plane a tunnel was opened, by its session, oldest first.
    tunnels: VecDeque<(String, usize)>,
    /// Who is asked whether all has left: how many have not answered, and whether it was told.
    sent: BTreeMap<CallId, (usize, bool)>,
    /// How control has ended, while others say farewell.
    ended: Option<Option<Error>>,
    clock: Now,
}

/// A connection beside control.
#[derive(Debug)]
struct Plane {
    channel: DaemonChannel,
    daemon: VoltDaemon,
    has_begun: bool,
    is_over: bool,
}

impl VoltPlanes {
    pub(crate) fn new(options: DaemonOptions, seed: Seed) -> Result<Self, ConfigError> {
        let wanted = [
            (options.planes.heartbeat, DaemonChannel::Heartbeat),
            (options.planes.events, DaemonChannel::Events),
            (options.planes.object_gateway, DaemonChannel::ObjectGateway),
        ];
        let channels: Vec<_> = wanted.into_iter().filter(|it| it.0).map(|it| it.1).collect();
        let mut planes = Vec::new();
        for (number, channel) in (1..).zip(&channels) {
            let mut own = options.clone();
            own.channel = *channel;
            own.enrollment.enabled = false;
            own.runtime.store_path.clear();
            own.heartbeat.enabled &= *channel == DaemonChannel::Heartbeat;
            let mut seed = seed;
            if let Some(first) = seed.first_mut() {
                *first ^= number;
            }
            let daemon = VoltDaemon::numbered(own, seed, u64::from(number) * STEP)?;
            planes.push(Plane { channel: *channel, daemon, has_begun: false, is_over: false });
        }
        let mut own = options;
        if !planes.is_empty() && own.channel == DaemonChannel::None {
            own.channel = DaemonChannel::Control;
        }
        own.heartbeat.enabled &= !channels.contains(&DaemonChannel::Heartbeat);
        Ok(Self {
            control: VoltDaemon::new(own, seed)?,
            planes,
            out: VecDeque::new(),
            tunnels: VecDeque::new(),
            sent: BTreeMap::new(),
            ended: None,
            clock: Now::default(),
        })
    }

    /// Returns the connection that a number belongs to.
    fn owner(&mut self, number: u64) -> &mut VoltDaemon {
        let place = usize::try_from(number / STEP).unwrap_or(0);
        match place.checked_sub(1).and_then(|place| self.planes.get_mut(place)) {
            Some(plane) => &mut plane.daemon,
            None => &mut self.control,
        }
    }

    fn of(&mut self, channel: DaemonChannel) -> &mut VoltDaemon {
        let plane = self.planes.iter_mut().find(|plane| plane.channel == channel);
        plane.map_or(&mut self.control, |plane| &mut plane.daemon)
    }

    /// Has every connection do the same. What control answers counts.
    fn all(&mut self, command: &Command) -> Result<(), Error> {
        for plane in self.planes.iter_mut().filter(|plane| !plane.is_over) {
            // What is wrong for one is for all.
            let _ = plane.daemon.handle_command(command.clone(), self.clock);
        }
        self.control.handle_command(command.clone(), self.clock)
    }

    fn emit(&mut self, name: String, payload: Raw) -> Result<(), Error> {
        let now = self.clock;
        let command = |payload| Command::Emit { name: name.clone(), payload };
        match name.as_str() {
            "" => {}
            STREAM => {
                return self.of(DaemonChannel::Events).handle_command(command(payload), now);
            }
            _ => return self.all(&command(payload)),
        }
        let place = Message::read(payload.as_str()).and_then(|message| {
            let session = message.session_id.and_then(wire::lenient_text)?;
            let place = self.tunnels.iter().position(|(known, _)| **known == *session)?;
            let plane = self.tunnels.get(place)?.1;
            if message.is_kind("tunnel-close") {
                self.tunnels.remove(place);
            }
            Some(plane)
        });
        let plane = place.and_then(|place| self.planes.get_mut(place));
        let daemon = plane.map_or(&mut self.control, |plane| &mut plane.daemon);
        daemon.handle_command(command(payload), now)
    }

    /// Takes what the connections have to say, until none has anything more.
    fn collect(&mut self) {
        loop {
            if let Some(output) = self.control.poll_output() {
                if let Output::Event(event) = output {
                    self.hear_control(event);
                } else {
                    self.out.push_back(output);
                }
                continue;
            }
            let mut planes = self.planes.iter_mut().enumerate();
            let next = planes.find_map(|(place, it)| Some((place, it.daemon.poll_output()?)));
            let Some((place, output)) = next else { return };
            if let Output::Event(event) = output {
                self.hear(place, event);
            } else {
                self.out.push_back(output);
            }
        }
    }

    fn hear_control(&mut self, event: Event) {
        match event {
            Event::Session(SessionEvent::Ended { error }) => {
                self.ended = Some(error);
                for plane in self.planes.iter_mut().filter(|plane| !plane.is_over) {
                    // What has ended already is over.
                    let _ = plane.daemon.handle_command(Command::Stop { drain_ms: 0 }, self.clock);
                }
                self.end();
            }
            Event::Session(event @ SessionEvent::Ready { .. }) => {
                self.out.push_back(Output::Event(event.into()));
                for plane in &mut self.planes {
                    plane.daemon.password = self.control.password.clone();
                    if !std::mem::replace(&mut plane.has_begun, true) {
                        // It is idle.
                        let _ = plane.daemon.handle_command(Command::Start, self.clock);
                    }
                }
            }
            Event::Call(CallEvent::Done { call, result }) => self.settle(call, result),
            event @ (Event::Session(_) | Event::Call(_) | Event::Work(_) | Event::Peer(_)) => {
                self.out.push_back(Output::Event(event));
            }
        }
    }

    /// A connection beside control tells something.
    fn hear(&mut self, place: usize, event: Event) {
        let Some(plane) = self.planes.get_mut(place) else { return };
        let name = plane.channel.as_str();
        match event {
            Event::Session(SessionEvent::Lost { reason, .. }) => {
                self.tunnels.retain(|(_, of)| *of != place);
                self.tell(name, &reason);
            }
            Event::Session(SessionEvent::Notice { error }) => self.tell(name, &error),
            Event::Session(SessionEvent::Ended { error }) => {
                plane.is_over = true;
                if self.ended.is_none()
                    && let Some(error) = error
                {
                    self.tell(name, &error);
                }
                self.end();
            }
            // The life of the daemon is that of control.
            Event::Session(_) => {}
            Event::Call(CallEvent::Done { call, result }) => self.settle(call, result),
            Event::Peer(PeerEvent::Message { peer, payload }) => {
                self.note_tunnel(place, &payload);
                self.out.push_back(Output::Event(PeerEvent::Message { peer, payload }.into()));
            }
            event @ (Event::Call(_) | Event::Work(_) | Event::Peer(_)) => {
                self.out.push_back(Output::Event(event));
            }
        }
    }

    fn tell(&mut self, name: &str, error: &Error) {
        let text = format!("the connection for {name}: {}", error.message());
        let error = Error::new(error.code(), text).with_status(error.status());
        self.out.push_back(Output::Event(SessionEvent::Notice { error }.into()));
    }

    /// Remembers where a tunnel was opened.
    fn note_tunnel(&mut self, place: usize, payload: &Raw) {
        let Some(message) = Message::read(payload.as_str()) else { return };
        let Some(session) = message.session_id.and_then(wire::lenient_text) else { return };
        if message.is_kind("tunnel-close") {
            self.tunnels.retain(|(known, _)| **known != *session);
        } else if message.is_kind("tunnel-open") {
            self.tunnels.retain(|(known, _)| **known != *session);
            if self.tunnels.len() >= MAX_TUNNELS {
                self.tunnels.pop_front();
            }
            self.tunnels.push_back((session.into_owned(), place));
        }
    }

    fn settle(&mut self, call: CallId, result: Result<Raw, Error>) {
        if let Some((left, is_told)) = self.sent.get_mut(&call) {
            *left -= 1;
            let is_news = !*is_told && (result.is_err() || *left == 0);
            *is_told |= is_news;
            if *left == 0 {
                self.sent.remove(&call);
            }
            if !is_news {
                return;
            }
        }
        self.out.push_back(Output::Event(CallEvent::Done { call, result }.into()));
    }

    /// Ends once all have.
    fn end(&mut self) {
        if self.planes.iter().all(|plane| plane.is_over)
            && let Some(error) = self.ended.take()
        {
            self.out.push_back(Output::Event(SessionEvent::Ended { error }.into()));
        }
    }
}

impl Machine for VoltPlanes {
    fn handle_input(&mut self, input: Input, now: Now) {
        self.clock = now;
        let number = match &input {
            Input::Conn(
                ConnInput::Opened { conn }
                | ConnInput::Received { conn, .. }
                | ConnInput::Sent { conn }
                | ConnInput::Held { conn }
                | ConnInput::Closed { conn, .. },
            ) => conn.0,
            Input::Http(HttpInput::Replied { http, .. } | HttpInput::Part { http, .. }) => http.0,
            // Only control has a store.
            Input::Stored { .. } | Input::Server(_) | Input::HostLag { .. } => 0,
        };
        self.owner(number).handle_input(input, now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.clock = now;
        self.control.handle_timeout(now);
        self.planes.iter_mut().for_each(|plane| plane.daemon.handle_timeout(now));
    }

    fn poll_output(&mut self) -> Option<Output> {
        if self.planes.is_empty() {
            return self.control.poll_output();
        }
        self.collect();
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let planes = self.planes.iter().filter_map(|plane| plane.daemon.poll_timeout());
        planes.chain(self.control.poll_timeout()).min()
    }
}

impl Endpoint for VoltPlanes {
    fn handle_command(&mut self, command: Command, now: Now) -> Result<(), Error> {
        self.clock = now;
        if self.planes.is_empty() {
            return self.control.handle_command(command, now);
        }
        match command {
            Command::Snapshot { call } => {
                let result = Ok(Raw::trusted(self.snapshot(now)));
                self.out.push_back(Output::Event(CallEvent::Done { call, result }.into()));
                Ok(())
            }
            Command::Emit { name, payload } => self.emit(name, payload),
            Command::Call(CallCommand::Make { call, ref name, .. }) if name == SENT => {
                let open = self.planes.iter().filter(|plane| !plane.is_over).count();
                self.sent.insert(call, (open + 1, false));
                self.all(&command)
            }
            Command::Work(
                WorkCommand::Complete { work, .. } | WorkCommand::Progress { work, .. },
            ) => self.owner(work.0).handle_command(command, now),
            Command::Stop { .. }
            | Command::Work(WorkCommand::Handle { .. } | WorkCommand::Unhandle { .. })
            | Command::Call(CallCommand::Cancel { .. }) => self.all(&command),
            Command::Start | Command::Call(CallCommand::Make { .. }) | Command::Peer(_) => {
                self.control.handle_command(command, now)
            }
        }
    }

    fn snapshot(&self, now: Now) -> String {
        let control = self.control.snapshot(now);
        if self.planes.is_empty() {
            return control;
        }
        let whole = Object::with_capacity(2_048).fields(inside(&control).unwrap_or_default());
        let planes = |object: Object| {
            self.planes.iter().fold(object, |object, plane| {
                object.raw(plane.channel.as_str(), &plane.daemon.snapshot(now))
            })
        };
        whole.object("planes", planes).end()
    }
}
