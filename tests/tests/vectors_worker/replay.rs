//! Drives our worker by the control plane's lines of a recording, in virtual time.
//!
//! What the recorded worker says is *owed*: ours must say it too, at that time or a little later, and
//! the answer is fed when it has. What the recorded handlers did, ours do at the same time. What is said
//! and never was owed must be named in the expectation.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use moorline_core::{
    CloseCause, Command, ConnId, Endpoint, Error, ErrorCode, Event, Frame, HttpBody, HttpId,
    HttpResponse, Input, Now, Outcome, Output, Raw, WorkId,
};
use moorline_core::{ConnInput, HttpInput, WorkCommand, WorkEvent};
use moorline_tests::scripts;
use moorline_tests::transcript::{Body, Line, Way, What, read, value};
use serde_json::{Value, json};

use crate::expectation::{Extra, Run};
use crate::said::Said;

/// How long our worker may take for what the recorded one said at once.
const PATIENCE_MS: u64 = 5_000;

/// Something that the recorded worker said.
struct Owed {
    line: usize,
    said: Said,
    request: Option<u64>,
    answer: Option<What>,
}

pub(crate) struct Replay<'a> {
    run: &'a Run,
    machine: Box<dyn Endpoint + Send>,
    millis: u64,
    owed: VecDeque<Owed>,
    said: VecDeque<Said>,
    extras: VecDeque<&'a Extra>,
    http: BTreeMap<u64, HttpId>,
    conns: BTreeMap<u64, ConnId>,
    works: BTreeMap<String, WorkId>,
    events: Vec<Event>,
    unsaid: Vec<u64>,
    is_stopped: bool,
}

/// Replays one worker of a recording; panics where ours differs without leave.
pub(crate) fn replay(name: &str, run: &Run) -> Vec<Event> {
    let lines: Vec<(usize, Line)> = read(&format!("beacon/{name}.jsonl"))
        .into_iter()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(number, line)| {
            line.peer == run.peer && (run.lines.0..=run.lines.1).contains(number)
        })
        .collect();
    let mut replay = Replay::open(run, &lines);
    for (number, line) in &lines {
        replay.pass_until(line.t);
        replay.step(*number, line);
    }
    replay.finish()
}

impl<'a> Replay<'a> {
    fn open(run: &'a Run, lines: &[(usize, Line)]) -> Self {
        let said = || lines.iter().filter_map(|(_, line)| Said::recorded(&line.what));
        let login = said().find_map(|said| match said {
            Said::Request { path, body, .. } if path == "/1.0/Authenticate" => Some(body),
            _ => None,
        });
        let registration = said()
            .find_map(|said| match said {
                Said::Text { frame, .. } if frame["Action"] == "BeaconRegister" => Some(frame),
                Said::Request { path, body, .. } if path == "/Beacon/Register" => Some(body),
                _ => None,
            })
            .expect("a recorded worker registers");
        let login = login.expect("a recorded worker logs in");
        let mut options = json!({
            "server_url": "http://hub.example:54321/ignored",
            "name": registration["Name"],
            "user_name": login["UserName"],
            "password": login["Password"],
            "max_concurrent": registration["MaxConcurrent"],
            "tags": registration["Tags"],
            "host_id": registration["HostID"],
            "shared_mounts": registration["SharedMounts"],
            // The original's numbers: recordings do not reach to its first attempt to come back.
            "reconnect": {"base_delay_ms": 10_000, "max_delay_ms": 300_000},
        });
        let optional = [
            ("join_secret", "JoinSecret"),
            ("contexts", "Contexts"),
            ("operations", "Operations"),
            ("bind_addresses", "BindAddresses"),
        ];
        for (option, field) in optional {
            if let Some(value) = registration.get(field) {
                options[option] = value.clone();
            }
        }
        for (name, value) in run.options.as_object().expect("options are an object") {
            options[name] = value.clone();
        }
        let opened =
            scripts::open("beacon-worker", "beacon", "worker", &options.to_string(), "?", [9; 32]);
        let machine = opened.unwrap_or_else(|e| panic!("{e}")).endpoint;
        let mut replay = Self {
            run,
            machine,
            millis: lines.first().map_or(0, |(_, line)| line.t),
            owed: VecDeque::new(),
            said: VecDeque::new(),
            extras: VecDeque::new(),
            http: BTreeMap::new(),
            conns: BTreeMap::new(),
            works: BTreeMap::new(),
            events: Vec::new(),
            unsaid: Vec::new(),
            is_stopped: false,
        };
        for schema in registration["ActionSchemas"].as_array().expect("a list") {
            let text = |field: &str| schema[field].as_str().expect("text").to_owned();
            let key = format!("{}/{}", text("Capability"), text("Action"));
            let meta = json!({
                "description": schema["Description"], "settings_schema": schema["SettingsSchema"],
            });
            let meta = Raw::parse(meta.to_string()).expect("JSON");
            replay.command(Command::Work(WorkCommand::Handle { key, meta }));
        }
        replay.command(Command::Start);
        replay
    }

    fn step(&mut self, number: usize, line: &Line) {
        match line.way {
            Way::ToHub => self.recorded_worker_says(number, line),
            Way::FromHub => self.control_plane_says(line),
        }
        let run = self.run;
        for difference in run.of(number).filter(|difference| difference.line == number) {
            self.extras.extend(&difference.extra);
        }
        self.match_up();
    }

    fn recorded_worker_says(&mut self, number: usize, line: &Line) {
        let request = if let What::Request { id, .. } = &line.what { Some(*id) } else { None };
        if let What::Close { ws, code: 1006, .. } = &line.what {
            let conn = self.conns.remove(ws).expect("a connection that was opened");
            let error = Error::new(ErrorCode::ConnectionLost, "cut by the recorder");
            self.input(Input::Conn(ConnInput::Closed { conn, cause: CloseCause::Failed(error) }));
            return;
        }
        let said = Said::recorded(&line.what).expect("a saying");
        if self.run.is_handled(number) {
            self.handlers_do(&said);
        }
        if self.run.is_unsaid(number) {
            self.unsaid.extend(request);
            return;
        }
        self.owed.push_back(Owed { line: number, said, request, answer: None });
        self.match_up();
    }

    /// Does on behalf of the handlers, or of whoever stops the worker, what the line is about.
    fn handlers_do(&mut self, said: &Said) {
        let (what, hash, body) = match said {
            Said::Text { frame, .. } => {
                let action = frame["Action"].as_str().unwrap_or_default();
                let hash = frame["WorkItemHash"].as_str().unwrap_or_default();
                (action.to_owned(), hash.to_owned(), frame)
            }
            Said::Request { method, path, body, .. } => {
                let parts: Vec<_> = path.split('/').collect();
                match (method.as_str(), &parts[..]) {
                    ("POST", ["", "Beacon", "Work", hash, verb]) => {
                        (format!("Work{verb}"), (*hash).to_owned(), body)
                    }
                    ("DELETE", _) => (String::from("Deregister"), String::new(), body),
                    _ => return,
                }
            }
            Said::Dial { .. } | Said::Close { .. } => return,
        };
        let raw = |value: &Value| Raw::parse(value.to_string()).expect("JSON");
        let outcome = match what.as_str() {
            "WorkComplete" => {
                Outcome::Done { value: raw(&body["Outputs"]), log: raw(&body["Log"]) }
            }
            "WorkError" => {
                let message = body["ErrorMessage"].as_str().expect("text").to_owned();
                Outcome::Failed { message }
            }
            "WorkProgress" => {
                let work = self.work(&hash);
                let report = raw(body.get("ProgressData").unwrap_or(body));
                self.command(Command::Work(WorkCommand::Progress { work, report }));
                return;
            }
            "Deregister" if !self.is_stopped => {
                self.is_stopped = true;
                self.command(Command::Stop { drain_ms: 10_000 });
                return;
            }
            _ => return,
        };
        let work = self.work(&hash);
        self.works.remove(&hash);
        self.command(Command::Work(WorkCommand::Complete { work, outcome }));
    }

    fn work(&self, hash: &str) -> WorkId {
        *self.works.get(hash).unwrap_or_else(|| panic!("{hash} was not handed to a handler"))
    }

    fn control_plane_says(&mut self, line: &Line) {
        match &line.what {
            What::Response { id, .. } | What::Failure { id, .. } => {
                if self.unsaid.contains(id) {
                    return;
                }
                match self.owed.iter_mut().find(|owed| owed.request == Some(*id)) {
                    Some(owed) => owed.answer = Some(line.what.clone()),
                    None => self.answer(*id, &line.what),
                }
            }
            What::Text { ws, text } => {
                let Some(conn) = self.conns.get(ws).copied() else { return };
                let frame = Frame::Text(text.as_str().into());
                self.input(Input::Conn(ConnInput::Received { conn, frame }));
            }
            What::Close { ws, code, reason } => {
                let Some(conn) = self.conns.remove(ws) else { return };
                let cause = CloseCause::Remote { code: *code, reason: reason.clone() };
                self.input(Input::Conn(ConnInput::Closed { conn, cause }));
            }
            What::Request { .. } | What::Binary { .. } => panic!("not of a control plane"),
        }
    }

    /// Feeds the answer to a request or dial that our worker has made.
    fn answer(&mut self, id: u64, what: &What) {
        if let What::Response { status, ws, .. } = what {
            let dialed = self.conns.remove(&(u64::MAX - id));
            match (dialed, ws) {
                (Some(conn), Some(ws)) => {
                    self.conns.insert(*ws, conn);
                    self.input(Input::Conn(ConnInput::Opened { conn }));
                    return;
                }
                (Some(conn), None) => {
                    let cause = CloseCause::Refused { status: *status };
                    self.input(Input::Conn(ConnInput::Closed { conn, cause }));
                    return;
                }
                (None, _) => {}
            }
        }
        let http = self.http.remove(&id).unwrap_or_else(|| panic!("request {id} was never made"));
        let result = match what {
            What::Response { status, headers, body, .. } => {
                let body = match body {
                    Body::Empty => Bytes::new(),
                    body => Bytes::from(body.as_str().to_owned()),
                };
                let headers = headers.clone();
                Ok(HttpResponse { status: *status, headers, body: HttpBody::Full(body) })
            }
            _ => Err(Error::new(ErrorCode::ConnectFailed, "connection refused")),
        };
        self.input(Input::Http(HttpInput::Replied { http, result }));
    }

    /// Matches what is owed with what was said, in the order of each topic.
    fn match_up(&mut self) {
        loop {
            let found = self.owed.iter().enumerate().find_map(|(index, owed)| {
                let topic = owed.said.topic();
                let place = self.said.iter().position(|said| said.topic() == topic)?;
                Some((index, place))
            });
            let Some((index, place)) = found else { break };
            let (Some(owed), Some(said)) = (self.owed.remove(index), self.said.remove(place))
            else {
                break;
            };
            let found = owed.said.differences(&said);
            assert!(found.is_empty(), "line {}: {found:#?}\n{said:#?}", owed.line);
            match (&said, owed.request) {
                (Said::Request { http: Some(http), .. }, Some(id)) => {
                    self.http.insert(id, *http);
                }
                (Said::Dial { conn: Some(conn), .. }, Some(id)) => {
                    self.conns.insert(u64::MAX - id, *conn);
                }
                (Said::Close { conn: Some(conn) }, _) => self.local_close(*conn),
                _ => {}
            }
            if let (Some(id), Some(answer)) = (owed.request, owed.answer) {
                self.answer(id, &answer);
            }
        }
        self.match_extras();
    }

    fn match_extras(&mut self) {
        while let Some(place) = self
            .extras
            .front()
            .and_then(|extra| self.said.iter().position(|said| said.holds(&extra.says)))
        {
            let (Some(extra), Some(said)) = (self.extras.pop_front(), self.said.remove(place))
            else {
                return;
            };
            match (said, &extra.answer) {
                (Said::Text { conn: Some(conn), .. }, Some(answer)) => {
                    let frame = Frame::Text(answer.to_string().into());
                    self.input(Input::Conn(ConnInput::Received { conn, frame }));
                }
                (Said::Request { http: Some(http), .. }, Some(answer)) => {
                    let response = HttpResponse::json(200, answer.to_string());
                    self.input(Input::Http(HttpInput::Replied { http, result: Ok(response) }));
                }
                (Said::Close { conn: Some(conn) }, _) => self.local_close(conn),
                _ => {}
            }
        }
    }

    fn local_close(&mut self, conn: ConnId) {
        self.conns.retain(|_, open| *open != conn);
        self.input(Input::Conn(ConnInput::Closed { conn, cause: CloseCause::Local }));
    }

    fn pass_until(&mut self, end: u64) {
        while let Some(deadline) = self.machine.poll_timeout() {
            let at = deadline.at.as_millis().max(self.millis);
            if at > end {
                break;
            }
            self.millis = at;
            self.machine.handle_timeout(self.now());
            self.drain();
            self.match_up();
        }
        self.millis = self.millis.max(end);
    }

    fn now(&self) -> Now {
        Now::new(self.millis, 1_795_246_617_000 + self.millis)
    }

    fn input(&mut self, input: Input) {
        self.machine.handle_input(input, self.now());
        self.drain();
        self.match_up();
    }

    fn command(&mut self, command: Command) {
        let shown = format!("{command:?}");
        let result = self.machine.handle_command(command, self.now());
        result.unwrap_or_else(|e| panic!("{e}: {shown}"));
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match &output {
                // The peers' libraries answer pings by themselves.
                Output::Send { conn, frame: Frame::Ping(payload) } => {
                    let frame = Frame::Pong(payload.clone());
                    let input = Input::Conn(ConnInput::Received { conn: *conn, frame });
                    self.machine.handle_input(input, self.now());
                }
                Output::Event(event) => {
                    if let Event::Work(WorkEvent::Assigned { work, meta, .. }) = event {
                        let hash = value(meta.as_str())["WorkItemHash"].clone();
                        self.works.insert(hash.as_str().expect("text").to_owned(), *work);
                    }
                    self.events.push(event.clone());
                }
                output => self.said.extend(Said::ours(output)),
            }
        }
        self.settle_dropped();
    }

    /// Completes what the original dropped and ours runs: nobody recorded an outcome for it.
    fn settle_dropped(&mut self) {
        let extras = self.run.differences.iter().flat_map(|difference| &difference.extra);
        let dropped = extras
            .filter(|extra| extra.settled)
            .filter_map(|extra| extra.says["WorkItemHash"].as_str());
        let ready: Vec<_> = dropped.filter_map(|hash| self.works.remove(hash)).collect();
        for work in ready {
            let outcome = Outcome::Done { value: Raw::null(), log: Raw::empty_list() };
            self.command(Command::Work(WorkCommand::Complete { work, outcome }));
        }
    }

    fn finish(mut self) -> Vec<Event> {
        self.pass_until(self.millis + PATIENCE_MS);
        self.match_up();
        let owed: Vec<_> =
            self.owed.iter().map(|owed| format!("line {}: {:?}", owed.line, owed.said)).collect();
        let snapshot = self.machine.snapshot(self.now());
        assert!(owed.is_empty(), "never said: {owed:#?}\nbut: {:#?}\n{snapshot}", self.said);
        let extras: Vec<_> = self.extras.iter().map(|extra| extra.says.to_string()).collect();
        assert!(extras.is_empty(), "our worker was to say also {extras:#?}");
        // The recording ends while ours goes on: what its own schedule brings after that is not compared.
        let rest: Vec<_> = self.said.iter().filter(|said| !self.is_routine(said)).collect();
        assert!(rest.is_empty(), "nobody asked for {rest:#?}");
        let snapshot = value(&self.machine.snapshot(self.now()));
        for (path, wanted) in &self.run.end {
            let seen = path.split('.').fold(&snapshot, |value, key| &value[key]);
            assert_eq!(seen, wanted, "{path} at the end");
        }
        self.events
    }

    fn is_routine(&self, said: &Said) -> bool {
        said.is_poll()
            || said.topic().ends_with("/Heartbeat")
            || said.topic().starts_with("\"BeaconHeartbeat\"")
    }
}
