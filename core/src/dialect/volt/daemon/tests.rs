//! What a daemon does in which turn, where the scenes of whole sessions see only the order.

#![allow(clippy::wildcard_enum_match_arm, reason = "a step is about a few outputs of many")]

use super::*;
use crate::api::command::Outcome;
use crate::base::ids::{ConnId, HttpId};
use crate::base::store::{StoreReply, StoreRequest};
use crate::net::{HttpResponse, Method};

const HANDSHAKE: &str = "0{\"sid\":\"s\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":100000}";
const JOINED: &str = "40{\"sid\":\"j\"}";
const CONFIRMED: &str = "42[\"team-cluster-daemon:registered\",{}]";
const COMMAND: &str = "42[\"team-cluster-daemon:message\",{\"type\":\"command\",\"requestId\":\"r\",\"command\":\"h\"}]";

/// The original drops events that it reads together with a disconnect behind them: it handles an event
/// two turns after it has read it, the disconnect one.
#[test]
fn the_farewell_waits_until_the_last_answer_has_left() {
    let mut it = Scene::on_websocket();
    assert_eq!(it.answer_in_a_drain(), ["answer", "ask sent"]);
    it.input(Input::Conn(ConnInput::Sent { conn: ConnId(2) }));
    assert_eq!(it.did(), ["41", "close"]);
}

#[test]
fn a_connection_that_takes_nothing_does_not_hold_up_the_end() {
    let mut it = Scene::on_websocket();
    it.answer_in_a_drain();
    it.now = 5_000;
    it.daemon.handle_timeout(it.clock());
    assert_eq!(it.did(), ["41", "close"]);
}

#[test]
fn on_polling_the_farewell_waits_until_the_last_answer_was_taken() {
    let mut it = Scene::on_polling();
    assert_eq!(it.answer_in_a_drain(), ["post answer"]);
    it.takes_post();
    assert_eq!(it.did(), ["post 41"]);
    it.takes_post();
    assert_eq!(it.did(), ["post 1"]);
}

/// What a daemon with a token and a store does, whose store answers `answers` one after the other; then
/// nothing more, for so long.
fn enrolls(answers: &[Result<(), ()>]) -> Vec<String> {
    let options = r#"{"control_socket_url":"ws://v","server_url":"http://v","team_cluster_id":"c",
        "enrollment_token":"t","runtime":{"store_path":"d.db"},"transport":"websocket"}"#;
    let options = crate::api::options::read(options).unwrap();
    let mut daemon = VoltDaemon::new(options, [7; 32]).unwrap();
    let (mut now, mut answers, mut did) = (0, answers.iter(), Vec::new());
    daemon.handle_command(Command::Start, Now::new(now, 0)).unwrap();
    loop {
        let Some(output) = daemon.poll_output() else {
            let Some(due) = daemon.poll_timeout().filter(|due| due.why == Why::Store) else {
                break;
            };
            now = due.at.as_millis();
            daemon.handle_timeout(Now::new(now, 0));
            continue;
        };
        let at = Now::new(now, 0);
        match output {
            Output::Store { store, request } => {
                let loads = matches!(request, StoreRequest::Load { .. });
                did.push(String::from(if loads { "load" } else { "commit" }));
                let Some(answer) = answers.next() else { continue };
                let done =
                    if loads { StoreReply::Loaded(Vec::new()) } else { StoreReply::Committed };
                let result = answer.map(|()| done);
                let result = result.map_err(|()| ErrorCode::StoreFailed.into());
                daemon.handle_input(Input::Stored { store, result }, at);
            }
            Output::HttpCall { http, .. } => {
                did.push("token".into());
                let body = r#"{"data":{"daemonPassword":"p","teamCluster":{}}}"#;
                let result = Ok(HttpResponse::json(200, body.to_owned()));
                daemon.handle_input(Input::Http(HttpInput::Replied { http, result }), at);
            }
            Output::Dial { .. } => {
                did.push("dial".into());
                break;
            }
            Output::Event(Event::Session(event)) => {
                let brief = match event {
                    SessionEvent::Enrolled { password } => password.expose().to_owned(),
                    SessionEvent::Notice { error } => error.code().name().to_owned(),
                    SessionEvent::Ended { error } => format!("ended {:?}", error.unwrap().code()),
                    other => panic!("{other:?}"),
                };
                did.push(brief);
            }
            other => panic!("{other:?}"),
        }
    }
    did
}

#[test]
fn a_token_is_not_spent_when_the_store_cannot_keep_the_password() {
    let failed = ["load", "commit", "ended StoreFailed"];
    assert_eq!(enrolls(&[Ok(()), Err(())]), failed);
    assert_eq!(enrolls(&[Ok(())]), failed, "a store that hangs");
    assert_eq!(enrolls(&[]), ["load", "ended StoreFailed"]);
}

#[test]
fn a_password_that_the_store_loses_after_all_is_told_and_used() {
    let told = ["load", "commit", "token", "commit", "STORE_FAILED", "p", "dial"];
    assert_eq!(enrolls(&[Ok(()), Ok(()), Err(())]), told);
    assert_eq!(enrolls(&[Ok(()), Ok(())]), told, "a store that hangs");
    let kept = ["load", "commit", "token", "commit", "p", "dial"];
    assert_eq!(enrolls(&[Ok(()), Ok(()), Ok(())]), kept);
}

#[test]
fn a_stored_password_that_cannot_be_read_spends_no_token() {
    let recalled = |record: &'static str| {
        let options = r#"{"control_socket_url":"ws://v","server_url":"http://v",
            "team_cluster_id":"c","enrollment_token":"t","runtime":{"store_path":"d.db"}}"#;
        let mut daemon =
            VoltDaemon::new(crate::api::options::read(options).unwrap(), [7; 32]).unwrap();
        daemon.handle_command(Command::Start, Now::new(0, 0)).unwrap();
        let Some(Output::Store { store, .. }) = daemon.poll_output() else { panic!() };
        let record = (String::from("c"), bytes::Bytes::from_static(record.as_bytes()));
        let result = Ok(StoreReply::Loaded(vec![record]));
        daemon.handle_input(Input::Stored { store, result }, Now::new(0, 0));
        daemon.poll_output().unwrap()
    };
    for record in ["not JSON", "{\"sealed\":\"x\"}"] {
        let output = recalled(record);
        let Output::Event(Event::Session(SessionEvent::Ended { error: Some(error) })) = &output
        else {
            panic!("{output:?}")
        };
        assert_eq!(error.code(), ErrorCode::StoreFailed);
    }
    assert!(matches!(recalled("{}"), Output::Store { .. }), "a probe is no password");
}

#[test]
fn a_handler_has_a_name_as_at_the_hub() {
    let mut it = Scene::on_websocket();
    for key in [String::new(), "x".repeat(257)] {
        let handle = WorkCommand::Handle { key, meta: Raw::empty_object() };
        let error = it.daemon.handle_command(Command::Work(handle), it.clock()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ArgumentInvalid);
    }
}

/// Stops a daemon that has lost its connection and queued a message.
fn stopped_while_it_waits(drain_ms: u64) -> Scene {
    let mut it = Scene::on_websocket();
    let cause = crate::machine::CloseCause::Remote { code: 1006, reason: String::new() };
    it.input(Input::Conn(ConnInput::Closed { conn: ConnId(2), cause }));
    let payload = Raw::parse("{\"type\":\"late\"}").unwrap();
    it.command(Command::Emit { name: String::new(), payload });
    it.did();
    it.command(Command::Stop { drain_ms });
    it
}

impl Scene {
    /// Returns how the daemon ended, if it has.
    fn ended(&mut self) -> Option<Option<ErrorCode>> {
        std::iter::from_fn(|| self.daemon.poll_output()).find_map(|output| match output {
            Output::Event(Event::Session(SessionEvent::Ended { error })) => {
                Some(error.map(|error| error.code()))
            }
            _ => None,
        })
    }
}

#[test]
fn a_drain_sends_what_waits_for_a_session_first() {
    let mut it = stopped_while_it_waits(5_000);
    let mut dials = 0;
    while let Some(output) = it.daemon.poll_output() {
        match output {
            Output::Event(Event::Session(SessionEvent::Draining { outbox, .. })) => {
                assert_eq!(outbox, 1);
            }
            Output::Dial { .. } => dials += 1,
            _ => {}
        }
    }
    assert_eq!(dials, 1, "it does not wait for the ladder");
    it.input(Input::Conn(ConnInput::Opened { conn: ConnId(4) }));
    for text in [HANDSHAKE, JOINED, CONFIRMED] {
        let frame = Frame::Text(text.into());
        it.input(Input::Conn(ConnInput::Received { conn: ConnId(4), frame }));
    }
    let did = it.did();
    assert!(did.iter().any(|text| text.contains("late")), "{did:?}");
    it.input(Input::Conn(ConnInput::Sent { conn: ConnId(4) }));
    assert_eq!(it.did(), ["41", "close"]);
    let cause = crate::machine::CloseCause::Remote { code: 1000, reason: String::new() };
    it.input(Input::Conn(ConnInput::Closed { conn: ConnId(4), cause }));
    assert_eq!(it.ended(), Some(None));
}

#[test]
fn a_drain_that_could_not_send_what_waits_says_so() {
    for (drain_ms, error) in [(5_000, Some(ErrorCode::ConnectionLost)), (0, None)] {
        let mut it = stopped_while_it_waits(drain_ms);
        let ended = loop {
            if let Some(ended) = it.ended() {
                break ended;
            }
            it.now = it.daemon.poll_timeout().expect("an end").at.as_millis();
            it.daemon.handle_timeout(it.clock());
        };
        assert_eq!(ended, error, "{drain_ms}");
    }
}

struct Scene {
    daemon: VoltDaemon,
    now: u64,
    /// The latest requests.
    get: HttpId,
    post: HttpId,
}

impl Scene {
    fn new(transport: &str) -> Self {
        let options = format!(
            "{{\"control_socket_url\":\"ws://v\",\"team_cluster_id\":\"c\",\
             \"heartbeat\":{{\"enabled\":false}},\"transport\":\"{transport}\"}}"
        );
        let options = crate::api::options::read(&options).unwrap();
        let daemon = VoltDaemon::new(options, [7; 32]).unwrap();
        let mut scene = Self { daemon, now: 0, get: HttpId(0), post: HttpId(0) };
        let handle = WorkCommand::Handle { key: "h".into(), meta: Raw::empty_object() };
        scene.command(Command::Work(handle));
        scene.command(Command::Start);
        scene.did();
        scene
    }

    fn on_websocket() -> Self {
        let mut scene = Self::new("websocket");
        scene.input(Input::Conn(ConnInput::Opened { conn: ConnId(2) }));
        for text in [HANDSHAKE, JOINED, CONFIRMED, COMMAND] {
            let frame = Frame::Text(text.into());
            scene.input(Input::Conn(ConnInput::Received { conn: ConnId(2), frame }));
        }
        scene.did();
        scene
    }

    fn on_polling() -> Self {
        let mut scene = Self::new("polling");
        for text in [HANDSHAKE, JOINED, CONFIRMED, COMMAND] {
            scene.replied(scene.get, text);
            scene.did();
            if scene.post != HttpId(0) {
                scene.takes_post();
                scene.did();
            }
        }
        scene
    }

    fn clock(&self) -> Now {
        Now::new(self.now, 0)
    }

    fn input(&mut self, input: Input) {
        self.daemon.handle_input(input, self.clock());
    }

    fn command(&mut self, command: Command) {
        self.daemon.handle_command(command, self.clock()).unwrap();
    }

    fn replied(&mut self, http: HttpId, text: &str) {
        let response = HttpResponse::json(200, text.to_owned());
        self.input(Input::Http(HttpInput::Replied { http, result: Ok(response) }));
    }

    fn takes_post(&mut self) {
        let post = std::mem::replace(&mut self.post, HttpId(0));
        self.replied(post, "ok");
    }

    /// The application stops the daemon while a command runs, and then answers it.
    fn answer_in_a_drain(&mut self) -> Vec<String> {
        self.command(Command::Stop { drain_ms: 5_000 });
        assert_eq!(self.did(), [""; 0]);
        let outcome = Outcome::Done { value: Raw::empty_object(), log: Raw::empty_list() };
        self.command(Command::Work(WorkCommand::Complete { work: WorkId(1), outcome }));
        self.did()
    }

    /// Returns what the daemon has done on its transport since.
    fn did(&mut self) -> Vec<String> {
        let brief =
            |text: &str| String::from(if text.contains("\"response\"") { "answer" } else { text });
        let mut done = Vec::new();
        while let Some(output) = self.daemon.poll_output() {
            match output {
                Output::Send { frame: Frame::Text(text), .. } => done.push(brief(&text)),
                Output::AskSent { .. } => done.push("ask sent".into()),
                Output::Close { .. } => done.push("close".into()),
                Output::HttpCall { http, request, .. } if request.method == Method::Post => {
                    self.post = http;
                    let body = std::str::from_utf8(&request.body).unwrap();
                    done.push(format!("post {}", brief(body)));
                }
                Output::HttpCall { http, .. } => self.get = http,
                Output::Event(_) | Output::Dial { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        done
    }
}
