//! Commands to daemons.

use serde_json::{Value, json};

use super::super::Rig;
use super::{OPTIONS, REGISTER, REGISTERED};
use crate::api::command::CallCommand;
use crate::api::command::Command;
use crate::api::event::Event;
use crate::api::event::{CallEvent, PeerEvent};
use crate::base::error::ErrorCode;
use crate::machine::{ConnInput, Endpoint as _, Input, ServerInput};
use crate::net::HttpBody;

#[test]
fn a_command_is_answered_once() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.daemon();
    rig.call_lab(1, "jobs.run", "");
    let sent = rig.said(conn);
    assert!(
        sent[0].contains(r#""command":"jobs.run","responseType":"json","payload":{"n":1.0}}]"#),
        "{sent:?}"
    );
    let json: Vec<Value> = serde_json::from_str(&sent[0][2..]).unwrap();
    let id = json[1]["requestId"].clone();
    let answer = json!({"type":"response","requestId":id,"ok":true,"status":201,
        "headers":{"a":"b"},"data":{"status":"success","data":{"x":1}}});
    rig.message(conn, &answer);
    rig.message(conn, &answer);
    assert_eq!(
        rig.outcome(1),
        Some(Ok(r#"{"Status":201,"Headers":{"a":"b"},"Data":{"x":1}}"#.to_owned()))
    );
    assert_eq!(
        rig.events.iter().filter(|e| matches!(e, Event::Call(CallEvent::Done { .. }))).count(),
        1
    );
}

#[test]
fn refusals_buffers_and_time_outs_reach_the_caller() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.daemon();
    rig.call_lab(1, "a", "");
    rig.call_lab(2, "b", r#","response_type":"buffer""#);
    rig.call_lab(3, "c", r#","timeout_ms":50"#);
    let ids: Vec<Value> =
        rig.messages(conn).iter().map(|message| message["requestId"].clone()).collect();
    rig.message(
        conn,
        &json!({"type":"response","requestId":ids[0],"ok":false,"status":409,"message":"busy"}),
    );
    rig.message(
        conn,
        &json!({"type":"response","requestId":ids[1],"ok":true,"status":200,"bodyBase64":"AQI="}),
    );
    assert_eq!(rig.outcome(1), Some(Err((ErrorCode::RemoteError, Some(409), "busy".into()))));
    assert_eq!(rig.outcome(2), Some(Ok(r#"{"Status":200,"Body":"AQI="}"#.to_owned())));
    rig.pass(49);
    assert_eq!(rig.code(3), None);
    rig.pass(1);
    assert_eq!(rig.code(3), Some(ErrorCode::CallTimeout));
}

#[test]
fn a_call_of_the_application_can_be_cancelled() {
    let mut rig = Rig::new(OPTIONS);
    rig.daemon();
    rig.call_lab(1, "a", "");
    rig.hub
        .handle_command(
            Command::Call(CallCommand::Cancel { call: crate::base::ids::CallId(1) }),
            rig.now(),
        )
        .unwrap();
    rig.drain();
    assert_eq!(rig.code(1), Some(ErrorCode::CallCancelled));
}

#[test]
fn streams_come_in_parts_and_fail_when_they_stop() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.daemon();
    let url = "/Moorline/Volt/Daemons/lab/Call";
    let good = rig.post(url, r#"{"Command":"log","ResponseType":"stream"}"#);
    let bad = rig.post(url, r#"{"Command":"log","ResponseType":"stream","TimeoutMs":1000}"#);
    let sent = rig.messages(conn);
    assert!(sent[0].get("payload").is_none());
    for message in &sent {
        let id = &message["requestId"];
        rig.message(
            conn,
            &json!({"type":"response","requestId":id,"ok":true,"status":200,"streamId":"s"}),
        );
        rig.message(
            conn,
            &json!({"type":"stream","requestId":id,"streamId":"other","chunkBase64":"AA=="}),
        );
        rig.message(
            conn,
            &json!({"type":"stream","requestId":id,"streamId":"s","chunkBase64":"aGk="}),
        );
    }
    rig.message(
        conn,
        &json!({"type":"stream-end","requestId":sent[0]["requestId"],"streamId":"s"}),
    );
    let parts: Vec<u8> = rig.parts[&good].concat();
    assert_eq!(
        &parts[5..],
        [
            &br#"{"Status":200}"#[..],
            &[2, 0, 0, 0, 2],
            b"hi",
            &[4, 0, 0, 0, 14],
            br#"{"Status":200}"#
        ]
        .concat()
    );
    assert!(matches!(rig.replies[&good].body, HttpBody::Streaming));
    assert_eq!(rig.ended, [good]);
    rig.pass(1_000);
    assert_eq!(rig.ended, [good, bad]);
    assert!(String::from_utf8_lossy(&rig.parts[&bad].concat()).contains("CALL_TIMEOUT"));
}

#[test]
fn a_stream_that_is_read_too_slowly_ends_with_a_code() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.daemon();
    let url = "/Moorline/Volt/Daemons/lab/Call";
    let http = rig.post(url, r#"{"Command":"log","ResponseType":"stream"}"#);
    let id = rig.messages(conn)[0]["requestId"].clone();
    rig.message(
        conn,
        &json!({"type":"response","requestId":id,"ok":true,"status":200,"streamId":"s"}),
    );
    rig.input(Input::Server(ServerInput::Backlog { http, is_full: false }));
    assert!(rig.ended.is_empty());
    rig.input(Input::Server(ServerInput::Backlog { http, is_full: true }));
    assert_eq!(rig.ended, [http]);
    let parts = rig.parts[&http].len();
    assert!(String::from_utf8_lossy(&rig.parts[&http].concat()).contains("OVERLOADED"));
    let part = json!({"type":"stream","requestId":id,"streamId":"s","chunkBase64":"aGk="});
    rig.message(conn, &part);
    assert_eq!(rig.parts[&http].len(), parts, "what comes later has nobody");
}

#[test]
fn a_stream_is_limited() {
    let mut rig =
        Rig::new(&OPTIONS.replace(r#"{"volt":{"#, r#"{"volt":{"max_stream_bytes":1024,"#));
    let conn = rig.daemon();
    rig.call_lab(1, "log", r#","response_type":"stream""#);
    let id = rig.messages(conn)[0]["requestId"].clone();
    rig.message(conn, &json!({"type":"response","requestId":id,"ok":true,"streamId":"s"}));
    let chunk = "AAAA".repeat(200);
    for _ in 0..2 {
        rig.message(
            conn,
            &json!({"type":"stream","requestId":id,"streamId":"s","chunkBase64":chunk}),
        );
    }
    assert_eq!(rig.code(1), Some(ErrorCode::TooLarge));
}

#[test]
fn calls_fail_at_once_when_the_link_drops() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.daemon();
    rig.call_lab(1, "a", "");
    let http = rig.post("/Moorline/Volt/Daemons/lab/Call", r#"{"Command":"b"}"#);
    rig.cut(conn);
    let Some(Err((code, _, text))) = rig.outcome(1) else { panic!() };
    assert_eq!(code, ErrorCode::NotReady);
    assert!(text.contains("connection was lost") && text.contains("unknown"), "{text}");
    assert_eq!(rig.status(http), Some(503));
    assert!(
        rig.events
            .iter()
            .any(|e| matches!(e, Event::Peer(PeerEvent::Left { name, .. }) if name == "lab"))
    );
}

#[test]
fn a_call_waits_for_its_daemon() {
    let mut rig = Rig::new(OPTIONS);
    rig.call_lab(1, "a", "");
    rig.call_lab(2, "b", r#","timeout_ms":100"#);
    rig.pass(100);
    assert_eq!(rig.code(2), Some(ErrorCode::NotReady));
    rig.pass(29_000);
    let conn = rig.socket();
    rig.say(conn, REGISTER);
    let sent = rig.said(conn);
    assert_eq!(sent[0], REGISTERED, "the command comes after the confirmation");
    assert!(sent[1].contains(r#""command":"a""#));
    rig.pass(29_000);
    assert_eq!(rig.code(1), None, "its time began when it was sent");
    rig.call(3, "a", "{}", r#"{"team_cluster_id":"nobody"}"#);
    assert_eq!(rig.code(3), Some(ErrorCode::NoWorker));
    rig.call(4, "a", "{}", r#"{"team_cluster_id":"two"}"#);
    rig.say(conn, "3");
    rig.pass(30_000);
    assert_eq!(rig.code(4), Some(ErrorCode::NotReady));
}

#[test]
fn payloads_that_wait_for_a_daemon_are_bounded_and_those_sent_are_not_kept() {
    let options = OPTIONS.replacen(
        '{',
        r#"{"max_queued_bytes":4096,"max_body_bytes":4096,"limits":{"max_message_bytes":4096},"#,
        1,
    );
    let mut rig = Rig::new(&options);
    let call = |rig: &mut Rig, id: u64| {
        let payload = format!("\"{}\"", "x".repeat(3_000));
        rig.call(id, "a", &payload, r#"{"team_cluster_id":"lab","timeout_ms":86400000}"#);
    };
    call(&mut rig, 1);
    call(&mut rig, 2);
    assert_eq!((rig.code(1), rig.code(2)), (None, Some(ErrorCode::Overloaded)));
    rig.pass(30_000);
    assert_eq!(rig.code(1), Some(ErrorCode::NotReady));
    call(&mut rig, 3);
    let conn = rig.socket();
    rig.say(conn, REGISTER);
    assert_eq!(rig.said(conn).len(), 2, "the one that waited is sent");
    for id in 4..8 {
        call(&mut rig, id);
        assert_eq!(rig.code(id), None, "sent at once");
    }
}

/// The second generation of daemons attaches the bytes that were asked for as a buffer.
#[test]
fn a_buffer_that_is_attached_is_one() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.daemon();
    rig.call_lab(1, "log", r#","response_type":"buffer""#);
    let id = rig.messages(conn)[0]["requestId"].clone();
    let answer = json!({"type":"response","requestId":id,"ok":true,"status":200,
        "data":{"status":"success","data":{"body":{"_placeholder":true,"num":0}}}});
    rig.say(conn, &format!(r#"451-["team-cluster-daemon:message",{answer}]"#));
    let frame = crate::net::Frame::Binary(bytes::Bytes::from_static(b"hi"));
    rig.input(Input::Conn(ConnInput::Received { conn, frame }));
    assert_eq!(rig.outcome(1), Some(Ok(r#"{"Status":200,"Body":"aGk="}"#.to_owned())));
}

#[test]
fn an_answer_says_yes_if_javascript_would_say_so() {
    for (ok, is_yes) in [("0.0", false), ("-0", false), ("0.5", true), ("\"\"", false)] {
        let mut rig = Rig::new(OPTIONS);
        let conn = rig.daemon();
        rig.call_lab(1, "a", "");
        let id = rig.messages(conn)[0]["requestId"].clone();
        let answer = format!(r#"{{"type":"response","requestId":{id},"ok":{ok},"status":200}}"#);
        rig.say(conn, &format!(r#"42["team-cluster-daemon:message",{answer}]"#));
        assert_eq!(rig.outcome(1).map(|outcome| outcome.is_ok()), Some(is_yes), "{ok}");
    }
}
