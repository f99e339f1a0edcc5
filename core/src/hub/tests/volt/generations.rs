//! Daemons of every generation, side by side.

use serde_json::{Value, json};

use super::super::Rig;
use super::{OPTIONS, REGISTER};
use crate::api::command::{Command, WorkCommand};
use crate::api::event::{CallEvent, Event, PeerEvent, SessionEvent};
use crate::base::error::ErrorCode;
use crate::base::ids::ConnId;
use crate::base::json::Raw;
use crate::machine::{ConnInput, Endpoint as _, Input};
use crate::net::{Frame, Method};

const PLACEHOLDER: &str = r#"{"_placeholder":true,"num":0}"#;

impl Rig {
    /// Registers a connection of the daemon `lab` for something; returns it and the answer.
    fn plane(&mut self, channel: &str) -> ConnId {
        let conn = self.socket();
        let credentials = r#"{"teamClusterId":"lab","daemonPassword":"pw""#;
        self.say(
            conn,
            &format!(r#"42["team-cluster-daemon:register",{credentials},"channel":"{channel}"}}]"#),
        );
        assert_eq!(
            self.said(conn),
            [format!(
                r#"42["team-cluster-daemon:registered",{{"teamClusterId":"lab","channel":"{channel}"}}]"#
            )]
        );
        conn
    }

    /// A daemon says a message with an attachment.
    fn attach(&mut self, conn: ConnId, message: &Value, bytes: &'static [u8]) {
        let text = message.to_string().replace("\"BYTES\"", PLACEHOLDER);
        self.say(conn, &format!(r#"451-["team-cluster-daemon:message",{text}]"#));
        let frame = Frame::Binary(bytes::Bytes::from_static(bytes));
        self.input(Input::Conn(ConnInput::Received { conn, frame }));
    }

    fn shown(&mut self) -> Value {
        let http = self.ask(Method::Get, "/Moorline/Volt/Daemons", "");
        self.reply(http)[0].take()
    }

    fn stream_of(&mut self, conn: ConnId, call: u64) -> Value {
        self.call_lab(call, "log", r#","response_type":"stream""#);
        let id = self.messages(conn)[0]["requestId"].clone();
        self.message(conn, &json!({"type":"response","requestId":id,"ok":true,"streamId":"s"}));
        id
    }

    fn parts(&self) -> Vec<String> {
        let parts = self.events.iter().filter_map(|event| match event {
            Event::Call(CallEvent::Part { part, .. }) if part.as_str().contains("Binary") => {
                Some(part.as_str().to_owned())
            }
            _ => None,
        });
        parts.collect()
    }

    fn listen(&mut self) {
        let command = WorkCommand::Handle { key: "*".into(), meta: Raw::empty_object() };
        self.hub.handle_command(Command::Work(command), self.now()).unwrap();
    }

    fn heard(&self) -> Vec<(String, Vec<bytes::Bytes>)> {
        let heard = self.events.iter().filter_map(|event| match event {
            Event::Peer(PeerEvent::Message { payload, .. }) => {
                Some((payload.as_str().to_owned(), payload.blobs().to_vec()))
            }
            _ => None,
        });
        heard.collect()
    }

    fn beat(&mut self, conn: ConnId) {
        let beat = json!({"type":"runtime-heartbeat","teamClusterId":"lab","daemonPassword":"pw"});
        self.message(conn, &beat);
    }
}

#[test]
fn a_stream_is_read_in_the_form_of_each_generation() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.daemon();
    let id = rig.stream_of(conn, 1);
    rig.message(conn, &json!({"type":"stream","requestId":id,"streamId":"s","chunkBase64":"aGk="}));
    assert_eq!(rig.shown()["Generation"], 1);
    for (call, generation, chunk) in
        [(2, 2, &b"hi"[..]), (3, 3, &b"\0\0\0\0\x03\0\x02\0\0\0hi"[..])]
    {
        let conn = rig.plane("control");
        assert_eq!(rig.shown()["Generation"], Value::Null, "it has shown nothing yet");
        let id = rig.stream_of(conn, call);
        let part = json!({"type":"stream","requestId":id,"streamId":"s","chunk":"BYTES"});
        rig.attach(conn, &part, chunk);
        assert_eq!(rig.shown()["Generation"], generation);
    }
    assert_eq!(rig.parts(), [r#"{"BinaryData":"aGk="}"#; 3]);
}

#[test]
fn a_part_in_another_form_than_the_daemons_fails_the_stream() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.plane("control");
    rig.beat(conn);
    assert_eq!(rig.shown()["Generation"], 3, "only that one beats by messages");
    let id = rig.stream_of(conn, 1);
    let part = json!({"type":"stream","requestId":id,"streamId":"s","chunk":"BYTES"});
    rig.attach(conn, &part, b"no envelope");
    assert_eq!(rig.code(1), Some(ErrorCode::PeerProtocol));
    let id = rig.stream_of(conn, 2);
    rig.message(conn, &json!({"type":"stream","requestId":id,"streamId":"s"}));
    assert_eq!(rig.code(2), Some(ErrorCode::PeerProtocol), "nor is it taken for no bytes");
}

#[test]
fn the_second_generation_may_stream_what_looks_like_envelopes() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.plane("control");
    let beat = json!({"type":"command","requestId":"b","command":"runtime.heartbeat","payload":
        {"teamClusterId":"lab","daemonPassword":"pw"}});
    rig.message(conn, &beat);
    assert_eq!(rig.messages(conn)[0]["ok"], true);
    assert_eq!(rig.shown()["Generation"], 2);
    let id = rig.stream_of(conn, 1);
    let part = json!({"type":"stream","requestId":id,"streamId":"s","chunk":"BYTES"});
    rig.attach(conn, &part, b"\0\0\0\0\x03\0\0\0\0\0");
    assert_eq!(rig.parts(), [r#"{"BinaryData":"AAAAAAMAAAAAAA=="}"#]);
}

#[test]
fn an_option_says_which_generation_daemons_speak() {
    let mut rig = Rig::new(&OPTIONS.replace(r#"{"volt":{"#, r#"{"volt":{"generation":"2","#));
    let conn = rig.daemon();
    assert_eq!(rig.shown()["Generation"], 2);
    let id = rig.stream_of(conn, 1);
    let part = json!({"type":"stream","requestId":id,"streamId":"s","chunk":"BYTES"});
    rig.attach(conn, &part, b"\0\0\0\0\x03\0\0\0\0\0");
    assert_eq!(rig.parts(), [r#"{"BinaryData":"AAAAAAMAAAAAAA=="}"#]);
}

#[test]
fn a_buffer_is_read_from_the_data_and_an_answer_in_an_envelope_is_an_error() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.plane("control");
    rig.call_lab(1, "b", r#","response_type":"buffer""#);
    rig.call_lab(2, "b", r#","response_type":"buffer""#);
    let ids: Vec<Value> = rig.messages(conn).iter().map(|it| it["requestId"].clone()).collect();
    let answer = json!({"type":"response","requestId":ids[0],"ok":true,"status":200,
        "data":{"status":"success","data":{"body":"BYTES"}}});
    rig.attach(conn, &answer, &[1, 2]);
    assert_eq!(rig.outcome(1), Some(Ok(r#"{"Status":200,"Body":"AQI="}"#.to_owned())));
    let answer = json!({"type":"response-binary","requestId":ids[1],"ok":true,"envelope":"BYTES"});
    rig.attach(conn, &answer, b"");
    assert_eq!(rig.code(2), Some(ErrorCode::PeerProtocol));
}

#[test]
fn a_stream_that_a_daemon_opens_reaches_the_application_without_its_envelope() {
    let mut rig = Rig::new(OPTIONS);
    rig.listen();
    let control = rig.plane("control");
    let events = rig.plane("events");
    rig.beat(control);
    let part = json!({"type":"stream","requestId":"daemon-event-stream:log","streamId":"log","chunk":"BYTES"});
    rig.attach(events, &part, b"\0\0\0\0\x03\0\x02\0\0\0{}");
    let whole = format!(
        r#"{{"type":"stream","requestId":"daemon-event-stream:log","streamId":"log","chunk":{PLACEHOLDER}}}"#
    );
    assert_eq!(rig.heard(), [(whole, vec![bytes::Bytes::from_static(b"{}")])]);
    rig.attach(events, &part, b"{}");
    assert_eq!(rig.heard().len(), 1, "what has no envelope is told, and is no message");
    let told = rig.events.iter().any(|event| {
        matches!(event, Event::Session(SessionEvent::Notice { error }) if error.message().contains("in no envelope"))
    });
    assert!(told);
}

#[test]
fn a_daemon_has_a_connection_for_each_purpose_and_is_commanded_over_one() {
    let mut rig = Rig::new(OPTIONS);
    let heartbeat = rig.plane("heartbeat");
    assert_eq!(rig.shown()["Status"], "connected", "a sign of life");
    assert_eq!(rig.shown()["Registered"], false, "but nobody to command");
    let control = rig.plane("control");
    let gateway = rig.plane("object-gateway");
    assert_eq!(rig.shown()["Channels"], json!(["heartbeat", "object-gateway"]));
    rig.call_lab(1, "a", "");
    assert_eq!((rig.said(control).len(), rig.said(gateway).len()), (1, 0));
    rig.cut(gateway);
    assert_eq!(rig.code(1), None, "that was not its connection");
    assert_eq!(rig.shown()["Channels"], json!(["heartbeat"]));
    let second = rig.plane("heartbeat");
    rig.cut(heartbeat);
    assert_eq!(rig.shown()["Channels"], json!(["heartbeat"]), "of the newer one");
    rig.beat(second);
    assert_eq!(rig.shown()["Generation"], 3);
    rig.cut(control);
    assert_eq!(rig.code(1), Some(ErrorCode::NotReady));
    assert!(!rig.closed.contains_key(&second));
}

#[test]
fn a_session_that_registers_as_something_else_is_what_it_was_no_longer() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.daemon();
    let credentials = r#"{"teamClusterId":"lab","daemonPassword":"pw","channel":"events"}"#;
    rig.say(conn, &format!(r#"42["team-cluster-daemon:register",{credentials}]"#));
    rig.said(conn);
    assert_eq!(rig.shown()["Registered"], false);
    rig.say(conn, REGISTER);
    let shown = rig.shown();
    assert_eq!((&shown["Registered"], &shown["Channels"]), (&json!(true), &json!([])));
}

const LOG: &str = r#"{"type":"stream","requestId":"log","streamId":"log","chunkBase64":"e30="}"#;

impl Rig {
    /// A daemon says a message and asks for its acknowledgement, which this returns.
    fn acknowledged(&mut self, conn: ConnId, message: &str) -> String {
        self.say(conn, &format!(r#"421["team-cluster-daemon:message",{message}]"#));
        self.said(conn).pop().unwrap()
    }

    fn told(&self, code: ErrorCode) -> Vec<String> {
        let told = self.events.iter().filter_map(|event| match event {
            Event::Session(SessionEvent::Notice { error }) if error.code() == code => {
                Some(error.message().to_owned())
            }
            _ => None,
        });
        told.collect()
    }
}

#[test]
fn a_displaced_connection_is_told_and_has_its_place_again_when_that_is_free() {
    let mut rig = Rig::new(OPTIONS);
    rig.listen();
    rig.plane("control");
    let (first, second) = (rig.plane("events"), rig.plane("events"));
    let told = rig.told(ErrorCode::NameTaken);
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("second connection for events registered as lab"), "{told:?}");
    let beat = json!({"type":"command","requestId":"r","command":"runtime.heartbeat","payload":{}});
    rig.message(first, &beat);
    assert_eq!(rig.messages(first)[0]["status"], 409);
    assert!(rig.acknowledged(first, LOG).contains("not registered"));
    rig.cut(second);
    assert_eq!(rig.acknowledged(first, LOG), r#"431[{"ok":true}]"#);
    assert_eq!((rig.shown()["Channels"].clone(), rig.heard().len()), (json!(["events"]), 1));
}

#[test]
fn a_process_that_loses_control_loses_its_other_connections() {
    let mut rig = Rig::new(OPTIONS);
    rig.listen();
    let control = rig.plane("control");
    let (heartbeat, events) = (rig.plane("heartbeat"), rig.plane("events"));
    let newer = rig.plane("events");
    let newcomer = rig.plane("control");
    assert_eq!(
        rig.shown()["Channels"],
        json!(["events"]),
        "the newcomer's came before its control"
    );
    for conn in [heartbeat, events] {
        assert!(
            rig.acknowledged(conn, LOG).contains("not registered"),
            "even where a place is free"
        );
    }
    assert_eq!(rig.acknowledged(newer, LOG), r#"431[{"ok":true}]"#);
    for conn in [newer, newcomer] {
        rig.cut(conn);
    }
    let beat = json!({"type":"command","requestId":"r","command":"runtime.heartbeat",
        "payload":{"teamClusterId":"lab","daemonPassword":"pw"}});
    for conn in [control, heartbeat, events] {
        rig.message(conn, &beat);
        assert_eq!(rig.messages(conn)[0]["ok"], true);
    }
    let shown = rig.shown();
    assert_eq!(
        (&shown["Registered"], &shown["Channels"]),
        (&json!(true), &json!(["events", "heartbeat"]))
    );
}

#[test]
fn a_displaced_connection_goes_with_its_daemon() {
    let mut rig = Rig::new(OPTIONS);
    let token = rig.token(r#"{"TeamClusterID":"new"}"#);
    let http = rig.enroll("new", &json!({"enrollmentToken": token["Token"]}).to_string());
    let password = rig.reply(http)["data"]["daemonPassword"].clone();
    let register = json!(["team-cluster-daemon:register",
        {"teamClusterId":"new","daemonPassword":password,"channel":"events"}]);
    let both = [rig.socket(), rig.socket()];
    for conn in both {
        rig.say(conn, &format!("42{register}"));
    }
    assert_eq!(rig.said(both[1]).len(), 1);
    rig.ask(Method::Delete, "/Moorline/Volt/Daemons/new", "");
    assert!(both.iter().all(|conn| rig.closed.contains_key(conn)));
}

#[test]
fn messages_are_refused_and_told_while_the_control_connection_is_away() {
    let mut rig = Rig::new(OPTIONS);
    rig.listen();
    let events = rig.plane("events");
    for _ in 0..2 {
        assert_eq!(
            rig.acknowledged(events, LOG),
            r#"431[{"ok":false,"error":"The control connection of the daemon is not registered"}]"#
        );
    }
    assert_eq!(rig.told(ErrorCode::NotReady).len(), 1, "once");
    let control = rig.plane("control");
    assert_eq!(rig.acknowledged(events, LOG), r#"431[{"ok":true}]"#);
    rig.cut(control);
    assert!(rig.acknowledged(events, LOG).contains("not registered"));
    assert_eq!(rig.told(ErrorCode::NotReady).len(), 2);
    assert_eq!(rig.heard().len(), 1);
}
