//! A link that stands on HTTP requests, and the way to it and back.

use crate::api::command::WorkCommand;
use crate::api::command::{Command, Outcome};
use crate::api::event::Event;
use crate::api::event::{SessionEvent, Transport};
use crate::base::error::ErrorCode;
use crate::base::ids::HttpId;
use crate::dialect::beacon::bench::{Bench, work};
use crate::machine::ConnInput;
use crate::machine::{CloseCause, Input, Output};

const NO_WORK: &str = r#"{"WorkItem":null}"#;

#[test]
fn a_refused_upgrade_falls_back_to_polling_and_comes_back_when_it_works() {
    let mut bench = Bench::worker(r#"{"upgrade_interval_ms":60000,"poll_interval_ms":3600000}"#);
    bench.handle("Echo/Say");
    bench.command(Command::Start).unwrap();
    bench.answer_login();
    let conn = bench.dialed();
    bench
        .input(Input::Conn(ConnInput::Closed { conn, cause: CloseCause::Refused { status: 503 } }));
    register(&mut bench, "");
    let (poll, _) = polled(&mut bench);
    bench.answer(poll, 200, NO_WORK);
    bench.rest();

    bench.pass(60_000);
    let conn = bench.dialed();
    bench.rest();
    bench.input(Input::Conn(ConnInput::Opened { conn }));
    assert!(bench.text(conn).contains("BeaconRegister"));
    bench.say(conn, r#"{"EventType":"BeaconRegistered","BeaconID":"bcn-1"}"#);
    assert!(matches!(
        bench.event(),
        Event::Session(SessionEvent::Ready { transport: Transport::WebSocket, .. })
    ));
    bench.pass(10_000);
    bench.quiet();
}

#[test]
fn an_upgrade_that_fails_leaves_polling_alone_and_is_tried_again() {
    let mut bench = polling(r#"{"poll_interval_ms":3600000,"heartbeat_interval_ms":3600000}"#);
    let (poll, _) = polled(&mut bench);
    bench.answer(poll, 200, NO_WORK);
    for _ in 0..3 {
        bench.pass(60_000);
        let conn = bench.dialed();
        bench.quiet();
        bench.input(Input::Conn(ConnInput::Closed {
            conn,
            cause: CloseCause::Refused { status: 503 },
        }));
        assert_eq!(bench.state()["transport"], "polling");
    }
}

#[test]
fn the_poll_that_is_under_way_during_an_upgrade_still_counts() {
    let mut bench = polling(r#"{"upgrade_interval_ms":1000}"#);
    let (poll, _) = polled(&mut bench);
    bench.pass(1_000);
    let conn = bench.dialed();
    bench.input(Input::Conn(ConnInput::Opened { conn }));
    bench.answer(poll, 200, &item("wi-1"));
    bench.work();
    assert_eq!(bench.state()["in_flight"], 1);
}

#[test]
fn work_is_asked_for_again_at_once_after_an_item_and_after_a_completion() {
    let mut bench = polling(r#"{"max_concurrent":2}"#);
    let (poll, _) = polled(&mut bench);
    bench.answer(poll, 200, &item("wi-1"));
    let (first, _) = bench.work();
    let (poll, _) = polled(&mut bench);
    bench.answer(poll, 200, &item("wi-2"));
    bench.work();
    bench.quiet();
    bench.done(first, "{}");
    let (report, request) = bench.asked();
    assert!(request.url.ends_with("/Beacon/Work/wi-1/Complete"));
    assert_eq!(request.body, r#"{"Outputs":{},"Log":[],"AttemptNumber":1,"BeaconID":"bcn-1"}"#);
    let (poll, _) = polled(&mut bench);
    bench.answer(report, 200, r#"{"Status":"Completed"}"#);
    bench.answer(poll, 200, NO_WORK);
    bench.quiet();
    assert_eq!(bench.state()["outbox"], 0);
    bench.pass(4_999);
    bench.quiet();
    bench.pass(1);
    polled(&mut bench);
}

#[test]
fn unknown_items_are_final_and_absent_control_planes_are_not() {
    let mut bench = polling(r#"{"max_concurrent":2}"#);
    for hash in ["wi-1", "wi-2"] {
        let (poll, _) = polled(&mut bench);
        bench.answer(poll, 200, &item(hash));
        let (work, _) = bench.work();
        bench.done(work, "{}");
        let (report, _) = report(&mut bench);
        if hash == "wi-1" {
            bench.answer(report, 400, r#"{"Error":"Work item [wi-1] not found."}"#);
            let Event::Session(SessionEvent::Notice { error }) = bench.event() else { panic!() };
            assert_eq!(error.code(), ErrorCode::WorkLost);
        } else {
            bench.answer(report, 503, "busy");
        }
    }
    bench.rest();
    assert_eq!(bench.state()["outbox"], 1);
    bench.pass(5_000);
    let (report, _) = report(&mut bench);
    bench.answer(report, 200, "{}");
    assert_eq!(bench.state()["outbox"], 0);
}

#[test]
fn two_failures_in_a_row_lose_the_link_and_nothing_else() {
    let mut bench = polling("");
    let (poll, _) = polled(&mut bench);
    bench.answer(poll, 200, &item("wi-1"));
    let (work, _) = bench.work();
    let outcome = Outcome::Failed { message: "boom".into() };
    bench.command(Command::Work(WorkCommand::Complete { work, outcome })).unwrap();
    let (report, request) = report(&mut bench);
    assert!(request.url.ends_with("/Error"));
    let (poll, _) = polled(&mut bench);
    bench.fail(report);
    bench.quiet();
    bench.fail(poll);
    assert!(matches!(bench.event(), Event::Session(SessionEvent::Lost { .. })));
    bench.rest();
    bench.pass(1_000);
    assert_eq!(bench.state()["outbox"], 1);
}

#[test]
fn a_heartbeat_that_is_not_known_registers_again_at_once() {
    let mut bench = polling(r#"{"heartbeat_interval_ms":1000,"poll_interval_ms":3600000}"#);
    let (poll, _) = polled(&mut bench);
    bench.answer(poll, 200, NO_WORK);
    bench.pass(1_000);
    let (beat, request) = bench.asked();
    assert!(request.url.ends_with("/Beacon/bcn-1/Heartbeat"));
    assert_eq!(request.body, r#"{"HostLagMs":0,"InFlight":0}"#);
    bench.answer(beat, 404, r#"{"Error":"Beacon [bcn-1] not found."}"#);
    register(&mut bench, "");
    polled(&mut bench);
}

#[test]
fn an_expired_session_is_renewed_and_a_useless_one_is_not() {
    let mut bench = polling(r#"{"password":"pw"}"#);
    let (poll, _) = polled(&mut bench);
    bench.answer(poll, 200, NO_WORK);
    bench.pass(5_000);
    let (poll, _) = polled(&mut bench);
    bench.answer(poll, 401, r#"{"Error":"Authentication required."}"#);
    let (login, _) = bench.asked();
    bench.answer(login, 200, r#"{"LoggedIn":true}"#);
    fall_back(&mut bench);
    let (http, _) = bench.asked();
    bench.answer(http, 401, "{}");
    let Event::Session(SessionEvent::Lost { reason, .. }) = lost(&mut bench) else { panic!() };
    assert_eq!(reason.code(), ErrorCode::AuthenticationFailed);
}

#[test]
fn a_poll_that_is_not_known_registers_again_at_once() {
    let mut bench = polling("");
    bench.skip(1_000);
    let (poll, _) = polled(&mut bench);
    bench.answer(poll, 401, r#"{"Error":"Beacon [bcn-1] not found."}"#);
    register(&mut bench, "");
    polled(&mut bench);
}

/// K4.7: as over WebSocket.
#[test]
fn a_login_that_was_never_accepted_ends_the_session() {
    for transport in ["polling", "auto"] {
        let options = format!(r#"{{"password":"wrong","transport":"{transport}"}}"#);
        let mut bench = Bench::worker(&options);
        bench.command(Command::Start).unwrap();
        bench.answer_login();
        bench.event();
        if transport == "auto" {
            fall_back(&mut bench);
        }
        let (http, _) = bench.asked();
        bench.answer(http, 401, r#"{"Error":"Authentication required.","LoggedIn":false}"#);
        let Event::Session(SessionEvent::Ended { error: Some(error) }) = bench.event() else {
            panic!()
        };
        assert_eq!(error.code(), ErrorCode::AuthenticationFailed);
    }
}

#[test]
fn handlers_whose_announcement_failed_are_announced_again() {
    let mut bench = polling(r#"{"poll_interval_ms":1000,"heartbeat_interval_ms":3600000}"#);
    let (poll, _) = polled(&mut bench);
    bench.answer(poll, 200, NO_WORK);
    bench.handle("Echo/Late");
    bench.pass(0);
    let (http, _) = bench.asked();
    bench.answer(http, 503, "busy");
    bench.pass(1_000);
    let (_, request) = report(&mut bench);
    assert!(request.url.ends_with("/Register"), "{}", request.url);
}

#[test]
fn a_name_that_is_taken_over_http_is_waited_for() {
    let mut bench = polling("");
    bench.skip(1_000);
    let (poll, _) = polled(&mut bench);
    bench.answer(poll, 401, r#"{"Error":"Beacon [bcn-1] not found."}"#);
    let (http, request) = bench.asked();
    assert!(request.url.ends_with("/Beacon/Register"));
    bench.answer(http, 409, r#"{"Error":"Another worker registered this name."}"#);
    let Event::Session(SessionEvent::Lost { reason, .. }) = lost(&mut bench) else { panic!() };
    assert_eq!(reason.code(), ErrorCode::NameTaken);
}

#[test]
fn hostile_hashes_do_not_leave_their_path_segment() {
    let mut bench = polling("");
    let (poll, _) = polled(&mut bench);
    bench.answer(poll, 200, &item("../x?y"));
    let (work, _) = bench.work();
    bench.done(work, "{}");
    let (_, request) = report(&mut bench);
    assert!(request.url.ends_with("/Beacon/Work/..%2Fx%3Fy/Complete"), "{}", request.url);
}

#[test]
fn progress_over_http_is_bare_and_its_refusal_harmless() {
    let mut bench = polling("");
    let (poll, _) = polled(&mut bench);
    bench.answer(poll, 200, &item("wi-1"));
    let (work, _) = bench.work();
    let report = crate::base::json::Raw::parse(r#"{"Percent":50}"#).unwrap();
    bench.command(Command::Work(WorkCommand::Progress { work, report })).unwrap();
    let (http, request) = bench.asked();
    assert_eq!(request.body, r#"{"Percent":50,"AttemptNumber":1,"BeaconID":"bcn-1"}"#);
    bench.answer(http, 404, r#"{"Error":"not running"}"#);
    bench.quiet();
    assert_eq!(bench.state()["state"], "ready");
}

#[test]
fn a_driver_that_never_answers_is_not_waited_for() {
    let mut bench = polling("");
    let (poll, _) = polled(&mut bench);
    bench.pass(16_000);
    let cancelled = |o: &Output| matches!(o, Output::HttpCancel { http } if *http == poll);
    assert!(bench.rest().iter().any(cancelled));
}

#[test]
fn a_worker_on_a_connection_asks_now_and_then_whether_it_is_known() {
    let (mut bench, conn) =
        Bench::ready(r#"{"heartbeat_interval_ms":1000,"ping_interval_ms":3600000}"#);
    bench.pass(4_000);
    let (http, request) = bench.asked();
    assert!(request.url.ends_with("/Beacon/bcn-1"));
    bench.rest();
    bench.answer(http, 404, r#"{"Error":"Beacon [bcn-1] not found."}"#);
    assert!(bench.text(conn).contains("BeaconRegister"));
}

pub(super) fn polling(options: &str) -> Bench {
    let mut bench = Bench::worker(options);
    bench.handle("Echo/Say");
    bench.command(Command::Start).unwrap();
    bench.answer_login();
    fall_back(&mut bench);
    register(&mut bench, "");
    bench
}

fn fall_back(bench: &mut Bench) {
    let conn = bench.dialed();
    bench
        .input(Input::Conn(ConnInput::Closed { conn, cause: CloseCause::Refused { status: 503 } }));
    assert!(matches!(bench.event(), Event::Session(SessionEvent::Notice { .. })));
}

fn register(bench: &mut Bench, extension: &str) {
    let (http, request) = bench.asked();
    assert!(request.url.ends_with("/Beacon/Register"), "{}", request.url);
    assert!(!request.body.starts_with(b"{\"Action\""));
    bench.answer(http, 200, &format!(r#"{{"BeaconID":"bcn-1","Name":"w"{extension}}}"#));
    loop {
        if let Event::Session(SessionEvent::Ready { transport, .. }) = bench.event() {
            assert_eq!(transport, Transport::Polling);
            return;
        }
    }
}

fn polled(bench: &mut Bench) -> (HttpId, crate::net::HttpRequest) {
    let (http, request) = bench.asked();
    assert!(request.url.ends_with("/Beacon/Work/Poll"), "{}", request.url);
    assert_eq!(request.body, r#"{"BeaconID":"bcn-1"}"#);
    (http, request)
}

/// Takes the next report, leaving polls aside.
fn report(bench: &mut Bench) -> (HttpId, crate::net::HttpRequest) {
    loop {
        let (http, request) = bench.asked();
        if !request.url.ends_with("/Poll") {
            return (http, request);
        }
        bench.put_back(http, request);
    }
}

fn lost(bench: &mut Bench) -> Event {
    loop {
        let event = bench.event();
        if matches!(event, Event::Session(SessionEvent::Lost { .. })) {
            return event;
        }
    }
}

pub(super) fn item(hash: &str) -> String {
    work(hash, 1, 0).replace(r#""EventType":"WorkItem","#, "")
}

#[test]
fn progress_over_http_is_said_a_few_at_a_time() {
    let mut bench = polling("");
    let (poll, _) = polled(&mut bench);
    bench.answer(poll, 200, &item("wi-1"));
    let (work, _) = bench.work();
    bench.rest();
    for percent in 0..1_000 {
        let report = crate::base::json::Raw::parse(format!(r#"{{"Percent":{percent}}}"#)).unwrap();
        bench.command(Command::Work(WorkCommand::Progress { work, report })).unwrap();
    }
    let calls =
        bench.rest().iter().filter(|output| matches!(output, Output::HttpCall { .. })).count();
    assert_eq!(calls, 8);
}
