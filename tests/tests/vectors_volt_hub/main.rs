//! Our hub against recorded VOLT daemons: what they sent goes in, over the transports that they took, and what
//! the recorded server said is compared with what ours says. What that server did of its own accord the
//! application does here: it commands the daemon, answers it, sends it messages, cuts its connection, ends.
//!
//! On purpose ours differs in three things:
//! - The recorded server took heartbeats without credentials where the test needed no others; ours always
//!   wants them, as in transcript 15.
//! - It was scripted to answer some commands of daemons twice, over the next connection or in a form of no
//!   server; ours answers once, over the connection that asked, and its applications cannot choose the form.
//! - It was scripted to leave registrations and heartbeats unanswered, or to refuse a good heartbeat; ours
//!   answers at once, by what they carry.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a transcript that cannot be read fails the test; a few outputs of many count"
)]

mod replay;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use replay::{CLUSTER, Replay, generic, request_id};

const MESSAGE: &str = r#"["team-cluster-daemon:message""#;
const REGISTER: &str = r#"42["team-cluster-daemon:register","#;
const REGISTERED: &str = r#"42["team-cluster-daemon:registered","#;
const PASSWORD: &str = "rotated-pw-xyz";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/volt")
}

/// A call under way.
struct Open {
    asks_for_stream: bool,
    /// What the stream began with.
    status: Value,
}

/// What a transcript lets us expect.
#[derive(Default)]
struct Expected {
    /// What the hub says, by session.
    said: BTreeMap<u64, Vec<String>>,
    /// What calls of the application come to, by the id of the command.
    outcomes: BTreeMap<String, Vec<Value>>,
    /// Calls that wait for their answer or its end.
    open: BTreeMap<String, Open>,
    /// Commands that the application is to answer, and their sessions, by the id.
    asked: BTreeMap<String, u64>,
    /// The session over which the daemon speaks.
    current: Option<u64>,
}

impl Expected {
    fn say(&mut self, conn: u64, text: impl Into<String>) {
        self.said.entry(conn).or_default().push(text.into());
    }

    /// Notes what the packet of a daemon in a line leads to.
    fn hear(&mut self, number: usize, transcript: &Transcript) {
        let line = &transcript.0[number];
        let conn = line["conn"].as_u64().unwrap();
        let text = line["data"].as_str().unwrap_or_default();
        if text.starts_with(REGISTER)
            && text.contains(PASSWORD)
            && !transcript.says(conn, REGISTERED)
        {
            let channel = text.contains("channel").then_some(r#","channel":"control""#);
            let channel = channel.unwrap_or_default();
            self.say(conn, format!(r#"{REGISTERED}{{"teamClusterId":"{CLUSTER}"{channel}}}]"#));
            self.current = Some(conn);
        }
        if text == "41" && self.current == Some(conn) {
            self.lose();
        }
        let Some((count, message)) = argument(text) else { return };
        if self.current != Some(conn) {
            return;
        }
        let message: Value = serde_json::from_str(message).unwrap_or_default();
        let id = message["requestId"].as_str().unwrap_or_default();
        match message["type"].as_str().unwrap_or_default() {
            "command" if transcript.handles(&message) => {
                self.asked.insert(id.to_owned(), conn);
            }
            "command" => {
                let answer = transcript.answer(id, &message);
                self.say(conn, answer);
            }
            "response" => self.settle(id, &message, &transcript.attachments(number, count)),
            "stream" if self.open.contains_key(id) => {
                self.outcome(id, json!({"BinaryData": message["chunkBase64"]}));
            }
            "stream-end" => {
                let Some(Open { status, .. }) = self.open.remove(id) else { return };
                let outcome = match message["message"].as_str() {
                    Some(text) => failure("REMOTE_ERROR", text, &status),
                    None => json!({"Status": status}),
                };
                self.outcome(id, outcome);
            }
            _ => {}
        }
    }

    fn settle(&mut self, id: &str, message: &Value, attachments: &[String]) {
        let Some(mut open) = self.open.remove(id) else { return };
        let status = &message["status"];
        if message["ok"] != true {
            let text = message["message"].as_str().unwrap();
            return self.outcome(id, failure("REMOTE_ERROR", text, status));
        }
        let mut outcome = json!({"Status": status});
        for (name, value) in [
            ("Headers", message.get("headers")),
            ("Data", message["data"].get("data")),
            ("Body", message.get("bodyBase64")),
        ] {
            if let Some(value) = value {
                outcome[name] = value.clone();
            }
        }
        if !attachments.is_empty() {
            let blobs: Vec<_> = attachments.iter().map(|text| &text[1..]).collect();
            outcome["Blobs"] = json!(blobs);
        }
        self.outcome(id, outcome);
        if open.asks_for_stream && message["streamId"].is_string() {
            open.status = status.clone();
            self.open.insert(id.to_owned(), open);
        }
    }

    fn outcome(&mut self, id: &str, outcome: Value) {
        self.outcomes.entry(id.to_owned()).or_default().push(outcome);
    }

    /// The connection is lost, and with it what was to be answered over it.
    fn lose(&mut self) {
        self.current = None;
        self.asked.clear();
        for id in std::mem::take(&mut self.open).into_keys() {
            let text =
                "The daemon's connection was lost; whether the command was carried out is unknown.";
            self.outcome(&id, failure("NOT_READY", text, &Value::Null));
        }
    }
}

/// The answer to a heartbeat that the recorded server did not take.
fn taken(id: &str) -> String {
    let cluster = json!({"teamCluster": {"_id": CLUSTER, "status": "connected"}});
    format!(
        r#"42{MESSAGE},{{"type":"response","requestId":"{id}","ok":true,"status":200,"data":{{"status":"success","data":{cluster}}}}}]"#
    )
}

fn failure(code: &str, text: &str, status: &Value) -> Value {
    json!({"Code": code, "Error": text, "Status": status})
}

/// A recorded scenario.
struct Transcript(Vec<Value>);

impl Transcript {
    fn read(file: &str) -> Self {
        let text = std::fs::read_to_string(folder().join(format!("{file}.jsonl"))).unwrap();
        Self(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// The packets of the recorded server, as text.
    fn packets(&self) -> impl Iterator<Item = (Option<u64>, &str)> {
        let packets = self.0.iter().filter(|line| line["dir"] == "s2c" && line["kind"] == "eio");
        packets.map(|line| (line["conn"].as_u64(), line["data"].as_str().unwrap_or_default()))
    }

    fn says(&self, conn: u64, begin: &str) -> bool {
        self.packets().any(|(of, text)| of == Some(conn) && text.starts_with(begin))
    }

    /// The commands of daemons that the recorded server knew, beside the heartbeat.
    fn handled(&self) -> BTreeSet<String> {
        let commands = self.0.iter().filter(|line| line["dir"] == "c2s" && line["kind"] == "eio");
        let commands = commands.filter_map(|line| {
            let (_, written) = argument(line["data"].as_str()?)?;
            let message: Value = serde_json::from_str(written).ok()?;
            self.handles(&message).then(|| message["command"].as_str().unwrap().to_owned())
        });
        commands.collect()
    }

    /// Whether the application answers a message of the daemon.
    fn handles(&self, message: &Value) -> bool {
        let command = message["command"].as_str().unwrap_or_default();
        let unknown = format!("Unknown daemon server command: {command}");
        message["type"] == "command"
            && command != "runtime.heartbeat"
            && !self.packets().any(|(_, text)| text.contains(&unknown))
    }

    /// What our hub itself answers to a command of the daemon.
    fn answer(&self, id: &str, message: &Value) -> String {
        let refused = |status: u16, text: &str| {
            format!(
                r#"42{MESSAGE},{{"type":"response","requestId":"{id}","ok":false,"status":{status},"message":"{text}"}}]"#
            )
        };
        let command = message["command"].as_str().unwrap_or_default();
        if command != "runtime.heartbeat" {
            return refused(404, &format!("Unknown daemon server command: {command}"));
        }
        if message["payload"]["daemonPassword"] != PASSWORD {
            return refused(401, "Invalid daemon credentials");
        }
        let mut recorded = self.packets().map(|(_, text)| text);
        let recorded = recorded.find(|text| request_id(text) == id && text.contains("\"ok\":true"));
        recorded.map_or_else(|| taken(id), str::to_owned)
    }

    /// The attachments of the packet in a line: the binary packets of its session that come next.
    fn attachments(&self, line: usize, count: usize) -> Vec<String> {
        let (dir, conn) = (&self.0[line]["dir"], &self.0[line]["conn"]);
        let rest = self.0.iter().skip(line + 1);
        let same = rest
            .filter(|line| line["dir"] == *dir && line["conn"] == *conn && line["kind"] == "eio");
        same.filter_map(|line| binary(&line["data"])).take(count).collect()
    }
}

/// A binary packet as `b` and base64; `None` for any other.
fn binary(data: &Value) -> Option<String> {
    match data.as_str() {
        Some(text) => text.starts_with('b').then(|| text.to_owned()),
        None => data["base64"].as_str().map(|text| format!("b{text}")),
    }
}

/// The number of attachments and the argument of a message, as text.
fn argument(text: &str) -> Option<(usize, &str)> {
    let (head, rest) = text.split_once(MESSAGE)?;
    let count = match head.strip_prefix("45") {
        Some(count) => count.strip_suffix('-')?.parse().ok()?,
        None => (head == "42").then_some(0)?,
    };
    let rest = rest.strip_suffix(']')?;
    Some((count, rest.strip_prefix(',').unwrap_or(rest)))
}

/// Whether a message is a command as a hub writes it: without an id, say, an application can send it, but
/// nobody can answer it.
fn is_command(message: &Value) -> bool {
    message["type"] == "command"
        && ["requestId", "command", "responseType"].iter().all(|name| message[name].is_string())
}

/// What an application gives to have this answered; `None` for an answer in a form of no server.
fn envelope(written: &str, message: &Value) -> Option<String> {
    let status = message["status"].as_u64()?;
    if message["ok"] == false {
        let text = message["message"].as_str()?;
        return Some(json!({"reject": {"status": status, "message": text}}).to_string());
    }
    let (_, data) = written.split_once(r#","ok":true,"status":"#)?.1.split_once(',')?;
    let data = data.strip_prefix(r#""data":{"status":"success""#)?.strip_suffix("}}")?;
    Some(format!(r#"{{"status":{status}{data}}}"#))
}

/// Plays what the recorded server said, unless ours says it by itself.
fn speak(number: usize, transcript: &Transcript, replay: &mut Replay, expected: &mut Expected) {
    let line = &transcript.0[number];
    let (conn, text) = (line["conn"].as_u64().unwrap(), line["data"].as_str().unwrap_or_default());
    if text == "41" {
        replay.stop();
    }
    let Some((count, written)) = argument(text) else {
        if text.starts_with(REGISTERED) {
            expected.current = Some(conn);
        }
        return expected.say(conn, generic(text));
    };
    let message: Value = serde_json::from_str(written).unwrap_or_default();
    let asked = |line: &Value| {
        line["dir"] == "c2s"
            && line["kind"] == "eio"
            && request_id(line["data"].as_str().unwrap_or_default()) == request_id(text)
    };
    let answers = message["type"] == "response" && transcript.0[..number].iter().any(asked);
    let id = message["requestId"].as_str().unwrap_or_default();
    if answers && expected.asked.remove(id) != Some(conn) {
        return;
    }
    let attachments = transcript.attachments(number, count);
    let blobs: Vec<Bytes> =
        attachments.iter().map(|text| STANDARD.decode(&text[1..]).unwrap().into()).collect();
    if answers {
        let Some(envelope) = envelope(written, &message) else { return };
        replay.answer(id, envelope, blobs);
        expected.say(conn, text);
        return attachments.into_iter().for_each(|text| expected.say(conn, text));
    }
    expected.say(conn, text);
    attachments.into_iter().for_each(|text| expected.say(conn, text));
    if is_command(&message) {
        let id = id.to_owned();
        let asks_for_stream = message["responseType"] == "stream";
        expected.open.insert(id, Open { asks_for_stream, status: Value::Null });
        let payload = written.split_once("\"payload\":").map(|(_, rest)| &rest[..rest.len() - 1]);
        replay.call(conn, &message, blobs, payload);
    } else {
        replay.message(written, blobs);
    }
}

fn replay(file: &str) {
    let transcript = Transcript::read(file);
    let (mut replay, mut expected) = (Replay::new(&transcript.handled()), Expected::default());
    for (number, line) in transcript.0.iter().enumerate() {
        replay.pass_to(line["t"].as_u64().unwrap());
        let data = line["data"].as_str().unwrap_or_default();
        match (line["dir"].as_str().unwrap(), line["kind"].as_str().unwrap()) {
            ("c2s", kind) => {
                replay.play(line);
                if kind == "eio" {
                    expected.hear(number, &transcript);
                }
            }
            ("s2c", "eio") if data.starts_with('4') => {
                speak(number, &transcript, &mut replay, &mut expected);
                if data == "41" {
                    break;
                }
            }
            ("s2c", "ws-close") if line["conn"].is_null() => {
                replay.cut();
                expected.lose();
            }
            _ => {}
        }
    }
    assert!(!expected.said.is_empty());
    for (conn, said) in expected.said {
        assert_eq!(replay.sessions[&conn].said, said, "session {conn}");
    }
    assert_eq!(replay.outcomes, expected.outcomes);
}

/// Transcripts that a hub of ours cannot be driven to, and why.
const NOT_REPLAYED: &[(&str, &str)] = &[
    (
        "07-namespace-control-accepted",
        "the server accepts a namespace of its own; ours knows the root alone, and 06 shows how it refuses",
    ),
    (
        "28-middleware-connect-error",
        "the server has a middleware that refuses whom it does not like to join; ours has none",
    ),
    (
        "31-disconnected-before-registered",
        "the server disconnects instead of answering the registration; ours has answered, and 19 shows 41",
    ),
    ("50-codec-socketio", "a table of a codec, not a transcript: vectors_volt_codec.rs"),
    ("51-codec-engineio", "a table of a codec, not a transcript: vectors_volt_codec.rs"),
    ("52-backoff", "a table of the daemon's, not a transcript: core/src/dialect/volt/backoff.rs"),
];

macro_rules! replays {
    ($($test:ident: $file:literal;)+) => {
        const REPLAYED: &[&str] = &[$($file),+];
        $(
            #[test]
            fn $test() {
                replay($file);
            }
        )+
    };
}

#[test]
fn every_transcript_is_replayed_or_left_out_with_a_reason() {
    let there: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".jsonl").map(str::to_owned)
        })
        .collect();
    let left_out = NOT_REPLAYED.iter().map(|(file, _)| file);
    let named: Vec<String> = REPLAYED.iter().chain(left_out).map(ToString::to_string).collect();
    assert_eq!(named.len(), named.iter().collect::<BTreeSet<_>>().len(), "named twice");
    assert_eq!(there, named.into_iter().collect());
}

replays! {
    a_daemon_connects_upgrades_and_registers: "01-connect-register";
    an_enrolled_daemon_registers: "02-enroll-rotate-connect";
    a_daemon_registers_whatever_its_enrollment_came_to: "03-enroll-errors";
    a_wrong_password_is_silent: "04-register-wrong-password-silent";
    an_invalid_registration_is_complained_of: "05-register-validation-error-event";
    another_namespace_is_refused: "06-namespace-control-path";
    the_application_answers_commands_of_a_daemon: "08-send-command";
    commands_get_every_form_of_answer: "09-inbound-commands";
    an_application_may_send_anything: "10-inbound-malformed";
    messages_reach_the_daemon: "11-noncommand-inbound";
    every_family_of_messages_is_taken: "12-emit-outbound";
    bytes_travel_in_both_directions: "13-binary-attachments";
    heartbeats_are_believed_by_what_they_carry: "14-heartbeat";
    heartbeats_without_credentials_are_refused: "15-heartbeat-default-payload-rejected";
    a_daemon_comes_back_after_a_cut: "16-transport-loss-reconnect";
    messages_before_the_registration_are_ignored: "17-emit-while-down-flushed-before-register";
    an_answer_does_not_follow_to_the_next_connection: "18-pending-command-across-disconnect";
    a_daemon_is_told_to_go: "19-server-socket-disconnect";
    an_orderly_end_says_41: "20-server-shutdown-graceful-then-restart";
    a_daemon_connects_again: "21-server-close-without-disconnectSockets";
    a_session_that_falls_silent: "22-ping-pong-and-ping-timeout";
    a_daemon_says_farewell: "23-client-disconnect";
    a_daemon_registers_late: "24-initial-refused-then-background-connect";
    a_daemon_that_gave_up: "25-reconnect-attempts-exhausted";
    everything_goes_over_polling: "26-polling-only-server";
    a_daemon_stays_on_polling: "27-websocket-upgrade-blocked";
    a_daemon_connects_twice: "29-connect-twice";
    a_daemon_goes_while_it_connects: "30-disconnect-during-connect";
    the_second_daemon_displaces_the_first: "32-second-daemon-displaces-first";
    a_daemon_that_ignores_messages: "33-throwing-callbacks";
    a_message_beyond_the_limit: "34-message-over-max-payload";
    two_loops_of_heartbeats: "35-heartbeat-duplicate-loop-after-quick-reconnect";
    answers_to_a_connection_that_is_gone: "36-handler-outlives-connection";
    a_registration_is_acknowledged: "40-ref-register-with-ack";
    a_registration_tells_a_channel: "41-ref-websocket-only-channel";
}
