//! What is refused, and how the hub ends.

use super::*;
use crate::api::event::{CallEvent, SessionEvent};

#[test]
fn too_much_is_refused_with_a_time_to_come_back() {
    let mut rig = Rig::new(r#"{"max_queued":2,"enqueue_burst":3,"enqueue_rate":1}"#);
    let body = r#"{"Capability":"Echo","Action":"Say"}"#;
    rig.enqueue("");
    rig.enqueue("");
    let deep = rig.post("/Beacon/Work/Enqueue", body);
    assert_eq!(
        (rig.status(deep), rig.reply(deep)["Reason"].as_str()),
        (Some(429), Some("queued_depth_exceeded"))
    );
    let often = rig.post("/Beacon/Work/Enqueue", body);
    assert_eq!(rig.reply(often)["Reason"], "client_rate_limit");
    assert_eq!(rig.replies[&often].headers.first("retry-after"), Some("1"));
}

#[test]
fn the_bytes_of_the_queue_are_bounded() {
    let mut rig = Rig::new(r#"{"max_queued_bytes":4096}"#);
    let large = "x".repeat(2_000);
    let body = format!(r#"{{"Capability":"Echo","Action":"Say","Settings":{{"a":"{large}"}}}}"#);
    let first = rig.post("/Beacon/Work/Enqueue", &body);
    let second = rig.post("/Beacon/Work/Enqueue", &body);
    assert_eq!((rig.status(first), rig.status(second)), (Some(200), Some(429)));
}

#[test]
fn long_names_and_bad_bodies_are_refused() {
    let mut rig = Rig::new("{}");
    let long = "n".repeat(257);
    for (url, body, status) in [
        ("/Beacon/Work/Enqueue", format!(r#"{{"Capability":"{long}"}}"#), 400),
        ("/Beacon/Register", format!(r#"{{"Name":"{long}","Capabilities":[]}}"#), 400),
        ("/Beacon/Work/Enqueue", r#"{"Capability":"Echo","Settings":[]}"#.to_owned(), 400),
        ("/Beacon/Work/Dispatch", "{".to_owned(), 400),
        ("/Beacon/Work/Poll", "{".to_owned(), 400),
        ("/Beacon/Work/Complete/Batch", "{}".to_owned(), 400),
        ("/Beacon/Work/Dispatch", r#"{"Capability":"Echo"}"#.to_owned(), 503),
        ("/nothing", "{}".to_owned(), 404),
        ("/status", "{}".to_owned(), 405),
    ] {
        let http = rig.post(url, &body);
        assert_eq!(rig.status(http), Some(status), "{url} {body:.60}");
    }
    let http = rig.post("/Beacon/Work/Dispatch", "{");
    assert_eq!(rig.reply(http)["code"], "InvalidContent");
}

#[test]
fn whoever_does_not_register_in_time_is_closed() {
    let mut rig = Rig::new(r#"{"registration_timeout_ms":1000}"#);
    let idle = rig.connect(Headers::new());
    let worker = rig.worker("w", 1);
    rig.pass(1_000);
    assert_eq!(rig.closed[&idle].0, 1008);
    assert!(!rig.closed.contains_key(&worker));
}

#[test]
fn unregistered_connections_of_one_address_are_bounded() {
    let mut rig = Rig::new(r#"{"max_unadmitted_per_address":2}"#);
    rig.connect(Headers::new());
    rig.connect(Headers::new());
    let third = rig.connect(Headers::new());
    assert_eq!(rig.closed[&third].0, 503);
}

#[test]
fn a_stop_waits_for_what_runs_and_gives_out_no_more() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 1);
    let running = rig.dispatch();
    let waiting = rig.dispatch();
    let now = rig.now();
    rig.hub.handle_command(Command::Stop { drain_ms: 10_000 }, now).unwrap();
    rig.drain();
    let refused = rig.dispatch();
    assert_eq!(rig.status(refused), Some(503));
    let (hash, _) = rig.pushed(worker)[0].clone();
    rig.complete(worker, &hash, 1);
    assert_eq!((rig.status(running), rig.status(waiting)), (Some(200), Some(503)));
    assert!(matches!(rig.events.last(), Some(Event::Session(SessionEvent::Ended { error: None }))));
    assert_eq!(rig.closed[&worker].0, 1001);
    assert_eq!(rig.hub.poll_timeout(), None);
    let mut rig = rig.restart(1_000);
    let worker = rig.worker("w", 1);
    assert_eq!(rig.pushed(worker).len(), 1, "what waited is still to be done");
}

#[test]
fn a_stop_ends_at_its_deadline_whatever_runs() {
    let mut rig = Rig::new("{}");
    rig.worker("w", 1);
    rig.call(4, "Echo/Say", "{}", "{}");
    let now = rig.now();
    rig.hub.handle_command(Command::Stop { drain_ms: 500 }, now).unwrap();
    rig.drain();
    rig.pass(500);
    let [
        Event::Call(CallEvent::Done { result: Err(call), .. }),
        Event::Session(SessionEvent::Ended { error: Some(end) }),
    ] = &rig.events[rig.events.len() - 2..]
    else {
        panic!("{:?}", rig.events)
    };
    assert_eq!(call.code(), crate::base::error::ErrorCode::Stopped);
    assert_eq!(end.code(), crate::base::error::ErrorCode::DrainTimeout);
}
