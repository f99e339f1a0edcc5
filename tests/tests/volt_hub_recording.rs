//! A hub with VOLT daemons is replayed from its flight recording, byte for byte and without secrets,
//! across a restart.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests may panic")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use moorline_core::entropy::{Entropy, Seed, Seeds};
use moorline_core::store::{StoreReply, StoreRequest, Write};
use moorline_core::trace::{self, Header, Recorder, Told};
use moorline_core::{
    Command, ConnId, Endpoint, Frame, Headers, HttpId, HttpRequest, Input, Machine, Method, Now,
    Output,
};
use moorline_core::{ConnInput, ServerInput};
use serde_json::Value;
use sha2::Digest as _;

type Records = BTreeMap<(&'static str, String), Bytes>;

struct World {
    hub: Recorder,
    recording: Arc<Mutex<String>>,
    disk: Records,
    replies: BTreeMap<HttpId, Value>,
    sent: Vec<String>,
}

impl World {
    fn new(disk: Records, seed: u8) -> Self {
        Self::with("{}", disk, Seeds { run: [seed; 32], secrets: SECRETS })
    }

    fn with(options: &str, disk: Records, seeds: Seeds) -> Self {
        let opened = moorline_core::open("beacon", "hub", options, "host", seeds).unwrap();
        let recording = Arc::new(Mutex::new(String::new()));
        let lines = Arc::clone(&recording);
        let sink = Box::new(move |line: &str| lines.lock().unwrap().push_str(line));
        let header =
            Header { dialect: "beacon", role: "hub", options, host: "host", seed: seeds.run };
        let hub = Recorder::new(opened.endpoint, &header, sink);
        let (replies, sent) = (BTreeMap::new(), Vec::new());
        let mut world = Self { hub, recording, disk, replies, sent };
        world.hub.handle_command(Command::Start, NOW).unwrap();
        world.drain();
        world
    }

    fn input(&mut self, input: Input) {
        self.hub.handle_input(input, NOW);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            let input = match output {
                Output::Listen { listen, .. } => {
                    Input::Server(ServerInput::Listening { listen, address: "127.0.0.1:1".into() })
                }
                Output::Store { store, request: StoreRequest::Load { space } } => {
                    let records = self.disk.iter().filter(|((of, _), _)| *of == space);
                    let records =
                        records.map(|((_, key), value)| (key.clone(), value.clone())).collect();
                    Input::Stored { store, result: Ok(StoreReply::Loaded(records)) }
                }
                Output::Store { store, request: StoreRequest::Find { .. } } => {
                    Input::Stored { store, result: Ok(StoreReply::Loaded(Vec::new())) }
                }
                Output::Store { store, request: StoreRequest::Commit { writes } } => {
                    for write in writes {
                        match write {
                            Write::Put { space, key, value } => {
                                self.disk.insert((space, key), value);
                            }
                            Write::Delete { space, key } => {
                                self.disk.remove(&(space, key));
                            }
                        }
                    }
                    Input::Stored { store, result: Ok(StoreReply::Committed) }
                }
                Output::HttpReply { http, response } => {
                    self.replies.insert(http, serde_json::from_slice(response.bytes()).unwrap());
                    continue;
                }
                Output::Send { frame: Frame::Text(text), .. } => {
                    self.sent.push(text.to_string());
                    continue;
                }
                _ => continue,
            };
            self.hub.handle_input(input, NOW);
        }
    }

    fn post(&mut self, id: u64, url: &str, body: &str) -> Value {
        self.post_with(id, url, body, Headers::new())
    }

    fn post_with(&mut self, id: u64, url: &str, body: &str, headers: Headers) -> Value {
        let body = body.to_owned().into();
        let request = HttpRequest { method: Method::Post, url: url.into(), headers, body };
        self.input(Input::Server(ServerInput::Asked {
            http: HttpId(id),
            request,
            remote: "127.0.0.1:1".into(),
        }));
        self.replies.remove(&HttpId(id)).unwrap()
    }

    fn connect(&mut self, conn: ConnId, id: &str, password: &str) {
        let url = "/socket.io/?EIO=4&transport=websocket".to_owned();
        let (headers, body) = (Headers::new(), Bytes::new());
        let request = HttpRequest { method: Method::Get, url, headers, body };
        self.input(Input::Server(ServerInput::Offered {
            conn,
            request,
            remote: "127.0.0.1:1".into(),
        }));
        self.say(conn, "40");
        let credentials = format!(r#"{{"teamClusterId":"{id}","daemonPassword":"{password}"}}"#);
        self.say(conn, &format!(r#"42["team-cluster-daemon:register",{credentials}]"#));
        let beat = format!(
            r#"{{"type":"command","requestId":"r","command":"runtime.heartbeat","payload":{credentials}}}"#
        );
        self.say(conn, &format!(r#"42["team-cluster-daemon:message",{beat}]"#));
        assert!(self.sent.iter().any(|text| text.contains("registered")), "{:?}", self.sent);
        assert!(self.sent.iter().any(|text| text.contains(r#""ok":true"#)), "{:?}", self.sent);
    }

    fn say(&mut self, conn: ConnId, text: &str) {
        let frame = Frame::Text(text.to_owned().into());
        self.input(Input::Conn(ConnInput::Received { conn, frame }));
    }

    /// Replays the recording, which must hold none of the secrets.
    fn check(&self, secrets: &[&str]) {
        let recording = self.recording.lock().unwrap().clone();
        for secret in secrets {
            assert!(!recording.contains(secret), "a secret shows");
        }
        let outputs: Vec<&str> = trace::outputs(&recording).collect();
        assert!(outputs.len() > 5);
        assert_eq!(trace::replay(&recording).unwrap(), outputs);
    }
}

const NOW: Now = Now::new(1_000, 1_795_000_000_000);

#[test]
fn a_hub_with_daemons_is_replayed_without_their_secrets() {
    let mut world = World::new(Records::new(), 1);
    let token = world.post(1, "/Moorline/Volt/Tokens", r#"{"TeamClusterID":"lab"}"#);
    let token = token["Token"].as_str().unwrap().to_owned();
    let body = format!(r#"{{"enrollmentToken":"{token}"}}"#);
    let enrolled = world.post(3, "/api/team-clusters/lab/healthcheck", &body);
    let password = enrolled["data"]["daemonPassword"].as_str().unwrap().to_owned();
    world.connect(ConnId(5), "lab", &password);
    world.check(&[&token, &password]);
    let mut again = World::new(world.disk.clone(), 2);
    again.connect(ConnId(5), "lab", &password);
    // Of a password from before the recording the hub knows the hash alone: nothing to replay with.
    assert!(!again.recording.lock().unwrap().contains(&password));
    let mut rotated = World::new(world.disk.clone(), 3);
    let answer = rotated.post(7, "/Moorline/Volt/Daemons/lab/Password", "");
    let new = answer["DaemonPassword"].as_str().unwrap().to_owned();
    rotated.connect(ConnId(9), "lab", &new);
    rotated.check(&[&token, &new]);
}

/// What a live hub draws its secrets from.
const SECRETS: Seed = [0xa5; 32];

#[test]
fn a_recording_gives_nobody_the_secrets_of_the_hub_that_it_is_of() {
    let options = r#"{"access":"secured","join_secret":"join-me","users":[{"name":"ops","password":"pw-ops"}]}"#;
    let seeds = Seeds { run: [7; 32], secrets: SECRETS };
    let mut world = World::with(options, Records::new(), seeds);
    let login = world.post(1, "/1.0/Authenticate", r#"{"UserName":"ops","Password":"pw-ops"}"#);
    let session = login["SessionID"].as_str().unwrap().to_owned();
    let cookie = || Headers::new().with("cookie", format!("SessionID={session}"));
    let body = r#"{"TeamClusterID":"lab"}"#;
    let token = world.post_with(3, "/Moorline/Volt/Tokens", body, cookie());
    let token = token["Token"].as_str().unwrap().to_owned();
    let body = format!(r#"{{"enrollmentToken":"{token}"}}"#);
    let enrolled = world.post(5, "/api/team-clusters/lab/healthcheck", &body);
    let first = enrolled["data"]["daemonPassword"].as_str().unwrap().to_owned();
    world.connect(ConnId(7), "lab", &first);
    let handshake = world.sent.iter().find_map(|text| text.strip_prefix("0{")).unwrap();
    let sid = handshake.split('"').nth(3).unwrap().to_owned();
    let url = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    world.post(9, &url, "");
    let rotated = world.post_with(11, "/Moorline/Volt/Daemons/lab/Password", "", cookie());
    let second = rotated["DaemonPassword"].as_str().unwrap().to_owned();
    for malformed in [r#"{"UserName":"ops","Password":"pw-ops"#, "UserName=ops&Password=pw-ops"] {
        let answer = world.post(13, "/1.0/Authenticate?password=pw-ops", malformed);
        assert_eq!(answer["message"], "Invalid JSON");
    }
    let secrets = [&*session, &*token, &*first, &*second, &*sid];
    world.check(&["join-me", "pw-ops", &hash(&token), &hash(&first), &hash(&second)]);
    world.check(&secrets);

    // Whoever has the recording knows the code, too: a machine that is opened and told the same says none.
    let recording = world.recording.lock().unwrap().clone();
    let mut lines = recording.lines().filter(|line| !line.starts_with("{\"out\":"));
    let opening = trace::read_opening(lines.next().unwrap()).unwrap();
    let trace::Opening { dialect, role, options, host, seed, .. } = &opening;
    let mut thief = moorline_core::open(dialect, role, options, host, *seed).unwrap().endpoint;
    let mut said = String::new();
    for line in lines {
        match trace::read_told(line).unwrap() {
            (now, Told::Input(input)) => thief.handle_input(input, now),
            (now, Told::Command(command)) => thief.handle_command(command, now).unwrap(),
            (now, Told::Timeout) => thief.handle_timeout(now),
        }
        while let Some(output) = thief.poll_output() {
            said += &trace::write_output(&output);
        }
    }
    assert!(said.contains("SessionID=") && said.contains("0{"), "it has sessions of its own");
    assert_eq!(secrets.map(|secret| said.contains(secret)), [false; 5]);
    // Nor can they be drawn from its seed by other ways; from the other seed they can.
    let found = |seed| secrets.map(|secret| drawn_from(seed).any(|drawn| drawn == secret));
    for seed in [*seed, seed.map(|byte| byte ^ 0x5a), Seeds::from(*seed).secrets] {
        assert_eq!(found(seed), [false; 5]);
    }
    assert_eq!(found(SECRETS), [true; 5]);
}

/// What a hub may draw from a seed: identifiers and secrets, from its own generator and those of its parts.
fn drawn_from(seed: Seed) -> impl Iterator<Item = String> {
    let mut hub = Entropy::new(seed);
    let parts = [hub.seed(), hub.seed(), hub.seed()];
    let generators = [seed, parts[0], parts[1], parts[2]].into_iter().flat_map(|seed| {
        (0..64).map(move |skipped| {
            let mut entropy = Entropy::new(seed);
            for _ in 0..skipped {
                entropy.bits();
            }
            entropy
        })
    });
    generators.flat_map(|mut entropy| {
        let (id, bytes) = (entropy.clone().uuid(), entropy.seed());
        [id.to_string(), id.simple().to_string(), hex(&bytes)]
    })
}

fn hash(secret: &str) -> String {
    hex(&sha2::Sha256::digest(secret.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
