//! K10: cancellations as hubs of others ask for them. Source: `ultravisor` 1.3.27.

use super::*;
use crate::api::command::WorkCommand;
use crate::api::event::WorkEvent;

const CANCEL: &str = r#"{"EventType":"Cancel","WorkItemHash":"wi-1","Reason":"enough"}"#;

fn heard(hash: &str) -> String {
    format!(r#"{{"Action":"WorkCancelAck","WorkItemHash":"{hash}","BeaconID":"bcn-1"}}"#)
}

fn stopped(hash: &str) -> String {
    format!(
        r#"{{"Action":"WorkCanceled","WorkItemHash":"{hash}","Reason":"the hub asked for it","AttemptNumber":1}}"#
    )
}

#[test]
fn a_cancellation_is_heard_at_once_and_reported_when_the_handler_has_stopped() {
    let (mut bench, conn) = Bench::ready("");
    bench.push(conn, "wi-1", 1);
    let (work, _) = bench.work();
    bench.say(conn, CANCEL);
    assert_eq!(bench.text(conn), heard("wi-1"));
    let Event::Work(WorkEvent::Withdrawn { why, .. }) = bench.event() else { panic!() };
    assert_eq!(why, Withdrawal::Cancelled);
    bench.say(conn, CANCEL);
    assert_eq!(bench.text(conn), heard("wi-1"), "asked again while it stops");
    bench.quiet();
    bench
        .command(Command::Work(WorkCommand::Complete { work, outcome: Outcome::Cancelled }))
        .unwrap();
    assert_eq!(bench.text(conn), stopped("wi-1"));
    bench.quiet();
}

#[test]
fn what_waits_or_is_not_known_has_stopped_already() {
    let (mut bench, conn) = Bench::ready("");
    bench.push(conn, "wi-0", 1);
    bench.work();
    bench.push(conn, "wi-1", 1);
    for _ in 0..2 {
        bench.say(conn, CANCEL);
        assert_eq!(bench.text(conn), heard("wi-1"));
        assert_eq!(bench.text(conn), stopped("wi-1"));
    }
    bench.quiet();
}

#[test]
fn a_handler_that_does_not_stop_loses_its_slot_and_the_hub_hears_of_it() {
    let (mut bench, conn) = Bench::ready("");
    bench.push(conn, "wi-1", 1);
    bench.work();
    bench.say(conn, CANCEL);
    bench.rest();
    bench.pass(10_000);
    assert_eq!(bench.text(conn), stopped("wi-1"));
}

#[test]
fn answers_to_requests_ask_to_stop_too() {
    let cancels = r#""Cancels":[{"WorkItemHash":"wi-1","Reason":"enough"}]"#;
    for (path, answer) in [
        ("/Poll", format!(r#"{{"WorkItem":null,{cancels}}}"#)),
        ("/Heartbeat", format!(r#"{{"BeaconID":"bcn-1",{cancels}}}"#)),
        ("/Progress", r#"{"Success":true,"CancelRequested":true,"CancelReason":"x"}"#.to_owned()),
    ] {
        let mut bench = polling::polling(
            r#"{"max_concurrent":2,"heartbeat_interval_ms":1000,"life_sign_interval_ms":1000}"#,
        );
        let (http, _) = asked_at(&mut bench, "/Poll");
        bench.answer(http, 200, &polling::item("wi-1"));
        let (work, _) = bench.work();
        bench.pass(1_000);
        let (http, _) = asked_at(&mut bench, path);
        bench.answer(http, 200, &answer);
        assert!(matches!(bench.event(), Event::Work(WorkEvent::Withdrawn { .. })), "{path}");
        let (_, request) = asked_at(&mut bench, "/CancelAck");
        assert_eq!(request.body, r#"{"BeaconID":"bcn-1"}"#);
        bench
            .command(Command::Work(WorkCommand::Complete { work, outcome: Outcome::Cancelled }))
            .unwrap();
        let (_, request) = asked_at(&mut bench, "/Canceled");
        assert!(request.url.contains("/Beacon/Work/wi-1/"), "{}", request.url);
    }
}

/// Takes the call to a path that ends so.
fn asked_at(bench: &mut Bench, end: &str) -> (crate::base::ids::HttpId, crate::net::HttpRequest) {
    for _ in 0..8 {
        let (http, request) = bench.asked();
        if request.url.ends_with(end) {
            return (http, request);
        }
        bench.put_back(http, request);
    }
    panic!("nothing is asked at {end}")
}
