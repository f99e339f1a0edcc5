//! What is sent to a daemon leaves as fast as the daemon takes it.

use serde_json::json;

use super::super::Rig;
use super::{OPTIONS, REGISTER, poll_url, polling};
use crate::api::command::Command;
use crate::api::event::{CallEvent, Event, SessionEvent};
use crate::base::error::ErrorCode;
use crate::base::ids::ConnId;
use crate::base::json::Raw;
use crate::machine::{ConnInput, Endpoint as _, Input};
use crate::net::Method;

fn text(bytes: usize) -> Raw {
    Raw::parse(format!("{{\"pad\":\"{}\"}}", "x".repeat(bytes))).unwrap()
}

impl Rig {
    fn send_lab(&mut self, bytes: usize) -> Result<(), ErrorCode> {
        let command = Command::Emit { name: "lab".into(), payload: text(bytes) };
        let sent = self.hub.handle_command(command, self.now()).map_err(|error| error.code());
        self.drain();
        sent
    }

    fn takes(&mut self, conn: ConnId) {
        self.input(Input::Conn(ConnInput::Sent { conn }));
    }

    fn is_done(&self, id: u64) -> bool {
        let is_it = |event: &Event| matches!(event, Event::Call(CallEvent::Done { call, result: Ok(_) }) if call.0 == id);
        self.events.iter().any(is_it)
    }
}

#[test]
fn messages_wait_for_a_daemon_that_is_slow_and_none_is_lost() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.daemon();
    for _ in 0..300 {
        assert_eq!(rig.send_lab(64_000), Ok(()));
    }
    rig.call_lab(1, "$sent", "");
    let mut sum = rig.messages(conn).len();
    assert!((1..20).contains(&sum), "{sum}");
    while sum < 300 {
        assert!(!rig.is_done(1));
        rig.takes(conn);
        let more = rig.messages(conn).len();
        assert!((1..20).contains(&more), "{more}");
        sum += more;
    }
    rig.takes(conn);
    assert!(rig.is_done(1) && !rig.closed.contains_key(&conn));
}

#[test]
fn what_is_too_much_is_refused_and_the_connection_stays() {
    let mut rig = Rig::new(&OPTIONS.replacen(
        '{',
        r#"{"limits":{"max_send_queue_bytes":131072,"max_message_bytes":65536},"#,
        1,
    ));
    let conn = rig.daemon();
    let taken = (0..50).take_while(|_| rig.send_lab(10_000).is_ok()).count();
    assert!((13..25).contains(&taken), "{taken}");
    assert_eq!(rig.send_lab(1), Err(ErrorCode::Overloaded));
    rig.call_lab(1, "a", "");
    assert_eq!(rig.code(1), Some(ErrorCode::Overloaded));
    let http = rig.post("/Moorline/Volt/Daemons/lab/Call", r#"{"Command":"b"}"#);
    assert_eq!(rig.status(http), Some(503));
    for _ in 0..10 {
        rig.takes(conn);
    }
    assert_eq!(rig.messages(conn).len(), taken);
    assert_eq!(rig.send_lab(1), Ok(()));
    assert!(!rig.closed.contains_key(&conn));
}

#[test]
fn a_message_larger_than_everything_that_may_wait_goes_alone() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.daemon();
    assert_eq!(rig.send_lab(40_000_000), Ok(()));
    rig.takes(conn);
    assert_eq!(rig.messages(conn).len(), 1);
    let sid = polling(&mut rig);
    rig.post(&poll_url(&sid), &format!("40\u{1e}{REGISTER}"));
    rig.ask(Method::Get, &poll_url(&sid), "");
    let poll = rig.ask(Method::Get, &poll_url(&sid), "");
    assert_eq!(rig.send_lab(40_000_000), Ok(()));
    assert!(rig.polled(poll).is_some_and(|body| body.len() > 40_000_000));
    assert_eq!(rig.send_lab(40_000_000), Ok(()), "one may wait for the next poll");
    assert_eq!(rig.send_lab(1), Err(ErrorCode::Overloaded));
    let poll = rig.ask(Method::Get, &poll_url(&sid), "");
    assert!(rig.polled(poll).is_some_and(|body| body.len() > 40_000_000));
}

#[test]
fn polls_are_answered_in_parts_and_then_all_has_left() {
    let mut rig = Rig::new(OPTIONS);
    let sid = polling(&mut rig);
    rig.post(&poll_url(&sid), &format!("40\u{1e}{REGISTER}"));
    rig.ask(Method::Get, &poll_url(&sid), "");
    for _ in 0..100 {
        assert_eq!(rig.send_lab(64_000), Ok(()));
    }
    rig.call_lab(1, "$sent", "");
    let mut sum = 0;
    while sum < 100 {
        assert!(!rig.is_done(1));
        let poll = rig.ask(Method::Get, &poll_url(&sid), "");
        let body = rig.polled(poll).unwrap();
        assert!(body.len() <= 1_048_576);
        sum += body.split('\u{1e}').count();
    }
    assert!(rig.is_done(1));
}

#[test]
fn whether_what_was_sent_has_left_is_unknown_when_the_daemon_is_lost() {
    let mut rig = Rig::new(OPTIONS);
    rig.call_lab(1, "$sent", "");
    assert_eq!(rig.code(1), Some(ErrorCode::NotReady));
    let conn = rig.daemon();
    rig.call_lab(2, "$sent", "");
    rig.takes(conn);
    assert!(rig.is_done(2));
    rig.send_lab(2_000_000).unwrap();
    rig.call_lab(3, "$sent", "");
    rig.cut(conn);
    assert_eq!(rig.code(3), Some(ErrorCode::NotReady));
}

#[test]
fn a_ping_passes_what_waits() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.daemon();
    for _ in 0..100 {
        rig.send_lab(64_000).unwrap();
    }
    rig.said(conn);
    rig.pass(25_000);
    assert_eq!(rig.said(conn), ["2"]);
}

#[test]
fn a_daemon_that_asks_and_does_not_read_is_told_from_one_that_is_slow() {
    let mut rig = Rig::new(&OPTIONS.replacen(
        '{',
        r#"{"limits":{"max_send_queue_bytes":131072,"max_message_bytes":65536},"#,
        1,
    ));
    let conn = rig.daemon();
    for number in 0..2_000 {
        rig.message(
            conn,
            &json!({"type":"command","requestId":format!("r{number}"),"command":"a"}),
        );
    }
    assert!(rig.closed.contains_key(&conn));
    let named = rig.events.iter().any(|event| {
        matches!(event, Event::Session(SessionEvent::Notice { error }) if error.message().contains("limits.max_send_queue_bytes"))
    });
    assert!(named);
}

#[test]
fn a_daemon_that_is_not_read_is_not_taken_for_dead() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.daemon();
    for _ in 0..10 {
        rig.pass(25_000);
        rig.input(Input::Conn(ConnInput::Held { conn }));
    }
    assert!(!rig.closed.contains_key(&conn));
    rig.pass(85_000);
    assert!(rig.closed.contains_key(&conn));
}
