//! The orderly end, at every moment of a session's life.

use super::ready_with_acks;
use crate::api::command::WorkCommand;
use crate::api::command::{Command, Outcome};
use crate::api::event::{Event, Withdrawal};
use crate::api::event::{SessionEvent, WorkEvent};
use crate::base::error::ErrorCode;
use crate::base::ids::ConnId;
use crate::dialect::beacon::bench::Bench;
use crate::machine::ConnInput;
use crate::machine::{CloseCause, Input, Output};
use crate::net::Frame;

const TAKEN: &str = r#"{"EventType":"WorkTaken","Items":[{"WorkItemHash":"wi-1","Taken":true}]}"#;

#[test]
fn a_drain_finishes_running_work_flushes_and_says_farewell() {
    let (mut bench, conn) = ready_with_acks("");
    bench.push(conn, "wi-1", 1);
    bench.push(conn, "wi-2", 1);
    let (work, _) = bench.work();
    stop(&mut bench, 30_000);
    assert!(matches!(
        bench.event(),
        Event::Session(SessionEvent::Draining { in_flight: 1, outbox: 0 })
    ));
    bench.pass(0);
    assert!(bench.text(conn).contains("\"Draining\":true"));
    bench.push(conn, "wi-3", 1);
    bench.quiet();
    bench.pass(1_000);
    assert!(bench.text(conn).contains("BeaconRegister"), "wi-3 is not taken");
    bench.done(work, "{}");
    assert!(bench.text(conn).contains("WorkComplete"));
    assert!(matches!(
        bench.event(),
        Event::Session(SessionEvent::Draining { in_flight: 0, outbox: 1 })
    ));
    bench.quiet();
    bench.say(conn, TAKEN);
    assert!(matches!(
        bench.event(),
        Event::Session(SessionEvent::Draining { in_flight: 0, outbox: 0 })
    ));
    farewell(&mut bench, conn);
    assert!(ended(&mut bench).is_none());
}

#[test]
fn work_that_outlasts_the_drain_is_handed_back() {
    let (mut bench, conn) = ready_with_acks("");
    bench.push(conn, "wi-1", 1);
    let (work, _) = bench.work();
    stop(&mut bench, 1_000);
    bench.pass(999);
    assert!(
        !bench
            .rest()
            .iter()
            .any(|o| matches!(o, Output::Event(Event::Work(WorkEvent::Withdrawn { .. }))))
    );
    bench.pass(1);
    assert!(matches!(
        bench.event(),
        Event::Work(WorkEvent::Withdrawn { why: Withdrawal::Draining, .. })
    ));
    bench
        .command(Command::Work(WorkCommand::Complete { work, outcome: Outcome::Cancelled }))
        .unwrap();
    farewell(&mut bench, conn);
    assert_eq!(ended(&mut bench).unwrap().code(), ErrorCode::DrainTimeout);
}

#[test]
fn a_hub_without_acknowledgements_is_asked_for_evidence_first() {
    let (mut bench, conn) = Bench::ready("");
    bench.push(conn, "wi-1", 1);
    let (work, _) = bench.work();
    bench.done(work, "{}");
    stop(&mut bench, 10_000);
    bench.pass(0);
    let ping = bench.pinged(conn);
    bench.rest();
    bench.pong(conn, ping);
    bench.event();
    farewell(&mut bench, conn);
    assert!(ended(&mut bench).is_none());
}

#[test]
fn a_worker_that_is_forgotten_while_it_drains_does_not_come_back() {
    let (mut bench, conn) = ready_with_acks("");
    bench.push(conn, "wi-1", 1);
    let (work, _) = bench.work();
    stop(&mut bench, 10_000);
    bench.pass(2_000);
    bench.rest();
    bench.say(conn, r#"{"EventType":"Deregistered"}"#);
    bench.quiet();
    bench.done(work, "{}");
    assert!(bench.text(conn).contains("WorkComplete"));
    bench.rest();
    bench.say(conn, TAKEN);
    farewell(&mut bench, conn);
    assert!(ended(&mut bench).is_none());
}

#[test]
fn a_stop_before_the_start_ends_at_once() {
    let mut bench = Bench::worker("");
    stop(&mut bench, 1_000);
    assert!(ended(&mut bench).is_none());
    let error = bench.command(Command::Start).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Stopped);
}

#[test]
fn a_stop_wins_over_a_pending_reconnection() {
    let (mut bench, conn) = Bench::ready("");
    bench.cut(conn);
    bench.event();
    stop(&mut bench, 10_000);
    bench.pass(60_000);
    let rest = bench.rest();
    assert!(!rest.iter().any(|o| matches!(o, Output::Dial { .. } | Output::HttpCall { .. })));
    assert!(
        rest.iter().any(|o| matches!(
            o,
            Output::Event(Event::Session(SessionEvent::Ended { error: None }))
        ))
    );
    assert!(bench.machine.poll_timeout().is_none());
}

#[test]
fn a_stop_while_outcomes_wait_tries_at_once_to_bring_them_home() {
    let (mut bench, conn) = Bench::ready("");
    bench.push(conn, "wi-1", 1);
    let (work, _) = bench.work();
    bench.cut(conn);
    bench.event();
    bench.done(work, "{}");
    stop(&mut bench, 10_000);
    bench.answer_login();
    let conn = bench.dialed();
    bench.input(Input::Conn(ConnInput::Opened { conn }));
    bench.text(conn);
    bench.say(
        conn,
        r#"{"EventType":"BeaconRegistered","BeaconID":"bcn-1","Moorline":{"Acks":true}}"#,
    );
    assert!(bench.text(conn).contains("WorkComplete"));
    bench.rest();
    bench.say(conn, TAKEN);
    bench.event();
    farewell(&mut bench, conn);
    assert!(ended(&mut bench).is_none());
}

#[test]
fn outcomes_that_nobody_took_are_named_at_the_end() {
    let (mut bench, conn) = Bench::ready("");
    bench.push(conn, "wi-1", 1);
    let (work, _) = bench.work();
    bench.cut(conn);
    bench.done(work, "{}");
    stop(&mut bench, 1_000);
    bench.rest();
    bench.pass(3_000);
    let end = |o: &Output| {
        matches!(o, Output::Event(Event::Session(SessionEvent::Ended { error: Some(_) })))
    };
    assert!(bench.rest().iter().any(end));
}

#[test]
fn a_stop_during_the_login_cancels_it() {
    let mut bench = Bench::worker("");
    bench.command(Command::Start).unwrap();
    let (http, _) = bench.asked();
    stop(&mut bench, 10_000);
    let rest = bench.rest();
    assert!(rest.iter().any(|o| matches!(o, Output::HttpCancel { http: id } if *id == http)));
    assert!(
        rest.iter().any(|o| matches!(
            o,
            Output::Event(Event::Session(SessionEvent::Ended { error: None }))
        ))
    );
}

#[test]
fn a_stop_during_the_greeting_waits_for_it_and_leaves() {
    let mut bench = Bench::worker("");
    bench.command(Command::Start).unwrap();
    bench.answer_login();
    let conn = bench.dialed();
    bench.input(Input::Conn(ConnInput::Opened { conn }));
    bench.text(conn);
    stop(&mut bench, 10_000);
    bench.say(conn, r#"{"EventType":"BeaconRegistered","BeaconID":"bcn-1"}"#);
    farewell(&mut bench, conn);
}

#[test]
fn a_silent_hub_does_not_hold_up_the_end() {
    let (mut bench, conn) = Bench::ready("");
    stop(&mut bench, 0);
    assert!(bench.text(conn).contains("Deregister"));
    bench.rest();
    bench.pass(2_000);
    assert_eq!(bench.closed().0, conn);
    bench.pass(2_000);
    assert!(ended(&mut bench).is_none());
    bench.quiet();
}

#[test]
fn a_second_stop_can_only_shorten_the_drain() {
    let (mut bench, conn) = ready_with_acks("");
    bench.push(conn, "wi-1", 1);
    bench.work();
    stop(&mut bench, 60_000);
    stop(&mut bench, 500);
    stop(&mut bench, 60_000);
    bench.rest();
    bench.pass(500);
    let withdrawn =
        |o: &Output| matches!(o, Output::Event(Event::Work(WorkEvent::Withdrawn { .. })));
    assert!(bench.rest().iter().any(withdrawn));
}

fn stop(bench: &mut Bench, drain_ms: u64) {
    bench.command(Command::Stop { drain_ms }).unwrap();
}

fn farewell(bench: &mut Bench, conn: ConnId) {
    assert_eq!(bench.text(conn), r#"{"Action":"Deregister","BeaconID":"bcn-1"}"#);
    bench.say(conn, r#"{"EventType":"Deregistered"}"#);
    assert_eq!(bench.closed(), (conn, 1000));
    bench.input(Input::Conn(ConnInput::Received { conn, frame: Frame::Ping(Default::default()) }));
    bench.input(Input::Conn(ConnInput::Closed { conn, cause: CloseCause::Local }));
}

fn ended(bench: &mut Bench) -> Option<crate::base::error::Error> {
    loop {
        if let Event::Session(SessionEvent::Ended { error }) = bench.event() {
            assert!(bench.machine.poll_timeout().is_none());
            return error;
        }
    }
}

#[test]
fn a_push_in_drain_is_given_back_by_a_registration_without_it() {
    let (mut bench, conn) = ready_with_acks("");
    bench.push(conn, "wi-1", 1);
    bench.work();
    stop(&mut bench, 30_000);
    bench.rest();
    bench.push(conn, "wi-2", 1);
    bench.pass(0);
    let announced = |bench: &mut Bench| {
        let all = bench.rest().into_iter();
        let texts = all.filter_map(|output| {
            if let Output::Send { frame: Frame::Text(text), .. } = output {
                return Some(text.to_string());
            }
            None
        });
        texts.filter(|text| text.contains("BeaconRegister")).collect::<Vec<_>>()
    };
    let said = announced(&mut bench);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(r#""Draining":true"#), "{said:?}");
    assert!(said[0].contains("wi-1") && !said[0].contains("wi-2"), "{said:?}");
    bench.say(
        conn,
        r#"{"EventType":"BeaconRegistered","BeaconID":"bcn-1","Moorline":{"Acks":true}}"#,
    );
    for key in ["Echo/Say", "No/Such"] {
        let key = key.to_owned();
        bench.command(Command::Work(WorkCommand::Unhandle { key })).unwrap();
    }
    let (key, meta) = ("Math/Add".to_owned(), crate::base::json::Raw::empty_object());
    let late = bench.command(Command::Work(WorkCommand::Handle { key, meta })).unwrap_err();
    assert_eq!(late.code(), ErrorCode::Stopped);
    bench.pass(0);
    assert!(announced(&mut bench).is_empty(), "what is offered is of no interest any more");
}
