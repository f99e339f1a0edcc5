//! Our hub, driven by what a recorded daemon sent and by what the recorded server did of its own accord.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use moorline_core::frame::engineio::{self, Packet};
use moorline_core::store::{StoreReply, StoreRequest};
use moorline_core::{CallCommand, CallEvent, ConnInput, ServerInput, WorkCommand, WorkEvent};
use moorline_core::{
    CallId, CloseCause, Command, ConnId, Endpoint, Error, ErrorCode, Event, Frame, Headers, HttpId,
    HttpRequest, Input, Method, Now, Outcome, Output, Raw, WorkId,
};
use moorline_tests::scripts;
use serde_json::{Value, json};

/// The daemon of nearly every transcript.
pub(crate) const CLUSTER: &str = "cluster-abc123";

const OPTIONS: &str = r#"{"allowed_hosts":["volt.test"],"volt":{"daemons":[
    {"team_cluster_id":"cluster-abc123","password":"rotated-pw-xyz"}]}}"#;

/// One recorded session and ours.
#[derive(Default)]
pub(crate) struct Session {
    sid: String,
    socket: Option<ConnId>,
    poll: Option<HttpId>,
    /// Polls that came while ours was still waiting.
    later: VecDeque<String>,
    /// The messages that our hub sent, ids as recorded; bytes as `b` and base64.
    pub(crate) said: Vec<String>,
    /// Recorded ids of commands that are under way to it.
    ids: VecDeque<String>,
}

pub(crate) struct Replay {
    hub: Box<dyn Endpoint>,
    at: u64,
    next: u64,
    pub(crate) sessions: BTreeMap<u64, Session>,
    /// Ids of commands: as recorded, and ours.
    ids: Vec<(String, String)>,
    /// What calls came to, in order, by the recorded id.
    pub(crate) outcomes: BTreeMap<String, Vec<Value>>,
    calls: Vec<String>,
    /// What the daemon asked the application, by its id.
    works: BTreeMap<String, WorkId>,
}

impl Replay {
    /// Starts a hub whose application handles these commands.
    pub(crate) fn new(handled: &BTreeSet<String>) -> Self {
        let opened = scripts::open("volt-hub", "beacon", "hub", OPTIONS, "host", [9; 32]).unwrap();
        let mut replay = Self {
            hub: opened.endpoint,
            at: 0,
            next: 1,
            sessions: BTreeMap::new(),
            ids: Vec::new(),
            outcomes: BTreeMap::new(),
            calls: Vec::new(),
            works: BTreeMap::new(),
        };
        for key in handled {
            let (key, meta) = (key.clone(), Raw::empty_object());
            replay
                .hub
                .handle_command(Command::Work(WorkCommand::Handle { key, meta }), replay.now())
                .unwrap();
        }
        replay.hub.handle_command(Command::Start, replay.now()).unwrap();
        replay.drain();
        replay
    }

    fn now(&self) -> Now {
        Now::new(self.at, 1_795_000_000_000 + self.at)
    }

    fn input(&mut self, input: Input) {
        self.hub.handle_input(input, self.now());
        self.drain();
    }

    pub(crate) fn pass_to(&mut self, at: u64) {
        while let Some(due) = self.hub.poll_timeout().filter(|due| due.at.as_millis() <= at) {
            self.at = self.at.max(due.at.as_millis());
            self.hub.handle_timeout(self.now());
            self.drain();
        }
        self.at = self.at.max(at);
    }

    fn drain(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Listen { listen, .. } => {
                    let address = "127.0.0.1:1".to_owned();
                    self.hub.handle_input(
                        Input::Server(ServerInput::Listening { listen, address }),
                        self.now(),
                    );
                }
                Output::Store {
                    store,
                    request: StoreRequest::Load { .. } | StoreRequest::Find { .. },
                } => {
                    let result = Ok(StoreReply::Loaded(Vec::new()));
                    self.hub.handle_input(Input::Stored { store, result }, self.now());
                }
                Output::Store { store, .. } => {
                    let result = Ok(StoreReply::Committed);
                    self.hub.handle_input(Input::Stored { store, result }, self.now());
                }
                Output::Send { conn, frame } => {
                    if let Some(session) =
                        self.sessions.values_mut().find(|session| session.socket == Some(conn))
                    {
                        session.hear(engineio::decode(&frame).unwrap(), &mut self.ids);
                    }
                }
                Output::HttpReply { http, response } => {
                    let found = self.sessions.iter_mut().find(|(_, s)| s.poll == Some(http));
                    let Some((conn, session)) = found else { continue };
                    session.poll = None;
                    assert_eq!(response.status, 200);
                    let body = String::from_utf8(response.bytes().to_vec()).unwrap();
                    for packet in engineio::split(&body.into()) {
                        session.hear(packet.unwrap(), &mut self.ids);
                    }
                    if let Some(target) = session.later.pop_front() {
                        let conn = *conn;
                        self.poll(conn, &target);
                    }
                }
                Output::Event(Event::Work(WorkEvent::Assigned { work, meta, .. })) => {
                    let meta: Value = serde_json::from_str(meta.as_str()).unwrap();
                    assert_eq!(meta["team_cluster_id"], CLUSTER);
                    self.works.insert(meta["request_id"].as_str().unwrap().to_owned(), work);
                }
                Output::Event(Event::Call(CallEvent::Part { call, part })) => {
                    let part = serde_json::from_str(part.as_str()).unwrap();
                    self.note(call, part);
                }
                Output::Event(Event::Call(CallEvent::Done { call, result })) => {
                    let outcome = match result {
                        Ok(value) => with_blobs(&value),
                        Err(error) => {
                            json!({"Code": error.code().name(), "Error": error.message(), "Status": error.status()})
                        }
                    };
                    self.note(call, outcome);
                }
                _ => {}
            }
        }
    }

    fn note(&mut self, call: CallId, outcome: Value) {
        let id = &self.calls[usize::try_from(call.0).unwrap()];
        let text = self
            .ids
            .iter()
            .fold(outcome.to_string(), |text, (theirs, ours)| text.replace(ours, theirs));
        let outcome = serde_json::from_str(&text).unwrap();
        self.outcomes.entry(id.clone()).or_default().push(outcome);
    }

    /// Lets the application command the daemon, over the session that the recorded server used.
    pub(crate) fn call(
        &mut self,
        conn: u64,
        message: &Value,
        blobs: Vec<Bytes>,
        payload: Option<&str>,
    ) {
        let id = message["requestId"].as_str().unwrap().to_owned();
        self.sessions.get_mut(&conn).unwrap().ids.push_back(id.clone());
        self.calls.push(id);
        let payload = payload.map_or_else(Raw::absent, |text| Raw::parse(text.to_owned()).unwrap());
        let options = json!({"team_cluster_id": CLUSTER, "response_type": message["responseType"]});
        let command = Command::Call(CallCommand::Make {
            call: CallId(self.calls.len() as u64 - 1),
            name: message["command"].as_str().unwrap().to_owned(),
            payload: payload.with_blobs(blobs),
            options: Raw::parse(options.to_string()).unwrap(),
        });
        self.hub.handle_command(command, self.now()).unwrap();
        self.drain();
    }

    /// Lets the application answer a command of the daemon.
    pub(crate) fn answer(&mut self, id: &str, envelope: String, blobs: Vec<Bytes>) {
        let work = self.works[id];
        let value = Raw::parse(envelope).unwrap().with_blobs(blobs);
        let outcome = Outcome::Done { value, log: Raw::empty_list() };
        self.hub
            .handle_command(Command::Work(WorkCommand::Complete { work, outcome }), self.now())
            .unwrap();
        self.drain();
    }

    /// Lets the application send a message to the daemon.
    pub(crate) fn message(&mut self, text: &str, blobs: Vec<Bytes>) {
        let payload = match text {
            "" => Raw::absent(),
            text => Raw::parse(text.to_owned()).unwrap().with_blobs(blobs),
        };
        let command = Command::Emit { name: CLUSTER.to_owned(), payload };
        self.hub.handle_command(command, self.now()).unwrap();
        self.drain();
    }

    /// Ends the hub.
    pub(crate) fn stop(&mut self) {
        // Refused when it has ended already.
        let _ = self.hub.handle_command(Command::Stop { drain_ms: 0 }, self.now());
        self.drain();
    }

    /// Cuts every connection.
    pub(crate) fn cut(&mut self) {
        let sockets: Vec<_> =
            self.sessions.values_mut().filter_map(|session| session.socket.take()).collect();
        for conn in sockets {
            let cause = CloseCause::Failed(Error::new(ErrorCode::ConnectionLost, "reset"));
            self.input(Input::Conn(ConnInput::Closed { conn, cause }));
        }
    }

    /// Writes our ids of commands where recorded ones stand.
    fn ours(&self, text: &str) -> String {
        self.ids.iter().fold(text.to_owned(), |text, (theirs, ours)| {
            let member = |id| format!("\"requestId\":\"{id}\"");
            text.replace(&member(theirs), &member(ours))
        })
    }

    fn id(&mut self) -> u64 {
        self.next += 2;
        self.next
    }

    fn poll(&mut self, conn: u64, target: &str) {
        let http = HttpId(self.id());
        self.sessions.get_mut(&conn).unwrap().poll = Some(http);
        self.ask(conn, http, Method::Get, target, "");
    }

    fn ask(&mut self, conn: u64, http: HttpId, method: Method, target: &str, body: &str) {
        let request = self.request(conn, method, target, body);
        let remote = "127.0.0.1:5000".to_owned();
        self.hub
            .handle_input(Input::Server(ServerInput::Asked { http, request, remote }), self.now());
    }

    /// Makes a recorded request one of our session.
    fn request(&self, conn: u64, method: Method, target: &str, body: &str) -> HttpRequest {
        let url = match target.split_once("sid=") {
            Some((before, after)) => {
                let rest = after.split_once('&').map_or("", |(_, rest)| rest);
                format!("{before}sid={}&{rest}", self.sessions[&conn].sid)
            }
            None => target.to_owned(),
        };
        HttpRequest { method, url, headers: Headers::new(), body: Bytes::from(body.to_owned()) }
    }

    /// Plays one line of a daemon.
    pub(crate) fn play(&mut self, line: &Value) {
        let (Some(conn), data) = (line["conn"].as_u64(), &line["data"]) else { return };
        self.sessions.entry(conn).or_default();
        match line["kind"].as_str().unwrap() {
            "http" => {
                let target = data["target"].as_str().unwrap();
                let body = &self.ours(data["body"].as_str().unwrap_or_default());
                if target.contains("transport=websocket") {
                    let socket = ConnId(self.id());
                    self.sessions.get_mut(&conn).unwrap().socket = Some(socket);
                    let request = self.request(conn, Method::Get, target, "");
                    let remote = "127.0.0.1:5000".to_owned();
                    self.input(Input::Server(ServerInput::Offered {
                        conn: socket,
                        request,
                        remote,
                    }));
                } else if data["method"] == "POST" {
                    let http = HttpId(self.id());
                    self.ask(conn, http, Method::Post, target, body);
                } else if self.sessions[&conn].poll.is_some() {
                    let session = self.sessions.get_mut(&conn).unwrap();
                    session.later.push_back(target.to_owned());
                } else {
                    self.poll(conn, target);
                }
                self.drain();
            }
            "eio" if line["via"] == "websocket" => {
                let frame = match data.as_str() {
                    Some(text) => Frame::Text(self.ours(text).into()),
                    None => {
                        let bytes = STANDARD.decode(data["base64"].as_str().unwrap()).unwrap();
                        Frame::Binary(bytes.into())
                    }
                };
                // Whatever was under way when a connection was cut is lost.
                if let Some(conn) = self.sessions[&conn].socket {
                    self.input(Input::Conn(ConnInput::Received { conn, frame }));
                }
            }
            "ws-close" => {
                let Some(conn) = self.sessions.get_mut(&conn).unwrap().socket.take() else {
                    return;
                };
                let cause = CloseCause::Remote { code: 1005, reason: String::new() };
                self.input(Input::Conn(ConnInput::Closed { conn, cause }));
            }
            _ => {}
        }
    }
}

impl Session {
    fn hear(&mut self, packet: Packet, ids: &mut Vec<(String, String)>) {
        match packet {
            Packet::Open(json) => {
                let handshake = engineio::Handshake::parse(&json).unwrap();
                assert_eq!(handshake.ping_interval, 25_000);
                assert_eq!(handshake.ping_timeout, 60_000);
                assert_eq!(handshake.max_payload, Some(10_000_000));
                self.sid = handshake.sid;
            }
            Packet::Message(text) => {
                let mut text = generic(&format!("4{text}"));
                if text.contains(r#""type":"command","requestId""#)
                    && let Some(theirs) = self.ids.pop_front()
                {
                    let ours = request_id(&text).to_owned();
                    text = text.replacen(&ours, &theirs, 1);
                    ids.push((theirs, ours));
                }
                self.said.push(text);
            }
            Packet::Binary(bytes) => self.said.push(format!("b{}", STANDARD.encode(bytes))),
            _ => {}
        }
    }
}

/// Replaces the id of a socket, which changes with every run.
pub(crate) fn generic(text: &str) -> String {
    match text.split_once("{\"sid\":\"") {
        Some((before, _)) if before.starts_with("40") => format!("{before}{{sid}}"),
        Some(_) | None => text.to_owned(),
    }
}

/// Returns the id of the command that a message carries or answers; empty if there is none.
pub(crate) fn request_id(text: &str) -> &str {
    let after = text.split_once("\"requestId\":\"").map_or("", |(_, after)| after);
    after.split('"').next().unwrap_or_default()
}

/// A value, with the bytes that its placeholders stand for.
fn with_blobs(value: &Raw) -> Value {
    let mut outcome: Value = serde_json::from_str(value.as_str()).unwrap();
    let blobs: Vec<_> = value.blobs().iter().map(|blob| STANDARD.encode(blob)).collect();
    if !blobs.is_empty() {
        outcome["Blobs"] = json!(blobs);
    }
    outcome
}
