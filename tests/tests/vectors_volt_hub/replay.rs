//! Our hub against recorded VOLT daemons: what they sent goes in, over the transports that they took,
//! and what the recorded server answered is compared with what ours answers.
//!
//! Left out are transcripts whose server spoke of its own accord or had handlers of its own. On
//! purpose ours differs in one thing: the recorded server took heartbeats without credentials where
//! the test needed no others; ours always wants them, as in transcript 15.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a transcript that cannot be read fails the test; a few outputs of many count"
)]

use std::collections::{BTreeMap, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use moorline_core::frame::engineio::{self, Packet};
use moorline_core::store::{StoreReply, StoreRequest};
use moorline_core::{
    CloseCause, Command, ConnId, Endpoint, Frame, Headers, HttpId, HttpRequest, Input, Method, Now,
    Output,
};
use serde_json::Value;

const OPTIONS: &str = r#"{"volt":{"daemons":[
    {"team_cluster_id":"cluster-abc123","password":"rotated-pw-xyz"}]}}"#;

const REFUSED: &str = r#""ok":false,"status":401,"message":"Invalid daemon credentials"}]"#;

/// One recorded session and ours.
#[derive(Default)]
struct Session {
    sid: String,
    socket: Option<ConnId>,
    poll: Option<HttpId>,
    /// Polls that came while ours was still waiting.
    later: VecDeque<String>,
    said: Vec<String>,
}

struct Replay {
    hub: Box<dyn Endpoint>,
    at: u64,
    next: u64,
    sessions: BTreeMap<u64, Session>,
}

impl Replay {
    fn new() -> Self {
        let opened = moorline_core::open("beacon", "hub", OPTIONS, "host", [9; 32]).unwrap();
        let mut replay = Self { hub: opened.endpoint, at: 0, next: 1, sessions: BTreeMap::new() };
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

    fn pass_to(&mut self, at: u64) {
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
                    self.hub.handle_input(Input::Listening { listen, address }, self.now());
                }
                Output::Store { store, request: StoreRequest::Load { .. } } => {
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
                        session.hear(engineio::decode(&frame).unwrap());
                    }
                }
                Output::HttpReply { http, response } => {
                    let found = self.sessions.iter_mut().find(|(_, s)| s.poll == Some(http));
                    let Some((conn, session)) = found else { continue };
                    session.poll = None;
                    assert_eq!(response.status, 200);
                    let body = String::from_utf8(response.bytes().to_vec()).unwrap();
                    for packet in engineio::split(&body.into()) {
                        session.hear(packet.unwrap());
                    }
                    if let Some(target) = session.later.pop_front() {
                        let conn = *conn;
                        self.poll(conn, &target);
                    }
                }
                _ => {}
            }
        }
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
        self.hub.handle_input(Input::HttpAsked { http, request, remote }, self.now());
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
    fn play(&mut self, line: &Value) {
        let (Some(conn), data) = (line["conn"].as_u64(), &line["data"]) else { return };
        self.sessions.entry(conn).or_default();
        match line["kind"].as_str().unwrap() {
            "http" => {
                let target = data["target"].as_str().unwrap();
                let body = data["body"].as_str().unwrap_or_default();
                if target.contains("transport=websocket") {
                    let socket = ConnId(self.id());
                    self.sessions.get_mut(&conn).unwrap().socket = Some(socket);
                    let request = self.request(conn, Method::Get, target, "");
                    let remote = "127.0.0.1:5000".to_owned();
                    self.input(Input::Offered { conn: socket, request, remote });
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
                    Some(text) => Frame::Text(text.into()),
                    None => {
                        let bytes = STANDARD.decode(data["base64"].as_str().unwrap()).unwrap();
                        Frame::Binary(bytes.into())
                    }
                };
                let conn = self.sessions[&conn].socket.unwrap();
                self.input(Input::Received { conn, frame });
            }
            "ws-close" => {
                let Some(conn) = self.sessions[&conn].socket else { return };
                let cause = CloseCause::Remote { code: 1005, reason: String::new() };
                self.input(Input::Closed { conn, cause });
            }
            _ => {}
        }
    }
}

impl Session {
    fn hear(&mut self, packet: Packet) {
        match packet {
            Packet::Open(json) => {
                let handshake = engineio::Handshake::parse(&json).unwrap();
                assert_eq!(handshake.ping_interval, 25_000);
                assert_eq!(handshake.ping_timeout, 60_000);
                assert_eq!(handshake.max_payload, Some(10_000_000));
                self.sid = handshake.sid;
            }
            Packet::Message(text) => self.said.push(generic(&format!("4{text}"))),
            _ => {}
        }
    }
}

/// Replaces the id of a socket, which changes with every run.
fn generic(text: &str) -> String {
    match text.split_once("{\"sid\":\"") {
        Some((before, _)) if before.starts_with("40") => format!("{before}{{sid}}"),
        Some(_) | None => text.to_owned(),
    }
}

/// Heartbeats with other payloads than the credentials are refused.
fn expected(text: &str, refused: &[String]) -> String {
    let id = text.split_once("\"requestId\":\"").map_or("", |(_, rest)| &rest[..36]);
    match text.split_once("\"ok\":true") {
        Some((before, _)) if refused.iter().any(|known| known == id) => {
            format!("{before}{REFUSED}")
        }
        Some(_) | None => generic(text),
    }
}

fn replay(file: &str) {
    let path = format!("{}/vectors/volt/{file}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut replay = Replay::new();
    let mut wanted: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let mut refused = Vec::new();
    for line in &lines {
        replay.pass_to(line["t"].as_u64().unwrap());
        let data = line["data"].as_str().unwrap_or_default();
        if line["dir"] == "c2s" {
            if data.contains("runtime.heartbeat") && !data.contains("rotated-pw-xyz") {
                let (_, rest) = data.split_once("\"requestId\":\"").unwrap();
                refused.push(rest[..36].to_owned());
            }
            replay.play(line);
        } else if line["dir"] == "s2c" && line["kind"] == "eio" && data.starts_with('4') {
            if data == "41" {
                let stop = Command::Stop { drain_ms: 0 };
                let _ = replay.hub.handle_command(stop, replay.now());
                replay.drain();
            }
            let conn = line["conn"].as_u64().unwrap();
            wanted.entry(conn).or_default().push(expected(data, &refused));
            if data == "41" {
                break;
            }
        }
    }
    assert!(!wanted.is_empty());
    for (conn, wanted) in wanted {
        assert_eq!(replay.sessions[&conn].said, wanted, "session {conn}");
    }
}

macro_rules! replays {
    ($($test:ident: $file:literal;)+) => {$(
        #[test]
        fn $test() {
            replay($file);
        }
    )+};
}

replays! {
    a_daemon_connects_upgrades_and_registers: "01-connect-register";
    an_enrolled_daemon_registers: "02-enroll-rotate-connect";
    a_daemon_registers_whatever_its_enrollment_came_to: "03-enroll-errors";
    a_wrong_password_is_silent: "04-register-wrong-password-silent";
    an_invalid_registration_is_complained_of: "05-register-validation-error-event";
    another_namespace_is_refused: "06-namespace-control-path";
    every_family_of_messages_is_taken: "12-emit-outbound";
    heartbeats_without_credentials_are_refused: "15-heartbeat-default-payload-rejected";
    messages_before_the_registration_are_ignored: "17-emit-while-down-flushed-before-register";
    a_daemon_is_told_to_go: "19-server-socket-disconnect";
    an_orderly_end_says_41: "20-server-shutdown-graceful-then-restart";
    a_daemon_connects_again: "21-server-close-without-disconnectSockets";
    a_session_that_falls_silent: "22-ping-pong-and-ping-timeout";
    a_daemon_registers_late: "24-initial-refused-then-background-connect";
    a_daemon_that_gave_up: "25-reconnect-attempts-exhausted";
    a_daemon_connects_twice: "29-connect-twice";
    the_second_daemon_displaces_the_first: "32-second-daemon-displaces-first";
    a_message_beyond_the_limit: "34-message-over-max-payload";
    a_registration_is_acknowledged: "40-ref-register-with-ack";
}
