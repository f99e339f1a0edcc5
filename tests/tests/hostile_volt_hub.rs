//! Arbitrary input from VOLT daemons, in any order: no panic, no spin, no growth beyond the limits,
//! every call settles once, and every command of a daemon is answered or withdrawn once.

#![allow(clippy::wildcard_enum_match_arm, reason = "a few outputs of many are answered")]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use moorline_core::store::{StoreReply, StoreRequest};
use moorline_core::{
    CallCommand, CallEvent, ConnInput, ServerInput, SessionEvent, WorkCommand, WorkEvent,
};
use moorline_core::{
    CallId, CloseCause, Command, ConnId, Endpoint, ErrorCode, Event, Frame, Headers, HttpBody,
    HttpId, HttpRequest, Input, Method, Now, Outcome, Output, Raw, WorkId,
};
use proptest::prelude::*;

const OPTIONS: &str = r#"{"max_connections":6,"max_unadmitted_per_address":4,
    "volt":{"daemons":[{"team_cluster_id":"lab","password":"pw"}],"max_calls":3,"max_tokens":2,"max_commands":2,
    "max_message_bytes":100000}}"#;

/// Packets that look like a daemon's, and packets that do not.
const PACKETS: &[&str] = &[
    "40",
    "40/control,",
    "41",
    "2probe",
    "3",
    "3probe",
    "5",
    "1",
    "6",
    "",
    "4",
    "42",
    "7",
    "42[\"team-cluster-daemon:register\",{\"teamClusterId\":\"lab\",\"daemonPassword\":\"pw\"}]",
    "420[\"team-cluster-daemon:register\",{\"teamClusterId\":\"lab\",\"daemonPassword\":\"pw\"}]",
    "421[\"team-cluster-daemon:register\",{\"teamClusterId\":\"lab\",\"daemonPassword\":\"no\"}]",
    "42[\"team-cluster-daemon:register\",[]]",
    "42[\"team-cluster-daemon:register\"]",
    "42[\"team-cluster-daemon:message\",null]",
    "42[\"team-cluster-daemon:message\",{\"type\":7}]",
    "42[\"team-cluster-daemon:message\",{\"type\":\"command\",\"requestId\":\"r\",\"command\":\"runtime.heartbeat\",\"payload\":{\"teamClusterId\":\"lab\",\"daemonPassword\":\"pw\"}}]",
    "42[\"team-cluster-daemon:message\",{\"type\":\"command\",\"requestId\":{},\"command\":[]}]",
    "42[\"team-cluster-daemon:message\",{\"type\":\"command\",\"requestId\":\"\\u0000\",\"command\":\"jobs.list\",\"responseType\":\"buffer\"}]",
    "451-[\"team-cluster-daemon:message\",{\"type\":\"command\",\"requestId\":\"r\",\"command\":\"jobs.list\",\"payload\":{\"_placeholder\":true,\"num\":0}}]",
    "42[\"team-cluster-daemon:message\",{\"type\":\"command\",\"requestId\":\"r\",\"command\":\"jobs.list\",\"responseType\":\"stream\"}]",
    "42[\"team-cluster-daemon:message\",{\"type\":\"response\",\"requestId\":\"REQUEST\",\"ok\":true,\"data\":{\"data\":1}}]",
    "42[\"team-cluster-daemon:message\",{\"type\":\"response\",\"requestId\":\"REQUEST\",\"ok\":true,\"streamId\":\"s\"}]",
    "42[\"team-cluster-daemon:message\",{\"type\":\"response\",\"requestId\":\"REQUEST\",\"ok\":false}]",
    "42[\"team-cluster-daemon:message\",{\"type\":\"response\",\"requestId\":\"REQUEST\",\"ok\":true,\"bodyBase64\":\"?\"}]",
    "42[\"team-cluster-daemon:message\",{\"type\":\"stream\",\"requestId\":\"REQUEST\",\"streamId\":\"s\",\"chunkBase64\":\"AA==\"}]",
    "42[\"team-cluster-daemon:message\",{\"type\":\"stream\",\"requestId\":\"REQUEST\",\"streamId\":\"s\",\"chunkBase64\":7}]",
    "42[\"team-cluster-daemon:message\",{\"type\":\"stream-end\",\"requestId\":\"REQUEST\",\"streamId\":\"s\",\"message\":\"x\"}]",
    "451-[\"team-cluster-daemon:message\",{\"type\":\"x\",\"chunk\":{\"_placeholder\":true,\"num\":0}}]",
    "43[]",
    "44{}",
];

/// The packet that registers.
const REGISTER: usize = 13;

/// A command that the application handles, of a daemon that is registered.
const ASK: usize = 22;

#[derive(Clone, Debug)]
enum Move {
    Offer(bool, u64),
    Frame(u64, usize),
    Bytes(u64, Vec<u8>),
    Close(u64),
    Begin,
    Poll(u64),
    Post(u64, Vec<usize>),
    Gone(u64),
    Enroll(u8),
    Call(u8),
    CallOverHttp(bool),
    Cancel(u64),
    Ask(u64),
    Complete(u64, u8),
    Emit,
    Wait(u64),
    Stop(u64),
}

fn moves() -> impl Strategy<Value = Move> {
    let id = 0_u64..6;
    let packet = 0..PACKETS.len();
    prop_oneof![
        4 => (any::<bool>(), id.clone()).prop_map(|(fresh, s)| Move::Offer(fresh, s)),
        16 => (id.clone(), packet.clone()).prop_map(|(c, p)| Move::Frame(c, p)),
        1 => (id.clone(), any::<Vec<u8>>()).prop_map(|(c, b)| Move::Bytes(c, b)),
        1 => id.clone().prop_map(Move::Close),
        2 => Just(Move::Begin),
        4 => id.clone().prop_map(Move::Poll),
        6 => (id.clone(), prop::collection::vec(packet, 0..4)).prop_map(|(s, p)| Move::Post(s, p)),
        1 => id.clone().prop_map(Move::Gone),
        1 => any::<u8>().prop_map(Move::Enroll),
        4 => any::<u8>().prop_map(Move::Call),
        2 => any::<bool>().prop_map(Move::CallOverHttp),
        1 => id.clone().prop_map(Move::Cancel),
        2 => id.clone().prop_map(Move::Ask),
        4 => (id, any::<u8>()).prop_map(|(work, kind)| Move::Complete(work, kind)),
        1 => Just(Move::Emit),
        3 => (0_u64..100_000).prop_map(Move::Wait),
        1 => (0_u64..60_000).prop_map(Move::Stop),
    ]
}

/// A hub and what became of what was asked.
struct World {
    hub: Box<dyn Endpoint>,
    at: u64,
    next: u64,
    conns: Vec<ConnId>,
    sids: Vec<String>,
    asked: BTreeMap<HttpId, u8>,
    calls: BTreeMap<CallId, u32>,
    /// Commands of daemons that the application works on.
    works: BTreeSet<WorkId>,
    /// The id of the latest command.
    request: String,
    ends: u32,
}

impl World {
    fn new() -> Self {
        let opened = moorline_core::open("beacon", "hub", OPTIONS, "host", [5; 32]);
        let mut world = Self {
            hub: opened.expect("valid options").endpoint,
            at: 0,
            next: 1,
            conns: Vec::new(),
            sids: Vec::new(),
            asked: BTreeMap::new(),
            calls: BTreeMap::new(),
            works: BTreeSet::new(),
            request: "00000000-0000-4000-8000-000000000000".to_owned(),
            ends: 0,
        };
        let handle = Command::Work(WorkCommand::Handle {
            key: "jobs.list".into(),
            meta: Raw::empty_object(),
        });
        world.hub.handle_command(handle, world.now()).expect("a handler");
        world.hub.handle_command(Command::Start, world.now()).expect("a start");
        world
    }

    fn now(&self) -> Now {
        Now::new(self.at, 1_795_000_000_000 + self.at)
    }

    fn id(&mut self) -> u64 {
        self.next += 2;
        self.next
    }

    fn conn(&self, index: u64) -> ConnId {
        let count = self.conns.len().max(1);
        self.conns.get(index as usize % count).copied().unwrap_or(ConnId(999_999))
    }

    fn url(&self, transport: &str, session: Option<u64>) -> String {
        let sid = session.map_or_else(String::new, |index| {
            let count = self.sids.len().max(1);
            format!("&sid={}", self.sids.get(index as usize % count).map_or("x", String::as_str))
        });
        format!("/socket.io/?EIO=4&transport={transport}{sid}")
    }

    fn ask(&mut self, method: Method, url: String, body: String) {
        let http = HttpId(self.id());
        self.asked.insert(http, 0);
        let request = HttpRequest { method, url, headers: Headers::new(), body: body.into() };
        let input =
            Input::Server(ServerInput::Asked { http, request, remote: "127.0.0.1:1".into() });
        self.hub.handle_input(input, self.now());
    }

    fn packet(&self, index: usize) -> String {
        PACKETS.get(index).copied().unwrap_or_default().replace("REQUEST", &self.request)
    }

    fn act(&mut self, doing: Move) {
        let now = self.now();
        match doing {
            Move::Offer(fresh, session) => {
                let conn = ConnId(self.id());
                self.conns.push(conn);
                let url = self.url("websocket", (!fresh).then_some(session));
                let (headers, body) = (Headers::new(), Bytes::new());
                let request = HttpRequest { method: Method::Get, url, headers, body };
                let remote = "127.0.0.1:1".into();
                self.hub.handle_input(
                    Input::Server(ServerInput::Offered { conn, request, remote }),
                    now,
                );
            }
            Move::Frame(conn, index) => {
                let frame = Frame::Text(self.packet(index).into());
                self.hub.handle_input(
                    Input::Conn(ConnInput::Received { conn: self.conn(conn), frame }),
                    now,
                );
            }
            Move::Bytes(conn, bytes) => {
                let frame = Frame::Binary(bytes.into());
                self.hub.handle_input(
                    Input::Conn(ConnInput::Received { conn: self.conn(conn), frame }),
                    now,
                );
            }
            Move::Close(conn) => {
                let cause = CloseCause::Local;
                self.hub.handle_input(
                    Input::Conn(ConnInput::Closed { conn: self.conn(conn), cause }),
                    now,
                );
            }
            Move::Begin => self.ask(Method::Get, self.url("polling", None), String::new()),
            Move::Poll(session) => {
                self.ask(Method::Get, self.url("polling", Some(session)), String::new());
            }
            Move::Post(session, packets) => {
                let packets: Vec<String> = packets.into_iter().map(|p| self.packet(p)).collect();
                let body = packets.join("\u{1e}");
                self.ask(Method::Post, self.url("polling", Some(session)), body);
            }
            Move::Gone(index) => {
                let waiting: Vec<HttpId> =
                    self.asked.iter().filter(|(_, n)| **n == 0).map(|(id, _)| *id).collect();
                if let Some(http) = waiting.get(index as usize) {
                    self.asked.remove(http);
                    self.hub.handle_input(Input::Server(ServerInput::Gone { http: *http }), now);
                }
            }
            Move::Enroll(kind) => match kind % 3 {
                0 => {
                    let body = r#"{"TeamClusterID":"c"}"#.to_owned();
                    self.ask(Method::Post, "/Moorline/Volt/Tokens".into(), body);
                }
                1 => self.ask(Method::Delete, "/Moorline/Volt/Daemons/c".into(), String::new()),
                _ => {
                    let body = r#"{"enrollmentToken":"t"}"#.to_owned();
                    self.ask(Method::Post, "/api/team-clusters/c/healthcheck".into(), body);
                }
            },
            Move::Call(kind) => {
                let call = CallId(self.id());
                let form = ["json", "buffer", "stream"][usize::from(kind % 3)];
                let options = format!(r#"{{"team_cluster_id":"lab","response_type":"{form}"}}"#);
                let command = Command::Call(CallCommand::Make {
                    call,
                    name: "x".into(),
                    payload: Raw::absent(),
                    options: Raw::parse(options).expect("JSON"),
                });
                if self.hub.handle_command(command, now).is_ok() {
                    self.calls.insert(call, 0);
                }
            }
            Move::CallOverHttp(stream) => {
                let form = if stream { "stream" } else { "json" };
                let body = format!(r#"{{"Command":"x","ResponseType":"{form}"}}"#);
                self.ask(Method::Post, "/Moorline/Volt/Daemons/lab/Call".into(), body);
            }
            Move::Cancel(index) => {
                let open: Vec<CallId> =
                    self.calls.iter().filter(|(_, n)| **n == 0).map(|(id, _)| *id).collect();
                if let Some(call) = open.get(index as usize) {
                    let _ = self
                        .hub
                        .handle_command(Command::Call(CallCommand::Cancel { call: *call }), now);
                }
            }
            Move::Ask(count) => {
                // A daemon that displaces the one before.
                self.act(Move::Offer(true, 0));
                let latest = self.conns.len() as u64 - 1;
                let asks = (0..count).map(|_| ASK);
                for packet in [0, REGISTER].into_iter().chain(asks) {
                    self.act(Move::Frame(latest, packet));
                }
            }
            Move::Complete(index, kind) => {
                // One that is open, or else one that is over or never was.
                let open = self.works.iter().nth(index as usize).copied();
                let work = open.unwrap_or(WorkId(index));
                self.works.remove(&work);
                let value = |text: &str| Raw::parse(text.to_owned()).expect("JSON");
                let done = |value| Outcome::Done { value, log: Raw::empty_list() };
                let outcome = match kind % 5 {
                    0 => Outcome::Cancelled,
                    1 => Outcome::Failed { message: "\"".into() },
                    2 => done(value(r#"{"data":1,"body":"?"}"#)),
                    3 => done(value("7")),
                    _ => done(value("{}").with_blobs(vec![Bytes::from_static(b"x")])),
                };
                let _ = self
                    .hub
                    .handle_command(Command::Work(WorkCommand::Complete { work, outcome }), now);
            }
            Move::Emit => {
                let command = Command::Emit { name: "lab".into(), payload: Raw::null() };
                let _ = self.hub.handle_command(command, now);
            }
            Move::Wait(millis) => {
                self.at += millis;
                self.hub.handle_timeout(self.now());
            }
            Move::Stop(drain_ms) => {
                let _ = self.hub.handle_command(Command::Stop { drain_ms }, now);
            }
        }
    }

    fn drain(&mut self) -> Result<(), TestCaseError> {
        let mut outputs = 0;
        while let Some(output) = self.hub.poll_output() {
            outputs += 1;
            prop_assert!(outputs < 10_000, "the machine spins");
            let now = self.now();
            match output {
                Output::Listen { listen, .. } => {
                    let address = "127.0.0.1:1".into();
                    self.hub.handle_input(
                        Input::Server(ServerInput::Listening { listen, address }),
                        now,
                    );
                }
                Output::Store { store, request } => {
                    let reply = match request {
                        StoreRequest::Load { .. } | StoreRequest::Find { .. } => {
                            StoreReply::Loaded(Vec::new())
                        }
                        StoreRequest::Commit { .. } => StoreReply::Committed,
                    };
                    self.hub.handle_input(Input::Stored { store, result: Ok(reply) }, now);
                }
                Output::Send { conn, frame: Frame::Text(text) } => {
                    prop_assert!(self.conns.contains(&conn));
                    self.learn(&text);
                }
                Output::HttpReply { http, response } => {
                    let count = self.asked.get_mut(&http);
                    prop_assert!(count.is_some(), "an answer that nobody waits for");
                    let count = count.expect("checked");
                    *count += 1;
                    prop_assert_eq!(*count, 1, "answered twice");
                    if let HttpBody::Full(bytes) = &response.body {
                        self.learn(&String::from_utf8_lossy(bytes));
                    }
                }
                Output::Event(Event::Call(CallEvent::Done { call, .. })) => {
                    let count = self.calls.entry(call).or_default();
                    *count += 1;
                    prop_assert_eq!(*count, 1, "settled twice");
                }
                Output::Event(Event::Work(WorkEvent::Assigned { work, .. })) => {
                    prop_assert!(self.works.insert(work), "handed over twice");
                    prop_assert!(self.works.len() <= 2, "more than max_commands");
                }
                Output::Event(Event::Work(WorkEvent::Withdrawn { work, .. })) => {
                    prop_assert!(self.works.remove(&work), "withdrawn, but not open");
                }
                Output::Event(Event::Session(SessionEvent::Notice { error })) => {
                    prop_assert!(error.code() != ErrorCode::Internal, "{error}");
                }
                Output::Event(Event::Session(SessionEvent::Ended { .. })) => self.ends += 1,
                _ => {}
            }
        }
        let state = self.hub.snapshot(self.now());
        let state: serde_json::Value = serde_json::from_str(&state).expect("JSON");
        let connections = state["Hub"]["Connections"].as_u64();
        prop_assert!(connections.is_some_and(|count| count <= 6), "{state}");
        Ok(())
    }

    /// Remembers the ids that are needed to go on.
    fn learn(&mut self, text: &str) {
        if let Some((_, rest)) = text.split_once("0{\"sid\":\"")
            && text.starts_with('0')
        {
            self.sids.push(rest.split('"').next().unwrap_or_default().to_owned());
        }
        if let Some((_, rest)) = text.split_once("\"command\",\"requestId\":\"") {
            self.request = rest.split('"').next().unwrap_or_default().to_owned();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_hub_survives_any_daemon(doings in prop::collection::vec(moves(), 0..120)) {
        let mut world = World::new();
        world.drain()?;
        // One daemon is registered to begin with.
        for doing in [Move::Offer(true, 0), Move::Frame(0, 0), Move::Frame(0, REGISTER)] {
            world.act(doing);
            world.drain()?;
        }
        for doing in doings {
            world.act(doing);
            world.drain()?;
        }
        world.act(Move::Stop(0));
        world.drain()?;
        prop_assert_eq!(world.ends, 1);
        prop_assert!(world.works.is_empty(), "neither answered nor withdrawn");
        for (call, settled) in &world.calls {
            prop_assert_eq!(*settled, 1, "{:?}", call);
        }
        for (http, answered) in &world.asked {
            prop_assert_eq!(*answered, 1, "{:?}", http);
        }
    }
}
