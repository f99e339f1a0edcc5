//! Plays one recording to our daemon in virtual time.
//!
//! The lines are gone through in their order. What the recorded server says is said to ours once ours
//! has said what came before; what the recorded application did, ours does at that time. What ours says
//! too early waits for its line; for what comes too late time passes, a little.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use moorline_core::WorkCommand;
use moorline_core::{
    CallId, Command, Event, Frame, HttpId, HttpRequest, Raw, WorkId, command, trace,
};
use moorline_tests::volt::{Daemon, Told};
use serde_json::{Value, json};

use crate::expectation::Expectation;
use crate::handlers;
use crate::ids::Ids;
use crate::lines::{Line, What};
use crate::notes::{self, Facade, Notes};
use crate::said;

/// How long ours may take for what the original did at once.
const PATIENCE_MS: u64 = 1_000;

/// The handshake of a session that the recording does not have.
const HANDSHAKE: &str = "0{\"sid\":\"further\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,\
                         \"pingTimeout\":60000,\"maxPayload\":10000000}";

/// A daemon of the recorded application: one for each `connect()`.
pub(crate) struct Actor {
    daemon: Daemon,
    pub(crate) facade: Facade,
    sessions: Vec<u64>,
    is_stopped: bool,
}

pub(crate) struct Replay<'a> {
    pub(crate) expectation: &'a Expectation,
    lines: &'a [Line],
    options: String,
    /// There is no polling.
    is_direct: bool,
    pub(crate) now: u64,
    pub(crate) actors: Vec<Actor>,
    /// Actor and session by the recorded number.
    conns: BTreeMap<u64, (usize, usize)>,
    heard: BTreeMap<u64, VecDeque<Frame>>,
    left: BTreeSet<u64>,
    asked: VecDeque<(usize, HttpId, HttpRequest)>,
    ids: Ids,
    pub(crate) notes: Notes,
    pub(crate) timers: Vec<(u64, usize, WorkId, String)>,
    pub(crate) beats: usize,
    calls: u64,
    fresh: u64,
    pub(crate) last: Option<Event>,
    pub(crate) report: Vec<String>,
}

/// The common options of the recorded application, and those of a recording.
fn options(expectation: &Expectation, mode: &str) -> Value {
    let mut options = json!({
        "control_socket_url": format!("http://volt.test{}", expectation.path),
        "server_url": "http://volt.test",
        "team_cluster_id": "cluster-abc123",
        "daemon_password": "rotated-pw-xyz",
        "transport": mode,
        "heartbeat": {"asks": !expectation.beats.is_empty()},
        "reconnect": {"jitter_percent": 0},
    });
    merge(&mut options, &expectation.options);
    options
}

fn merge(into: &mut Value, from: &Value) {
    for (key, value) in from.as_object().expect("options are an object") {
        if value.is_object() && into[key.as_str()].is_object() {
            merge(&mut into[key.as_str()], value);
        } else {
            into[key.as_str()] = value.clone();
        }
    }
}

impl<'a> Replay<'a> {
    pub(crate) fn new(lines: &'a [Line], expectation: &'a Expectation, mode: &str) -> Self {
        Self {
            expectation,
            lines,
            options: options(expectation, mode).to_string(),
            is_direct: mode == "websocket",
            now: lines.first().map_or(0, |line| line.t),
            actors: Vec::new(),
            conns: BTreeMap::new(),
            heard: BTreeMap::new(),
            left: BTreeSet::new(),
            asked: VecDeque::new(),
            ids: Ids::default(),
            notes: Notes::default(),
            timers: Vec::new(),
            beats: 0,
            calls: 1_000,
            fresh: 0,
            last: None,
            report: Vec::new(),
        }
    }

    /// Plays everything and returns what differs without leave.
    pub(crate) fn run(mut self) -> Vec<String> {
        self.connect();
        for line in self.lines {
            self.set_network(line.number);
            self.pass_to(line.t);
            self.act(line.number);
            if !self.expectation.is_absent(line.number) {
                self.play(line);
            }
            self.play_differences(line);
        }
        self.finish();
        self.report
    }

    fn fault(&mut self, line: usize, what: &str) {
        self.report.push(format!("line {line}, at {}: {what}", self.now));
    }

    /// The application's `connect()`.
    fn connect(&mut self) {
        let mut daemon = Daemon::recorded(&self.options, 7, self.now);
        for name in handlers::NAMES {
            let meta = Raw::empty_object();
            daemon
                .command(Command::Work(WorkCommand::Handle { key: name.into(), meta }))
                .expect("a handler");
        }
        let meta = Raw::parse("{\"messages\":true}").expect("JSON");
        daemon
            .command(Command::Work(WorkCommand::Handle { key: "*".into(), meta }))
            .expect("a listener");
        let facade = Facade::default();
        self.actors.push(Actor { daemon, facade, sessions: Vec::new(), is_stopped: false });
        let first = self.lines.first().map_or(0, |line| line.number);
        self.set_network(first);
        let actor = self.actors.last_mut().expect("it was just added");
        actor.daemon.command(Command::Start).expect("a start");
        self.pump();
    }

    fn set_network(&mut self, line: usize) {
        for actor in &mut self.actors {
            actor.daemon.network.is_up = self.expectation.is_up(line);
            actor.daemon.network.web_sockets = self.expectation.web_sockets;
        }
    }

    fn act(&mut self, line: usize) {
        for action in self.expectation.actions.iter().filter(|action| action.line == line) {
            let texts: Vec<&str> = action.batch.iter().map(|triple| triple.get()).collect();
            let batch = format!("[{}]", texts.join(","));
            for command in command::parse_batch(&batch).expect("a batch") {
                self.carry_out(self.actors.len() - 1, command);
            }
        }
    }

    /// Gives a daemon a command; a call that is refused settles as one, as drivers have it.
    pub(crate) fn carry_out(&mut self, actor: usize, command: Command) {
        let is_call = command.call().is_some();
        let is_emit = matches!(command, Command::Emit { .. });
        if matches!(command, Command::Stop { .. }) {
            self.actors[actor].is_stopped = true;
        }
        if let Err(error) = self.actors[actor].daemon.command(command)
            && (is_call || is_emit)
        {
            self.notes.call(&Err(error));
        }
        self.pump();
    }

    fn play(&mut self, line: &Line) {
        match (&line.what, line.conn, line.by_daemon) {
            (What::Request { target, .. }, Some(conn), true) => self.asks(line, conn, target),
            (What::Request { target, content_type, body }, None, true) => {
                self.enrolls(line, target, content_type, body);
            }
            (What::Response { status, body }, None, false) => {
                let (actor, http, _) = self.asked.pop_front().expect("a request was compared");
                let target = said::redirection(self.lines, line.number).filter(|_| *status == 307);
                let response = said::response(*status, target, body);
                self.actors[actor].daemon.answer(http, Some(response));
                self.pump();
            }
            (What::Packet(frame), Some(conn), true) => self.speaks(line, conn, frame),
            (What::Packet(frame), Some(conn), false) => {
                let instead = self.expectation.instead(line.number).and_then(Value::as_str);
                let frame = instead.map_or_else(|| frame.clone(), |it| Frame::Text(it.into()));
                self.server_says(line.number, conn, frame);
            }
            (What::Closed(_), Some(conn), true) => self.leaves(line, conn),
            (What::Closed(code), conn, false) => {
                let conn = conn.unwrap_or_else(|| self.conns.keys().max().copied().unwrap_or(0));
                let code = code.as_u64().and_then(|code| code.try_into().ok());
                let (actor, session) = self.conns[&conn];
                self.actors[actor].daemon.end(session, code);
                self.pump();
            }
            (What::Api(note), ..) if notes::is_compared(note) => {
                let note = self.expectation.instead(line.number).unwrap_or(note);
                self.learns(line.number, note);
            }
            (What::Api(note), ..) => self.looks(line, note),
            (What::Response { .. }, Some(_), false) => {}
            other => panic!("line {}: {other:?}", line.number),
        }
    }

    /// A session begins: ours, or one of a further `connect()`.
    fn asks(&mut self, line: &Line, conn: u64, target: &str) {
        if target.contains("sid=") || self.conns.contains_key(&conn) {
            return;
        }
        let is_lost = self.actors.last().is_some_and(|actor| {
            let last = actor.sessions.last().and_then(|conn| self.conns.get(conn));
            !actor.is_stopped && last.is_none_or(|(_, session)| !actor.daemon.is_open(*session))
        });
        if !is_lost {
            self.connect();
        }
        if !self.wait(|replay| replay.conns.contains_key(&conn)) {
            self.fault(line.number, &format!("no session {conn} is asked for"));
        }
    }

    fn enrolls(&mut self, line: &Line, target: &str, content_type: &str, body: &str) {
        if !self.wait(|replay| !replay.asked.is_empty()) {
            return self.fault(line.number, "no enrollment is asked for");
        }
        let (_, _, request) = &self.asked[0];
        let is_equal = request.method.as_str() == "POST"
            && request.url == format!("http://volt.test{target}")
            && request.headers.first("content-type") == Some(content_type)
            && request.body == body;
        if !is_equal {
            self.fault(line.number, &format!("the enrollment {request:?}"));
        }
    }

    fn speaks(&mut self, line: &Line, conn: u64, frame: &Frame) {
        if said::is_of_engine(frame) {
            if *frame == Frame::Text("1".into()) {
                self.leaves(line, conn);
            }
            return;
        }
        let actor = self.conns.get(&conn).map_or(self.actors.len() - 1, |(actor, _)| *actor);
        self.calls += 1;
        let timeout = self.expectation.timeout(line.number);
        let behind = self.lines.iter().filter(|it| it.number > line.number && it.by_daemon);
        let behind = behind.filter(|it| it.conn == Some(conn));
        if let Some(command) = said::cause(frame, CallId(self.calls), timeout, behind) {
            self.carry_out(actor, command);
        }
        if self.expectation.of(line.number).any(|difference| difference.unsaid) {
            return;
        }
        let instead = self.expectation.instead(line.number).and_then(Value::as_str);
        let wanted = instead.map_or_else(|| frame.clone(), |it| Frame::Text(it.into()));
        self.hears(line.number, conn, &wanted);
    }

    /// The server hears a packet of ours.
    fn hears(&mut self, line: usize, conn: u64, wanted: &Frame) {
        let has_frame = |replay: &Self| replay.heard.get(&conn).is_some_and(|it| !it.is_empty());
        if !self.wait(has_frame) {
            return self.fault(line, &format!("nothing instead of {}", said::show(wanted)));
        }
        let seen = self.heard.get_mut(&conn).and_then(VecDeque::pop_front).expect("it is there");
        let is_equal = match (wanted, &seen) {
            (Frame::Text(wanted), Frame::Text(seen)) => self.ids.are_equal(wanted, seen),
            (wanted, seen) => wanted == seen,
        };
        if !is_equal {
            self.fault(line, &format!("{} instead of {}", said::show(&seen), said::show(wanted)));
        }
    }

    fn server_says(&mut self, line: usize, conn: u64, frame: Frame) {
        if said::is_of_engine(&frame) {
            return;
        }
        let Some((actor, session)) = self.conns.get(&conn).copied() else {
            return self.fault(line, &format!("there is no session {conn}"));
        };
        let frame = match frame {
            Frame::Text(text) => Frame::Text(self.ids.translated(&text).into()),
            other => other,
        };
        if !self.actors[actor].daemon.is_open(session) {
            self.fault(line, "the session is over");
        }
        self.actors[actor].daemon.say(session, [frame]);
        self.pump();
    }

    fn leaves(&mut self, line: &Line, conn: u64) {
        if !self.wait(|replay| replay.left.contains(&conn)) {
            self.fault(line.number, "the session is not closed");
        }
    }

    fn learns(&mut self, line: usize, note: &Value) {
        if !self.wait(|replay| replay.notes.has_like(note)) {
            return self.fault(line, &format!("nothing instead of {note}"));
        }
        let mut text = self.ids.translated(&note.to_string());
        if self.is_direct {
            text = text.replace("xhr poll error", "websocket error");
        }
        let note: Value = serde_json::from_str(&text).expect("ids are replaced by ids");
        let ours = self.notes.next_like(&note).expect("it is there");
        if let Some(difference) = notes::difference(&note, &ours) {
            self.fault(line, &difference);
        }
    }

    /// The recorded application looked at the client's state.
    fn looks(&mut self, line: &Line, note: &Value) {
        let note = self.expectation.instead(line.number).unwrap_or(note);
        let facade = &self.actors[self.actors.len() - 1].facade;
        if let Some(is_ready) = note["isReady"].as_bool()
            && is_ready != facade.is_ready
        {
            self.fault(line.number, "isReady");
        }
        if let Some(wanted) = note["getDaemonPassword"].as_str() {
            let options: Value = serde_json::from_str(&self.options).expect("options");
            let given = options["daemon_password"].as_str().unwrap_or_default().to_owned();
            let facade = &self.actors[self.actors.len() - 1].facade;
            let password = facade.password.clone().unwrap_or(given);
            if password != wanted {
                self.fault(line.number, &format!("the password is {password}"));
            }
        }
    }

    fn play_differences(&mut self, line: &Line) {
        for difference in self.expectation.after(line.number) {
            for extra in &difference.extra {
                self.fresh += 1;
                let fresh = format!("00000000-0000-4000-8000-{:012}", self.fresh);
                let (says, answers) = extra.expanded(&fresh);
                self.hears(line.number, extra.conn, &Frame::Text(says.into()));
                for answer in answers {
                    let note = said::message(&answer);
                    self.server_says(line.number, extra.conn, Frame::Text(answer.into()));
                    if let Some(message) = note {
                        let note = json!({"callback": "onMessage", "message": message});
                        self.learns(line.number, &note);
                    }
                }
            }
            for note in &difference.tells {
                self.learns(line.number, note);
            }
        }
    }

    /// Everything was compared; a stop then ends every daemon, and nothing comes after its end.
    fn finish(&mut self) {
        for (conn, frames) in std::mem::take(&mut self.heard) {
            for frame in frames {
                self.report.push(format!("the end: session {conn} said {}", said::show(&frame)));
            }
        }
        let rest: Vec<String> = self.notes.rest().map(Value::to_string).collect();
        self.report.extend(rest.into_iter().map(|note| format!("the end: learned {note}")));
        for actor in 0..self.actors.len() {
            self.carry_out(actor, Command::Stop { drain_ms: 0 });
        }
        self.pass_to(self.now + 2_000);
        for actor in &mut self.actors {
            self.report.extend(actor.daemon.faults().iter().map(|it| format!("transport: {it}")));
            let recording = actor.daemon.recording();
            let outputs: Vec<&str> = trace::outputs(&recording).collect();
            match trace::replay(&recording) {
                Ok(replayed) if replayed == outputs && outputs.len() > 1 => {}
                Ok(_) => self.report.push(String::from("the flight recorder replays otherwise")),
                Err(error) => self.report.push(format!("the flight recorder: {error}")),
            }
            for secret in ["rotated-pw-xyz", "initial-pw", "enroll-tok-1"] {
                if let Some(line) = recording.lines().find(|line| line.contains(secret)) {
                    self.report.push(format!("the recording shows {secret}: {line}"));
                }
            }
            if !actor.facade.has_ended {
                self.report.push(String::from("the end: a daemon does not end"));
            }
            if actor.daemon.deadline().is_some() || actor.daemon.open_transports() > 0 {
                self.report.push(String::from("the end: a daemon keeps something alive"));
            }
        }
    }

    /// Lets time pass until something holds, a little while at most.
    fn wait(&mut self, holds: impl Fn(&Self) -> bool) -> bool {
        let limit = self.now + PATIENCE_MS;
        loop {
            if holds(self) {
                return true;
            }
            match self.next_time() {
                Some(at) if at <= limit => self.pass_to(at),
                Some(_) | None => return false,
            }
        }
    }

    fn next_time(&self) -> Option<u64> {
        let deadlines = self.actors.iter().filter_map(|actor| actor.daemon.deadline());
        deadlines.chain(self.timers.iter().map(|(at, ..)| *at)).min()
    }

    fn pass_to(&mut self, time: u64) {
        let mut steps = 0;
        while let Some(at) = self.next_time().filter(|at| *at <= time) {
            steps += 1;
            assert!(steps < 10_000, "time does not pass at {}", self.now);
            self.step_to(self.now.max(at));
        }
        self.step_to(self.now.max(time));
    }

    fn step_to(&mut self, time: u64) {
        self.now = time;
        for actor in &mut self.actors {
            actor.daemon.pass_to(time);
        }
        let due: Vec<_> = self.timers.extract_if(.., |(at, ..)| *at <= time).collect();
        for (_, actor, work, envelope) in due {
            self.complete(actor, work, envelope, Vec::new());
        }
        self.pump();
    }

    /// Takes what the daemons have said and told, until there is nothing more.
    fn pump(&mut self) {
        let mut index = 0;
        while index < self.actors.len() {
            if let Some(told) = self.actors[index].daemon.told() {
                self.told(index, told);
                index = 0;
            } else if let Some(event) = self.actors[index].daemon.event() {
                self.event(index, event);
                index = 0;
            } else {
                index += 1;
            }
        }
    }

    fn told(&mut self, actor: usize, told: Told) {
        let number = |session: usize| {
            let found = self.conns.iter().find(|(_, place)| **place == (actor, session));
            found.map_or(0, |(conn, _)| *conn)
        };
        match told {
            Told::Asked { session, url } => self.opens(actor, session, &url),
            Told::Said { session, frame } => {
                let conn = number(session);
                self.heard.entry(conn).or_default().push_back(frame);
            }
            Told::Left { session } => drop(self.left.insert(number(session))),
            Told::Http { http, request } => self.asked.push_back((actor, http, request)),
        }
    }

    fn opens(&mut self, actor: usize, session: usize, url: &str) {
        let conn = self.conns.len() as u64 + 1;
        let recorded = said::opening(self.lines, conn);
        let mut extras = self.expectation.differences.iter().flat_map(|it| &it.extra);
        if recorded.is_none() && !extras.any(|extra| extra.conn == conn) {
            self.report.push(format!("at {}: a further session is asked for", self.now));
            return self.actors[actor].daemon.refuse(session);
        }
        let (target, handshake) = recorded.unwrap_or((String::new(), HANDSHAKE.to_owned()));
        if !target.is_empty() && !said::is_target(&target, url) {
            self.report.push(format!("{url} instead of {target}"));
        }
        self.conns.insert(conn, (actor, session));
        self.actors[actor].sessions.push(conn);
        self.actors[actor].daemon.open(session, &handshake);
    }
}
