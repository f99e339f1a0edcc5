//! A daemon with a connection for each purpose.

use bytes::Bytes;
use moorline_core::{CallCommand, CallId, Command, Frame, Raw, WorkCommand};
use moorline_core::{Event, SessionEvent};
use moorline_tests::volt::{Daemon, Told};
use serde_json::{Value, json};

use crate::server::{brief, raw};

/// A daemon with all its connections, and what each has said.
struct Scene {
    daemon: Daemon,
    /// Sessions by the channel for which they registered.
    sessions: Vec<(usize, String)>,
    /// Sessions that are asked for.
    asked: Vec<usize>,
}

impl Scene {
    /// Starts one whose control connection is not open yet.
    fn new(more: &Value) -> Self {
        let mut options = json!({
            "control_socket_url": "ws://volt.test",
            "team_cluster_id": "c",
            "daemon_password": "pw",
            "transport": "websocket",
            "generation": "3",
            "heartbeat": {"include_credentials": true, "interval_ms": 10_000},
            "reconnect": {"jitter_percent": 0},
            "planes": {"heartbeat": true, "events": true, "object_gateway": true},
        });
        for (key, value) in more.as_object().expect("options") {
            options[key.as_str()] = value.clone();
        }
        let mut daemon = Daemon::new(&options.to_string(), 5, 0);
        for (key, meta) in [("h", "{}"), ("*", "{\"messages\":true}")] {
            let handle = WorkCommand::Handle { key: key.into(), meta: raw(meta) };
            daemon.command(Command::Work(handle)).expect("a handler");
        }
        daemon.command(Command::Start).expect("a start");
        Self { daemon, sessions: Vec::new(), asked: Vec::new() }
    }

    /// A daemon whose connections are all registered.
    fn ready() -> Self {
        let mut it = Self::new(&json!({}));
        assert_eq!(it.register_all(), ["control"], "first that");
        assert_eq!(it.register_all(), ["heartbeat", "events", "object-gateway"]);
        let ready = |event: &Event| matches!(event, Event::Session(SessionEvent::Ready { .. }));
        assert_eq!(it.events().iter().filter(|event| ready(event)).count(), 1);
        it
    }

    /// Opens the sessions that are asked for and confirms what they register for.
    fn register_all(&mut self) -> Vec<String> {
        self.said(usize::MAX);
        let asked = std::mem::take(&mut self.asked);
        let mut channels = Vec::new();
        for session in asked {
            self.daemon.open(
                session,
                &format!(
                    "0{{\"sid\":\"s{session}\",\"upgrades\":[],\"pingInterval\":3000000,\
                     \"pingTimeout\":500000,\"maxPayload\":20000}}"
                ),
            );
            self.daemon.say(session, [Frame::Text("40{\"sid\":\"j\"}".into())]);
            let register = self.said(session).pop().expect("a registration");
            let (name, told): (String, Value) =
                serde_json::from_str(&register[2..]).expect("an event");
            assert_eq!(
                (name.as_str(), &told["daemonPassword"]),
                ("team-cluster-daemon:register", &json!("pw"))
            );
            let channel = told["channel"].as_str().expect("a channel").to_owned();
            let text =
                format!("42[\"team-cluster-daemon:registered\",{{\"channel\":\"{channel}\"}}]");
            self.sessions.retain(|(_, known)| *known != channel);
            self.sessions.push((session, channel.clone()));
            self.daemon.say(session, [Frame::Text(text.into())]);
            channels.push(channel);
        }
        channels
    }

    fn session(&self, channel: &str) -> usize {
        self.sessions.iter().find(|(_, known)| known == channel).expect("a session").0
    }

    /// Returns what was said over a session since; what others said meanwhile must be nothing but beats.
    fn said(&mut self, wanted: usize) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(told) = self.daemon.told() {
            match told {
                Told::Said { session, frame: Frame::Text(text) } if session == wanted => {
                    said.push(text.to_string());
                }
                Told::Said { session, .. } if session == wanted => said.push("bytes".into()),
                Told::Said { frame: Frame::Text(text), .. } => {
                    assert!(text.contains("runtime-heartbeat"), "{text}");
                }
                Told::Said { .. } => panic!("bytes over another connection"),
                Told::Asked { session, .. } => self.asked.push(session),
                Told::Left { .. } | Told::Http { .. } => {}
            }
        }
        said
    }

    fn messages(&mut self, channel: &str) -> Vec<Value> {
        let said = self.said(self.session(channel));
        let texts = said.iter().filter(|text| *text != "bytes");
        texts
            .map(|text| {
                let at = text.find('[').expect("an event");
                serde_json::from_str::<(String, Value)>(&text[at..]).expect("an event").1
            })
            .collect()
    }

    fn hear(&mut self, channel: &str, message: &Value) {
        let text = format!("42[\"team-cluster-daemon:message\",{message}]");
        self.daemon.say(self.session(channel), [Frame::Text(text.into())]);
    }

    fn emit(&mut self, name: &str, payload: &str) {
        let (name, payload) = (name.to_owned(), raw(payload).with_blobs(Vec::new()));
        self.daemon.command(Command::Emit { name, payload }).expect("a message");
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.daemon.event()).collect()
    }
}

#[test]
fn each_purpose_has_its_connection_and_the_daemon_one_life() {
    let mut it = Scene::ready();
    // The beats began with the registration, when other sessions were being opened.
    it.daemon.pass_to(10_000);
    let beat = json!({"type": "runtime-heartbeat", "teamClusterId": "c", "daemonPassword": "pw"});
    assert_eq!(it.messages("heartbeat"), [beat]);
    it.emit("", "{\"type\":\"runtime-progress\"}");
    assert_eq!(it.messages("control"), [json!({"type": "runtime-progress"})]);
    it.emit("$stream", "{\"stream_id\":\"log\",\"chunk\":\"e30=\"}");
    assert_eq!(it.messages("events")[0]["streamId"], "log");
    it.hear("control", &json!({"type": "command", "requestId": "r", "command": "nope"}));
    assert_eq!(it.messages("control")[0]["status"], 404);
}

#[test]
fn a_tunnel_goes_where_it_was_opened() {
    let mut it = Scene::ready();
    let state = "{\"type\":\"tunnel-state\",\"sessionId\":\"t\",\"status\":\"open\"}";
    it.emit("", state);
    assert_eq!(it.messages("control").len(), 1, "nobody has opened it");
    it.hear("object-gateway", &json!({"type": "tunnel-open", "sessionId": "t"}));
    it.emit("", state);
    assert_eq!(it.messages("object-gateway").len(), 1);
    it.emit("", "{\"type\":\"tunnel-close\",\"sessionId\":\"t\"}");
    assert_eq!(it.messages("object-gateway").len(), 1);
    it.emit("", state);
    assert_eq!(it.messages("control").len(), 1, "it is over");
    it.hear("object-gateway", &json!({"type": "tunnel-open", "sessionId": "t"}));
    it.hear("object-gateway", &json!({"type": "tunnel-close", "sessionId": "t"}));
    it.emit("", state);
    assert_eq!(it.messages("control").len(), 1);
}

#[test]
fn a_connection_that_is_lost_comes_back_and_is_told_in_a_notice() {
    let mut it = Scene::ready();
    let session = it.session("events");
    it.daemon.end(session, None);
    let events = it.events();
    let told = brief(&events);
    assert!(told.iter().any(|it| it == "CONNECTION_LOST"), "{told:?}");
    assert!(!told.iter().any(|it| it.starts_with("lost")), "{told:?}");
    it.emit("$stream", "{\"stream_id\":\"log\",\"chunk\":\"e30=\"}");
    it.daemon.pass_to(it.daemon.now() + 600);
    assert_eq!(it.register_all(), ["events"]);
    assert_eq!(it.messages("events")[0]["streamId"], "log", "it has waited");
}

#[test]
fn all_has_left_when_it_has_on_every_connection() {
    let mut it = Scene::ready();
    it.emit("$stream", "{\"stream_id\":\"log\",\"chunk\":\"e30=\"}");
    it.daemon
        .command(Command::Call(CallCommand::Make {
            call: CallId(7),
            name: String::from("$sent"),
            payload: Raw::absent(),
            options: Raw::empty_object(),
        }))
        .expect("a question");
    assert_eq!(brief(&it.events()).iter().filter(|it| *it == "answered").count(), 1);
}

#[test]
fn the_end_is_that_of_all() {
    let mut it = Scene::ready();
    it.events();
    it.daemon.command(Command::Stop { drain_ms: 0 }).expect("a stop");
    let (mut farewells, mut ended) = (0, 0);
    let sessions: Vec<usize> = it.sessions.iter().map(|it| it.0).collect();
    while let Some(told) = it.daemon.told() {
        if matches!(&told, Told::Said { frame: Frame::Text(text), .. } if **text == *"41") {
            farewells += 1;
        }
    }
    for session in sessions {
        it.daemon.end(session, Some(1000));
    }
    it.daemon.pass_to(it.daemon.now() + 2_000);
    for event in it.events() {
        ended += i32::from(matches!(event, Event::Session(SessionEvent::Ended { error: None })));
    }
    assert_eq!((farewells, ended, it.daemon.deadline()), (4, 1, None));
}

#[test]
fn the_snapshot_shows_every_connection() {
    let it = Scene::ready();
    let snapshot = it.daemon.snapshot();
    assert_eq!(snapshot["state"], "ready");
    for channel in ["heartbeat", "events", "object-gateway"] {
        assert_eq!(snapshot["planes"][channel]["state"], "ready");
    }
}

#[test]
fn bytes_come_over_every_connection() {
    let mut it = Scene::ready();
    it.events();
    let text = "451-[\"team-cluster-daemon:message\",{\"type\":\"tunnel-data\",\"sessionId\":\"t\",\
                \"chunk\":{\"_placeholder\":true,\"num\":0}}]";
    let frames = [Frame::Text(text.into()), Frame::Binary(Bytes::from_static(b"x"))];
    it.daemon.say(it.session("object-gateway"), frames);
    assert_eq!(it.events().len(), 1);
}
