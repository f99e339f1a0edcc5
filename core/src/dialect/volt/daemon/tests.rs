//! What a daemon does in which turn, where the scenes of whole sessions see only the order.

#![allow(clippy::wildcard_enum_match_arm, reason = "a step is about a few outputs of many")]

use super::*;
use crate::api::command::Outcome;
use crate::base::ids::{ConnId, HttpId};
use crate::base::store::{StoreReply, StoreRequest};
use crate::net::{HttpResponse, Method};

const HANDSHAKE: &str = "0{\"sid\":\"s\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}";
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

/// The same on a connection that takes a window at a time.
#[test]
fn what_was_emitted_leaves_before_the_farewell() {
    let mut it = Scene::on_websocket();
    for _ in 0..30 {
        it.emit(100_000);
    }
    it.command(Command::Stop { drain_ms: 0 });
    let mut done = it.did();
    while done.last().is_some_and(|last| last != "close") {
        it.input(Input::Conn(ConnInput::Sent { conn: ConnId(2) }));
        done.extend(it.did());
    }
    assert_eq!(done.iter().filter(|did| did.len() > 100_000).count(), 30);
    assert_eq!(done[done.len() - 2..], ["41", "close"]);
}

#[test]
fn a_connection_that_takes_little_holds_up_the_end_for_two_seconds() {
    let mut it = Scene::on_websocket();
    for _ in 0..30 {
        it.emit(100_000);
    }
    it.command(Command::Stop { drain_ms: 0 });
    it.did();
    it.now = 2_000;
    it.daemon.handle_timeout(it.clock());
    let done = it.did();
    assert!(done.len() > 15, "the rest is handed over");
    assert_eq!(done[done.len() - 2..], ["41", "close"]);
}

#[test]
fn what_is_emitted_beyond_what_may_wait_is_refused_and_no_more() {
    let mut it = Scene::on_websocket();
    let mut taken = 0;
    let refusal = loop {
        match it.try_emit(99_000) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!((330..370).contains(&taken), "{taken}");
    assert_eq!(refusal.code(), ErrorCode::Overloaded);
    assert!(refusal.message().contains("limits.max_send_queue_bytes"), "{refusal}");
    let mut sum = 0;
    loop {
        let done = it.did();
        sum += done.iter().filter(|did| did.len() > 99_000).count();
        if done.is_empty() {
            break;
        }
        assert!(done.iter().all(|did| did != "close"));
        it.input(Input::Conn(ConnInput::Sent { conn: ConnId(2) }));
    }
    assert_eq!(sum, taken);
    it.emit(1);
}

#[test]
fn what_was_not_handed_over_is_emitted_again_after_the_loss_and_told_when_it_has_left() {
    let mut it = Scene::on_websocket();
    for _ in 0..40 {
        it.emit(100_000 - 40);
    }
    let before = it.did().iter().filter(|did| did.len() > 90_000).count();
    assert!((1..=10).contains(&before), "{before}");
    it.command(Command::Call(CallCommand::Make {
        call: CallId(7),
        name: "$sent".into(),
        payload: Raw::absent(),
        options: Raw::empty_object(),
    }));
    let cause = crate::machine::CloseCause::Failed(ErrorCode::ConnectionLost.into());
    it.input(Input::Conn(ConnInput::Closed { conn: ConnId(2), cause }));
    it.did();
    it.now = 10_000;
    it.daemon.handle_timeout(it.clock());
    it.input(Input::Conn(ConnInput::Opened { conn: ConnId(4) }));
    for text in [HANDSHAKE, JOINED, CONFIRMED] {
        let frame = Frame::Text(text.into());
        it.input(Input::Conn(ConnInput::Received { conn: ConnId(4), frame }));
    }
    let mut after = 0;
    while after < 40 - before {
        assert!(!it.is_done(7));
        after += it.did().iter().filter(|did| did.len() > 90_000).count();
        it.input(Input::Conn(ConnInput::Sent { conn: ConnId(4) }));
    }
    it.did();
    it.input(Input::Conn(ConnInput::Sent { conn: ConnId(4) }));
    it.did();
    assert_eq!(after, 40 - before);
    assert!(it.is_done(7));
}

#[test]
fn messages_that_are_dropped_while_nobody_is_there_are_told_at_the_first_and_in_the_end() {
    let mut it = Scene::new("websocket");
    it.input(Input::Conn(ConnInput::Opened { conn: ConnId(2) }));
    for _ in 0..1_034 {
        it.emit(1);
    }
    it.did();
    assert_eq!(it.notices.len(), 1, "{:?}", it.notices);
    for text in [HANDSHAKE, JOINED, CONFIRMED] {
        let frame = Frame::Text(text.into());
        it.input(Input::Conn(ConnInput::Received { conn: ConnId(2), frame }));
    }
    it.did();
    assert_eq!(it.notices.len(), 2, "{:?}", it.notices);
    assert!(it.notices[1].contains("10 messages"), "{:?}", it.notices);
}

/// What a daemon with a token is told, what its attempts are answered and how long it waits between them.
fn enrolls_late(retry: bool, answers: &[Result<(u16, &str), ErrorCode>]) -> Vec<String> {
    let options = format!(
        r#"{{"control_socket_url":"ws://v","server_url":"http://v","team_cluster_id":"c",
        "enrollment_token":"t","enrollment":{{"retry":{retry}}},"transport":"websocket"}}"#
    );
    let options = crate::api::options::read(&options).unwrap();
    let mut daemon = VoltDaemon::new(options, [7; 32]).unwrap();
    let (mut now, mut answers, mut did) = (0, answers.iter(), Vec::new());
    daemon.handle_command(Command::Start, Now::new(now, 0)).unwrap();
    loop {
        let Some(output) = daemon.poll_output() else {
            let Some(due) = daemon.poll_timeout().filter(|due| due.why == Why::Backoff) else {
                return did;
            };
            did.push(if due.at.as_millis() - now < 1_000 { "soon" } else { "late" }.into());
            now = due.at.as_millis();
            daemon.handle_timeout(Now::new(now, 0));
            continue;
        };
        match output {
            Output::HttpCall { http, .. } => {
                let Some(answer) = answers.next() else { return did };
                let result = match answer {
                    Ok((status, retry_after)) => {
                        let body = r#"{"data":{"daemonPassword":"p","teamCluster":{}}}"#.to_owned();
                        let mut response = HttpResponse::json(*status, body);
                        response.headers.push("retry-after", *retry_after);
                        Ok(response)
                    }
                    Err(code) => Err((*code).into()),
                };
                let input = Input::Http(HttpInput::Replied { http, result });
                daemon.handle_input(input, Now::new(now, 0));
            }
            Output::Dial { .. } => {
                did.push("dial".into());
                return did;
            }
            Output::Event(Event::Session(SessionEvent::Notice { error })) => {
                did.push(format!("{} {:?}", error.code().name(), error.status()));
            }
            Output::Event(Event::Session(SessionEvent::Ended { error })) => {
                did.push(format!("ended {:?}", error.unwrap().status()));
            }
            Output::Event(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_enrollment_waits_for_its_control_plane_where_that_is_wanted() {
    let answers = [Err(ErrorCode::ConnectFailed), Ok((503, "")), Ok((429, "900")), Ok((200, ""))];
    let told = |status: &str| format!("ENROLLMENT_FAILED {status}");
    assert_eq!(
        enrolls_late(true, &answers),
        [&told("None"), "soon", &told("Some(503)"), "late", &told("Some(429)"), "late", "dial"]
    );
    for (answer, status) in [(answers[0], "None"), (answers[1], "Some(503)")] {
        assert_eq!(enrolls_late(false, &[answer]), [format!("ended {status}")]);
    }
    for status in [401, 404, 409] {
        assert_eq!(enrolls_late(true, &[Ok((status, ""))]), [format!("ended Some({status})")]);
    }
    assert_eq!(enrolls_late(true, &[Err(ErrorCode::TlsFailed)]), ["ended None"]);
}

#[test]
fn compression_is_offered_where_an_option_says_so() {
    for compression in [false, true] {
        let options = format!(
            r#"{{"control_socket_url":"ws://v","team_cluster_id":"c","compression":{compression}}}"#
        );
        let options = crate::api::options::read(&options).unwrap();
        let mut daemon = VoltDaemon::new(options, [7; 32]).unwrap();
        daemon.handle_command(Command::Start, Now::new(0, 0)).unwrap();
        let Some(Output::Dial { target, .. }) = daemon.poll_output() else { panic!() };
        assert_eq!(
            target.address.deflate().and_then(|it| it.threshold),
            compression.then_some(1_024)
        );
    }
}

struct Scene {
    daemon: VoltDaemon,
    now: u64,
    /// The latest requests.
    get: HttpId,
    post: HttpId,
    notices: Vec<String>,
    done: Vec<CallId>,
}

impl Scene {
    fn new(transport: &str) -> Self {
        let options = format!(
            "{{\"control_socket_url\":\"ws://v\",\"team_cluster_id\":\"c\",\
             \"heartbeat\":{{\"enabled\":false}},\"transport\":\"{transport}\"}}"
        );
        let options = crate::api::options::read(&options).unwrap();
        let daemon = VoltDaemon::new(options, [7; 32]).unwrap();
        let (get, post) = (HttpId(0), HttpId(0));
        let mut scene = Self { daemon, now: 0, get, post, notices: Vec::new(), done: Vec::new() };
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

    fn try_emit(&mut self, bytes: usize) -> Result<(), Error> {
        let payload = Raw::parse(format!("{{\"pad\":\"{}\"}}", "x".repeat(bytes))).unwrap();
        let command = Command::Emit { name: String::new(), payload };
        self.daemon.handle_command(command, self.clock())
    }

    fn emit(&mut self, bytes: usize) {
        self.try_emit(bytes).unwrap();
    }

    fn is_done(&self, call: u64) -> bool {
        self.done.contains(&CallId(call))
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
                Output::Event(Event::Session(SessionEvent::Notice { error })) => {
                    self.notices.push(error.message().to_owned());
                }
                Output::Event(Event::Call(CallEvent::Done { call, result: Ok(_) })) => {
                    self.done.push(call);
                }
                Output::Event(_) | Output::Dial { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        done
    }
}
