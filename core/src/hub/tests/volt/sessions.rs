//! Sessions: transports, packets, liveness, the farewell.

use serde_json::json;

use super::super::Rig;
use super::{OPTIONS, REGISTER, REGISTERED, poll_url, polling};
use crate::api::command::Command;
use crate::api::command::WorkCommand;
use crate::api::event::Event;
use crate::api::event::{PeerEvent, SessionEvent};
use crate::base::error::ErrorCode;
use crate::base::json::Raw;
use crate::machine::{ConnInput, ServerInput};
use crate::machine::{Endpoint as _, Input, Machine as _};
use crate::net::{Frame, Method};

#[test]
fn polling_carries_everything_and_upgrades() {
    let mut rig = Rig::new(OPTIONS);
    let sid = polling(&mut rig);
    let poll = rig.ask(Method::Get, &poll_url(&sid), "");
    assert_eq!(rig.status(poll), None, "there is nothing to say yet");
    let post = rig.post(&poll_url(&sid), "40");
    assert_eq!(rig.polled(post).as_deref(), Some("ok"));
    assert!(rig.polled(poll).unwrap().starts_with("40{\"sid\""));
    let probe = rig.upgrade_to(&format!("/socket.io/?EIO=4&transport=websocket&sid={sid}"));
    rig.say(probe, "2probe");
    assert_eq!(rig.said(probe), ["3probe"]);
    let poll = rig.ask(Method::Get, &poll_url(&sid), "");
    rig.post(&poll_url(&sid), REGISTER);
    assert_eq!(rig.polled(poll).as_deref(), Some(REGISTERED), "polling goes on meanwhile");
    let poll = rig.ask(Method::Get, &poll_url(&sid), "");
    rig.pass(100);
    assert_eq!(rig.polled(poll).as_deref(), Some("6"), "a waiting poll is released");
    rig.say(probe, "5");
    rig.call_lab(1, "jobs.run", "");
    assert_eq!(rig.messages(probe).len(), 1, "what comes now comes over WebSocket");
    let late = rig.ask(Method::Get, &poll_url(&sid), "");
    assert_eq!(rig.reply(late)["code"], 3);
}

#[test]
fn bytes_travel_over_polling_and_websocket() {
    let mut rig = Rig::new(OPTIONS);
    rig.hub
        .handle_command(
            Command::Work(WorkCommand::Handle { key: "*".into(), meta: Raw::empty_object() }),
            rig.now(),
        )
        .unwrap();
    let sid = polling(&mut rig);
    rig.post(&poll_url(&sid), "40");
    rig.post(&poll_url(&sid), REGISTER);
    let text = r#"451-["team-cluster-daemon:message",{"type":"tunnel-data","chunk":{"_placeholder":true,"num":0}}]"#;
    rig.post(&poll_url(&sid), &format!("{text}\u{1e}bAQI="));
    let blobs = rig.events.iter().find_map(|event| match event {
        Event::Peer(PeerEvent::Message { payload, .. }) => Some(payload.blobs().to_vec()),
        _ => None,
    });
    assert_eq!(blobs, Some(vec![bytes::Bytes::from_static(&[1, 2])]));
    let payload = Raw::parse(r#"{"chunk":{"_placeholder":true,"num":0}}"#).unwrap();
    let payload = payload.with_blobs(vec![bytes::Bytes::from_static(&[3])]);
    let poll = rig.ask(Method::Get, &poll_url(&sid), "");
    assert!(rig.polled(poll).unwrap().contains("registered"));
    rig.hub.handle_command(Command::Emit { name: "lab".into(), payload }, rig.now()).unwrap();
    rig.drain();
    let poll = rig.ask(Method::Get, &poll_url(&sid), "");
    let body = rig.polled(poll).unwrap();
    assert!(body.starts_with("451-[") && body.ends_with("\u{1e}bAw=="), "{body}");
}

#[test]
fn requests_that_fit_no_session_are_declined_as_by_the_original() {
    let mut rig = Rig::new(OPTIONS);
    let cases = [
        (Method::Get, "/socket.io/?EIO=4&transport=carrier-pigeon", 0),
        (Method::Get, "/socket.io/?EIO=4&transport=polling&sid=nobody", 1),
        (Method::Post, "/socket.io/?EIO=4&transport=polling", 2),
        (Method::Get, "/socket.io/?EIO=4&transport=websocket", 3),
        (Method::Get, "/socket.io/?EIO=3&transport=polling", 5),
    ];
    for (method, url, code) in cases {
        let http = rig.ask(method, url, "");
        assert_eq!(rig.status(http), Some(400));
        assert_eq!(rig.reply(http)["code"], code, "{url}");
    }
}

#[test]
fn other_namespaces_are_invalid() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.upgrade_to("/socket.io/?EIO=4&transport=websocket");
    rig.said(conn);
    rig.say(conn, "40/control,");
    assert_eq!(rig.said(conn), [r#"44/control,{"message":"Invalid namespace"}"#]);
    rig.pass(45_000);
    assert!(rig.closed.contains_key(&conn), "it joined no namespace in time");
}

#[test]
fn a_session_that_never_registers_is_told_so_and_closed() {
    const TOLD: &str = r#"42["error",{"code":"Registration::Timeout","message":"Registration::Timeout","details":"The daemon did not register within 30000 ms"}]"#;
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.socket();
    rig.pass(25_000);
    assert_eq!(rig.said(conn), ["2"]);
    rig.say(conn, "3");
    rig.pass(4_999);
    assert!(!rig.closed.contains_key(&conn));
    rig.pass(1);
    assert_eq!(rig.said(conn), [TOLD]);
    assert!(rig.closed.contains_key(&conn));
    let sid = polling(&mut rig);
    rig.post(&poll_url(&sid), "40");
    let poll = rig.ask(Method::Get, &poll_url(&sid), "");
    assert!(rig.polled(poll).unwrap().starts_with("40"));
    rig.pass(25_000);
    rig.ask(Method::Get, &poll_url(&sid), "");
    rig.post(&poll_url(&sid), "3");
    let poll = rig.ask(Method::Get, &poll_url(&sid), "");
    rig.pass(5_000);
    assert_eq!(rig.polled(poll), Some(format!("{TOLD}\u{1e}1")));
}

#[test]
fn the_time_to_register_begins_once_and_ends_with_the_registration() {
    let mut rig = Rig::new(&OPTIONS.replacen(
        r#"{"volt":{"#,
        r#"{"volt":{"registration_timeout_ms":1000,"#,
        1,
    ));
    let (conn, wrong, daemon) = (rig.socket(), rig.socket(), rig.socket());
    rig.pass(900);
    rig.say(conn, "41");
    rig.say(conn, "40");
    rig.say(wrong, &REGISTER.replace("pw", "no"));
    rig.say(daemon, REGISTER);
    rig.pass(100);
    assert!(rig.closed.contains_key(&conn), "leaving and joining again wins no time");
    assert!(rig.closed.contains_key(&wrong), "a refused registration is none");
    rig.say(daemon, "41");
    rig.say(daemon, "40");
    rig.pass(10_000);
    assert!(!rig.closed.contains_key(&daemon), "it has shown who it is");
}

#[test]
fn a_session_that_does_not_answer_pings_ends() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.daemon();
    rig.pass(25_000);
    assert_eq!(rig.said(conn), ["2"]);
    rig.say(conn, "3");
    rig.pass(25_000);
    assert_eq!(rig.said(conn), ["2"]);
    rig.pass(59_999);
    assert!(!rig.closed.contains_key(&conn));
    rig.pass(1);
    assert!(rig.closed.contains_key(&conn));
}

#[test]
fn a_hub_that_slept_gives_its_daemons_time_to_answer() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.daemon();
    rig.pass(25_000);
    assert_eq!(rig.said(conn), ["2"]);
    rig.now += 600_000;
    let now = rig.now();
    rig.hub.handle_timeout(now);
    rig.drain();
    assert!(!rig.closed.contains_key(&conn), "nobody could have answered");
    rig.pass(59_999);
    assert!(!rig.closed.contains_key(&conn));
    rig.pass(1);
    assert!(rig.closed.contains_key(&conn), "now it had its time");
}

#[test]
fn what_cannot_be_read_ends_the_session() {
    for text in ["9", "2", "42[", "43/x,1[]", "4511-[\"e\"]", "40"] {
        let mut rig = Rig::new(OPTIONS);
        let conn = rig.socket();
        rig.say(conn, text);
        assert!(rig.closed.contains_key(&conn), "{text}");
    }
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.socket();
    let frame = Frame::Binary(bytes::Bytes::from_static(b"x"));
    rig.input(Input::Conn(ConnInput::Received { conn, frame }));
    assert!(rig.closed.contains_key(&conn), "bytes that belong to no packet");
}

#[test]
fn two_polls_at_once_end_a_session_and_so_does_a_poll_given_up() {
    let mut rig = Rig::new(OPTIONS);
    let sid = polling(&mut rig);
    let first = rig.ask(Method::Get, &poll_url(&sid), "");
    let second = rig.ask(Method::Get, &poll_url(&sid), "");
    assert_eq!(rig.polled(first).as_deref(), Some("1"));
    assert_eq!(rig.reply(second)["code"], 3);
    let sid = polling(&mut rig);
    let poll = rig.ask(Method::Get, &poll_url(&sid), "");
    rig.input(Input::Server(ServerInput::Gone { http: poll }));
    let http = rig.ask(Method::Get, &poll_url(&sid), "");
    assert_eq!(rig.reply(http)["code"], 1);
}

#[test]
fn a_client_closes_its_polling_session() {
    let mut rig = Rig::new(OPTIONS);
    let sid = polling(&mut rig);
    let poll = rig.ask(Method::Get, &poll_url(&sid), "");
    let post = rig.post(&poll_url(&sid), "1");
    assert_eq!(rig.polled(post).as_deref(), Some("ok"));
    assert!(rig.polled(poll).is_some());
}

#[test]
fn sessions_without_a_registration_are_limited_by_address() {
    let mut rig = Rig::new(&OPTIONS.replacen('{', r#"{"max_unadmitted_per_address":2,"#, 1));
    let daemon = rig.daemon();
    let kept = [polling(&mut rig), polling(&mut rig)];
    let http = rig.ask(Method::Get, "/socket.io/?EIO=4&transport=polling", "");
    assert_eq!(rig.status(http), Some(503), "{kept:?} {daemon:?}");
    assert_eq!(rig.replies[&http].headers.first("retry-after"), Some("1"));
    let told = "127.0.0.1: Too many connections, or too many that have not registered.";
    assert_eq!(rig.notices(), [told]);
}

#[test]
fn a_stop_says_41_so_that_daemons_come_back() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.daemon();
    rig.call_lab(1, "a", "");
    let id = rig.messages(conn)[0]["requestId"].clone();
    rig.hub.handle_command(Command::Stop { drain_ms: 10_000 }, rig.now()).unwrap();
    rig.drain();
    assert!(rig.said(conn).is_empty(), "what was asked is waited for");
    rig.call_lab(2, "b", "");
    assert_eq!(rig.code(2), Some(ErrorCode::Stopped));
    rig.message(conn, &json!({"type":"response","requestId":id,"ok":true,"status":200}));
    assert_eq!(rig.outcome(1), Some(Ok(r#"{"Status":200}"#.to_owned())));
    assert_eq!(rig.said(conn), ["41"]);
    assert!(rig.closed.contains_key(&conn));
    assert!(matches!(rig.events.last(), Some(Event::Session(SessionEvent::Ended { error: None }))));
}

#[test]
fn a_polling_daemon_is_told_too() {
    let mut rig = Rig::new(OPTIONS);
    let sid = polling(&mut rig);
    rig.post(&poll_url(&sid), &format!("40\u{1e}{REGISTER}"));
    let first = rig.ask(Method::Get, &poll_url(&sid), "");
    assert!(rig.polled(first).unwrap().contains(REGISTERED));
    let poll = rig.ask(Method::Get, &poll_url(&sid), "");
    rig.hub.handle_command(Command::Stop { drain_ms: 0 }, rig.now()).unwrap();
    rig.drain();
    assert_eq!(rig.polled(poll).as_deref(), Some("41"));
}

#[test]
fn little_waits_for_the_polls_of_whoever_has_not_registered() {
    let mut rig = Rig::new(OPTIONS);
    let sid = polling(&mut rig);
    let asks = |rig: &mut Rig| {
        let http = rig.post(&poll_url(&sid), &["40/a,"; 100].join("\u{1e}"));
        rig.status(http)
    };
    let taken = std::iter::repeat_with(|| asks(&mut rig)).take_while(|status| *status == Some(200));
    assert_eq!(taken.take(100).count(), 4, "64 KiB of a hundred answers each");
}
